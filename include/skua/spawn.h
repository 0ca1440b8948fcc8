// SPDX-License-Identifier: Apache-2.0
//
// Starting work on the current runtime. From outside a runtime, use the functions of the same names of
// skua::Runtime. What blocks is started by spawn_blocking(): skua/blocking.h, which comes with this header.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "skua/blocking.h"  // IWYU pragma: export
#include "skua/internal/executor.h"
#include "skua/internal/frame.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_factory.h"
#include "skua/internal/worker_core.h"
#include "skua/join_handle.h"
#include "skua/priority.h"
#include "skua/task.h"

namespace skua {

// How a task is spawned. A value.
struct SpawnOptions {
  // std::nullopt: that of the task that spawns it; Priority::kNormal if no task does.
  //
  // A ready kHigh task waits for the runs in progress and the kHigh tasks ahead of it, never for a backlog of
  // kNormal or kLow, but for the turns that these are owed. A task that is woken by one of a higher priority runs
  // once as if it had that priority itself, and so do those that it wakes in that run.
  std::optional<Priority> priority = std::nullopt;
  // Shown in messages about the task. Copied, so it need not outlive the call.
  std::string_view name = {};
};

namespace internal {

// Makes what `handle`, which is not null, runs ready to be scheduled. `spawner` is the worker that this thread is, or
// nullptr; `home` the worker that the task must stay on; negative: any.
template <typename T>
SKUA_ALWAYS_INLINE SpawnedTask* make_spawned(Executor& executor, WorkerCore* spawner,
                                             std::coroutine_handle<Promise<T>> handle,
                                             int home) noexcept {
  SKUA_REQUIRE(handle != nullptr);
  SpawnedTask* const header = construct_spawned<T>(
      handle.address(), &kTaskVTable<T>, next_task_id(spawner), std::coroutine_handle<>(handle),
      &executor, static_cast<std::int16_t>(home));
  PromiseBase& promise = handle.promise();
  promise.parent = 0;
  promise.task = header;
  promise.out = slot_of_header<T>(header);
  return header;
}

// The task whose deadline is inherited, or nullptr.
SKUA_ALWAYS_INLINE const TaskHeader* deadline_to_inherit(const WorkerCore* spawner) noexcept {
  const TaskHeader* const running = spawner != nullptr ? spawner->running : nullptr;
  return SKUA_UNLIKELY(running != nullptr && running->has_deadline) ? running : nullptr;
}

// On the spawner's own executor. `worker` is the one that this thread is.
template <typename T>
JoinHandle<T> spawn_here(WorkerCore& worker, std::coroutine_handle<Promise<T>> task) {
  SpawnedTask* const header =
      make_spawned<T>(*worker.executor, &worker, task, TaskHeader::kAnywhere);
  header->level = worker.own_level;
  JoinHandle<T> join(header, slot_of_header<T>(header));
  if (const TaskHeader* const deadline_of = deadline_to_inherit(&worker))
    add_extras(header, deadline_of, {});
  schedule_spawned_here(worker, header);
  return join;
}

// On any executor, from any thread; `spawner` is the worker that it is, or nullptr.
template <typename T>
JoinHandle<T> spawn_on(Executor& executor, WorkerCore* spawner,
                       std::coroutine_handle<Promise<T>> task, const SpawnOptions& options,
                       int home = TaskHeader::kAnywhere) {
  SpawnedTask* const header = make_spawned<T>(executor, spawner, task, home);
  JoinHandle<T> join(header, slot_of_header<T>(header));
  if (options.priority) header->level = static_cast<Level>(*options.priority);
  const TaskHeader* const deadline_of = deadline_to_inherit(spawner);
  if (deadline_of != nullptr || !options.name.empty())
    add_extras(header, deadline_of, options.name);
  executor.schedule_spawned(header, spawner);
  return join;
}

template <typename T>
JoinHandle<T> spawn_on(Executor& executor, Task<T> task, const SpawnOptions& options = {},
                       int home = TaskHeader::kAnywhere) {
  return spawn_on(executor, current_worker_core(), std::move(task).release_handle(), options, home);
}

class [[nodiscard("co_await it")]] YieldAwaiter {
 public:
  YieldAwaiter() noexcept = default;
  YieldAwaiter(const YieldAwaiter&) = delete;
  YieldAwaiter& operator=(const YieldAwaiter&) = delete;
  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> P>
  void await_suspend(std::coroutine_handle<P> awaiting) noexcept {
    TaskHeader* const task = awaiting.promise().task;
    task->resume = awaiting;
    task->waiting_on = nullptr;
    task->root->executor->schedule_yielded(task);  // *this may be gone.
  }
  void await_resume() const noexcept {}
};

}  // namespace internal

// Starts `task` on the current runtime. It may run on any of its workers, at once.
//
// Returns: the handle of the task. Dropping it detaches the task.
// Errors: std::bad_alloc. A runtime that is shutting down takes nothing: the task is destroyed, and its
//   handle says that it was cancelled.
// Requires: called on a runtime (from a task, or anything it calls).
template <typename T>
JoinHandle<T> spawn(Task<T> task) {
  internal::WorkerCore* const worker = internal::current_worker_core();
  if (SKUA_LIKELY(worker != nullptr))
    return internal::spawn_here(*worker, std::move(task).release_handle());
  return internal::spawn_on(internal::require_executor("skua::spawn"), std::move(task));
}
template <typename T>
JoinHandle<T> spawn(Task<T> task, const SpawnOptions& options) {
  return internal::spawn_on(internal::require_executor("skua::spawn"), std::move(task), options);
}

// The same for a function that gives the Task: it is called by the new task, and lives as long as that, so it may be a
// coroutine with captures:
//
//   skua::spawn([name = std::move(name)]() -> skua::Task<> { co_await greet(name); });
template <internal::TaskFactory F>
JoinHandle<internal::FactoryResult<F>> spawn(F make) {
  return spawn(internal::run_factory(std::move(make)));
}
template <internal::TaskFactory F>
JoinHandle<internal::FactoryResult<F>> spawn(F make, const SpawnOptions& options) {
  return spawn(internal::run_factory(std::move(make)), options);
}

// Starts `task` on this worker, where it stays for all its life, and with it what it forks by when_all: for what
// must not move to another thread. It waits for this worker even if others are idle.
//
// Returns, Errors: as spawn().
// Requires: called from a task.
template <typename T>
JoinHandle<T> spawn_local(Task<T> task, const SpawnOptions& options = {}) {
  internal::WorkerCore& worker = internal::require_worker_core("skua::spawn_local");
  return internal::spawn_on(*worker.executor, &worker, std::move(task).release_handle(), options,
                            worker.index);
}

// The same on the worker with the number `worker` (this_task::worker_index()).
//
// Requires: called on a runtime; 0 <= worker < its number of workers.
template <typename T>
JoinHandle<T> spawn_on(int worker, Task<T> task, const SpawnOptions& options = {}) {
  SKUA_REQUIRE(worker >= 0 && worker <= INT16_MAX, worker);
  return internal::spawn_on(internal::require_executor("skua::spawn_on"), std::move(task), options,
                            worker);
}

namespace internal {

// For the life of this object the thread may block: it is no worker, if it was one.
class WorkerLoan {
 public:
  WorkerLoan() noexcept : worker_(current_worker_core()) {
    if (worker_ == nullptr) return;
    budget_ = worker_->budget;
    level_ = worker_->level;
    own_level_ = worker_->own_level;
    forks_ = worker_->forks;
    stack_limit_ = worker_->stack_limit;
    running_ = worker_->running;
    if (!lend_worker(*worker_)) worker_ = nullptr;
  }
  ~WorkerLoan() {
    if (worker_ == nullptr) return;
    claim_lent_worker(*worker_);
    worker_->budget = budget_;
    worker_->level = level_;
    worker_->own_level = own_level_;
    worker_->forks = forks_;
    worker_->stack_limit = stack_limit_;
    worker_->running = running_;
  }
  WorkerLoan(const WorkerLoan&) = delete;
  WorkerLoan& operator=(const WorkerLoan&) = delete;

