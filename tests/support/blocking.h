// SPDX-License-Identifier: Apache-2.0
//
// For tests of blocking jobs.
#pragma once

#include <latch>
#include <optional>
#include <utility>

#include "skua/blocking.h"
#include "skua/runtime.h"

namespace skua::test {

inline RuntimeOptions with_threads(int threads) {
  return {.worker_threads = 2, .max_blocking_threads = threads};
}

// Occupies a thread of a class until it is opened. Opens itself at the end of its scope.
class Blocker {
 public:
  explicit Blocker(Runtime& runtime, SpawnBlockingOptions options = {}) {
    std::latch begun(1);
    job_.emplace(runtime.spawn_blocking(
        [this, &begun] {
          begun.count_down();
          gate_.wait();
        },
        options));
    begun.wait();
  }
  Blocker(const Blocker&) = delete;
  Blocker& operator=(const Blocker&) = delete;
  ~Blocker() {
    open();
    blocking_join(*std::move(job_));
  }
  void open() {
    if (!std::exchange(opened_, true)) gate_.count_down();
  }

 private:
  std::latch gate_{1};
  bool opened_ = false;
  std::optional<JoinHandle<void>> job_;
};

template <typename T>
JoinResult<T> result_of(Runtime& runtime, JoinHandle<T> handle) {
  const auto task = [](JoinHandle<T> h) -> Task<JoinResult<T>> {
    co_return co_await std::move(h).result();
  };
  return runtime.block_on(task(std::move(handle)));
}

template <typename T>
Task<T> await_handle(JoinHandle<T> handle) {
  co_return co_await std::move(handle);
}

}  // namespace skua::test
