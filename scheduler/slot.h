// SPDX-License-Identifier: Apache-2.0
//
// A worker's slot: the task that runs next on it, before its ring. Its owner changes it with plain loads and stores, in
// a few instructions; a thief that finds the owner stuck in a task may still take what stands there. The price is on
// the thief's side: it interrupts every running thread of the process (membarrier(2)).
//
//     owner                                          thief
//     1 claimed_ = 1                                 1 raise the gate
//     2 (compiler barrier)                           2 membarrier: a full barrier in every thread that runs
//     3 gate open: plain load and store              3 claimed_ == 0: exchange. Else give up: the owner is not
//       gate closed: exchange                          stuck, it is here.
//     4 claimed_ = 0                                 4 lower the gate
//
//   [SLOT-GATE]  Where the owner is when the thief's membarrier reaches it:
//     before 1, or between 1 and 3: the barrier has shown it the raised gate, so it exchanges, as the thief does;
//     after 3: its claim is visible to the thief, which gives up, or sees claimed_ == 0 as stored by 4 (release,
//              acquire), and then all of the owner's access lies before the exchange.
//     When the gate is down again, its owner's load (acquire) sees the thief's exchange (released by 4).
//   [SLOT]  The owner's store of entry_ (release) -> the thief's exchange (acquire): the task.
//
// Without membarrier the gate is raised for ever, and owners always exchange.
#pragma once

#include <atomic>
#include <cstdint>

#include "scheduler/run_queue.h"
#include "skua/internal/config.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

// Counts the thieves that are at any slot of a scheduler. Owners read it in each access, and it is hardly ever written.
class SlotGate {
 public:
  // Makes every running thread of the process pass a full barrier.
  using Barrier = void (*)() noexcept;

  // nullptr: there is none.
  explicit SlotGate(Barrier barrier) noexcept
      : barrier_(barrier), thieves_(barrier == nullptr ? 1 : 0) {}
  SlotGate(const SlotGate&) = delete;
  SlotGate& operator=(const SlotGate&) = delete;

  // No thief is at a slot, or will be before the caller has left its own. Owners, while they claim their slot.
  bool open() const noexcept {
    return thieves_.load(std::memory_order_acquire) == 0;  // [SLOT-GATE]
  }
  // Thieves, around an access.
  void close() noexcept {
    thieves_.fetch_add(1, std::memory_order_seq_cst);
    if (barrier_ != nullptr) barrier_();  // [SLOT-GATE]
  }
  void reopen() noexcept { thieves_.fetch_sub(1, std::memory_order_release); }  // [SLOT-GATE]

 private:
  alignas(kCacheLine) const Barrier barrier_;
  std::atomic<std::uint32_t> thieves_;
};

// A task, the level of its run, and its order if it has to go to the ring; or nothing. In one word.
class SlotEntry {
 public:
  SlotEntry() noexcept = default;
  SlotEntry(TaskHeader* task, Level level, QueueOrder order) noexcept
      : word_(reinterpret_cast<std::uintptr_t>(task) | level |
              (order == QueueOrder::kNewestFirst ? kNewestFirstBit : 0)) {}
  explicit SlotEntry(std::uintptr_t word) noexcept : word_(word) {}

  TaskHeader* task() const noexcept {
    return reinterpret_cast<TaskHeader*>(word_ & ~(kLevelMask | kNewestFirstBit));
  }
  Level level() const noexcept { return static_cast<Level>(word_ & kLevelMask); }
  QueueOrder order() const noexcept {
    return (word_ & kNewestFirstBit) != 0 ? QueueOrder::kNewestFirst : QueueOrder::kInTurn;
  }
  std::uintptr_t word() const noexcept { return word_; }

 private:
  static constexpr std::uintptr_t kLevelMask = 3;
  static constexpr std::uintptr_t kNewestFirstBit = 4;
  static_assert(alignof(TaskHeader) > (kLevelMask | kNewestFirstBit));

  std::uintptr_t word_ = 0;
};

class Slot {
 public:
  Slot() = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  // Puts `next`, which may be nothing, and returns what stood there. Owner only.
  SKUA_ALWAYS_INLINE SlotEntry exchange(SlotEntry next, const SlotGate& gate) noexcept {
    return exchange(next, gate, [] {});
  }
  // The same for tests: calls `within()` between the load and the store of a plain access.
  template <typename Within>
  SKUA_ALWAYS_INLINE SlotEntry exchange(SlotEntry next, const SlotGate& gate,
                                        Within within) noexcept {
    claimed_.store(1, std::memory_order_relaxed);
    // The processor may still turn the next load and this store around; the thief's barrier sees to that.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::uintptr_t before;
    if (SKUA_LIKELY(gate.open())) {
      before = entry_.load(std::memory_order_relaxed);
      within();
      entry_.store(next.word(), std::memory_order_release);  // [SLOT]
    } else {
      before = entry_.exchange(next.word(), std::memory_order_acq_rel);
    }
    claimed_.store(0, std::memory_order_release);  // [SLOT-GATE]
    return SlotEntry(before);
  }

  // A snapshot. Any thread.
  bool filled() const noexcept { return entry_.load(std::memory_order_relaxed) != 0; }
  // Takes what stands there, or nothing if the owner is at it. Any thread but the owner.
  [[nodiscard]] SlotEntry steal(SlotGate& gate) noexcept {
    return steal(gate, [] {});
  }
  // The same for tests: calls `within()` between the look for the owner and the access.
  template <typename Within>
  [[nodiscard]] SlotEntry steal(SlotGate& gate, Within within) noexcept {
    gate.close();
    std::uintptr_t taken = 0;
    if (claimed_.load(std::memory_order_acquire) == 0) {  // [SLOT-GATE]
      within();
      taken = entry_.exchange(0, std::memory_order_acq_rel);  // [SLOT]
    }
    gate.reopen();
    return SlotEntry(taken);
  }

 private:
  std::atomic<std::uint32_t> claimed_{0};
  std::atomic<std::uintptr_t> entry_{0};
};

}  // namespace skua::internal
