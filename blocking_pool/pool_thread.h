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

#include "blocking_pool/thread_shares.h"
#include "skua/cancellation.h"
#include "skua/internal/blocking_job.h"
#include "skua/internal/mutex.h"
#include "task/context.h"

namespace skua::internal {

// A job that runs, as others see it.
struct RunningJobSnapshot {
  std::uint64_t id = 0;
  std::string name = {};
  std::int64_t begun_ns = 0;
  pid_t thread = 0;
};

class PoolThread {
 public:
  static constexpr std::uint32_t kAwake = 0;
  static constexpr std::uint32_t kAsleep = 1;  // In sleepers_.
  static constexpr std::uint32_t kNotified =
      2;  // Taken from there, assigned, and holds the wake now.
  static constexpr std::uint32_t kDismissed = 3;  // Taken from there by begin_shutdown().

  explicit PoolThread(BlockingPool* of_pool) noexcept;
  PoolThread(const PoolThread&) = delete;
  PoolThread& operator=(const PoolThread&) = delete;

  // --- The thread itself. ---

  struct Run {
    BlockingJob* job = nullptr;
    std::int64_t begun_ns = 0;
  };
  // Counts a job that has begun, and shows it. Returns the one within which it runs.
  Run begin_job(Run run) noexcept SKUA_EXCLUDES(mu_);
  // Before its join is completed.
  void end_job(Run outer) noexcept SKUA_EXCLUDES(mu_);
  const BlockingJob* job() const noexcept { return run_.job; }
  std::uint32_t next_turn() noexcept { return ++turn_; }

  BlockingPool* const pool;
  // Left before this one, and to be joined by it.
  std::optional<pthread_t> predecessor;

  // --- Any thread, while this one is in the pool's list. ---

  std::uint64_t jobs_run() const noexcept { return jobs_run_.load(std::memory_order_relaxed); }
  // What runs here; nullopt: nothing.
  std::optional<RunningJobSnapshot> running() const SKUA_EXCLUDES(mu_);
  // The source of the running job's token, if it has one.
  std::optional<CancellationSource> source() const SKUA_EXCLUDES(mu_);

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
  void show(Run run) noexcept SKUA_EXCLUDES(mu_);

  // Its thread only.
  Run run_;
  std::uint32_t turn_ = 0;
  Context& context_;  // Of this thread, which runs no coroutine that could leave it.

  // Written by its thread.
  const pid_t tid_;
  std::atomic<std::uint64_t> jobs_run_{0};
  std::atomic<std::uint64_t> job_id_{0};  // 0: none.
  std::atomic<std::int64_t> begun_ns_{0};

  // The job, if it has more to tell than its number: a name, a source. Else nobody takes the lock.
  mutable Mutex mu_;
  BlockingJob* watched_ SKUA_GUARDED_BY(mu_) = nullptr;
};

}  // namespace skua::internal
