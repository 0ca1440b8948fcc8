// SPDX-License-Identifier: Apache-2.0
//
// Work that blocks, or computes for long, on threads of its own, so that no worker waits with it.
//
//   skua::JoinHandle<Digest> job = skua::spawn_blocking([text] { return slow_hash(text); });
//   const Digest digest = co_await std::move(job);
//
// All jobs of a runtime share RuntimeOptions::max_blocking_threads threads, which come and go with the work. They
// belong to classes with limits of their own, so that one kind of work does not starve another: file operations that
// the ring cannot do (kFs), name look-ups (kDns), the rest (kDefault), and what RuntimeOptions::blocking_classes adds.
//
// A job may block as long as it likes, on anything but one: a job that waits, by means of its own, for another job
// needs a thread for each of the two. If all threads wait like that, none is left for the jobs that they wait for, and
// they wait for ever. skua::blocking_join() waits without that danger for a job of the same class, which it runs in
// place if that has not begun. Where all threads wait inside blocking_join() or Runtime::block_on(), and jobs are left,
// the runtime says so (RuntimeOptions::on_blocking_stall); it cannot see a job that waits for a latch or a future.
//
// A task that blocks by itself, without spawn_blocking(), holds up its worker: its queues are stolen by the others, but
// on kCurrentThread there are no others, and everything stands still until it goes on.
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/blocking_job.h"
#include "skua/internal/check.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/worker_core.h"
#include "skua/join_handle.h"
#include "skua/priority.h"

namespace skua {

// Which of the pool's classes a job belongs to. A value.
class BlockingClass {
 public:
  static const BlockingClass kDefault;  // What says nothing else.
  static const BlockingClass
      kFs;  // Used by Skua for file operations without an operation of the ring.
  static const BlockingClass kDns;  // For name look-ups.

  // kDefault.
  constexpr BlockingClass() noexcept = default;
  // RuntimeOptions::blocking_classes[i] of the runtime where it is used.
  //
  // Requires: 0 <= i < kUserClassesMax.
  static BlockingClass user(int i) {
    SKUA_REQUIRE(i >= 0 && i < kUserClassesMax, i);
    return BlockingClass(kBuiltIn + i);
  }

  // Classes that are there in every runtime, and the most that can be added.
  static constexpr int kBuiltIn = 3;
  static constexpr int kUserClassesMax = 29;

  // Its place in RuntimeMetrics::blocking_classes.
  constexpr int index() const noexcept { return index_; }
  friend constexpr bool operator==(BlockingClass, BlockingClass) noexcept = default;

