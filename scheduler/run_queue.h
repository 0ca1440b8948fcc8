// SPDX-License-Identifier: Apache-2.0
//
// One worker's ready tasks: a bounded ring that its owner fills and empties and that any other worker may take
// half of. The algorithm is Tokio's (runtime/scheduler/multi_thread/queue.rs), which has it from Go; that the owner may
// take from the young end, too, is ours.
//
//     owner -- push() --> | tail      ring      head | -- pop() --> owner
//     owner <- pop_newest() --                         -- steal_into() --> a thief's ring
//
// The head is two positions in one word, so that a thief can claim tasks before it copies them:
//
//     steal <= real <= tail      [steal, real): claimed by a thief that is copying them out
//                                [real, tail):  ready
//
// The owner writes a slot only if it is not in [steal, tail). There is one thief at a time: a second one that
// sees steal != real goes elsewhere. The rest of the word counts its changes: a thief's claim rests on the tail that it
// has read, so it must fail if the owner has taken from there meanwhile, though that moves neither position.
//
//   [RING-PUSH]   push's store of tail_ (release) -> steal_into's load (acquire). The thief sees the slots
//                 and all that was written to the tasks in them.
//   [RING-CLAIM]  the thief's last CAS of head_ (release) -> the owner's load in push (acquire). The slots
//                 have been read before they are written again.
//   [RING-BACK]   pop_newest lowers tail_, then changes head_ (release) -> a thief's load of head_ (acquire), then of
//                 tail_. The thief's claim fails if it comes second, unless it has seen the lower tail; the owner's
//                 change fails if it comes second, and then the owner sees what was claimed.
//
// While the owner is between the two, others see a tail that is too low by the task that it is about to take; by one
// below the head, even, if a thief has claimed that task: ready_between(). tests/model/ring.pml verifies all this.
//
// Tasks of either order (QueueOrder) may stand in it. Who pops decides whose turn it is, by has_in_turn() and
// newest_is_in_turn().
//
// Positions are 16 bits and wrap; the capacity is a power of two.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

// 256 is Tokio's and Go's size. Tests shrink it: at compile time, or by the constructor for the ring of a scheduler.
template <std::uint32_t kCapacityMax = 256>
class RunQueue {
  static_assert(std::has_single_bit(kCapacityMax) && kCapacityMax >= 2 &&
                kCapacityMax <= (1u << 14));

 public:
  static constexpr std::uint32_t kHalf = kCapacityMax / 2;

  // `capacity` is a power of two, at least 2 and at most kCapacityMax; the same for all rings that steal from each
  // other.
  explicit RunQueue(std::uint32_t capacity = kCapacityMax) noexcept : mask_(capacity - 1) {
    SKUA_REQUIRE(std::has_single_bit(capacity) && capacity >= 2 && capacity <= kCapacityMax,
                 capacity);
  }
  RunQueue(const RunQueue&) = delete;
  RunQueue& operator=(const RunQueue&) = delete;

  // Appends `task`. If the ring is full, gives its older half and `task` to `overflow`, a callable that takes a
  // std::span<TaskHeader*> and their order, kInTurn if it may be that of one; if it is full because a thief is still
  // copying, `task` alone. Owner only.
  template <typename Overflow>
  SKUA_ALWAYS_INLINE void push(TaskHeader* task, QueueOrder order, Overflow&& overflow) {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // Ours alone to write.
    const std::uint64_t head = head_.load(std::memory_order_acquire);  // [RING-CLAIM]
    if (SKUA_LIKELY(distance(steal_of(head), tail) <= mask_)) {
      append(task, order, tail);
    } else {
      push_full(task, order, tail, overflow);
    }
  }

