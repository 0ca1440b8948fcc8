// SPDX-License-Identifier: Apache-2.0
//
// Which branch of a select has won (skua/sync/select.h). A task that selects stands in several lists at a time, and
// whoever takes it out of one has to claim it first:
//
//   winner_:  open --> the number of a branch     by the waker that takes it out of that branch's list, under the lock
//                  |                              of the list; or by the task itself, for what it finds ready
//                  \-> kAborted                   by its cancel hook
//
// Who comes second has not found it: a waker goes on to the next in its list, and gives it what it has to give. Since
// claims are made under the lock of the list, who has passed that lock afterwards knows that no waker looks at the
// branch any more.
//
//   [SELECT]  the RMW of winner_ that decides (acq_rel) -> the RMW that finds it decided (acq_rel). The winner's result
//             comes by [WAKE].
#pragma once

#include <atomic>
#include <cstdint>

#include "skua/internal/task_header.h"

namespace skua::internal {

class Selection {
 public:
  static constexpr std::uint32_t kOpen = 0;
  static constexpr std::uint32_t kAborted = UINT32_MAX;

  Selection() noexcept = default;
  Selection(const Selection&) = delete;
  Selection& operator=(const Selection&) = delete;

  // True: it is decided for `number` by this call.
  [[nodiscard]] bool decide(std::uint32_t number) noexcept {
    std::uint32_t expected = kOpen;
    return winner_.compare_exchange_strong(expected, number, std::memory_order_acq_rel,  // [SELECT]
                                           std::memory_order_acquire);
  }
  std::uint32_t winner() const noexcept { return winner_.load(std::memory_order_acquire); }

  // Constant while it is open.
  TaskHeader* task = nullptr;

 private:
  std::atomic<std::uint32_t> winner_{kOpen};
};

// One branch, in the hands of who may wake it. Aligned so that a pointer to it has room for tags.
struct alignas(8) SelectBranch {
  SelectBranch() noexcept = default;
  SelectBranch(const SelectBranch&) = delete;
  SelectBranch& operator=(const SelectBranch&) = delete;

  // True: the caller has it, and wakes the task. Under the lock of the list that it stands in.
  [[nodiscard]] bool claim() noexcept { return selection->decide(number); }
  // True: it has won, by this call or before. The task itself.
  [[nodiscard]] bool claim_or_has() noexcept { return claim() || selection->winner() == number; }

  Selection* selection = nullptr;
  std::uint32_t number = 0;  // From 1 on.
  // Set by a waker that has no lock, has not got the branch, and is through with it.
  std::atomic<bool> left{false};
};

// Waits until branch->left, which is a few instructions of another thread away.
void wait_until_left(const SelectBranch& branch) noexcept;

}  // namespace skua::internal
