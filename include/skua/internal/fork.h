// SPDX-License-Identifier: Apache-2.0
//
// A parent that waits for children that run in parallel. The first child runs at once on the parent's
// thread, the others stand in the queues, where any worker finds them; whichever child ends last goes on as
// the parent.
//
//   [FORK]  each child's decrement of remaining_ (acq_rel) -> the last one's. The parent sees all results.
//
// A child's block (header and result) belongs to the fork: it is freed by the awaiter, after the last child.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <span>

#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

class ForkState final : public Waiter {
 public:
  ForkState() noexcept : Waiter(&no_hook) {}

  // Suspends `parent` and starts its children, whose headers are constructed and not yet queued.
  // Returns what to run next. `children` outlives the fork. The thread that runs the parent, once.
  std::coroutine_handle<> start(PromiseBase& parent,
                                std::span<TaskHeader* const> children) noexcept;

  // One child has ended; `killed` if it has no result. Returns what to run next. *this may be gone.
  std::coroutine_handle<> child_done(bool killed) noexcept;

  // --- For TaskHeader::run_cancel(), while it keeps the parent from resuming. ---

  // The fork that `waiter` is, or nullptr if it is something else.
  static ForkState* of(Waiter* waiter) noexcept {
    return waiter->cancel == &no_hook ? static_cast<ForkState*>(waiter) : nullptr;
  }
  // Each child once, then nullptr. Any of them may have ended already: its header is ours until the last one has,
  // and that cannot wake the parent now.
  TaskHeader* next_to_cancel() noexcept {
    return next_to_cancel_ < children_.size() ? children_[next_to_cancel_++] : nullptr;
  }
  // The fork that this one is a descendant of, and that goes on when this one is through.
  ForkState* cancelled_from() const noexcept { return cancelled_from_; }
  void set_cancelled_from(ForkState* fork) noexcept { cancelled_from_ = fork; }

 private:
  // Never called: marks a waiter as a fork.
  static CancelOutcome no_hook(Waiter* waiter) noexcept;

  // Constant after start().
  PromiseBase* parent_ = nullptr;
  std::span<TaskHeader* const> children_;
  // Any child.
  std::atomic<std::size_t> remaining_{0};
  std::atomic<bool> any_killed_{false};
  // The one aborter.
  std::size_t next_to_cancel_ = 0;
  ForkState* cancelled_from_ = nullptr;
};

}  // namespace skua::internal
