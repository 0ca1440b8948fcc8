// SPDX-License-Identifier: Apache-2.0
//
// Recycles the blocks of coroutine frames: a free list for each thread and size class in front of the allocator.
//
//     thread A: free lists -- 64 blocks at a time --> depot <-- 64 at a time -- thread B: free lists
//                                                       | when it holds enough
//                                                       v
//                                                   operator delete
//
// A block goes to the free list of the thread that frees it, whoever allocated it. Where one thread allocates what
// another one frees (tasks spawned from outside), the blocks come back through the depot, whose lock is taken once in
// 64 blocks. What is kept is bounded: kBatches batches for each class in a thread, kDepotBatches in the depot.
//
// Sanitizers must see each frame's own allocation, or they could not tell a dead frame from a recycled one: in their
// builds allocate_block() goes straight to operator new, and the pool runs in its test alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/mutex.h"

namespace skua::internal {

inline constexpr std::size_t kFrameClassBytes = 64;
inline constexpr std::size_t kFrameClasses = 16;  // Up to 1 KiB; what is larger is not recycled.
inline constexpr std::size_t kFrameBatch = 64;

// The class of a block, 0 to kFrameClasses - 1; more for blocks that are not recycled.
constexpr std::size_t frame_class(std::size_t bytes) noexcept {
  return (bytes + kFrameClassBytes - 1) / kFrameClassBytes - 1;
}

// Batches of free blocks that threads pass to each other. Any thread.
class FrameDepot {
 public:
  struct Block {
    Block* next;        // In the batch.
    Block* next_batch;  // The first block of the next batch; in a batch's first block only.
  };

  FrameDepot() = default;
  FrameDepot(const FrameDepot&) = delete;
  FrameDepot& operator=(const FrameDepot&) = delete;
  ~FrameDepot();

  // A batch of kFrameBatch blocks, or nullptr.
  [[nodiscard]] Block* take(std::size_t index) noexcept;
  // Takes over a batch of kFrameBatch blocks; frees them if there are enough.
  void put(std::size_t index, Block* batch) noexcept;

 private:
  static constexpr std::size_t kDepotBatches = 256;

  // A cache line each: classes do not disturb each other.
  struct alignas(kCacheLine) Shelf {
    Mutex mu;
    Block* batches SKUA_GUARDED_BY(mu) = nullptr;
    std::size_t count SKUA_GUARDED_BY(mu) = 0;
  };
  std::array<Shelf, kFrameClasses> shelves_;
};

// One thread's free lists. The thread itself, except where said. Constant initialized and without a destructor: a
// thread-local of it costs no guard. The thread calls release() at its end.
class FrameCache {
 public:
  constexpr FrameCache() noexcept = default;
  explicit constexpr FrameCache(FrameDepot* depot) noexcept : depot_(depot) {}
  FrameCache(const FrameCache&) = delete;
  FrameCache& operator=(const FrameCache&) = delete;

  // Before the first use, of one that was made without a depot.
  void set_depot(FrameDepot* depot) noexcept { depot_ = depot; }

  // At least `bytes` bytes. Throws std::bad_alloc.
  void* allocate(std::size_t bytes) {
    const std::size_t index = frame_class(bytes);
    if (SKUA_LIKELY(index < kFrameClasses && lists_[index].first != nullptr)) {
      List& list = lists_[index];
      FrameDepot::Block* const block = list.first;
      list.first = block->next;
      --list.count;
      return block;
    }
    return allocate_slow(index, bytes);
  }

  // `bytes` as given to allocate(), which any thread has called.
  void free(void* memory, std::size_t bytes) noexcept {
    const std::size_t index = frame_class(bytes);
    if (SKUA_UNLIKELY(index >= kFrameClasses)) {
      ::operator delete(memory);
      return;
    }
    List& list = lists_[index];
    auto* const block = static_cast<FrameDepot::Block*>(memory);
    block->next = list.first;
    list.first = block;
    if (SKUA_UNLIKELY(++list.count >= kBatches * kFrameBatch)) spill(index);
  }

  // Frees all that is kept.
  void release() noexcept;

 private:
  static constexpr std::size_t kBatches = 4;

  struct List {
    FrameDepot::Block* first = nullptr;
    std::size_t count = 0;
  };

  SKUA_COLD void* allocate_slow(std::size_t index, std::size_t bytes);
  SKUA_COLD void spill(std::size_t index) noexcept;

  FrameDepot* depot_ = nullptr;
  std::array<List, kFrameClasses> lists_{};
};

}  // namespace skua::internal
