// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/blocking_pool.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <limits>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/futex.h"
#include "skua/internal/check.h"

namespace skua::internal {
namespace {

thread_local constinit BlockingPool* current_pool = nullptr;

SKUA_NOINLINE BlockingPool* current_blocking_pool() noexcept {
  asm volatile("");  // Else the compiler proves the function pure and merges two calls.
  return current_pool;
}

// Far enough to be forever, near enough to be added to the clock.
constexpr std::chrono::hours kKeepAliveMax{24 * 365};

std::int64_t steady_now_ns() noexcept {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

// --- The thread's pool ------------------------------------------------------------------------

SKUA_NOINLINE BlockingPool* set_current_blocking_pool(BlockingPool* pool) noexcept {
  asm volatile("");
  return std::exchange(current_pool, pool);
}

BlockingPool& require_blocking_pool(const char* operation) noexcept {
  BlockingPool* const pool = current_blocking_pool();
  if (SKUA_UNLIKELY(pool == nullptr)) {
    fatal(std::string(operation) +
          " was called outside a runtime: call it from a task or a blocking job, or use the "
          "function of the same name of a skua::Runtime");
  }
  return *pool;
}

void submit_job(BlockingPool& pool, BlockingJob* job) noexcept { pool.submit(job); }

// --- Construction -----------------------------------------------------------------------------

BlockingPool::BlockingPool(BlockingPoolOptions options)
    : options_(std::move(options)),
      keep_alive_ns_(std::chrono::nanoseconds(
                         std::min<std::chrono::milliseconds>(options_.keep_alive, kKeepAliveMax))
                         .count()) {
  SKUA_REQUIRE(options_.max_threads >= 1, options_.max_threads);
  SKUA_REQUIRE(options_.keep_alive.count() >= 0, options_.keep_alive.count());
}

BlockingPool::~BlockingPool() {
  begin_shutdown();
  while (!wait_idle_until(std::numeric_limits<std::int64_t>::max())) {
  }
  const std::int64_t pending = pending_.load(std::memory_order_acquire);
  SKUA_CHECK(pending == 0, pending);
}

// --- Any thread -------------------------------------------------------------------------------

void BlockingPool::submit(BlockingJob* job) noexcept {
  if (SKUA_UNLIKELY(stopping_.load(std::memory_order_acquire))) {  // [STOP]
    end_unrun(job, ECANCELED);
    return;
  }
  // Relaxed: the enqueue and the exchange of request_thread() follow, and publish it. Before the
  // enqueue, so that pending_ never says less than there is.
  pending_.fetch_add(1, std::memory_order_relaxed);
  if (SKUA_UNLIKELY(!queue_.enqueue(job))) {  // No memory.
    pending_.fetch_sub(1, std::memory_order_relaxed);
    end_unrun(job, ENOMEM);
    return;
  }
  request_thread();
}

void BlockingPool::request_thread() noexcept {
  do {
    if (waking_.exchange(true, std::memory_order_acq_rel)) return;  // [LOOK] The holder looks.
    const int error = hand_over_wake();
    if (SKUA_LIKELY(error == 0)) return;
    // Neither a thread nor a way to get one: no one else will end what is queued. The submitters
    // meanwhile leave their jobs to us, so look again after lowering.
    while (BlockingJob* const job = take_job()) end_unrun(job, error);
    lower_wake();
    // Relaxed: lowering has shown us whatever was left to us, [LOOK].
  } while (pending_.load(std::memory_order_relaxed) != 0);
}

int BlockingPool::hand_over_wake() noexcept {
  std::atomic<std::uint32_t>* sleeper = nullptr;
  int peak_before = 0;
  {
    MutexLock lock(&mu_);
    sleeper = pop_sleeper(kNotified);
    if (sleeper == nullptr) {
      // Relaxed, here and below: written under mu_.
      const bool stopping = stopping_.load(std::memory_order_relaxed);
      if (stopping && threads_ == 0) return ECANCELED;
      if (stopping || threads_ == options_.max_threads) {
        // Whoever is busy now will come by rest() later than this, and see the jobs: [REST].
        lower_wake();
        return 0;
      }
      // The place is taken before the thread is there, so that the bound holds without the lock.
      ++threads_;
      ++threads_created_;
      peak_before = threads_peak_;
      threads_peak_ = std::max(threads_peak_, threads_);
    }
  }
  if (sleeper != nullptr) {
    futex_wake_one(sleeper);
    return 0;
  }

  const int error = create_thread();
  if (SKUA_LIKELY(error == 0)) return 0;
  {
    MutexLock lock(&mu_);
    --threads_;
    --threads_created_;
    threads_peak_ = peak_before;  // Only a holder of the wake changes it, so this undoes our own.
    // A thread may have gone to sleep since the first look, before a submitter left us its job.
    sleeper = pop_sleeper(kNotified);
    if (sleeper == nullptr) {
      if (threads_ == 0) {
        announce_if_all_left();
        return error;
      }
      lower_wake();  // As above: the busy ones see the jobs.
      return 0;
    }
  }
  futex_wake_one(sleeper);
  return 0;
}

int BlockingPool::create_thread() noexcept {
  if (options_.create_thread_error) {
    const int error = options_.create_thread_error();
    if (error != 0) return error;
  }
  // A new thread inherits the mask. Signals are for the application's own threads, but a fault of
  // the job itself must reach its handler.
  sigset_t mask;
  sigset_t before;
  sigfillset(&mask);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
    sigdelset(&mask, fault);
  }
  pthread_sigmask(SIG_SETMASK, &mask, &before);
  pthread_t thread;  // It tells who it is when it leaves.
  const int error = pthread_create(&thread, nullptr, &thread_main, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

BlockingJob* BlockingPool::take_job() noexcept {
  // Relaxed: the caller has passed [LOOK] or [REST], or it does so before it sleeps.
  while (pending_.load(std::memory_order_relaxed) != 0) {
    QueuedPointer<BlockingJob> job;
    if (queue_.try_dequeue(job)) {
      // Relaxed: after the raise of the same job, by the queue. So pending_ covers all other jobs.
      pending_.fetch_sub(1, std::memory_order_relaxed);
      return job;
    }
    // A submitter stands before its enqueue, or another thread's look hides a job for a moment.
    std::this_thread::yield();
  }
  return nullptr;
}

void BlockingPool::end_unrun(BlockingJob* job, int error) noexcept {
  if (stopping_.load(std::memory_order_acquire)) {  // [STOP]
    job->cancel();
    job->unref();  // *job may be gone.
    return;
  }
  job->fail(std::make_exception_ptr(std::system_error(
      error, std::generic_category(),
      error == ENOMEM ? "skua: no memory to queue a blocking job"
                      : "skua: the blocking pool has no thread and cannot create one; check "
                        "ulimit -u and the control group's pids.max")));
}

// --- Pool threads -----------------------------------------------------------------------------

void* BlockingPool::thread_main(void* pool) noexcept {
  static_cast<BlockingPool*>(pool)->run_thread();
  return nullptr;
}

void BlockingPool::run_thread() noexcept {
  pthread_setname_np(pthread_self(), options_.thread_name.substr(0, 15).c_str());
  set_current_blocking_pool(this);
  options_.on_thread_start();
  PoolThread self;
  for (Next next = Next::kLookAsHolder; next != Next::kLeave; next = rest(&self)) {
    if (next == Next::kLookAsHolder) {
      lower_wake();  // Before the look: what comes later has a wake of its own.
      // One job for this thread; for more of them, the woken one wakes the next.
      if (pending_.load(std::memory_order_relaxed) > 1) request_thread();
    }
    while (BlockingJob* const job = take_job()) {
      if (SKUA_UNLIKELY(stopping_.load(std::memory_order_acquire))) {  // [STOP]
        end_unrun(job, ECANCELED);
      } else {
        job->run_or_skip(jobs_run_);  // *job may be gone.
      }
    }
  }
  // The pool stays until this thread, too, is joined.
  if (self.predecessor.has_value()) pthread_join(*self.predecessor, nullptr);
}

BlockingPool::Next BlockingPool::rest(PoolThread* self) noexcept {
  {
    MutexLock lock(&mu_);
    if (pending_.load(std::memory_order_relaxed) != 0) return Next::kLook;  // [REST]
    if (stopping_.load(std::memory_order_relaxed)) {
      leave(self);
      return Next::kLeave;
    }
    push_sleeper(self);
  }
  const std::int64_t deadline_ns = steady_now_ns() + keep_alive_ns_;
  for (;;) {
    // Relaxed: kNotified's data come by [LOOK], and kDismissed has none.
    const std::uint32_t word = self->word.load(std::memory_order_relaxed);
    if (word == kNotified) return Next::kLookAsHolder;
    if (word == kDismissed) return Next::kLook;
    if (futex_wait_until(&self->word, kAsleep, deadline_ns)) continue;

    MutexLock lock(&mu_);
    if (self->word.load(std::memory_order_relaxed) != kAsleep) continue;  // Woken after all.
    remove_sleeper(self);
    // Not needed for safety, but the submitter might find no thread and no way to create one.
    if (pending_.load(std::memory_order_relaxed) != 0) return Next::kLook;
    leave(self);
    return Next::kLeave;
  }
}

void BlockingPool::leave(PoolThread* self) noexcept {
  --threads_;
  self->predecessor = std::exchange(last_left_, pthread_self());
  announce_if_all_left();
}

// --- Sleepers ---------------------------------------------------------------------------------

void BlockingPool::push_sleeper(PoolThread* thread) noexcept {
  thread->word.store(kAsleep, std::memory_order_relaxed);  // Relaxed: under mu_.
  thread->above = nullptr;
  thread->below = sleepers_;
  if (sleepers_ != nullptr) sleepers_->above = thread;
  sleepers_ = thread;
  ++threads_idle_;
}

void BlockingPool::remove_sleeper(PoolThread* thread) noexcept {
  (thread->above != nullptr ? thread->above->below : sleepers_) = thread->below;
  if (thread->below != nullptr) thread->below->above = thread->above;
  --threads_idle_;
}

std::atomic<std::uint32_t>* BlockingPool::pop_sleeper(std::uint32_t word) noexcept {
  PoolThread* const thread = sleepers_;
  if (thread == nullptr) return nullptr;
  remove_sleeper(thread);
  std::atomic<std::uint32_t>* const futex_word = &thread->word;
  // Relaxed: what the sleeper is to see comes by [LOOK].
  futex_word->store(word, std::memory_order_relaxed);
  return futex_word;  // *thread may be gone once the lock is released; the address still serves.
}

// --- Shutdown ---------------------------------------------------------------------------------

void BlockingPool::announce_if_all_left() noexcept {
  if (threads_ != 0 || !stopping_.load(std::memory_order_relaxed)) return;
  all_left_.store(1, std::memory_order_release);  // [ALL-LEFT]
  futex_wake_one(&all_left_);
}

void BlockingPool::begin_shutdown() noexcept {
  {
    MutexLock lock(&mu_);
    stopping_.store(true, std::memory_order_release);  // [STOP]
    // Under the lock, for once: there is no list to remember them in.
    while (std::atomic<std::uint32_t>* const sleeper = pop_sleeper(kDismissed)) {
      futex_wake_one(sleeper);
    }
    announce_if_all_left();
  }
  while (BlockingJob* const job = take_job()) end_unrun(job, ECANCELED);
}

bool BlockingPool::wait_idle_until(std::int64_t steady_deadline_ns) noexcept {
  SKUA_REQUIRE(stopping_.load(std::memory_order_acquire));
  while (all_left_.load(std::memory_order_acquire) == 0) {  // [ALL-LEFT]
    if (!futex_wait_until(&all_left_, 0, steady_deadline_ns)) {
      if (all_left_.load(std::memory_order_acquire) == 0) return false;
      break;
    }
  }
  std::optional<pthread_t> last;
  {
    MutexLock lock(&mu_);
    last = std::exchange(last_left_, std::nullopt);
  }
  if (last.has_value()) pthread_join(*last, nullptr);
  return true;
}

BlockingPoolMetrics BlockingPool::metrics() const noexcept {
  BlockingPoolMetrics metrics;
  // Relaxed: counters, each exact by itself.
  metrics.queue_depth = pending_.load(std::memory_order_relaxed);
  metrics.jobs_run = jobs_run_.load(std::memory_order_relaxed);
  MutexLock lock(&mu_);
  metrics.threads = threads_;
  metrics.threads_idle = threads_idle_;
  metrics.threads_peak = threads_peak_;
  metrics.threads_created = threads_created_;
  return metrics;
}

}  // namespace skua::internal
