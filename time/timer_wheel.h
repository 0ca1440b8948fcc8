// SPDX-License-Identifier: Apache-2.0
//
// Timers by deadline: a hierarchical wheel of 6 levels with 64 slots each and a tick of 1 ms,
// arranged as Tokio's (tokio/src/runtime/time/wheel), after Varghese and Lauck, "Hashed and
// Hierarchical Timing Wheels" (SOSP 1987).
//
// Write a tick in base 64. A node stands on the level of the highest digit in which its deadline
// differs from elapsed_, in the slot that this digit names:
//
//   level      0      1       2        3        4       5        far list
//   slot      1 ms   64 ms   4.1 s   4.4 min   4.7 h   12 days   --
//   holds   < 64 ms  4.1 s  4.4 min   4.7 h   12 days  2.2 years  beyond
//
// Invariants:
//
//   [AHEAD]   On each level a node's digit is greater than that of elapsed_, and the higher digits
//             are equal. So the first slot is the lowest bit of the lowest occupied level, slots
//             never wrap around, and nodes with equal deadlines always share a slot: they fire in
//             the order of their insertion.
//   [BOUND]   A slot's `earliest` is at most the earliest deadline in it; exact until a removal.
//
// When elapsed_ reaches the beginning of a slot, its nodes fire or move to lower levels: at most 6
// moves per node and life. The bitmaps make it cheap to jump over any time without deadlines.
//
// What differs from Tokio: deadlines beyond the top level wait in a list of their own, which keeps
// [AHEAD] free of exceptions, and next_deadline_ns() names a deadline instead of the beginning of a
// slot, which spares an idle worker one wake-up per level.
//
// Threads: one at a time. There is no clock inside.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "skua/internal/timer.h"

namespace skua::internal {

// Nodes in order, linked through themselves.
class TimerList {
 public:
  TimerList() noexcept = default;

  bool empty() const noexcept { return head_ == nullptr; }
  void push_back(TimerNode* node) noexcept;
  void remove(TimerNode* node) noexcept;
  // nullptr: empty.
  TimerNode* pop_front() noexcept;

 private:
  TimerNode* head_ = nullptr;
  TimerNode* tail_ = nullptr;
};

class TimerWheel {
 public:
  explicit TimerWheel(std::int64_t now_ns) noexcept;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Adds a node that is not linked; its deadline may have passed. O(1).
  void insert(TimerNode* node) noexcept;
  // Takes a linked node out. O(1).
  void remove(TimerNode* node) noexcept;
  // Moves what is due at `now_ns` to the end of `due`, by deadline, as kFiring; returns how many.
  // Never early: a deadline is rounded up to the next tick, and `now_ns` down. Time does not go
  // back: an earlier `now_ns` counts as the latest one seen.
  std::size_t expire(std::int64_t now_ns, TimerList& due) noexcept;

  // When to call expire() next; kNeverNs: there is nothing to wait for. After a removal it may be
  // earlier than the earliest deadline (see [BOUND]), and is right again once expire() was called
  // then.
  std::int64_t next_deadline_ns() const noexcept;

  std::size_t size() const noexcept { return size_; }

 private:
  using Tick = std::uint64_t;  // ms.
  static constexpr Tick kNever = ~Tick{0};
  static constexpr unsigned kDigitBits = 6;
  static constexpr unsigned kSlotsPerLevel = 1u << kDigitBits;
  static constexpr unsigned kLevels = 6;
  static constexpr unsigned kSpanBits = kLevels * kDigitBits;
  static constexpr unsigned kFarSlot = kLevels * kSlotsPerLevel;  // Beyond the top level.
  static constexpr unsigned kDueSlot = kFarSlot + 1;              // Was due when it was inserted.
  static constexpr unsigned kSlots = kDueSlot + 1;

  struct Slot {
    TimerList nodes;
    Tick earliest = kNever;  // [BOUND]
  };
  // The first occupied slot of the future, and the tick at which it begins.
  struct FirstSlot {
    unsigned index;
    Tick begin;  // kNever: there is none.
  };

  static Tick deadline_tick(const TimerNode& node) noexcept;
  FirstSlot first_slot() const noexcept;
  void link(TimerNode* node, unsigned slot, Tick tick) noexcept;
  // Links a node whose deadline lies after elapsed_.
  void link_ahead(TimerNode* node, Tick tick) noexcept;
  TimerList take_slot(unsigned index) noexcept;
  void mark_empty(unsigned index) noexcept;

  Tick elapsed_;  // Nothing up to here is left in the levels.
  std::size_t size_ = 0;
  std::array<std::uint64_t, kLevels> occupied_{};  // Bit i: slot i of the level is not empty.
  std::array<Slot, kSlots> slots_;
};

}  // namespace skua::internal
