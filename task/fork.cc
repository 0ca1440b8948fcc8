// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/fork.h"

#include "skua/internal/check.h"
#include "skua/internal/executor.h"

namespace skua::internal {

std::coroutine_handle<> ForkState::start(PromiseBase& parent,
                                         std::span<TaskHeader* const> children) noexcept {
  SKUA_CHECK(!children.empty());
  parent_ = &parent;
  children_ = children;
  // Relaxed: the queues publish it to the children.
  remaining_.store(children.size(), std::memory_order_relaxed);
  TaskHeader* const first = children.front();
  Executor* const executor = parent.task->executor;
  for (TaskHeader* child : children) {
    child->executor = executor;
    child->fork = this;
    child->level = parent.task->level;
    child->home =
        parent.task->home;  // Whoever ends last goes on as the parent, so all stay where it must.
  }
  first->worker = parent.task->worker;
  parent.task->prepare_suspend(parent.handle(), this);
  for (std::size_t i = children.size(); i-- > 1;) executor->schedule_forked(children[i]);
  // `first` has not run, so the parent cannot have been woken, and *this stays.
  const bool suspended = parent.task->commit_suspend();
  SKUA_CHECK(suspended);
  if (first->abort_requested()) {
    executor->schedule(first);  // Destroyed there, not run.
    return std::noop_coroutine();
  }
  return transfer_to(first->resume);
}

std::coroutine_handle<> ForkState::child_done(bool killed) noexcept {
  if (killed) any_killed_.store(true, std::memory_order_relaxed);  // Published by [FORK].
  PromiseBase* const parent = parent_;
  if (remaining_.fetch_sub(1, std::memory_order_acq_rel) != 1) return std::noop_coroutine();
  if (any_killed_.load(std::memory_order_relaxed)) {
    parent->task->wake_cancelled();
  } else if (parent->task->claim_wake()) {
    return transfer_to(parent->handle());
  }
  return std::noop_coroutine();
}

// TaskHeader::run_cancel() does the work of a hook itself, without recursion.
CancelOutcome ForkState::no_hook(Waiter*) noexcept {
  SKUA_CHECK(false);
  return CancelOutcome::kPending;
}

std::coroutine_handle<> finish_head(TaskHeader* task) noexcept {
  if (task->kind == TaskKind::kForked) return task->fork->child_done(task->killed);
  Executor* const executor = task->executor;
  if (task->registry_slot != nullptr) executor->retire(task);
  const bool draining = executor->task_ended();
  // What a task throws while it is being aborted is nobody's fault either.
  task->complete(task->threw && !task->abort_requested());  // *task may be gone.
  if (draining) executor->task_drained();
  return std::noop_coroutine();
}

}  // namespace skua::internal
