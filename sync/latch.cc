// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/latch.h"

#include "skua/internal/executor.h"

namespace skua {

Latch::~Latch() {
  internal::SpinLockGuard lock(&mu_);
  SKUA_REQUIRE(waiters_.empty(), "a Latch was destroyed while somebody waits for it");
}

void Latch::count_down(std::ptrdiff_t n) noexcept {
  // Relaxed: the CAS that counts is [LATCH].
  std::ptrdiff_t left = count_.load(std::memory_order_relaxed);
  SKUA_REQUIRE(n >= 0 && n <= left, n, left);
  while (left > n) {
    if (count_.compare_exchange_weak(left, left - n, std::memory_order_acq_rel,
                                     std::memory_order_relaxed)) {
      return;
    }
    SKUA_REQUIRE(n <= left, n, left);
  }
  if (n == 0) return;
  internal::WakeList woken;
  {
    internal::SpinLockGuard lock(&mu_);
    left = count_.fetch_sub(n, std::memory_order_acq_rel);  // [LATCH]
    SKUA_REQUIRE(n == left, n, left);                       // It only sinks, and it was n.
    woken.add_all(&waiters_);
  }
  woken.wake_all();  // *this may be gone.
}

void Latch::blocking_wait() noexcept {
  internal::require_may_block("skua::Latch::blocking_wait");
  internal::LatchAwaiter awaiter(this);
  awaiter.block();
}

namespace internal {

bool LatchAwaiter::take() noexcept {
  if (!latch_->try_wait()) return false;
  const SpinLockGuard pass(&latch_->mu_);
  return true;
}

bool LatchAwaiter::take_or_enqueue() noexcept {
  SpinLockGuard lock(&latch_->mu_);
  if (latch_->try_wait()) return true;
  latch_->waiters_.push_back(this);
  return false;
}

bool LatchAwaiter::cancel() noexcept {
  SpinLockGuard lock(&latch_->mu_);
  return latch_->waiters_.remove(this);
}

}  // namespace internal
}  // namespace skua
