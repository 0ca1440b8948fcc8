// SPDX-License-Identifier: Apache-2.0
//
// One worker's ready tasks: a bounded FIFO ring that its owner fills and empties and that any other worker
// may take half of. The algorithm is Tokio's (runtime/scheduler/multi_thread/queue.rs), which has it from Go.
//
//     owner -- push() --> | tail      ring      head | -- pop() --> owner
//                                                      -- steal_into() --> a thief's ring
//
// The head is two positions in one word, so that a thief can claim tasks before it copies them:
//
//     steal <= real <= tail      [steal, real): claimed by a thief that is copying them out
//                                [real, tail):  ready
//
// The owner writes a slot only if it is not in [steal, tail). There is one thief at a time: a second one that
// sees steal != real goes elsewhere.
//
//   [RING-PUSH]   push's store of tail_ (release) -> steal_into's load (acquire). The thief sees the slots
//                 and all that was written to the tasks in them.
//   [RING-CLAIM]  the thief's last CAS of head_ (release) -> the owner's load in push (acquire). The slots
//                 have been read before they are written again.
//
// Positions are 32 bits and wrap; the capacity is a power of two.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

// 256 is Tokio's and Go's size. Tests shrink it: at compile time, or by the constructor for the ring of a scheduler.
template <std::uint32_t kCapacityMax = 256>
class RunQueue {
  static_assert(std::has_single_bit(kCapacityMax) && kCapacityMax >= 2);

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

  // Appends `task`. If the ring is full, gives its older half and `task` to `overflow`, a callable that
  // takes a std::span<TaskHeader*>; if it is full because a thief is still copying, `task` alone. Owner only.
  template <typename Overflow>
  SKUA_ALWAYS_INLINE void push(TaskHeader* task, Overflow&& overflow) {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // Ours alone to write.
    const std::uint64_t head = head_.load(std::memory_order_acquire);  // [RING-CLAIM]
    if (SKUA_LIKELY(tail - steal_of(head) <= mask_)) {
      append(task, tail);
    } else {
      push_full(task, tail, overflow);
    }
  }

  // Removes the oldest task; nullptr if there is none. Owner only.
  [[nodiscard]] SKUA_ALWAYS_INLINE TaskHeader* pop() noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    // Relaxed: what the owner pops, the owner has pushed.
    std::uint64_t head = head_.load(std::memory_order_relaxed);
    for (;;) {
      const std::uint32_t steal = steal_of(head);
      const std::uint32_t real = real_of(head);
      if (real == tail) return nullptr;
      const std::uint64_t next = steal == real ? pack(real + 1, real + 1) : pack(steal, real + 1);
      TaskHeader* const task = slots_[real & mask_];
      if (head_.compare_exchange_weak(head, next, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
        prefetch(slots_[(real + 1) & mask_]);
        return task;
      }
    }
  }

