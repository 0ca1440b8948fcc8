// SPDX-License-Identifier: Apache-2.0
//
// The forks that a worker has open: its owner pushes and pops at the young end, thieves take from the old end.
//
//     thieves -- steal() --> | top   oldest ... newest   bottom | <-- push(), pop_if(), pop() -- owner
//
// Chase and Lev, "Dynamic Circular Work-Stealing Deque" (SPAA 2005), with the orderings of Lê, Pop, Cohen and Zappa
// Nardelli, "Correct and Efficient Work-Stealing for Weak Memory Models" (PPoPP 2013). One thing differs: the owner's
// pop needs a full barrier between its store of bottom and its load of top, and that barrier is a third of the cost of
// a fork. So it is passed only while somebody steals, which the gate says:
//
//   owner's pop                      thief (ForkGate::Visit)
//   -----------                      -----------------------
//   bottom = b                       gate + 1                    (seq_cst)
//   reads the gate                   process-wide barrier        (membarrier(2): passes on every thread)
//     not 0: full barrier            top, full barrier, bottom, CAS of top ...
//   reads top                        gate - 1                    (release)
//
//   [FORK-GATE]  The barrier passes somewhere in the owner's instructions. If the owner has read the gate before, its
//                store of bottom was before too, and the thief sees it. If it reads the gate after, it finds it raised
//                and passes the barrier itself. Who reads 0 because the last thief has left, sees that thief's top.
//   [FORK-SLEEP] An owner pushes and reads the idle word without a barrier between. A worker that goes to sleep passes
//                the process-wide barrier between its announcement and its last look, if forks were ever used. An
//                owner says so, and passes a full barrier, before its first push.
//   [FORK-PUSH]  push's store of bottom_ (release) -> steal's load (acquire). The thief sees the record.
//
// tests/model/fork_deque.pml checks this. Without membarrier(2) the gate is never 0.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "skua/internal/atomic.h"
#include "skua/internal/config.h"

namespace skua::internal {

class ForkRecord;

// Says whether anybody steals from the deques of a scheduler.
class ForkGate {
 public:
  // `barrier` passes a full barrier on every running thread of the process; nullptr: there is no such thing, and
  // owners must pass their own for ever.
  explicit ForkGate(void (*barrier)() noexcept) noexcept
      : barrier_(barrier), thieves_(barrier == nullptr ? 1 : 0) {}
  ForkGate(const ForkGate&) = delete;
  ForkGate& operator=(const ForkGate&) = delete;

  // Steals happen while one of these lives. Any thread.
  class Visit {
   public:
    explicit Visit(ForkGate& gate) noexcept : gate_(gate) {
      if (gate_.barrier_ == nullptr) return;
      gate_.thieves_.fetch_add(1, std::memory_order_seq_cst);  // [FORK-GATE]
      gate_.barrier_();
    }
    ~Visit() {
      if (gate_.barrier_ != nullptr) gate_.thieves_.fetch_sub(1, std::memory_order_release);
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    ForkGate& gate_;
  };

  // Any thread.
  bool open() const noexcept {
    return thieves_.load(std::memory_order_acquire) != 0;  // [FORK-GATE]
  }

  // An owner is about to push for the first time. Owners of deques.
  void note_use() noexcept {
    used_.store(true, std::memory_order_relaxed);
    full_barrier();  // [FORK-SLEEP]
  }
  // The sleeper's half of [FORK-SLEEP]: after it has announced its sleep and passed a full barrier, and before it
  // looks at the deques. Costs nothing as long as nobody forks. A worker.
  void before_last_look() const noexcept {
    if (barrier_ != nullptr && used_.load(std::memory_order_relaxed)) barrier_();
  }
  // False: who pushes must pass a full barrier before it looks at the idle word. Any thread.
  bool has_barrier() const noexcept { return barrier_ != nullptr; }

 private:
  void (*const barrier_)() noexcept;
  std::atomic<bool> used_{false};  // Set once.
  // Thieves write, owners read with each pop.
  alignas(kCacheLine) std::atomic<std::uint32_t> thieves_;
};

class ForkDeque {
 public:
  static constexpr std::int64_t kFirstCapacity = 256;

  // Allocates next to nothing until the first push, then room for `first_capacity` records, a power of two.
  explicit ForkDeque(ForkGate& gate, std::int64_t first_capacity = kFirstCapacity);
  ForkDeque(const ForkDeque&) = delete;
  ForkDeque& operator=(const ForkDeque&) = delete;
  // Requires: empty.
  ~ForkDeque();