  // Removes the oldest task; nullptr if there is none. Owner only.
  [[nodiscard]] SKUA_ALWAYS_INLINE TaskHeader* pop() noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    // Relaxed: what the owner pops, the owner has pushed.
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    for (;;) {
      const Position steal = steal_of(head);
      const Position real = real_of(head);
      if (distance(real, tail) == 0) return nullptr;
      const auto next = static_cast<Position>(real + 1);
      TaskHeader* const task = slots_[real & mask_];
      if (head_.compare_exchange_weak(head, changed(head, steal == real ? next : steal, next),
                                      std::memory_order_acq_rel, std::memory_order_relaxed)) {
        prefetch(slots_[next & mask_]);
        return task;
      }
    }
  }

  // Removes the task that was pushed last; nullptr if there is none. Owner only.
  [[nodiscard]] SKUA_ALWAYS_INLINE TaskHeader* pop_newest() noexcept {
    return pop_newest([] {});
  }
  // The same for tests: calls `within()` between the steps of [RING-BACK].
  template <typename Within>
  [[nodiscard]] SKUA_ALWAYS_INLINE TaskHeader* pop_newest(Within within) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    if (distance(real_of(head), tail) == 0) return nullptr;
    TaskHeader* const task = slots_[(tail - 1) & mask_];
    // Release also for [RING-PUSH]: a thief may see this store, and not that of the push below it.
    tail_.store(tail - 1, std::memory_order_release);  // [RING-BACK]
    within();
    do {
      if (SKUA_UNLIKELY(distance(real_of(head), tail) == 0)) {  // A thief has claimed it.
        tail_.store(tail, std::memory_order_release);
        return nullptr;
      }
    } while (!head_.compare_exchange_weak(head, changed(head, steal_of(head), real_of(head)),
                                          std::memory_order_acq_rel,  // [RING-BACK]
                                          std::memory_order_relaxed));
    return task;
  }

  // There may be a task that is in turn. Owner only.
  bool has_in_turn() const noexcept {
    return is_before(first_ready(), turns_end_.load(std::memory_order_relaxed));
  }
  // The task that was pushed last is in turn, or has been taken. Owner only.
  bool newest_is_in_turn() const noexcept {
    return !is_before(turns_end_.load(std::memory_order_relaxed),
                      tail_.load(std::memory_order_relaxed));
  }

  // Now and then, at least once in 2^31 tasks: where the turns ended must not fall so far behind that it seems to be
  // ahead. Owner only.
  void keep_up() noexcept {
    if (!has_in_turn()) {
      turns_end_.store(first_ready(), std::memory_order_relaxed);
    }
  }

  // Moves half of this queue, rounded up, into `thief` and returns the youngest of it, to run at once;
  // nullptr if there is nothing to take, another thief is at it, or `thief` is more than half full.
  // `moved` is set to the number of tasks taken. The owner of `thief`, which is another queue.
  [[nodiscard]] TaskHeader* steal_into(RunQueue& thief, std::uint32_t& moved) noexcept {
    return steal_into(thief, moved, [] {});
  }
  // The same for tests: calls `within()` when the tail has been read, and nothing claimed yet.
  template <typename Within>
  [[nodiscard]] TaskHeader* steal_into(RunQueue& thief, std::uint32_t& moved,
                                       Within within) noexcept {
    moved = 0;
    const std::uint32_t thief_tail = thief.tail_.load(std::memory_order_relaxed);
    // [RING-CLAIM] A thief of the thief may still be copying.
    const Position thief_steal = steal_of(thief.head_.load(std::memory_order_acquire));
    if (distance(thief_steal, thief_tail) > thief.capacity() / 2) return nullptr;

    std::uint64_t head = head_.load(std::memory_order_acquire);  // [RING-BACK]
    std::uint32_t tail = 0;
    std::uint32_t count = 0;
    Position first = 0;
    do {
      first = real_of(head);
      if (steal_of(head) != first) return nullptr;
      tail = tail_.load(std::memory_order_acquire);  // [RING-PUSH]
      within();
      // An outdated head gives a wrong count, and a failing CAS.
      const std::uint32_t ready = ready_between(first, tail);
      count = ready - ready / 2;
      if (count == 0) return nullptr;
    } while (!head_.compare_exchange_weak(
        head, changed(head, first, static_cast<Position>(first + count)), std::memory_order_acq_rel,
        std::memory_order_acquire));
    SKUA_DCHECK(count <= thief.capacity() / 2, count, first);
    // Relaxed: stored before the tail.
    const bool any_in_turn =
        is_before(tail - distance(first, tail), turns_end_.load(std::memory_order_relaxed));

    for (std::uint32_t i = 0; i < count; ++i) {
      thief.slots_[(thief_tail + i) & thief.mask_] = slots_[(first + i) & mask_];
    }
    // The owner may have popped meanwhile, which leaves steal where it is.
    head = head_.load(std::memory_order_relaxed);
    while (!head_.compare_exchange_weak(head, changed(head, real_of(head), real_of(head)),
                                        std::memory_order_acq_rel,  // [RING-CLAIM]
                                        std::memory_order_relaxed)) {
    }
    moved = count;
    const std::uint32_t thief_end = thief_tail + count - 1;
    TaskHeader* const run_now = thief.slots_[thief_end & thief.mask_];
    if (count > 1) {
      if (any_in_turn) thief.turns_end_.store(thief_end, std::memory_order_relaxed);
      thief.tail_.store(thief_end, std::memory_order_release);
    }
    return run_now;
  }

  // A lower bound of the places left, for the owner; nobody else fills them. Owner only.
  std::uint32_t room() const noexcept {
    const Position steal = steal_of(head_.load(std::memory_order_acquire));
    return capacity() - distance(steal, tail_.load(std::memory_order_relaxed));
  }

  // Any thread; a snapshot that may be outdated. A task that stands in the ring all the while is counted: as long as it
  // does, neither end moves by more than the capacity. The newest one is not while its owner is about to take it.
  std::uint32_t size() const noexcept {
    const Position real = real_of(head_.load(std::memory_order_acquire));
    const std::uint32_t ready = ready_between(real, tail_.load(std::memory_order_acquire));
    // More than fits: both moved between the two loads, and who is about to sleep must not take that for empty.
    return ready > capacity() ? capacity() : ready;
  }
  bool empty() const noexcept { return size() == 0; }
  std::uint32_t capacity() const noexcept { return mask_ + 1; }

 private:
  using Position = std::uint16_t;

  // The position of the oldest task, or the tail. Owner only.
  std::uint32_t first_ready() const noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    return tail - distance(real_of(head_.load(std::memory_order_relaxed)), tail);
  }
  // The tail has all its 32 bits; those of the head say how far it is behind.
  static constexpr std::uint32_t distance(Position from, std::uint32_t tail) noexcept {
    return static_cast<Position>(tail - from);
  }
  // The same for who may see the tail one too low, while its owner takes the newest task: that one is not ready.
  static constexpr std::uint32_t ready_between(Position from, std::uint32_t tail) noexcept {
    const std::uint32_t ready = distance(from, tail);
    return ready == std::numeric_limits<Position>::max() ? 0 : ready;
  }
  static constexpr bool is_before(std::uint32_t a, std::uint32_t b) noexcept {
    return static_cast<std::int32_t>(a - b) < 0;
  }
  static constexpr Position steal_of(std::uint64_t head) noexcept {
    return static_cast<Position>(head >> 16);
  }
  static constexpr Position real_of(std::uint64_t head) noexcept {
    return static_cast<Position>(head);
  }
  // `head` with other positions, and one change more. So many changes as bring the count back to where it was do not
  // come between a load and a CAS.
  static constexpr std::uint64_t changed(std::uint64_t head, Position steal,
                                         Position real) noexcept {
    constexpr std::uint64_t kOneChange = std::uint64_t{1} << 32;
    return ((head + kOneChange) & ~(kOneChange - 1)) | (std::uint32_t{steal} << 16) | real;
  }

  // A task that has waited for long is in no cache: it is fetched while the one before it runs. Whatever stands in the
  // slot: an address that is no task's does no harm.
  SKUA_ALWAYS_INLINE static void prefetch(const TaskHeader* task) noexcept {
    const auto address =
        reinterpret_cast<std::uintptr_t>(task);  // It may be null: no arithmetic on pointers.
    __builtin_prefetch(reinterpret_cast<const void*>(address));
    __builtin_prefetch(reinterpret_cast<const void*>(address + 64));
    __builtin_prefetch(reinterpret_cast<const void*>(address + 128));
  }

  SKUA_ALWAYS_INLINE void append(TaskHeader* task, QueueOrder order, std::uint32_t tail) noexcept {
    slots_[tail & mask_] = task;
    if (order == QueueOrder::kInTurn) turns_end_.store(tail + 1, std::memory_order_relaxed);
    tail_.store(tail + 1, std::memory_order_release);  // [RING-PUSH]
  }

  template <typename Overflow>
  SKUA_COLD void push_full(TaskHeader* task, QueueOrder order, std::uint32_t tail,
                           Overflow& overflow) {
    std::uint64_t head = head_.load(std::memory_order_acquire);  // [RING-CLAIM]
    for (;;) {
      if (distance(steal_of(head), tail) <= mask_) {
        append(task, order, tail);
        return;
      }
      if (steal_of(head) != real_of(head)) {
        overflow(std::span<TaskHeader*>(&task, 1), order);
        return;
      }
      // The older half, as in Tokio and Go.
      const std::uint32_t half = capacity() / 2;
      const Position real = real_of(head);
      const auto kept = static_cast<Position>(real + half);
      if (head_.compare_exchange_weak(head, changed(head, kept, kept), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        std::array<TaskHeader*, kHalf + 1> batch;
        for (std::uint32_t i = 0; i < half; ++i) batch[i] = slots_[(real + i) & mask_];
        batch[half] = task;
        const bool any_in_turn =
            is_before(tail - distance(real, tail), turns_end_.load(std::memory_order_relaxed));
        overflow(std::span<TaskHeader*>(batch).first(half + 1),
                 any_in_turn ? QueueOrder::kInTurn : order);
        return;
      }
    }
  }

  // Any thread.
  alignas(kCacheLine) std::atomic<std::uint64_t> head_{0};
  // Owner writes, any thread reads.
  alignas(kCacheLine) std::atomic<std::uint32_t> tail_{0};
  // Behind the last task that is in turn, if there is one.
  std::atomic<std::uint32_t> turns_end_{0};
  // Constant after construction. Beside the tail, where the owner has it at hand.
  const std::uint32_t mask_;
  // A slot belongs to the owner, or to the thief that has claimed it.
  std::array<TaskHeader*, kCapacityMax> slots_{};
};

}  // namespace skua::internal