  // Moves half of this queue, rounded up, into `thief` and returns the youngest of it, to run at once;
  // nullptr if there is nothing to take, another thief is at it, or `thief` is more than half full.
  // `moved` is set to the number of tasks taken. The owner of `thief`, which is another queue.
  [[nodiscard]] TaskHeader* steal_into(RunQueue& thief, std::uint32_t& moved) noexcept {
    moved = 0;
    const std::uint32_t thief_tail = thief.tail_.load(std::memory_order_relaxed);
    // [RING-CLAIM] A thief of the thief may still be copying.
    const std::uint32_t thief_steal = steal_of(thief.head_.load(std::memory_order_acquire));
    if (thief_tail - thief_steal > thief.capacity() / 2) return nullptr;

    std::uint64_t head = head_.load(std::memory_order_acquire);
    std::uint32_t count = 0;
    std::uint32_t first = 0;
    std::uint64_t claimed = 0;
    do {
      first = real_of(head);
      if (steal_of(head) != first) return nullptr;
      const std::uint32_t ready = tail_.load(std::memory_order_acquire) - first;  // [RING-PUSH]
      count = ready - ready / 2;
      if (count == 0) return nullptr;
      // An outdated head gives a wrong count, and a failing CAS.
      claimed = pack(first, first + count);
    } while (!head_.compare_exchange_weak(head, claimed, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
    SKUA_DCHECK(count <= thief.capacity() / 2, count, first);

    for (std::uint32_t i = 0; i < count; ++i) {
      thief.slots_[(thief_tail + i) & thief.mask_] = slots_[(first + i) & mask_];
    }
    // The owner may have popped meanwhile, which moves real alone.
    std::uint64_t current = claimed;
    while (!head_.compare_exchange_weak(current, pack(real_of(current), real_of(current)),
                                        std::memory_order_acq_rel,  // [RING-CLAIM]
                                        std::memory_order_acquire)) {
    }
    moved = count;
    TaskHeader* const run_now = thief.slots_[(thief_tail + count - 1) & thief.mask_];
    if (count > 1) thief.tail_.store(thief_tail + count - 1, std::memory_order_release);
    return run_now;
  }

  // A lower bound of the places left, for the owner; nobody else fills them. Owner only.
  std::uint32_t room() const noexcept {
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    return capacity() - (tail_.load(std::memory_order_relaxed) - steal_of(head));
  }

  // Any thread; a snapshot that may be outdated.
  std::uint32_t size() const noexcept {
    const std::uint64_t head = head_.load(std::memory_order_acquire);
    const std::uint32_t ready = tail_.load(std::memory_order_acquire) - real_of(head);
    // More than fits: both moved between the two loads, and whoever is about to sleep must not take that for empty.
    return ready > capacity() ? capacity() : ready;
  }
  bool empty() const noexcept { return size() == 0; }
  std::uint32_t capacity() const noexcept { return mask_ + 1; }

 private:
  static constexpr std::uint64_t pack(std::uint32_t steal, std::uint32_t real) noexcept {
    return (std::uint64_t{steal} << 32) | real;
  }
  static constexpr std::uint32_t steal_of(std::uint64_t head) noexcept {
    return static_cast<std::uint32_t>(head >> 32);
  }
  static constexpr std::uint32_t real_of(std::uint64_t head) noexcept {
    return static_cast<std::uint32_t>(head);
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

  SKUA_ALWAYS_INLINE void append(TaskHeader* task, std::uint32_t tail) noexcept {
    slots_[tail & mask_] = task;
    tail_.store(tail + 1, std::memory_order_release);  // [RING-PUSH]
  }

  template <typename Overflow>
  SKUA_COLD void push_full(TaskHeader* task, std::uint32_t tail, Overflow& overflow) {
    std::uint64_t head = head_.load(std::memory_order_acquire);  // [RING-CLAIM]
    for (;;) {
      if (tail - steal_of(head) <= mask_) {
        append(task, tail);
        return;
      }
      if (steal_of(head) != real_of(head)) {
        overflow(std::span<TaskHeader*>(&task, 1));
        return;
      }
      // The older half, as in Tokio and Go: what stays is what came last, so that a tree of spawns is walked towards
      // its leaves instead of level by level.
      const std::uint32_t half = capacity() / 2;
      const std::uint32_t real = real_of(head);
      if (head_.compare_exchange_weak(head, pack(real + half, real + half),
                                      std::memory_order_acq_rel, std::memory_order_acquire)) {
        std::array<TaskHeader*, kHalf + 1> batch;
        for (std::uint32_t i = 0; i < half; ++i) batch[i] = slots_[(real + i) & mask_];
        batch[half] = task;
        overflow(std::span<TaskHeader*>(batch).first(half + 1));
        return;
      }
    }
  }

  // Any thread.
  alignas(kCacheLine) std::atomic<std::uint64_t> head_{0};
  // Owner writes, any thread reads.
  alignas(kCacheLine) std::atomic<std::uint32_t> tail_{0};
  // Constant after construction. Beside the tail, where the owner has it at hand.
  const std::uint32_t mask_;
  // A slot belongs to the owner, or to the thief that has claimed it.
  std::array<TaskHeader*, kCapacityMax> slots_{};
};

}  // namespace skua::internal
