// SPDX-License-Identifier: Apache-2.0
//
// The threads that run blocking jobs: none at first, one more whenever a job finds no idle one, up
// to a bound, each gone when it has had nothing to do for a while.
//
//   any thread                                    pool threads
//
//   submit() --> (line) --> JobClass ----------> claim(), take() --> the closure
//      |                                           ^      |
//      | no wake is in flight                      |      | nothing left
//      v                                           |      v
//   hand_over_wake() -- the newest ---------> sleepers_ (LIFO) -- keep_alive --> leaves
//      |
//      '-- or, if nobody sleeps, a new thread, which looks at once
//
// The promise: a job that was submitted ends. It runs as soon as a thread may run it, or is
// cancelled, or fails because there is no thread at all. States, both sides of the protocol and the
// proof sketch: blocking_pool/README.md. Its parts:
//
//   [WAKE-HELD]  JobClass::wake_held() is true while somebody (the holder) is on the way to look into
//                the queue of the class: a submitter, then the thread that it woke or created. There
//                is one holder for a class at a time, so one wake is in flight, and one thread being
//                created.
//   [LOOK]       The submitter raises the count of the class, then reads the wake; the holder lowers
//                the wake, then reads the count: all seq_cst. Who finds the wake held may leave its job to
//                the holder.
//   [REST]       Who gives up a share, sleeps or leaves checks the counts under mu_; who finds nobody to wake
//                lowers the wake under mu_. The later of the two sees what the earlier one did.
//   [ASSIGN]     Sleepers::pop()'s store of PoolThread::word (release) -> sleep()'s load (acquire): the class.
//   [ALL-LEFT]   The last thread's store of all_left_ (release) -> wait_idle_until()'s load
//                (acquire).
//   [STOP]       begin_shutdown()'s store of stopping_ (release) -> the loads (acquire).
//   [PROMISE]    Who submits a mandatory job counts it in mandatory_, then reads stopping_; begin_shutdown() writes
//                stopping_, and who is about to give up reads the count: all seq_cst. So the job is refused, or the
//                pool has not ended, and gives up no class, until the job has begun.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <pthread.h>
#include <string>
#include <vector>

#include "blocking_pool/job_class.h"
#include "blocking_pool/pool_thread.h"
#include "blocking_pool/sleepers.h"
#include "blocking_pool/thread_shares.h"
#include "skua/blocking.h"
#include "skua/internal/blocking_job.h"
#include "skua/internal/config.h"
#include "skua/internal/mutex.h"
#include "skua/metrics.h"

namespace skua::internal {

struct BlockingPoolOptions {
  int max_threads = 512;                         // At least 1.
  std::chrono::milliseconds keep_alive{10'000};  // At least 0. How long an idle thread stays.
  std::string thread_name = "skua-blocking";     // The kernel keeps the first 15 characters.
  // As ThreadShares requires.
  std::vector<BlockingClassOptions> classes = {{.name = "default"}};
  // Called on each pool thread before its first job. Must not throw.
  std::function<void()> on_thread_start = [] {};
  // Called with a message when all threads that could run a pending job wait for others. Must not throw.
  std::function<void(const std::string&)> on_stall = [](const std::string&) {};
  // For tests. Called before a thread is created; an errno other than 0 is taken for the failure of
  // the creation.
  std::function<int()> create_thread_error = nullptr;
  // For tests. Called when a mandatory job is accepted, before it is queued.
  std::function<void()> before_mandatory = nullptr;
};

// A snapshot.
struct BlockingPoolMetrics {
  int threads = 0;
  int threads_idle = 0;
  int threads_peak = 0;
  std::uint64_t threads_created = 0;
  std::uint64_t wakes = 0;       // Of sleeping threads.
  std::uint64_t stalls = 0;      // Times that on_stall was called.
  std::int64_t queue_depth = 0;  // Jobs that no thread has taken yet, aborted ones included.
  std::uint64_t jobs_run = 0;    // Begun; not those cancelled or failed.
  std::vector<BlockingClassMetrics> classes = {};
};

class BlockingPool {
 public:
  explicit BlockingPool(BlockingPoolOptions options);
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;
  // Shuts down and waits for the running jobs, however long they take. No other thread may be in
  // submit(), except the pool's own.
  ~BlockingPool();

