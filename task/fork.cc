// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/fork.h"

#include "skua/internal/executor.h"

namespace skua::internal {

std::coroutine_handle<> ForkRecord::ended_off_path(WorkerCore& worker) noexcept {
  if (join_.fetch_sub(1, std::memory_order_acq_rel) != 1) return nothing_to_run(worker);  // [FORK]
  return resume_parent(worker);
}

std::coroutine_handle<> ForkRecord::last_done_after_steals(WorkerCore& worker) noexcept {
  const std::uint32_t rest = kUnset - steals_;
  if (join_.fetch_sub(rest, std::memory_order_acq_rel) != rest)
    return nothing_to_run(worker);  // [FORK]
  return resume_parent(worker);
}

// All children have ended. The thread that found out.
std::coroutine_handle<> ForkRecord::resume_parent(WorkerCore& worker) noexcept {
  TaskHeader* const task = parent_->task;
  if (any_killed_.load(std::memory_order_relaxed)) {  // Published by [FORK].
    task->kill_in_fork(parent_->handle());
    return nothing_to_run(worker);
  }
  task->worker = &worker;
  return parent_->handle();
}

std::coroutine_handle<> ForkRecord::child_killed(WorkerCore& worker,
                                                 std::uintptr_t parent) noexcept {
  any_killed_.store(true, std::memory_order_relaxed);  // Published by [FORK].
  // Off path even if the record lies on top of this worker's deque: whoever takes it from there counts as a thief.
  if ((parent & PromiseBase::kForkedTag) != 0) return transfer_to(ended_off_path(worker), worker);
  return transfer_to(last_done_after_steals(worker), worker);
}

// As if the child that is not started were the last, and had been killed.
std::coroutine_handle<> ForkRecord::end_cut_short(WorkerCore& worker) noexcept {
  any_killed_.store(true, std::memory_order_relaxed);  // Published by [FORK].
  return last_done_after_steals(worker);
}

// Makes what is next into a task that can be queued or run. *this may be gone.
// A child could not be made: it has ended with the current exception, and the next one is due.
std::coroutine_handle<> ForkRecord::advance_after_failure(WorkerCore& worker) noexcept {
  fail_(*this, next_ - 1);
  while (!all_started()) {
    try {
      return advance_(*this, worker);
    } catch (...) {
      fail_(*this, next_ - 1);
    }
  }
  return last_done(worker);
}

void ForkRecord::tell_idle(WorkerCore& worker) noexcept { worker.executor->fork_pushed(worker); }

TaskHeader* ForkRecord::advance_later(WorkerCore& worker) noexcept {
  worker.fork_ran_dry = false;
  const std::coroutine_handle<> next = advance(worker);
  if (worker.fork_ran_dry) return nullptr;
  TaskHeader* const task = PromiseBase::of(next).task;
  task->resume = next;
  task->waiting_on = nullptr;
  return task;
}

TaskHeader* ForkRecord::take(WorkerCore& worker) noexcept {
  ++steals_;
  return advance_later(worker);
}

// The run has lasted long enough: what comes next waits for its turn like everything else.
std::coroutine_handle<> ForkRecord::pause(WorkerCore& worker) noexcept {
  worker.budget = kRunBudget;
  if (worker.executor->may_go_on(worker)) return transfer_to(advance(worker), worker);
  if (TaskHeader* const task = advance_later(worker)) {
    task->root->executor->schedule_yielded(task);  // *task may be gone.
  }
  return std::noop_coroutine();
}

void refuse_task(SpawnedTask* task) noexcept {
  task->killed = true;
  task->resume.destroy();
  task->complete(false);  // *task may be gone.
}

void add_extras(SpawnedTask* task, const TaskHeader* deadline_of, std::string_view name) {
  try {
    if (deadline_of != nullptr) task->inherit_deadline(*deadline_of);
    task->set_name(name.data(), name.size());
  } catch (...) {
    refuse_task(task);
    throw;
  }
}

}  // namespace skua::internal
