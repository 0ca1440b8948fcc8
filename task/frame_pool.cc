// SPDX-License-Identifier: Apache-2.0
#include "task/frame_pool.h"

#include <new>

namespace skua::internal {
namespace {

void free_list(FrameDepot::Block* block) noexcept {
  while (block != nullptr) {
    FrameDepot::Block* const next = block->next;
    ::operator delete(block);
    block = next;
  }
}

}  // namespace

FrameDepot::~FrameDepot() {
  for (std::size_t index = 0; index < kFrameClasses; ++index) {
    while (Block* const batch = take(index)) free_list(batch);
  }
}

FrameDepot::Block* FrameDepot::take(std::size_t index) noexcept {
  Shelf& shelf = shelves_[index];
  MutexLock lock(&shelf.mu);
  Block* const batch = shelf.batches;
  if (batch != nullptr) {
    shelf.batches = batch->next_batch;
    --shelf.count;
  }
  return batch;
}

void FrameDepot::put(std::size_t index, Block* batch) noexcept {
  Shelf& shelf = shelves_[index];
  {
    MutexLock lock(&shelf.mu);
    if (shelf.count < kDepotBatches) {
      batch->next_batch = shelf.batches;
      shelf.batches = batch;
      ++shelf.count;
      return;
    }
  }
  free_list(batch);
}

void* FrameCache::allocate_slow(std::size_t index, std::size_t bytes) {
  if (index >= kFrameClasses) return ::operator new(bytes);
  if (FrameDepot::Block* const batch = depot_->take(index)) {
    List& list = lists_[index];
    list.first = batch->next;
    list.count = kFrameBatch - 1;
    return batch;
  }
  return ::operator new((index + 1) * kFrameClassBytes);
}

void FrameCache::spill(std::size_t index) noexcept {
  List& list = lists_[index];
  FrameDepot::Block* const batch = list.first;
  FrameDepot::Block* last = batch;
  for (std::size_t i = 1; i < kFrameBatch; ++i) last = last->next;
  list.first = last->next;
  list.count -= kFrameBatch;
  last->next = nullptr;
  depot_->put(index, batch);
}

void FrameCache::release() noexcept {
  for (List& list : lists_) {
    free_list(list.first);
    list = List();
  }
}

}  // namespace skua::internal
