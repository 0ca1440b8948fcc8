// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/frame.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

#include "skua/internal/config.h"
#include "skua/internal/mutex.h"
#include "task/frame_count.h"
#include "task/frame_pool.h"

namespace skua::internal {
namespace {

static_assert(sizeof(TaskHeader) + sizeof(FrameMark) <= kHeaderBytes);

// See task/frame_pool.h.
constexpr bool kRecycles = !SKUA_TSAN && !SKUA_ASAN;

// What a thread keeps. Constant initialized, so that the fast path has no guard to look at; registered with its first
// block, and from the thread's end on only passed through.
struct ThreadFrames {
  enum class Life : std::uint8_t { kNew, kRegistered, kEnded };

  // Written by its thread alone, so that counting costs no read-modify-write; read by live_blocks().
  void count(std::int64_t n) noexcept {
    blocks.store(blocks.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  FrameCache cache;
  std::atomic<std::int64_t> blocks{0};  // Allocated less freed, by this thread.
  Life life = Life::kNew;
};

// The threads that keep something, and the sum of the counts of those that have ended.
struct AllFrames {
  FrameDepot depot;
  Mutex mu;
  std::vector<ThreadFrames*> threads SKUA_GUARDED_BY(mu);
  std::int64_t ended SKUA_GUARDED_BY(mu) = 0;
};

AllFrames& all_frames() noexcept {
  static AllFrames* const instance = new AllFrames();  // Threads may outlive static objects.
  return *instance;
}

thread_local constinit ThreadFrames frames_of_thread;

// Its destructor runs at the thread's end.
struct ThreadEnd {
  ~ThreadEnd() {
    ThreadFrames& frames = frames_of_thread;
    frames.cache.release();
    AllFrames& all = all_frames();
    MutexLock lock(&all.mu);
    all.ended += frames.blocks.load(std::memory_order_relaxed);
    std::erase(all.threads, &frames);
    frames.life = ThreadFrames::Life::kEnded;
  }
};

SKUA_COLD void register_thread(ThreadFrames& frames) {
  thread_local const ThreadEnd end;
  static_cast<void>(&end);  // Constructs it.
  AllFrames& all = all_frames();
  frames.cache.set_depot(&all.depot);
  MutexLock lock(&all.mu);
  all.threads.push_back(&frames);
  frames.life = ThreadFrames::Life::kRegistered;
}

SKUA_COLD void count_after_end(std::int64_t n) {
  AllFrames& all = all_frames();
  MutexLock lock(&all.mu);
  all.ended += n;
}

}  // namespace

SKUA_NOINLINE void* allocate_block(std::size_t bytes) {
  ThreadFrames& frames = frames_of_thread;
  if (SKUA_UNLIKELY(frames.life != ThreadFrames::Life::kRegistered)) {
    if (frames.life == ThreadFrames::Life::kEnded) {
      // Of the class's size: who frees it may recycle it.
      const std::size_t index = frame_class(bytes);
      void* const block =
          ::operator new(index < kFrameClasses ? (index + 1) * kFrameClassBytes : bytes);
      count_after_end(1);
      return block;
    }
    register_thread(frames);
  }
  void* const block = kRecycles ? frames.cache.allocate(bytes) : ::operator new(bytes);
  frames.count(1);
  return block;
}

SKUA_NOINLINE void free_block(void* block, std::size_t bytes) noexcept {
  ThreadFrames& frames = frames_of_thread;
  if (SKUA_UNLIKELY(frames.life != ThreadFrames::Life::kRegistered)) {
    if (frames.life == ThreadFrames::Life::kEnded) {
      ::operator delete(block);
      count_after_end(-1);
      return;
    }
    register_thread(frames);
  }
  frames.count(-1);
  if (kRecycles) {
    frames.cache.free(block, bytes);
  } else {
    ::operator delete(block);
  }
}

std::int64_t live_blocks() {
  AllFrames& all = all_frames();
  MutexLock lock(&all.mu);
  std::int64_t sum = all.ended;
  for (const ThreadFrames* thread : all.threads) {
    sum += thread->blocks.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace skua::internal
