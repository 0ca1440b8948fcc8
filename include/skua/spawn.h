// SPDX-License-Identifier: Apache-2.0
//
// Starting work on the current runtime. From outside a runtime, use the functions of the same names of
// skua::Runtime.
#pragma once

#include <concepts>
#include <coroutine>
#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "skua/internal/blocking_job.h"
#include "skua/internal/executor.h"
#include "skua/internal/frame.h"
#include "skua/internal/promise_base.h"
#include "skua/join_handle.h"
#include "skua/task.h"

namespace skua {

struct SpawnOptions {
  // Shown in messages about the task. Copied.
  std::string_view name = {};
};

namespace internal {

TaskId next_task_id() noexcept;
// Ends, as cancelled, a task that the runtime has not taken: the frame is destroyed, the handle lives.
SKUA_COLD void refuse_task(SpawnedTask* task) noexcept;

template <typename T>
JoinHandle<T> spawn_on(Executor& executor, Task<T> task, const SpawnOptions& options) {
  const auto handle = std::move(task).release_handle();
  SKUA_REQUIRE(handle != nullptr);
  SpawnedTask* const header = construct_spawned<T>(handle.address());
  header->vtable = &kTaskVTable<T>;
  header->id = next_task_id();
  header->executor = &executor;
  header->resume = handle;
  PromiseBase& promise = handle.promise();
  promise.parent = 0;
  promise.task = header;
  promise.out = slot_of_header<T>(header);
  if (!options.name.empty()) header->set_name(options.name.data(), options.name.size());
  JoinHandle<T> join(header, slot_of_header<T>(header));
  if (!executor.schedule_spawned(header)) refuse_task(header);
  return join;
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
JoinHandle<T> spawn(Task<T> task, SpawnOptions options = {}) {
  return internal::spawn_on(internal::require_executor("skua::spawn"), std::move(task), options);
}

// Runs `f()` on a thread of the blocking pool, where it may block or compute for as long as it takes.
//
// Returns: a handle that gives what f returns, or rethrows what it throws.
// Errors: if the pool has no thread and none can be created, the handle throws std::system_error. A runtime
//   that is shutting down takes nothing: the handle says that the job was cancelled.
// Cancellation: aborted before it has begun, f never runs. Once it runs, an abort does nothing.
// Requires: called on a runtime.
// Beware: GCC 12 destroys twice what a capturing lambda holds, if it is a temporary in a co_await expression.
//   Make the handle in its own statement: `auto job = spawn_blocking([s] {...}); co_await std::move(job);`
template <typename F>
auto spawn_blocking(F f) -> JoinHandle<std::invoke_result_t<F&&>> {
  return internal::spawn_blocking_on(internal::require_blocking_pool("skua::spawn_blocking"),
                                     std::move(f), internal::next_task_id());
}

// Lets everything else that is ready here run first: the task goes to the back of the line.
//
// Cancellation: an aborted task ends here.
inline internal::YieldAwaiter yield_now() noexcept { return {}; }

}  // namespace skua
