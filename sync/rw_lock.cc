// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/rw_lock.h"

namespace skua {

RwLockReadGuard RwLock::blocking_read() noexcept {
  internal::require_may_block("skua::RwLock::blocking_read");
  internal::RwLockReadAwaiter awaiter(this);
  awaiter.block();
  return awaiter.await_resume();
}

RwLockWriteGuard RwLock::blocking_write() noexcept {
  internal::require_may_block("skua::RwLock::blocking_write");
  internal::RwLockWriteAwaiter awaiter(this);
  awaiter.block();
  return awaiter.await_resume();
}

bool RwLock::take_or_enqueue(internal::RwLockWaiter* waiter) noexcept {
  internal::SpinLockGuard lock(&mu_);
  const bool reads = waiter->wants_ == internal::RwLockWaiter::Wants::kRead;
  const std::uint64_t in_the_way = reads ? kWriter : ~std::uint64_t{0};
  for (;;) {
    if (reads ? try_take_read() : try_take_write()) return true;
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    if ((word & kHasWaiters) != 0) break;
    if ((word & in_the_way) == 0) continue;  // Released meanwhile.
    // Acquire for nothing: [RW-LOCK] comes with the grant. An unlock that comes first makes it fail, one that comes
    // later finds the bit, and the waiter under mu_.
    if (word_.compare_exchange_weak(word, word | kHasWaiters, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      break;
    }
  }
  waiters_.push_back(waiter);
  return false;
}

bool RwLock::cancel(internal::RwLockWaiter* waiter) noexcept {
  internal::WakeList granted;
  {
    internal::SpinLockGuard lock(&mu_);
    if (!waiters_.remove(waiter)) return false;
    if (waiters_.empty()) {
      word_.fetch_and(~kHasWaiters,
                      std::memory_order_relaxed);  // Written under mu_; hands over nothing.
    } else {
      grant_first(&granted);  // Readers, perhaps, that a writer had kept waiting.
    }
  }
  granted.wake_all();
  return true;
}

void RwLock::unlock_and_hand_over(std::uint64_t share) noexcept {
  internal::WakeList granted;
  {
    internal::SpinLockGuard lock(&mu_);
    const std::uint64_t before = word_.fetch_sub(share, std::memory_order_release);  // [RW-LOCK]
    if (before == (share | kHasWaiters)) grant_first(&granted);
  }
  granted.wake_all();  // *this may be gone.
}

void RwLock::grant_first(internal::WakeList* granted) noexcept {
  const auto wants = [](internal::ListedWaiter* waiter) {
    return static_cast<internal::RwLockWaiter*>(waiter)->wants_;
  };
  using Wants = internal::RwLockWaiter::Wants;
  if (waiters_.empty()) return;
  // [RW-LOCK]. With kHasWaiters set, it is written under mu_ only.
  const std::uint64_t word = word_.load(std::memory_order_acquire);
  std::uint64_t taken = 0;
  const auto grant = [&](std::uint64_t share) SKUA_REQUIRES(mu_) {
    internal::ListedWaiter* const waiter = waiters_.pop_front();
    waiter->granted = true;
    granted->add(waiter);
    taken += share;
  };
  if (wants(waiters_.front()) == Wants::kWrite) {
    if (word != kHasWaiters) return;
    grant(kWriter);
  } else {
    if ((word & kWriter) != 0) return;
    while (!waiters_.empty() && wants(waiters_.front()) == Wants::kRead) grant(kReader);
  }
  // The bit is set, so the difference never borrows.
  word_.fetch_add(taken - (waiters_.empty() ? kHasWaiters : 0), std::memory_order_acq_rel);
}

namespace internal {

bool RwLockWaiter::take_or_enqueue() noexcept {
  // Not to be written once it is queued: it may be granted already.
  if (!lock_->take_or_enqueue(this)) return false;
  granted = true;
  return true;
}

bool RwLockWaiter::cancel() noexcept { return lock_->cancel(this); }

}  // namespace internal
}  // namespace skua
