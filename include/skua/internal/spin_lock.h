// SPDX-License-Identifier: Apache-2.0
//
// A lock for sections of a few dozen instructions that call nothing which may block: half the price of a std::mutex
// where nobody competes, for its release is a plain store.
//
// Who finds it taken spins for about a microsecond, then gives the CPU away, and at last sleeps: its holder may have
// been preempted. It is not fair; what is fair is built on it.
//
//   [SPIN]  unlock()'s store (release) -> lock()'s exchange (acquire). All that the section before has done.
#pragma once

#include <atomic>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/mutex.h"

namespace skua::internal {

class SKUA_THREAD_ANNOTATION(capability("mutex")) SpinLock {
 public:
  SpinLock() noexcept = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  SKUA_ALWAYS_INLINE void lock() noexcept SKUA_THREAD_ANNOTATION(acquire_capability()) {
    if (SKUA_UNLIKELY(taken_.exchange(true, std::memory_order_acquire))) lock_slow();  // [SPIN]
  }
  // False: it is taken, by this thread perhaps.
  [[nodiscard]] bool try_lock() noexcept SKUA_THREAD_ANNOTATION(try_acquire_capability(true)) {
    return !taken_.exchange(true, std::memory_order_acquire);  // [SPIN]
  }
  SKUA_ALWAYS_INLINE void unlock() noexcept SKUA_THREAD_ANNOTATION(release_capability()) {
    taken_.store(false, std::memory_order_release);  // [SPIN]
  }

 private:
  SKUA_PRESERVE_MOST SKUA_COLD void lock_slow() noexcept;

  std::atomic<bool> taken_{false};
};

class SKUA_THREAD_ANNOTATION(scoped_lockable) SpinLockGuard {
 public:
  SKUA_ALWAYS_INLINE explicit SpinLockGuard(SpinLock* mu) noexcept
      SKUA_THREAD_ANNOTATION(acquire_capability(mu))
      : mu_(mu) {
    mu_->lock();
  }
  SKUA_ALWAYS_INLINE ~SpinLockGuard() SKUA_THREAD_ANNOTATION(release_capability()) {
    mu_->unlock();
  }
  SpinLockGuard(const SpinLockGuard&) = delete;
  SpinLockGuard& operator=(const SpinLockGuard&) = delete;

 private:
  SpinLock* const mu_;
};

}  // namespace skua::internal
