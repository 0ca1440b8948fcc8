// SPDX-License-Identifier: Apache-2.0
//
// The threads that run blocking jobs: none at first, one more whenever a job finds no idle one, up
// to a bound, each gone when it has had nothing to do for a while.
//
//   any thread                               pool threads
//
//   submit() --------> queue_ -------------> take_job() --> the closure
//      |                                      ^      |
//      | no wake is in flight                 |      | nothing left
//      v                                      |      v
//   hand_over_wake() -- the newest ----> sleepers_ (LIFO) -- keep_alive --> leaves
//      |
//      '-- or, if nobody sleeps, a new thread, which looks at once
//
// The promise: a job that was submitted ends. It runs as soon as a thread may run it, or is
// cancelled, or fails because there is no thread at all. States, both sides of the protocol and the
// proof sketch: blocking_pool/README.md. Its parts:
//
//   [WAKE-HELD]  waking_ is true while somebody (the holder) is on the way to look into the queue:
//                a submitter, then the thread that it woke or created. There is one holder at a
//                time, so one wake is in flight, and one thread is being created.
//   [LOOK]       A submitter's exchange of waking_ (acq_rel), after its enqueue -> the holder's
//                lowering exchange (acq_rel), before its look. Who finds waking_ raised may leave
//                its job to the holder.
//   [REST]       Who sleeps or leaves checks pending_ under mu_; who finds nobody to wake lowers
//                waking_ under mu_. The later of the two sees what the earlier one did.
//   [ALL-LEFT]   The last thread's store of all_left_ (release) -> wait_idle_until()'s load
//                (acquire).
//   [STOP]       begin_shutdown()'s store of stopping_ (release) -> the loads (acquire).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <pthread.h>
#include <string>

#include <concurrentqueue/concurrentqueue.h>

#include "base/queued_pointer.h"
#include "skua/internal/blocking_job.h"
#include "skua/internal/config.h"
#include "skua/internal/mutex.h"

namespace skua::internal {

struct BlockingPoolOptions {
  int max_threads = 512;                         // At least 1.
  std::chrono::milliseconds keep_alive{10'000};  // At least 0. How long an idle thread stays.
  std::string thread_name = "skua-blocking";     // The kernel keeps the first 15 characters.
  // Called on each pool thread before its first job. Must not throw.
  std::function<void()> on_thread_start = [] {};
  // For tests. Called before a thread is created; an errno other than 0 is taken for the failure of
  // the creation.
  std::function<int()> create_thread_error = nullptr;
};

// A snapshot.
struct BlockingPoolMetrics {
  int threads = 0;
  int threads_idle = 0;
  int threads_peak = 0;
  std::uint64_t threads_created = 0;
  std::int64_t queue_depth = 0;  // Jobs that no thread has taken yet, aborted ones included.
  std::uint64_t jobs_run = 0;    // Begun; not those cancelled or failed.
};

class BlockingPool {
 public:
  explicit BlockingPool(BlockingPoolOptions options);
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;
  // Shuts down and waits for the running jobs, however long they take. No other thread may be in
  // submit(), except the pool's own.
  ~BlockingPool();

  // Queues `job`, and takes over the pool's share of it. After begin_shutdown() the job is
  // cancelled; if there is no thread and none can be created, or no memory to queue it, it fails
  // with std::system_error. Never waits for a job. Any thread.
  void submit(BlockingJob* job) noexcept;

  // Cancels the jobs that have not begun, those submitted later too, and lets the threads leave as
  // they become idle. Any thread, any number of times.
  void begin_shutdown() noexcept;

  // Waits until the running jobs have ended and joins all threads. False: the steady clock reads
  // `steady_deadline_ns` first. Requires: begin_shutdown(). One thread at a time, and not one of
  // the pool's own.
  [[nodiscard]] bool wait_idle_until(std::int64_t steady_deadline_ns) noexcept;

  // Any thread.
  BlockingPoolMetrics metrics() const noexcept;

 private:
  // Lives on the stack of its thread.
  struct PoolThread {
    // Changed under mu_; the thread itself also reads it without.
    std::atomic<std::uint32_t> word{kAwake};
    // Guarded by mu_ while asleep.
    PoolThread* above = nullptr;
    PoolThread* below = nullptr;
    // Its thread only. Left before this one, and to be joined by it.
    std::optional<pthread_t> predecessor;
  };
  static constexpr std::uint32_t kAwake = 0;
  static constexpr std::uint32_t kAsleep = 1;     // In sleepers_.
  static constexpr std::uint32_t kNotified = 2;   // Taken from there, and holds the wake now.
  static constexpr std::uint32_t kDismissed = 3;  // Taken from there by begin_shutdown().

