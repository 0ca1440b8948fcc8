// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/select.h"

#include <sched.h>

#include "skua/internal/atomic.h"

namespace skua::internal {
namespace {

// Any numbers do, if they differ from those of the select that this one may be in a rhythm with.
std::uint32_t random_number() noexcept {
  thread_local constinit std::uint32_t state = 0x9e3779b9u;
  state ^= state << 13;  // Marsaglia, "Xorshift RNGs" (2003).
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

}  // namespace

void wait_until_left(const SelectBranch& branch) noexcept {
  constexpr int kSpins = 64;
  for (int spin = 0; !branch.left.load(std::memory_order_acquire); ++spin) {
    if (spin < kSpins) {
      cpu_relax();
    } else {
      sched_yield();  // The waker was preempted.
    }
  }
}

bool SelectWaiter::suspend(std::coroutine_handle<> awaiting, TaskHeader* selecting) {
  const std::size_t first = order_ == SelectOrder::kFair ? random_number() % count_ : 0;
  const auto slot_at = [this, first](std::size_t i) -> SelectSlot& {
    const std::size_t index = first + i;
    return slots_[index < count_ ? index : index - count_];
  };
  for (std::size_t i = 0; i < count_; ++i)
    slots_[i].branch.number = static_cast<std::uint32_t>(i) + 1;
  for (std::size_t i = 0; i < count_; ++i) {
    SelectSlot& slot = slot_at(i);
    if (!slot.ops->take(slot.awaiter, selecting)) continue;
    // In no list: nobody competes.
    const bool decided = selection_.decide(slot.branch.number);
    SKUA_DCHECK(decided);
    static_cast<void>(decided);
    return selecting->spend_budget(awaiting, this);  // *this may be gone.
  }
  selecting->prepare_suspend(awaiting, this);
  selection_.task = selecting;
  for (std::size_t i = 0; i < count_ && selection_.winner() == Selection::kOpen; ++i) {
    SelectSlot& slot = slot_at(i);
    slot.branch.selection = &selection_;
    if (!slot.ops->arm(slot.awaiter, &slot.branch)) {
      slot.armed = true;
      continue;
    }
    if (!slot.branch.claim_or_has()) {
      // A waker of another branch was faster. The awaiter may live on: what it has taken here must not.
      slot.ops->give_back(slot.awaiter);
      break;
    }
    disarm_losers();
    selecting->undo_prepare();
    return selecting->spend_budget(awaiting, this);  // *this may be gone.
  }
  return selecting->commit_suspend();  // *this may be gone.
}

void SelectWaiter::disarm_losers() noexcept {
  const std::uint32_t winner = selection_.winner();
  for (std::size_t i = 0; i < count_; ++i) {
    SelectSlot& slot = slots_[i];
    if (!slot.armed) continue;
    slot.armed = false;
    if (slot.branch.number != winner) slot.ops->disarm(slot.awaiter, &slot.branch);
  }
}

std::size_t SelectWaiter::finish() noexcept {
  disarm_losers();
  return selection_.winner() - 1;
}

CancelOutcome SelectWaiter::cancel_select(Waiter* waiter) noexcept {
  auto* const self = static_cast<SelectWaiter*>(waiter);
  if (!self->selection_.decide(Selection::kAborted)) return CancelOutcome::kPending;
  self->disarm_losers();
  return CancelOutcome::kUnlinked;
}

}  // namespace skua::internal
