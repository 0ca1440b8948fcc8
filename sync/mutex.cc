// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/mutex.h"

namespace skua {

MutexGuard Mutex::blocking_lock() noexcept {
  internal::require_may_block("skua::Mutex::blocking_lock");
  internal::MutexAwaiter awaiter(this);
  awaiter.block();
  return awaiter.await_resume();
}

bool Mutex::take_or_enqueue(internal::ListedWaiter* waiter) noexcept {
  internal::SpinLockGuard lock(&mu_);
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  while ((word & kHasWaiters) == 0) {
    const bool free = word == 0;
    // [MUTEX] if it was free. Else an unlock that comes first makes it fail, one that comes later finds the bit, and
    // the waiter under mu_.
    if (word_.compare_exchange_weak(word, free ? kLocked : kLocked | kHasWaiters,
                                    std::memory_order_acquire, std::memory_order_relaxed)) {
      if (free) return true;
      break;
    }
  }
  waiters_.push_back(waiter);
  return false;
}

bool Mutex::cancel(internal::ListedWaiter* waiter) noexcept {
  internal::SpinLockGuard lock(&mu_);
  if (!waiters_.remove(waiter)) return false;
  // Relaxed: nothing is handed over, and the bit is written under mu_.
  if (waiters_.empty()) word_.store(kLocked, std::memory_order_relaxed);
  return true;
}

void Mutex::unlock_to_waiter() noexcept {
  internal::ListedWaiter* next = nullptr;
  {
    internal::SpinLockGuard lock(&mu_);
    next = waiters_.pop_front();
    if (next != nullptr) {
      next->granted = true;
      // Relaxed: it stays locked; the next one is told by its wake-up.
      if (waiters_.empty()) word_.store(kLocked, std::memory_order_relaxed);
    } else {
      word_.store(0,
                  std::memory_order_release);  // [MUTEX] The last waiter was cancelled meanwhile.
    }
  }
  if (next != nullptr) next->wake();  // *this may be gone.
}

namespace internal {

bool MutexAwaiter::take_or_enqueue() noexcept {
  // Not to be written once it is queued: it may be granted already.
  if (!mutex_->take_or_enqueue(this)) return false;
  granted = true;
  return true;
}

bool MutexAwaiter::cancel() noexcept { return mutex_->cancel(this); }

}  // namespace internal
}  // namespace skua
