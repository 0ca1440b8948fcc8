// SPDX-License-Identifier: Apache-2.0
//
// How many blocks of frames are alive at most while a tree of tasks runs.
#pragma once

#include <atomic>
#include <cstdint>

#include "task/frame_count.h"

namespace skua::test {

// The most blocks that a leaf has seen. Any thread.
class BlockPeak {
 public:
  // One leaf in `interval` looks: it takes a while.
  explicit BlockPeak(std::int64_t interval) : interval_(interval) {}

  void look(std::int64_t leaf) {
    if (leaf % interval_ != 0) return;
    const std::int64_t now = internal::live_blocks();
    std::int64_t seen = most_.load(std::memory_order_relaxed);
    while (now > seen && !most_.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
    }
  }
  std::int64_t most() const { return most_.load(std::memory_order_relaxed); }

 private:
  const std::int64_t interval_;
  std::atomic<std::int64_t> most_{0};
};

}  // namespace skua::test
