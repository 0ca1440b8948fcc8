// SPDX-License-Identifier: Apache-2.0
//
// A thread of the blocking pool: where it stands, and what it runs. Lives on the stack of its thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <pthread.h>
#include <string>
#include <sys/types.h>
#include <vector>

#include "blocking_pool/thread_shares.h"
#include "skua/cancellation.h"
#include "skua/internal/blocking_job.h"
#include "skua/internal/mutex.h"
#include "skua/metrics.h"
#include "task/context.h"

namespace skua::internal {

class PoolThread {
 public:
  static constexpr std::uint32_t kAwake = 0;
  static constexpr std::uint32_t kAsleep = 1;  // In sleepers_.
  static constexpr std::uint32_t kNotified =
      2;  // Taken from there, assigned, and holds the wake now.
  static constexpr std::uint32_t kDismissed = 3;  // Taken from there by begin_shutdown().

  // Creates a thread of a pool. Returns 0 or an errno. Any thread.
  [[nodiscard]] static int create(void* (*main)(void*), void* argument) noexcept;

  explicit PoolThread(BlockingPool* of_pool) noexcept;
  PoolThread(const PoolThread&) = delete;
  PoolThread& operator=(const PoolThread&) = delete;

  // --- The thread itself. ---

  // A job that runs here.
  struct Run {
    BlockingJob* job = nullptr;
    std::int64_t begun_ns = 0;
    const Run* outer = nullptr;  // Within which it runs, in blocking_join(). Set by begin_job().
  };
  // Counts a job that has begun, and shows it. `run` stays until end_job().
  void begin_job(Run* run) noexcept SKUA_EXCLUDES(mu_);
  // Before its join is completed.
  void end_job(const Run& run) noexcept SKUA_EXCLUDES(mu_);
  const BlockingJob* job() const noexcept { return run_ != nullptr ? run_->job : nullptr; }
  std::uint32_t next_turn() noexcept { return ++turn_; }

  BlockingPool* const pool;
  // Left before this one, and to be joined by it.
  std::optional<pthread_t> predecessor;

  // --- Any thread, while this one is in the pool's list. ---

  std::uint64_t jobs_run() const noexcept { return jobs_run_.load(std::memory_order_relaxed); }
  // Adds what runs here: the innermost job first, then that within which it runs, and so on.
  void add_running(const std::string& class_name, std::int64_t now_ns,
                   std::vector<RunningBlockingJob>* jobs) const SKUA_EXCLUDES(mu_);
  // Adds the sources of their tokens.
  void add_sources(std::vector<CancellationSource>* sources) const SKUA_EXCLUDES(mu_);

  // --- Guarded by the pool's lock. ---

  PoolThread* prev = nullptr;  // In the list of all.
  PoolThread* next = nullptr;
  PoolThread* above = nullptr;  // While asleep.
  PoolThread* below = nullptr;
  // The class that it works for; ThreadShares::kNone: it is asleep, or leaves. The thread itself reads it without the
  // lock, since others change it only while it sleeps.
  int job_class = ThreadShares::kNone;
  // Changed under the lock; the thread itself also reads it without.
  std::atomic<std::uint32_t> word{kAwake};

 private:
  void show(const Run* run) noexcept SKUA_EXCLUDES(mu_);

  // Its thread only.
  const Run* run_ = nullptr;  // The innermost.
  std::uint32_t turn_ = 0;
  Context& context_;  // Of this thread, which runs no coroutine that could leave it.

  // Written by its thread.
  const pid_t tid_;
  std::atomic<std::uint64_t> jobs_run_{0};
  std::atomic<std::uint64_t> job_id_{0};  // 0: none.
  std::atomic<std::int64_t> begun_ns_{0};

  // The innermost, if there is more to tell than a number: a name, a source, an outer job. Else nobody takes the lock.
  mutable Mutex mu_;
  const Run* watched_ SKUA_GUARDED_BY(mu_) = nullptr;
};

}  // namespace skua::internal
