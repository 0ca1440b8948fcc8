// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/oneshot.h"

namespace skua::internal {

void OneshotState::wake_receiver(std::uint32_t before) noexcept {
  SKUA_REQUIRE((before & kSenderWaits) == 0,
               "a OneshotSender was used or dropped while a task waits in its closed()");
  SKUA_CHECK(before == kReceiverWaits, before);
  const std::uintptr_t waiter = receiver_;  // [ONESHOT-WAIT]
  if (SKUA_UNLIKELY((waiter & JoinState::kThreadTag) != 0)) {
    reinterpret_cast<ThreadJoiner*>(waiter & ~JoinState::kThreadTag)->notify();
  } else if (SKUA_UNLIKELY((waiter & kSelectTag) != 0)) {
    auto* const branch = reinterpret_cast<SelectBranch*>(waiter & ~kSelectTag);
    TaskHeader* const task = branch->selection->task;
    if (branch->claim()) {
      task->wake();
    } else {
      branch->left.store(true, std::memory_order_release);
    }
  } else {
    reinterpret_cast<TaskHeader*>(waiter)->wake();
  }
  // *this may be gone.
}

bool OneshotState::stop_waiting_for_sender() noexcept {
  // Acquire for nothing but a sender that came first; its wake-up follows. Release: see [ONESHOT-WAIT].
  const std::uint32_t before = word_.fetch_and(~kReceiverWaits, std::memory_order_acq_rel);
  return (before & kSenderDone) == 0;
}

void OneshotState::block_for_sender() noexcept {
  ThreadJoiner joiner;
  if (wait_for_sender(reinterpret_cast<std::uintptr_t>(&joiner) | JoinState::kThreadTag)) {
    joiner.wait();  // [JOIN-THREAD]
  }
}

bool OneshotState::end_waited_for() noexcept {
  // [ONESHOT-GONE] if the sender is to come, [ONESHOT-SEND] if it came first.
  const std::uint32_t before = word_.fetch_or(kReceiverGone, std::memory_order_acq_rel);
  if ((before & kSenderDone) != 0) return true;
  SKUA_REQUIRE((before & kReceiverWaits) == 0,
               "a OneshotReceiver was used or dropped while a task waits in its recv()");
  if ((before & kSenderWaits) != 0) sender_->wake();  // [ONESHOT-WAIT]
  return false;                                       // *this may be gone.
}

bool OneshotState::wait_for_close(TaskHeader* task) noexcept {
  sender_ = task;
  // [ONESHOT-WAIT] if the receiver is to go, [ONESHOT-GONE] if it went first.
  const std::uint32_t before = word_.fetch_or(kSenderWaits, std::memory_order_acq_rel);
  if ((before & kReceiverGone) != 0) return false;
  SKUA_REQUIRE((before & kSenderWaits) == 0, "two tasks wait in closed() of one OneshotSender");
  return true;
}

bool OneshotState::stop_waiting_for_close() noexcept {
  const std::uint32_t before = word_.fetch_and(~kSenderWaits, std::memory_order_acq_rel);
  return (before & kReceiverGone) == 0;
}

CancelOutcome OneshotRecvWaiter::cancel_recv(Waiter* waiter) noexcept {
  OneshotState* const state = static_cast<OneshotRecvWaiter*>(waiter)->state_;
  return state->stop_waiting_for_sender() ? CancelOutcome::kUnlinked : CancelOutcome::kPending;
}

bool OneshotClosedAwaiter::suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  waiting->prepare_suspend(awaiting, this);
  if (!state_->wait_for_close(waiting)) {
    waiting->undo_prepare();
    return waiting->spend_budget(awaiting, this);
  }
  return waiting->commit_suspend();  // *this may be gone.
}

CancelOutcome OneshotClosedAwaiter::cancel_closed(Waiter* waiter) noexcept {
  OneshotState* const state = static_cast<OneshotClosedAwaiter*>(waiter)->state_;
  return state->stop_waiting_for_close() ? CancelOutcome::kUnlinked : CancelOutcome::kPending;
}

}  // namespace skua::internal