 private:
  WorkerCore* worker_;  // nullptr: there is nothing to claim.
  // Of the run that blocks.
  std::int32_t budget_ = 0;
  Level level_ = kNormalLevel;
  Level own_level_ = kNormalLevel;
  ForkDeque* forks_ = nullptr;
  std::uintptr_t stack_limit_ = 0;
  TaskHeader* running_ = nullptr;
};

}  // namespace internal

// Runs `f()` on this thread, where it may block or compute for as long as it takes: this worker's other tasks, timers
// and I/O go on in another thread meanwhile. Cheaper than spawn_blocking() if it seldom takes long, for it needs no
// job; but the rest of the task, and what it has forked on this worker, waits for it. Afterwards the task waits until
// the run in progress on its worker has ended.
//
// What must not move to another thread stays behind until f has returned: tasks of spawn_local() and spawn_on() on
// this worker, and on Flavor::kThreadPerCore and Flavor::kCurrentThread everything; there, and if no thread can be
// created, f keeps the worker's tasks waiting. On a thread that is no worker f simply runs.
//
// Returns: what f returns.
// Errors: throws what f throws.
// Cancellation: f is not interrupted; the task ends at its next suspension. A shutdown waits for f before it ends the
//   other tasks, and runs none of them meanwhile: an f that waits for one of them then holds the shutdown up for ever.
// Threads: takes a thread that lives as long as the runtime; there are as many of them as calls have been in progress
//   at a time, without a limit. In f the thread is no worker: Runtime::block_on() is allowed, spawn_local() and what is
//   in this_task are not, and tasks that f spawns inherit the priority, but no deadline. A system call may return EINTR
//   in f more often than elsewhere, for I/O of this worker completes meanwhile.
template <typename F>
auto block_in_place(F&& f) -> std::invoke_result_t<F&&> {
  const internal::WorkerLoan loan;
  return std::forward<F>(f)();
}

// Lets everything else that is ready here run first: the task goes to the back of the line.
//
// Cancellation: an aborted task ends here.
inline internal::YieldAwaiter yield_now() noexcept { return {}; }

}  // namespace skua
