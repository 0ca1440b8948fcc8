// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

namespace skua::test {

// Counts how often each value has arrived. Any thread.
class Tally {
 public:
  explicit Tally(std::size_t values) : arrived_(values) {}
  void count(int value) {
    arrived_[static_cast<std::size_t>(value)].fetch_add(1, std::memory_order_relaxed);
  }
  // How many have arrived once; a value that has arrived twice fails.
  std::size_t once() const {
    std::size_t count = 0;
    for (const auto& times : arrived_) {
      EXPECT_LE(times.load(), 1);
      count += times.load() == 1 ? 1 : 0;
    }
    return count;
  }

 private:
  std::vector<std::atomic<int>> arrived_;
};

}  // namespace skua::test