  // Queues `job`, or puts it in line, and takes over the pool's share of it. After begin_shutdown()
  // the job is cancelled; if there is no thread and none can be created, or no memory to queue it, it
  // fails with std::system_error. Never waits for a job. Any thread.
  void submit(BlockingJob* job) noexcept;
  // The same for a job that has a place in the queue of its class.
  void submit_admitted(BlockingJob* job) noexcept;

  // Places in the queue of a class. Any thread; see Admission.
  [[nodiscard]] bool try_reserve(int job_class) noexcept;
  [[nodiscard]] bool reserve(int job_class, AdmissionNode* node) noexcept;
  [[nodiscard]] bool leave_line(int job_class, AdmissionNode* node) noexcept;
  void give_back(int job_class) noexcept;

  // Cancels the jobs that have not begun, those submitted later too, but for the mandatory ones that are
  // there already; cancels the tokens of those that run; lets the threads leave as they become idle. Any
  // thread, any number of times.
  void begin_shutdown() noexcept;

  // Waits until the running jobs have ended and joins all threads. False: the steady clock reads
  // `steady_deadline_ns` first. Requires: begin_shutdown(). One thread at a time, and not one of
  // the pool's own.
  [[nodiscard]] bool wait_idle_until(std::int64_t steady_deadline_ns) noexcept;

  // Runs a job within the one that runs on this thread. After BlockingJob::begin_here(), by the handle's owner.
  void run_here(PoolThread* self, BlockingJob* job) noexcept;

  // The job that runs on this thread waits for another one from here on, or no longer. A thread of the pool.
  void begin_wait(PoolThread* self) noexcept SKUA_EXCLUDES(mu_);
  void end_wait(PoolThread* self) noexcept SKUA_EXCLUDES(mu_);

  // Any thread.
  BlockingPoolMetrics metrics() const;
  std::vector<RunningBlockingJob> running_jobs() const;
  bool overloaded(int job_class) const noexcept;

 private:
  // What a thread that found no job does next.
  enum class [[nodiscard]] Next : std::uint8_t {
    kLook,          // There may be jobs in its class.
    kLookAsHolder,  // The same, and it holds the wake.
    kRest,          // It has no class; it looks at all of them.
    kLeave,         // It is not counted any more.
  };

  // What a new thread is told.
  struct Start {
    BlockingPool* pool;
    int job_class;
  };

  // --- Any thread. ---

  JobClass& of_class(int c) const noexcept { return *classes_[static_cast<std::size_t>(c)]; }
  // The class of a caller's number. Ends the process if there is none.
  JobClass& required_class(int c) const noexcept;
  // Queues a job that has a place, and is counted if it is mandatory.
  void enqueue(BlockingJob* job) noexcept;
  // A mandatory job has ended, but by no thread of the pool, which would announce it when it leaves.
  void drop_mandatory() noexcept SKUA_EXCLUDES(mu_);
  // Tells whoever has got a place from the line.
  void admit(AdmissionNode* node) noexcept;
  // Sees to it that somebody looks into the queue. After each enqueue.
  void request_thread(int c) noexcept {
    if (!of_class(c).wake_held()) start_wake(c);  // [LOOK]
  }
  SKUA_NOINLINE void start_wake(int c) noexcept SKUA_EXCLUDES(mu_);
  // Gives the wake to the newest sleeper or to a new thread, or lowers it if the class can have none.
  // Returns 0, or why there is no thread at all: then the caller still holds the wake.
  // The holder only.
  int hand_over_wake(int c) noexcept SKUA_EXCLUDES(mu_);
  // After a creation that failed; as hand_over_wake().
  int hand_over_elsewhere(int c, int error) noexcept SKUA_EXCLUDES(mu_);
  // Returns 0 or an errno. The holder only.
  int create_thread(int c) noexcept SKUA_EXCLUDES(mu_);
  // A class with pending jobs whose wake nobody holds; ThreadShares::kNone: there is none.
  int stranded_class() const noexcept;
  // A job, whose place is free then. After JobClass::claim().
  BlockingJob* take(JobClass& job_class, JobClass::Reader& reader, std::uint32_t turn) noexcept;
  // Ends the jobs that are pending in a class.
  void end_pending(int c, int error) noexcept;
  // Cancels the job if `error` is ECANCELED, which a mandatory one never meets, or the pool shuts down; else fails it.
  void end_unrun(BlockingJob* job, int error) noexcept;
  void report_stall(int c) noexcept;

  // --- Pool threads. ---

