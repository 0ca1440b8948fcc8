// SPDX-License-Identifier: Apache-2.0
#include "task/frame_depot.h"

#include <new>

namespace skua::internal {

std::int64_t delete_blocks(FrameBlock* block) noexcept {
  std::int64_t count = 0;
  while (block != nullptr) {
    FrameBlock* const next = block->next;
    ::operator delete(block);
    block = next;
    ++count;
  }
  return count;
}

FrameDepot::~FrameDepot() {
  for (std::size_t index = 0; index < kFrameClasses; ++index) {
    while (FrameBlock* const batch = take(index)) delete_blocks(batch);
  }
}

FrameBlock* FrameDepot::take(std::size_t index) noexcept {
  Shelf& shelf = shelves_[index];
  MutexLock lock(&shelf.mu);
  FrameBlock* const batch = shelf.batches;
  if (batch != nullptr) {
    shelf.batches = batch->next_batch;
    --shelf.count;
  }
  return batch;
}

bool FrameDepot::put(std::size_t index, FrameBlock* batch) noexcept {
  Shelf& shelf = shelves_[index];
  MutexLock lock(&shelf.mu);
  if (shelf.count == kDepotBatches) return false;
  batch->next_batch = shelf.batches;
  shelf.batches = batch;
  ++shelf.count;
  return true;
}

std::int64_t FrameDepot::size() noexcept {
  std::int64_t blocks = 0;
  for (Shelf& shelf : shelves_) {
    MutexLock lock(&shelf.mu);
    blocks += static_cast<std::int64_t>(shelf.count * kFrameBatch);
  }
  return blocks;
}

}  // namespace skua::internal
