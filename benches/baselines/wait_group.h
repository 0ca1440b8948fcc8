// SPDX-License-Identifier: Apache-2.0
//
// Lets a thread wait for the end of many pieces of work.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace skua::bench {

class WaitGroup {
 public:
  explicit WaitGroup(std::int64_t count) : left_(count) {}

  // Any thread. Under the lock to its end: who waits may destroy this as soon as it has the lock.
  void done() {
    const std::lock_guard lock(mutex_);
    if (--left_ == 0) none_left_.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex_);
    none_left_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_left_;
  std::int64_t left_;  // Guarded by mutex_.
};

}  // namespace skua::bench
