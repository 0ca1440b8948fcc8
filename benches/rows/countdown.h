// SPDX-License-Identifier: Apache-2.0
//
// Lets a task wait for the end of many that nobody joins.
#pragma once

#include <atomic>
#include <cstdint>

#include "skua/sync/semaphore.h"
#include "skua/task.h"

namespace skua::bench {

class Countdown {
 public:
  explicit Countdown(std::int64_t tasks) : left_(tasks) {}
  Countdown(const Countdown&) = delete;
  Countdown& operator=(const Countdown&) = delete;

  // Called by each of the tasks, once, as its last access to the countdown. Any thread.
  void count_down() {
    // Acquire and release: the last one sees all that the others did, as a join would.
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) end_.add_permits(1);
  }

  // How many have not counted down yet. Any thread.
  std::int64_t left() const { return left_.load(std::memory_order_acquire); }

 private:
  friend inline Task<> wait_for(Countdown* countdown);

  std::atomic<std::int64_t> left_;
  Semaphore end_{0};
};

// Returns when all have counted down. Once.
inline Task<> wait_for(Countdown* countdown) {
  [[maybe_unused]] const SemaphorePermit permit = co_await countdown->end_.acquire();
}

}  // namespace skua::bench