  // Adds a record at the young end. Owner only.
  SKUA_ALWAYS_INLINE void push(ForkRecord* record) noexcept {
    const std::int64_t b = bottom_.load(std::memory_order_relaxed);  // Ours alone to write.
    if (SKUA_UNLIKELY(b >= limit_)) make_room(b);
    slots_[b & mask_].store(record, std::memory_order_relaxed);  // Published by bottom_.
    bottom_.store(b + 1, std::memory_order_release);             // [FORK-PUSH]
  }

  // Takes the newest record if it is `record`. False: it was stolen, or stands on another worker's deque, or under
  // newer ones. Owner only.
  [[nodiscard]] SKUA_ALWAYS_INLINE bool pop_if(const ForkRecord* record) noexcept {
    const Pop pop = try_pop_if(record);
    return SKUA_LIKELY(pop == Pop::kTaken) || (pop == Pop::kContended && pop_contended());
  }

  // The same in two steps, the first of which calls no function. Owner only.
  enum class Pop {
    kTaken,
    kNotNewest,
    kContended,  // It is the only one, or was stolen: pop_contended() must follow at once, and says whether it is ours.
  };
  [[nodiscard]] SKUA_ALWAYS_INLINE Pop try_pop_if(const ForkRecord* record) noexcept {
    const std::int64_t b = bottom_.load(std::memory_order_relaxed) - 1;
    // What is left in a slot that was stolen may look right; the claim below tells.
    if (SKUA_UNLIKELY(slots_[b & mask_].load(std::memory_order_relaxed) != record)) {
      return Pop::kNotNewest;
    }
    return try_claim(b) ? Pop::kTaken : Pop::kContended;
  }
  [[nodiscard]] bool pop_contended() noexcept {
    return claim_last(bottom_.load(std::memory_order_relaxed));
  }

  // Takes the newest record; nullptr if there is none. Owner only.
  [[nodiscard]] ForkRecord* pop() noexcept {
    const std::int64_t b = bottom_.load(std::memory_order_relaxed) - 1;
    if (b < top_.load(std::memory_order_relaxed)) return nullptr;  // top_ only grows.
    ForkRecord* const record = slots_[b & mask_].load(std::memory_order_relaxed);
    return try_claim(b) || claim_last(b) ? record : nullptr;
  }

  // Takes the oldest record; nullptr if there is none or somebody was faster. Any thread, during a ForkGate::Visit;
  // the owner at any time.
  [[nodiscard]] ForkRecord* steal() noexcept;

  // A snapshot that may be outdated. Any thread.
  bool looks_empty() const noexcept {
    return bottom_.load(std::memory_order_acquire) <= top_.load(std::memory_order_acquire);
  }
  // The same. Any thread.
  std::size_t size() const noexcept {
    const std::int64_t n =
        bottom_.load(std::memory_order_acquire) - top_.load(std::memory_order_acquire);
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }

 private:
  using Slot = std::atomic<ForkRecord*>;
  struct Buffer;

  SKUA_PRESERVE_MOST SKUA_COLD void make_room(std::int64_t bottom) noexcept;
  SKUA_COLD bool claim_last(std::int64_t index) noexcept;

  // Takes back the record at `index`, the newest. False: claim_last() decides. Owner only.
  SKUA_ALWAYS_INLINE bool try_claim(std::int64_t index) noexcept {
    bottom_.store(index, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // The gate is read after the store.
    if (SKUA_UNLIKELY(gate_.open())) full_barrier();
    return SKUA_LIKELY(top_.load(std::memory_order_acquire) < index);
  }

  // Constant after construction.
  ForkGate& gate_;
  // Owner only.
  Slot* slots_;  // buffer_'s.
  std::int64_t mask_ = 0;
  std::int64_t limit_ = 0;  // Up to here there is room, as far as is known.
  // Owner writes, any thread reads.
  std::atomic<std::int64_t> bottom_{0};
  std::atomic<Buffer*> buffer_;
  // Owner only. Thieves may still read the older ones.
  std::unique_ptr<Buffer> buffers_;
  // Constant after construction.
  const std::int64_t first_capacity_;
  // Any thread.
  alignas(kCacheLine) std::atomic<std::int64_t> top_{0};
};

}  // namespace skua::internal