  static void* thread_main(void* start) noexcept;
  void run_thread(int c) noexcept SKUA_EXCLUDES(mu_);
  // Takes jobs until there is none, or a class starves.
  void run_jobs(PoolThread* self) noexcept;
  // Runs the closure. True: it threw. After BlockingJob::begin().
  [[nodiscard]] bool run_begun(PoolThread* self, BlockingJob* job, std::int64_t now_ns) noexcept;
  // Finds the class to work for next, or sleeps until there is one, keep_alive is over or the pool shuts down.
  Next rest(PoolThread* self) noexcept SKUA_EXCLUDES(mu_);
  Next sleep(PoolThread* self) noexcept SKUA_EXCLUDES(mu_);
  // Assigns the thread to a class with pending jobs. False: there is none that may have it.
  [[nodiscard]] bool find_class(PoolThread* self, int last) noexcept SKUA_REQUIRES(mu_);
  void enter(PoolThread* self) noexcept SKUA_EXCLUDES(mu_);
  void leave(PoolThread* self) noexcept SKUA_REQUIRES(mu_);

  // --- Whoever holds the lock. ---

  // The wake of a class that can have no thread.
  void lower_wake_unserved(int c) noexcept SKUA_REQUIRES(mu_);
  // Tells those that do not look under the lock. After each change of shares_.starving().
  void note_starving() noexcept SKUA_REQUIRES(mu_) {
    starving_.store(shares_.starving() != 0, std::memory_order_relaxed);
  }
  // Whether all threads that could run the pending jobs of the class wait for others, for the first time.
  [[nodiscard]] bool note_stall(int c) noexcept SKUA_REQUIRES(mu_);
  void announce_if_all_left() noexcept SKUA_REQUIRES(mu_);

  // Constant after construction.
  const BlockingPoolOptions options_;
  const std::int64_t keep_alive_ns_;
  std::vector<std::unique_ptr<JobClass>> classes_;
  std::vector<Start> starts_;  // One for each class.

  // Any thread. Written rarely: reads of it cost nothing.
  std::atomic<bool> stopping_{false};       // Written under mu_.
  std::atomic<bool> starving_{false};       // Some class does; a hint. Written under mu_.
  std::atomic<std::uint32_t> all_left_{0};  // Futex word: 1 when all have left. Written under mu_.

  // Mandatory jobs that are accepted and not begun, those in line excepted; and one for begin_shutdown() as long as it
  // has some in its hands.
  alignas(kCacheLine) std::atomic<std::int64_t> mandatory_{0};

  alignas(kCacheLine) mutable Mutex mu_;
  ThreadShares shares_ SKUA_GUARDED_BY(mu_);
  Sleepers sleepers_ SKUA_GUARDED_BY(mu_);
  PoolThread* all_ SKUA_GUARDED_BY(mu_) = nullptr;  // Those that have entered.
  int threads_ SKUA_GUARDED_BY(mu_) = 0;  // With those being created, without those that left.
  int threads_entered_ SKUA_GUARDED_BY(mu_) = 0;
  int threads_peak_ SKUA_GUARDED_BY(mu_) = 0;
  std::uint64_t threads_created_ SKUA_GUARDED_BY(mu_) = 0;
  std::uint64_t jobs_run_by_left_ SKUA_GUARDED_BY(mu_) = 0;  // By threads that have left.
  // Threads whose job waits for others: of each class, and all together.
  std::vector<int> waiting_of_ SKUA_GUARDED_BY(mu_);
  int waiting_ SKUA_GUARDED_BY(mu_) = 0;
  std::uint32_t stalled_ SKUA_GUARDED_BY(mu_) = 0;  // A bit for each class that was reported.
  std::uint64_t stalls_ SKUA_GUARDED_BY(mu_) = 0;
  // The last thread that left, not yet joined. It has joined the one before it, and so on.
  std::optional<pthread_t> last_left_ SKUA_GUARDED_BY(mu_);
};
static_assert(alignof(BlockingPool) == kCacheLine, "the hot words need lines of their own");

// Sets what require_blocking_pool() finds on this thread, and returns what it was; nullptr to remove. Called by
// workers; pool threads set it for themselves.
BlockingPool* set_current_blocking_pool(BlockingPool* pool) noexcept;
// The same for the thread of a pool that this thread is.
void set_current_pool_thread(PoolThread* thread) noexcept;

}  // namespace skua::internal
