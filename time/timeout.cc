// SPDX-License-Identifier: Apache-2.0
#include "skua/timeout.h"

#include "skua/internal/check.h"
#include "time/timer_queue.h"

namespace skua::internal {

bool DeadlineWait::suspend_until(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  waiting->prepare_suspend(awaiting, this);
  if (timer_.deadline_ns != kNeverNs) {
    queue_ = current_timer_queue();
    SKUA_REQUIRE(queue_ != nullptr, "a timeout is awaited on a runtime");
    timer_.task = waiting;
    queue_->add(&timer_);
  }
  if (!publish() && revoke_timer(this)) {
    // The child has ended, so nothing refers to this frame.
    waiting->undo_prepare();
    return waiting->spend_budget(awaiting, this);
  }
  // If the timer could not be revoked, it wakes the task.
  return waiting->commit_suspend();  // *this may be gone.
}

bool DeadlineWait::revoke_timer(GroupWait* wait) noexcept {
  auto* const self = static_cast<DeadlineWait*>(wait);
  return self->queue_ == nullptr || self->queue_->remove(&self->timer_);
}

bool deadline_has_passed(std::int64_t deadline_ns) noexcept {
  return deadline_ns != kNeverNs && deadline_ns <= runtime_now_ns();
}

absl::Status deadline_exceeded() {
  return absl::DeadlineExceededError("the task was not done before its deadline");
}

}  // namespace skua::internal