 private:
  constexpr explicit BlockingClass(int index) noexcept : index_(static_cast<std::uint8_t>(index)) {}
  std::uint8_t index_ = 0;
};

inline constexpr BlockingClass BlockingClass::kDefault{};
inline constexpr BlockingClass BlockingClass::kFs{1};
inline constexpr BlockingClass BlockingClass::kDns{2};

// What a class may take of the pool.
struct BlockingClassOptions {
  // For metrics and messages.
  std::string name = {};
  // Threads that work for it, at most. 0: as many as the pool may have.
  int max_threads = 0;
  // Of the pool's threads, so many are kept for this class: no other one uses them. Not above max_threads.
  int reserved_threads = 0;
  // Jobs that wait for a thread, at most. 0: any number. Beyond that spawn_blocking()'s jobs wait in line, and
  // try_spawn_blocking() refuses.
  std::size_t queue_limit = 0;
  // The class is overloaded if jobs have waited longer than the target, each of them, for the interval.
  std::chrono::nanoseconds delay_target = std::chrono::milliseconds(50);
  std::chrono::nanoseconds overload_interval = std::chrono::milliseconds(500);
};

// What becomes of a job that has not begun when the runtime shuts down.
enum class AtShutdown : std::uint8_t {
  kCancel,
  // It runs, and the shutdown waits for it: for what must not be lost, as a write that was promised. It also runs if
  // the task that awaits it is aborted before it has begun; only the abort of its own handle cancels it.
  kRun,
};

// What becomes of a job that runs when the task which awaits it is aborted.
enum class OnAbort : std::uint8_t {
  kWait,  // The task ends when the job has ended; so the closure may refer to what lives in the task.
  kAbandon,  // The task ends at once, and the job goes on: the closure must own what it uses.
};

// How a job is spawned. A value.
struct SpawnBlockingOptions {
  // Shown by Runtime::running_blocking_jobs(), and in messages about the job. Copied.
  std::string_view name = {};
  // std::nullopt: that of the task or the job that spawns it; Priority::kNormal if neither does. Jobs of a higher
  // priority begin first, but for some turns, so that the others do not starve. What the job spawns inherits it.
  std::optional<Priority> priority = std::nullopt;
  // Whose limits it counts for.
  BlockingClass pool_class = {};
  // Whether a shutdown of the runtime cancels it before it has begun.
  AtShutdown at_shutdown = AtShutdown::kCancel;
  // Whether a task that is aborted while it awaits the job stays until that has ended.
  OnAbort on_abort = OnAbort::kWait;
};

namespace internal {

template <typename F>
BlockingJobOf<F>* make_blocking_job(F f, const SpawnBlockingOptions& options) {
  WorkerCore* const worker = current_worker_core();
  const BlockingJobTraits traits{
      .level = options.priority ? static_cast<Level>(*options.priority) : inherited_level(worker),
      .job_class = static_cast<std::uint8_t>(options.pool_class.index()),
      .mandatory = options.at_shutdown == AtShutdown::kRun,
      .abandoned = options.on_abort == OnAbort::kAbandon};
  auto* const job = BlockingJobOf<F>::create(std::move(f), traits, next_task_id(worker));
  if (SKUA_UNLIKELY(!options.name.empty())) {
    try {
      job->set_name(options.name.data(), options.name.size());
    } catch (...) {
      job->discard();
      throw;
    }
  }
  return job;
}

template <typename F>
JoinHandle<BlockingResult<F>> spawn_blocking_on(BlockingPool& pool, F f,
                                                const SpawnBlockingOptions& options = {}) {
  BlockingJobOf<F>* const job = make_blocking_job(std::move(f), options);
  JoinHandle<BlockingResult<F>> handle(job, job->slot());
  submit_job(pool, job);
  return handle;
}

absl::Status blocking_queue_full();

template <typename F>
absl::StatusOr<JoinHandle<BlockingResult<F>>> try_spawn_blocking_on(
    BlockingPool& pool, F f, const SpawnBlockingOptions& options = {}) {
  if (!try_reserve_place(pool, options.pool_class.index())) return blocking_queue_full();
  BlockingJobOf<F>* job = nullptr;
  try {
    job = make_blocking_job(std::move(f), options);
  } catch (...) {
    give_back_place(pool, options.pool_class.index());
    throw;
  }
  JoinHandle<BlockingResult<F>> handle(job, job->slot());
  submit_admitted_job(pool, job);
  return handle;
}

}  // namespace internal

// A place in the queue of a class, for one job. Move-only; dropped, it goes to whoever is next in line.
//
// Threads: one owner at a time.
// Lifetime: not beyond that of its runtime.
class [[nodiscard("the place goes back when it is dropped")]] BlockingPermit {
 public:
  // For the library. Takes over a place.
  BlockingPermit(internal::BlockingPool* pool, BlockingClass pool_class) noexcept
      : pool_(pool), class_(pool_class) {}
  BlockingPermit(BlockingPermit&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), class_(other.class_) {}
  BlockingPermit& operator=(BlockingPermit&& other) noexcept {
    if (this != &other) {
      give_back();
      pool_ = std::exchange(other.pool_, nullptr);
      class_ = other.class_;
    }
    return *this;
  }
  ~BlockingPermit() { give_back(); }

  // As spawn_blocking(), in this place. options.pool_class is not looked at: it is the permit's.
  //
  // Requires: was neither used nor moved from.
  template <typename F>
  JoinHandle<internal::BlockingResult<F>> spawn(F f, SpawnBlockingOptions options = {}) && {
    SKUA_REQUIRE(pool_ != nullptr, "a BlockingPermit that was used or moved from");
    options.pool_class = class_;
    internal::BlockingJobOf<F>* const job = internal::make_blocking_job(std::move(f), options);
    JoinHandle<internal::BlockingResult<F>> handle(job, job->slot());
    internal::submit_admitted_job(*std::exchange(pool_, nullptr), job);
    return handle;
  }

 private:
  void give_back() noexcept {
    if (pool_ != nullptr) {
      internal::give_back_place(*std::exchange(pool_, nullptr), class_.index());
    }
  }

  internal::BlockingPool* pool_;
  BlockingClass class_;
};

namespace internal {

// Returned by reserve_blocking(). Lives in the awaiting frame: the line has a pointer to it.
class [[nodiscard("co_await it; nothing is reserved otherwise")]] ReserveAwaiter final
    : public Waiter,
      public AdmissionNode {
 public:
  ReserveAwaiter(BlockingPool& pool, BlockingClass pool_class) noexcept
      : Waiter(&cancel_reserve), AdmissionNode(Kind::kTask), pool_(pool), class_(pool_class) {}
  ~ReserveAwaiter() {
    // It came with the abort.
    if (SKUA_UNLIKELY(has_place_)) give_back_place(pool_, class_.index());
  }

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const waiting = awaiting.promise().task;
    waiting->prepare_suspend(awaiting, this);
    if (reserve_place(pool_, class_.index(), this)) {
      has_place_ = true;
      waiting->undo_prepare();
      return waiting->spend_budget(awaiting, this);
    }
    return waiting->commit_suspend();  // *this may be gone.
  }

