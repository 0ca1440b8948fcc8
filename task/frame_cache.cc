// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/frame_cache.h"

#include <new>
#include <vector>

#include "skua/internal/mutex.h"
#include "task/frame_count.h"
#include "task/frame_depot.h"

namespace skua::internal {

thread_local constinit FrameCache frame_cache_of_thread;

namespace {

// See frame_cache.h.
constexpr bool kRecycles = !SKUA_TSAN && !SKUA_ASAN;

// The threads' caches, and the sum of the balances of those that have ended.
struct AllCaches {
  FrameDepot depot;
  Mutex mu;
  std::vector<FrameCache*> caches SKUA_GUARDED_BY(mu);
  std::int64_t ended SKUA_GUARDED_BY(mu) = 0;
};

AllCaches& all_caches() noexcept {
  static AllCaches* const instance = new AllCaches();  // Threads may outlive static objects.
  return *instance;
}

// Its destructor runs at the thread's end.
struct ThreadEnd {
  ~ThreadEnd() {
    FrameCache& cache = frame_cache_of_thread;
    cache.release();
    AllCaches& all = all_caches();
    MutexLock lock(&all.mu);
    all.ended += cache.balance();
    std::erase(all.caches, &cache);
  }
};

void count_after_end(std::int64_t n) noexcept {
  AllCaches& all = all_caches();
  MutexLock lock(&all.mu);
  all.ended += n;
}

// Of the class's size: who frees it may recycle it.
std::size_t allocation_size(std::size_t bytes) noexcept {
  const std::size_t index = frame_class(bytes);
  return index < kFrameClasses ? (index + 1) * kFrameClassBytes : bytes;
}

}  // namespace

std::int64_t live_blocks() {
  AllCaches& all = all_caches();
  MutexLock lock(&all.mu);
  std::int64_t sum = all.ended - all.depot.size();
  for (const FrameCache* cache : all.caches) sum += cache->balance();
  return sum;
}

void FrameCache::attach(FrameDepot* depot, std::int32_t capacity) noexcept {
  depot_ = depot;
  capacity_.store(capacity, std::memory_order_relaxed);
  for (List& list : kept_lists()) list.room.store(capacity, std::memory_order_relaxed);
}

bool FrameCache::attached() noexcept {
  if (SKUA_LIKELY(depot_ != nullptr)) return true;
  if (ended_) return false;
  thread_local const ThreadEnd end;
  static_cast<void>(&end);  // Constructs it.
  AllCaches& all = all_caches();
  MutexLock lock(&all.mu);
  all.caches.push_back(this);
  // Without room, everything comes to the slow paths.
  attach(&all.depot, kRecycles ? kFramesKept : 0);
  return true;
}

void FrameCache::throw_bad_alloc() { throw std::bad_alloc(); }

void* FrameCache::allocate_slow(std::size_t bytes) noexcept {
  const std::size_t index = frame_class(bytes);
  if (!attached()) {
    void* const block = ::operator new(allocation_size(bytes), std::nothrow);
    if (block != nullptr) count_after_end(1);
    return block;
  }
  if (index < kFrameClasses) {
    FrameBlock* const batch = depot_->take(index);
    if (batch != nullptr) {
      List& list = lists_[index];
      list.first = batch->next;
      list.add_room(-static_cast<std::int32_t>(kFrameBatch - 1));
      return batch;
    }
  }
  void* const block = ::operator new(allocation_size(bytes), std::nothrow);
  if (block != nullptr) count(1);
  return block;
}

void FrameCache::free_slow(void* memory, std::size_t bytes) noexcept {
  const std::size_t index = frame_class(bytes);
  if (!attached()) {
    ::operator delete(memory);
    count_after_end(-1);
    return;
  }
  if (index >= kFrameClasses || capacity_.load(std::memory_order_relaxed) == 0) {
    ::operator delete(memory);
    count(-1);
    return;
  }
  List& list = lists_[index];
  if (list.room.load(std::memory_order_relaxed) == 0) spill(list, index);
  auto* const block = static_cast<FrameBlock*>(memory);
  block->next = list.first;
  list.first = block;
  list.add_room(-1);
}

void FrameCache::spill(List& list, std::size_t index) noexcept {
  FrameBlock* const batch = list.first;
  FrameBlock* last = batch;
  for (std::size_t i = 1; i < kFrameBatch; ++i) last = last->next;
  list.first = last->next;
  last->next = nullptr;
  list.add_room(kFrameBatch);
  if (!depot_->put(index, batch)) count(-delete_blocks(batch));
}

void FrameCache::release() noexcept {
  for (List& list : kept_lists()) {
    count(-delete_blocks(list.first));
    list.first = nullptr;
    list.room.store(0, std::memory_order_relaxed);
  }
  capacity_.store(0, std::memory_order_relaxed);
  depot_ = nullptr;
  ended_ = true;
}

std::int64_t FrameCache::balance() const noexcept {
  std::int64_t sum = obtained_.load(std::memory_order_relaxed);
  const std::int32_t capacity = capacity_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < kFrameClasses; ++i) {
    sum -= capacity - lists_[i].room.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace skua::internal
