// SPDX-License-Identifier: Apache-2.0
//
// The pool's idle threads, the newest on top: it is woken first, so that those below grow old and expire. Guarded by
// the pool's lock.
#pragma once

#include <atomic>
#include <cstdint>

#include "blocking_pool/pool_thread.h"

namespace skua::internal {

class Sleepers {
 public:
  bool empty() const noexcept { return top_ == nullptr; }
  int size() const noexcept { return size_; }
  // Threads taken so far: each was woken by a futex call.
  std::uint64_t pops() const noexcept { return pops_; }

  void push(PoolThread* thread) noexcept;
  // Requires: it is in here.
  void remove(PoolThread* thread) noexcept;
  // Takes the newest, has it work for class `c`, and tells it `word`. Returns what to call futex_wake_one() with, which
  // may be done without the lock; nullptr: nobody sleeps.
  std::atomic<std::uint32_t>* pop(std::uint32_t word, int c) noexcept;

 private:
  PoolThread* top_ = nullptr;
  int size_ = 0;
  std::uint64_t pops_ = 0;
};

}  // namespace skua::internal
