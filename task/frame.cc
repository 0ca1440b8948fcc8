// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/frame.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "skua/internal/mutex.h"
#include "task/frame_count.h"

namespace skua::internal {
namespace {

static_assert(sizeof(TaskHeader) + sizeof(FrameMark) <= kHeaderBytes);

struct ThreadCount;

// The counts of the threads that live, and the sum of those that have ended.
struct Counts {
  Mutex mu;
  std::vector<ThreadCount*> threads SKUA_GUARDED_BY(mu);
  std::int64_t ended SKUA_GUARDED_BY(mu) = 0;
};

Counts& counts() {
  static Counts* const instance = new Counts();  // Threads may outlive static objects.
  return *instance;
}

// Blocks allocated less blocks freed by one thread; written by it alone, so that counting costs no
// read-modify-write.
struct ThreadCount {
  ThreadCount() {
    MutexLock lock(&counts().mu);
    counts().threads.push_back(this);
  }
  ~ThreadCount() {
    MutexLock lock(&counts().mu);
    counts().ended += blocks.load(std::memory_order_relaxed);
    std::erase(counts().threads, this);
  }
  void add(std::int64_t n) noexcept {
    blocks.store(blocks.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::atomic<std::int64_t> blocks{0};
};

thread_local ThreadCount count_of_thread;

}  // namespace

void* allocate_block(std::size_t size) {
  void* const block = ::operator new(size);
  count_of_thread.add(1);
  return block;
}

void free_block(void* block) noexcept {
  count_of_thread.add(-1);
  ::operator delete(block);
}

std::int64_t live_blocks() {
  MutexLock lock(&counts().mu);
  std::int64_t sum = counts().ended;
  for (const ThreadCount* thread : counts().threads) {
    sum += thread->blocks.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace skua::internal
