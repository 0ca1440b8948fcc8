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
  ForkState() noexcept : Waiter(&cancel_children) {}

  // Suspends `parent` and starts its children, whose headers are constructed and not yet queued.
  // Returns what to run next. `children` outlives the fork. The thread that runs the parent, once.
  std::coroutine_handle<> start(PromiseBase& parent,
                                std::span<TaskHeader* const> children) noexcept;

  // One child has ended; `killed` if it has no result. Returns what to run next. *this may be gone.
  std::coroutine_handle<> child_done(bool killed) noexcept;

 private:
  static CancelOutcome cancel_children(Waiter* waiter) noexcept;

  // Constant after start().
  PromiseBase* parent_ = nullptr;
  std::span<TaskHeader* const> children_;
  // Any child.
  std::atomic<std::size_t> remaining_{0};
  std::atomic<bool> any_killed_{false};
};

}  // namespace skua::internal