  BlockingPermit await_resume() noexcept {
    has_place_ = false;
    return BlockingPermit(&pool_, class_);
  }

  // The place has come. Whoever took this out of the line. *this may be gone.
  void grant() noexcept {
    has_place_ = true;
    task->wake();
  }

 private:
  static CancelOutcome cancel_reserve(Waiter* waiter) noexcept {
    auto* const self = static_cast<ReserveAwaiter*>(waiter);
    return leave_line(self->pool_, self->class_.index(), self) ? CancelOutcome::kUnlinked
                                                               : CancelOutcome::kPending;
  }

  BlockingPool& pool_;
  const BlockingClass class_;
  bool has_place_ = false;
};

}  // namespace internal

// Runs `f()` on a thread of the blocking pool, where it may block or compute for as long as it takes. If f takes no
// other arguments than a CancellationToken, it is given one, which is cancelled when the job is aborted or the runtime
// shuts down.
//
// If the class has a bound, and its queue is full, the job waits in line for a place; so does who awaits it. Neither
// blocks the caller. To hold back until there is a place: reserve_blocking().
//
// Returns: a handle that gives what f returns, or rethrows what it throws. Dropped, the job goes on by itself.
// Errors: std::bad_alloc. If the pool has no thread and none can be created, the handle throws std::system_error. A
//   runtime that is shutting down takes nothing: the handle says that the job was cancelled.
// Cancellation: handle.abort() before it has begun: f never runs. After that: it runs on, its result is dropped, and
//   the handle says that it was cancelled, when it has ended. The same happens when a task is aborted while it awaits
//   the handle; the task has ended only when the job has (SpawnBlockingOptions::on_abort).
// Requires: called on a runtime: from a task, a blocking job, or what they call.
// Memory ordering: what was done before is visible to f; what f did, its destruction included, to who joins it.
// Beware: GCC 12 destroys twice what a capturing lambda holds, if it is a temporary in a co_await expression.
//   Make the handle in its own statement: `auto job = spawn_blocking([s] {...}); co_await std::move(job);`
template <typename F>
auto spawn_blocking(F f, SpawnBlockingOptions options = {})
    -> JoinHandle<internal::BlockingResult<F>> {
  return internal::spawn_blocking_on(internal::require_blocking_pool("skua::spawn_blocking"),
                                     std::move(f), options);
}

// As spawn_blocking(), but does not wait in line.
//
// Errors: kResourceExhausted - the queue of the class is full, or others are in line. f is destroyed.
template <typename F>
auto try_spawn_blocking(F f, SpawnBlockingOptions options = {})
    -> absl::StatusOr<JoinHandle<internal::BlockingResult<F>>> {
  return internal::try_spawn_blocking_on(
      internal::require_blocking_pool("skua::try_spawn_blocking"), std::move(f), options);
}

// Waits until the queue of the class has a place, and takes it: for who makes jobs faster than they are done. First
// come, first served, together with the jobs in line. At once if the class has no bound.
//
// Returns: on co_await, a BlockingPermit, which spawns the job.
// Cancellation: safe; the place in line is given up.
// Requires: called on a runtime.
inline internal::ReserveAwaiter reserve_blocking(BlockingClass pool_class = {}) noexcept {
  return internal::ReserveAwaiter(internal::require_blocking_pool("skua::reserve_blocking"),
                                  pool_class);
}

// Waits for a job or a task on this thread: for blocking jobs, and threads that run no tasks. A job that has not begun
// and is of the same class as the one that waits is run here and now. On kCurrentThread a task goes on only while a
// thread is in Runtime::block_on().
//
// Returns: what it returned.
// Errors: rethrows what it threw; throws TaskCancelled if it was aborted.
// Requires: not on a worker, which must not block (the process ends with a message).
template <typename T>
T blocking_join(JoinHandle<T> handle) {
  internal::JoinShare<T> share = std::move(handle).release_share();
  SKUA_REQUIRE(share.state() != nullptr);
  internal::wait_for_join(share.state());
  if (share.slot().empty()) throw TaskCancelled();
  return share.slot().take();
}

// True if the jobs of the class have been waiting for too long, for too long (BlockingClassOptions::delay_target): time
// to refuse new work. False again as soon as one begins in time, or none waits.
//
// Requires: called on a runtime.
// Threads: any of its own; others ask Runtime::blocking_overloaded().
inline bool blocking_overloaded(BlockingClass pool_class = {}) noexcept {
  return internal::blocking_class_overloaded(
      internal::require_blocking_pool("skua::blocking_overloaded"), pool_class.index());
}

namespace this_job {

// True once the result of the blocking job that runs here is not wanted any more: it was aborted. A long one may look,
// and give up. False if no blocking job runs here.
//
// Threads: any.
bool aborted() noexcept;

}  // namespace this_job
}  // namespace skua