  // What a thread that found no job does next.
  enum class [[nodiscard]] Next : std::uint8_t {
    kLook,          // There may be jobs.
    kLookAsHolder,  // The same, and it holds the wake.
    kLeave,         // It is not counted any more.
  };

  // --- Any thread. ---

  // Sees to it that somebody looks into the queue. After each enqueue.
  void request_thread() noexcept SKUA_EXCLUDES(mu_);
  // Gives the wake to the newest sleeper or to a new thread, or lowers it if all threads are busy.
  // Returns 0, or why there is no thread at all: then the caller still holds the wake.
  // The holder only.
  int hand_over_wake() noexcept SKUA_EXCLUDES(mu_);
  // Returns 0 or an errno. The holder only.
  int create_thread() noexcept SKUA_EXCLUDES(mu_);
  void lower_wake() noexcept { waking_.exchange(false, std::memory_order_acq_rel); }  // [LOOK]
  // A job, or nullptr if none is pending. Waits for submitters between their two steps.
  BlockingJob* take_job() noexcept;
  // Cancels the job while shutting down, else fails it with `error`.
  void end_unrun(BlockingJob* job, int error) noexcept;

  // --- Pool threads. ---

  static void* thread_main(void* pool) noexcept;
  void run_thread() noexcept SKUA_EXCLUDES(mu_);
  // Sleeps until there may be jobs, keep_alive is over or the pool shuts down.
  Next rest(PoolThread* self) noexcept SKUA_EXCLUDES(mu_);
  void leave(PoolThread* self) noexcept SKUA_REQUIRES(mu_);

  // --- Whoever holds the lock. ---

  void push_sleeper(PoolThread* thread) noexcept SKUA_REQUIRES(mu_);
  void remove_sleeper(PoolThread* thread) noexcept SKUA_REQUIRES(mu_);
  // Takes the newest sleeper and tells it `word`. Returns what to call futex_wake_one() with, which
  // may be done without the lock; nullptr: nobody sleeps.
  std::atomic<std::uint32_t>* pop_sleeper(std::uint32_t word) noexcept SKUA_REQUIRES(mu_);
  void announce_if_all_left() noexcept SKUA_REQUIRES(mu_);

  // Constant after construction.
  const BlockingPoolOptions options_;
  const std::int64_t keep_alive_ns_;

  // Any thread. Written once: reads of it cost nothing.
  std::atomic<bool> stopping_{false};  // Written under mu_.

  // Any thread. One line: each submit() writes both.
  alignas(kCacheLine) std::atomic<std::int64_t> pending_{0};  // Raised before the enqueue.
  std::atomic<bool> waking_{false};                           // [WAKE-HELD]

  // Any thread. Not FIFO between submitters, and a look may miss a job: pending_ tells.
  alignas(kCacheLine) moodycamel::ConcurrentQueue<QueuedPointer<BlockingJob>> queue_;

  alignas(kCacheLine) std::atomic<std::uint64_t> jobs_run_{0};
  std::atomic<std::uint32_t> all_left_{0};  // Futex word: 1 when the last thread has left for good.

  alignas(kCacheLine) mutable Mutex mu_;
  PoolThread* sleepers_ SKUA_GUARDED_BY(mu_) = nullptr;  // The newest; the others are below.
  int threads_idle_ SKUA_GUARDED_BY(mu_) = 0;
  int threads_ SKUA_GUARDED_BY(mu_) = 0;  // With the one being created, without those that left.
  int threads_peak_ SKUA_GUARDED_BY(mu_) = 0;
  std::uint64_t threads_created_ SKUA_GUARDED_BY(mu_) = 0;
  // The last thread that left, not yet joined. It has joined the one before it, and so on.
  std::optional<pthread_t> last_left_ SKUA_GUARDED_BY(mu_);
};
static_assert(alignof(BlockingPool) == kCacheLine, "the hot words need lines of their own");

// Sets what require_blocking_pool() finds on this thread, and returns what it was; nullptr to remove. Called by
// workers; pool threads set it for themselves.
BlockingPool* set_current_blocking_pool(BlockingPool* pool) noexcept;

}  // namespace skua::internal
