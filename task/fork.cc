// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/fork.h"

#include "skua/internal/executor.h"
#include "skua/internal/final_awaiter.h"
#include "skua/internal/frame.h"
#include "task/context.h"

namespace skua::internal {

// As child_done(), where transfers need the trampoline or records were stolen.
std::coroutine_handle<> ForkRecord::child_done_slowly(WorkerCore& worker,
                                                      std::uintptr_t parent) noexcept {
  if ((parent & PromiseBase::kForkedTag) == 0) return transfer_to(last_done(worker), worker);
  return child_done_after(worker.forks->try_pop_if(this), worker);
}

// A child that is not the last has ended, and `pop` is what became of the record.
std::coroutine_handle<> ForkRecord::child_done_after(ForkDeque::Pop pop,
                                                     WorkerCore& worker) noexcept {
  const bool on_path = pop == ForkDeque::Pop::kTaken ||
                       (pop == ForkDeque::Pop::kContended && worker.forks->pop_contended());
  if (!on_path) return transfer_to(ended_off_path(worker), worker);
  if (--worker.budget <= 0) return pause(worker);
  return transfer_to(advance(worker), worker);
}

std::coroutine_handle<> ForkRecord::advance_by_run_loop(WorkerCore& worker) noexcept {
  return transfer_to(advance(worker), worker);
}

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
std::coroutine_handle<> ForkRecord::advance_after_failure() noexcept {
  WorkerCore& worker = *this_context().worker;
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

std::coroutine_handle<> end_plain_slowly(void* frame, void* block, TaskHeader* task,
                                         std::uintptr_t parent) noexcept {
  WorkerCore& worker = *task->worker;
  const bool forked = (parent & PromiseBase::kTagMask) != 0;
  if (forked && task->enrolled) task->leave_root();
  free_block(block, mark_of_frame(frame)->block_bytes);
  if (forked) return ForkRecord::of(parent)->child_done(worker, parent);
  return transfer_to(reinterpret_cast<PromiseBase*>(parent)->handle(), worker);
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
