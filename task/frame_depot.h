// SPDX-License-Identifier: Apache-2.0
//
// Batches of free blocks that threads pass to each other; see skua/internal/frame_cache.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/frame_cache.h"
#include "skua/internal/mutex.h"

namespace skua::internal {

// Any thread.
class FrameDepot {
 public:
  FrameDepot() = default;
  FrameDepot(const FrameDepot&) = delete;
  FrameDepot& operator=(const FrameDepot&) = delete;
  ~FrameDepot();

  // A batch of kFrameBatch blocks, or nullptr.
  [[nodiscard]] FrameBlock* take(std::size_t index) noexcept;
  // Offers a batch of kFrameBatch blocks. False: there are enough, and it stays the caller's.
  [[nodiscard]] bool put(std::size_t index, FrameBlock* batch) noexcept;
  // Blocks in it.
  std::int64_t size() noexcept;

 private:
  static constexpr std::size_t kDepotBatches = 256;

  // A cache line each: classes do not disturb each other.
  struct alignas(kCacheLine) Shelf {
    Mutex mu;
    FrameBlock* batches SKUA_GUARDED_BY(mu) = nullptr;
    std::size_t count SKUA_GUARDED_BY(mu) = 0;
  };
  std::array<Shelf, kFrameClasses> shelves_;
};

// Gives the blocks of a list back to the allocator; returns how many.
std::int64_t delete_blocks(FrameBlock* block) noexcept;

}  // namespace skua::internal
