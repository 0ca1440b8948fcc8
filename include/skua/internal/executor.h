// SPDX-License-Identifier: Apache-2.0
//
// What a task needs of the runtime it runs on. Implemented by workers/; declared here so that tasks,
// locks and timers, which stand below it, can make tasks runnable.
#pragma once

#include <coroutine>
#include <span>
#include <string_view>

#include "skua/internal/config.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

class SpawnedTask;
class TaskHeader;
struct JoinState;

class Executor {
 public:
  // Queues a task that was woken. Any thread.
  virtual void schedule(TaskHeader* task) noexcept = 0;
  // The same for one that was woken by the end of a task that it awaits.
  virtual void schedule_joiner(TaskHeader* task) noexcept { schedule(task); }
  // Queues several that were woken at once, in their order. Any thread.
  virtual void schedule_batch(std::span<TaskHeader* const> tasks) noexcept {
    for (TaskHeader* const task : tasks) schedule(task);
  }
  // Queues the running task behind everything that is ready on its worker. That worker.
  virtual void schedule_yielded(TaskHeader* task) noexcept = 0;
  // A fork was put on the deque of a worker, while others sleep or search. That worker.
  virtual void fork_pushed(WorkerCore& worker) noexcept = 0;
  // A run has used up its budget in a tree of forks. True: nothing else waits here, and it may go on as a new run. The
  // worker that runs it.
  [[nodiscard]] virtual bool may_go_on(WorkerCore& worker) noexcept = 0;
  // Queues a task that is new, or ends it by refuse_task() if the runtime is shutting down. *task may be gone. Any
  // thread; `spawner` is the worker that it is, of this or another executor, or nullptr.
  virtual void schedule_spawned(SpawnedTask* task, WorkerCore* spawner) noexcept = 0;
  // Notes a task that suspends for the first time, so that shutdown finds it. The worker that runs it.
  virtual void enrol(TaskHeader* task, WorkerCore& worker) noexcept = 0;
  // Forgets an enrolled task that ends. The worker that runs it.
  virtual void retire(TaskHeader* task, WorkerCore& worker) noexcept = 0;
  // A spawned task has ended and its joiner knows, and WorkerCore::draining is set. The worker that ran it.
  virtual void task_drained() noexcept = 0;

 protected:
  ~Executor() = default;
};

// Executor::schedule_spawned() for a task of the worker's own executor, whose level is set. Implemented by workers/.
void schedule_spawned_here(WorkerCore& worker, SpawnedTask* task) noexcept;

// The executor whose worker this thread is, or nullptr. Never cached across a suspension: the task
// may resume on another thread, so the accessor is out of line.
Executor* current_executor() noexcept;
// Installed by workers/ for as long as a thread is a worker; nullptr to remove.
void set_current_executor(Executor* executor) noexcept;
// The same, or the process ends with `operation` named: the caller is not on a runtime.
Executor& require_executor(const char* operation) noexcept;

// Whether this thread runs tasks; set by workers/. Such a thread must not block: tasks would wait with it.
void set_runs_tasks(bool runs) noexcept;
// The process ends with `operation` named if this thread runs tasks.
void require_may_block(const char* operation) noexcept;

#if SKUA_TRAMPOLINE
// How much of its thread's stack a run may take for transfers that are no tail calls.
inline constexpr std::uintptr_t kTransferStackMax = 16 * 1024;

// Where the stack of the calling function ends, or a bit above.
SKUA_ALWAYS_INLINE std::uintptr_t stack_position() noexcept {
#if defined(__x86_64__)
  std::uintptr_t position;
  asm("mov %%rsp, %0" : "=r"(position));
  return position;
#else
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
#endif
}
#endif

// Leaves `next` to the run loop of this thread. See SKUA_TRAMPOLINE.
void set_trampoline(std::coroutine_handle<> next) noexcept;

// What await_suspend returns to continue as `next`.
SKUA_ALWAYS_INLINE std::coroutine_handle<> transfer_to(std::coroutine_handle<> next) noexcept {
#if SKUA_TRAMPOLINE
  set_trampoline(next);
  return std::noop_coroutine();
#else
  return next;
#endif
}

// Whether transfer_to() leaves what comes next to the run loop.
SKUA_ALWAYS_INLINE bool needs_trampoline([[maybe_unused]] const WorkerCore& worker) noexcept {
#if SKUA_TRAMPOLINE
  return stack_position() < worker.stack_limit;
#else
  return false;
#endif
}

// The same in a task that runs on `worker`: without the run loop, as long as that takes no stack, or not much of it.
SKUA_ALWAYS_INLINE std::coroutine_handle<> transfer_to(std::coroutine_handle<> next,
                                                       const WorkerCore& worker) noexcept {
  if (SKUA_UNLIKELY(needs_trampoline(worker))) return transfer_to(next);
  return next;
}

}  // namespace skua::internal
