// SPDX-License-Identifier: Apache-2.0
//
// Opting out of the coop budget.
//
// Each run of a task has a budget of 128 operations that are ready at once: a channel with values, a free permit, a
// task that has ended. When it is used up, the task goes to the back of the line, with the result of the last
// operation in its hands. So a loop over ready operations cannot keep a worker from everything else.
#pragma once

#include <concepts>
#include <coroutine>
#include <utility>

#include "skua/internal/config.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"
#include "skua/task.h"

namespace skua {
namespace internal {

template <typename T>
class [[nodiscard("co_await it: nothing runs otherwise")]] UnconstrainedAwaiter {
 public:
  explicit UnconstrainedAwaiter(Task<T>&& task) noexcept
      : inner_(std::move(task).operator co_await()) {}
  UnconstrainedAwaiter(const UnconstrainedAwaiter&) = delete;
  UnconstrainedAwaiter& operator=(const UnconstrainedAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> parent) noexcept {
    task_ = parent.promise().task;
    before_ = std::exchange(task_->unconstrained, true);
    return inner_.await_suspend(parent);
  }

  T await_resume() {
    task_->unconstrained = before_;
    return inner_.await_resume();
  }

 private:
  TaskAwaiter<T> inner_;
  TaskHeader* task_ = nullptr;
  bool before_ = false;
};

}  // namespace internal

// Runs `task` as a part of the awaiting task, and without a budget: it suspends only where it has to wait, or yields.
// For short stretches that must not be interrupted by others on this worker; a long one starves them. Tasks that it
// spawns or forks have their budgets.
//
// Returns, Errors, Cancellation: as awaiting `task` itself.
template <typename T>
auto unconstrained(Task<T> task) noexcept {
  return internal::UnconstrainedAwaiter<T>(std::move(task));
}

}  // namespace skua
