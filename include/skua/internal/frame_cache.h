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
// 64 blocks. What is kept is bounded: kFramesKept for each class in a thread, kDepotBatches batches in the depot.
//
// Sanitizers must see each frame's own allocation, or they could not tell a dead frame from a recycled one: in their
// builds a thread's cache keeps nothing, and the lists run in their test alone.
//
// The fast paths are inline: with the size known to the compiler, as it is for a frame, they take six instructions.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "skua/internal/config.h"

namespace skua::internal {

inline constexpr std::size_t kFrameClassBytes = 64;
inline constexpr std::size_t kFrameClasses = 16;  // Up to 1 KiB; what is larger is not recycled.
inline constexpr std::size_t kFrameBatch = 64;
inline constexpr std::int32_t kFramesKept = 4 * kFrameBatch;

// The class of a block, 0 to kFrameClasses - 1; more for blocks that are not recycled.
constexpr std::size_t frame_class(std::size_t bytes) noexcept {
  return (bytes + kFrameClassBytes - 1) / kFrameClassBytes - 1;
}

// The list of a block: that of its class, or one that is always full.
constexpr std::uint8_t frame_list(std::size_t bytes) noexcept {
  return static_cast<std::uint8_t>(std::min(frame_class(bytes), kFrameClasses));
}

// A block that is free.
struct FrameBlock {
  FrameBlock* next;        // In the list or batch.
  FrameBlock* next_batch;  // The first block of the next batch; in a batch's first block only.
};

class FrameDepot;

// One thread's free lists. The thread itself, except where said. Constant initialized and without a destructor: a
// thread-local of it costs no guard.
class FrameCache {
 public:
  // Of a thread: finds its depot with its first block, and is released at the thread's end.
  constexpr FrameCache() noexcept = default;
  // Whoever made it calls release() before its end.
  explicit FrameCache(FrameDepot* depot) noexcept { attach(depot, kFramesKept); }
  FrameCache(const FrameCache&) = delete;
  FrameCache& operator=(const FrameCache&) = delete;

  // At least `bytes` bytes. Throws std::bad_alloc.
  [[nodiscard]] SKUA_ALWAYS_INLINE void* allocate(std::size_t bytes) {
    const std::size_t index = frame_class(bytes);
    if (SKUA_LIKELY(index < kFrameClasses)) {
      List& list = lists_[index];
      FrameBlock* const block = list.first;
      if (SKUA_LIKELY(block != nullptr)) {
        list.first = block->next;
        list.add_room(1);
        return block;
      }
    }
    void* const memory = allocate_slow(bytes);
    if (SKUA_UNLIKELY(memory == nullptr)) throw_bad_alloc();
    return memory;
  }

  // `bytes` as given to allocate(), which any thread has called.
  SKUA_ALWAYS_INLINE void free(void* memory, std::size_t bytes) noexcept {
    if (SKUA_UNLIKELY(!try_free(memory, frame_list(bytes)))) free_slow(memory, bytes);
  }
  // The same if there is room in the list. False: nothing has happened.
  [[nodiscard]] SKUA_ALWAYS_INLINE bool try_free(void* memory, std::uint8_t list_index) noexcept {
    List& list = lists_[list_index];
    if (SKUA_UNLIKELY(list.room.load(std::memory_order_relaxed) == 0)) return false;
    auto* const block = static_cast<FrameBlock*>(memory);
    block->next = list.first;
    list.first = block;
    list.add_room(-1);
    return true;
  }

  // Frees all that is kept; from here on nothing is.
  void release() noexcept;

  // Blocks got from the allocator, less those given back, less those that are kept. What other caches do is in theirs,
  // so that only the sum over all caches and the depot means anything. Any thread.
  std::int64_t balance() const noexcept;

 private:
  struct List {
    void add_room(std::int32_t n) noexcept {
      // Read by balance(), written by the owner alone: no read-modify-write.
      room.store(room.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }

    FrameBlock* first = nullptr;
    std::atomic<std::int32_t> room{0};  // How many more blocks may be kept.
  };

  void attach(FrameDepot* depot, std::int32_t capacity) noexcept;
  // True if a thread's cache has found its depot; false if the thread has ended.
  bool attached() noexcept;
  void count(std::int64_t n) noexcept {
    obtained_.store(obtained_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  // nullptr: there is no memory.
  SKUA_PRESERVE_MOST SKUA_COLD void* allocate_slow(std::size_t bytes) noexcept;
  [[noreturn]] SKUA_COLD static void throw_bad_alloc();
  SKUA_PRESERVE_MOST SKUA_COLD void free_slow(void* memory, std::size_t bytes) noexcept;
  void spill(List& list, std::size_t index) noexcept;

  std::span<List, kFrameClasses> kept_lists() noexcept {
    return std::span(lists_).first<kFrameClasses>();
  }

  std::array<List, kFrameClasses + 1> lists_{};  // The last one has no room, ever.
  FrameDepot* depot_ = nullptr;
  // Read by balance().
  std::atomic<std::int64_t> obtained_{0};
  std::atomic<std::int32_t> capacity_{0};  // Of each list; 0: nothing is kept.
  bool ended_ = false;
};

// This thread's. constinit, so that no guard is looked at; initial-exec, so that its address is one load away in a
// shared library too. The address may not be kept across a suspension: Clang 16 and later do not
// (llvm.threadlocal.address), and GCC splits a coroutine before it could.
extern thread_local constinit FrameCache frame_cache_of_thread [[gnu::tls_model("initial-exec")]];

}  // namespace skua::internal
