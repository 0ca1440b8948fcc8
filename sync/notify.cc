// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/notify.h"

#include "skua/internal/check.h"
#include "skua/internal/executor.h"

namespace skua {

Notify::~Notify() {
  internal::SpinLockGuard lock(&mu_);
  SKUA_REQUIRE(waiters_.empty(), "a Notify was destroyed while somebody waits for it");
}

void Notify::blocking_notified() noexcept {
  internal::require_may_block("skua::Notify::blocking_notified");
  internal::NotifiedAwaiter awaiter(this);
  awaiter.block();
  awaiter.await_resume();
}

void Notify::notify_one() noexcept {
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  internal::ListedWaiter* waiter = nullptr;
  for (;;) {
    if ((word & kHasWaiters) == 0) {
      // [NOTIFY] A notification that is there already is written again: who takes it sees this caller's writes, too.
      if (word_.compare_exchange_weak(word, kNotified, std::memory_order_release,
                                      std::memory_order_relaxed)) {
        return;
      }
      continue;
    }
    internal::SpinLockGuard lock(&mu_);
    waiter = waiters_.pop_front();
    if (waiter != nullptr) {
      waiter->granted = true;
      // Relaxed: nothing is handed over by it, and the bit is written under mu_.
      if (waiters_.empty()) word_.store(0, std::memory_order_relaxed);
      break;
    }
    // The last waiter was cancelled meanwhile, or waits for nothing any more, and was taken out just now.
    word = word_.load(std::memory_order_relaxed);
    if ((word & kHasWaiters) != 0) {
      word = 0;
      word_.store(word, std::memory_order_relaxed);  // As above.
    }
  }
  waiter->wake();  // *this may be gone.
}

void Notify::notify_all() noexcept {
  internal::WakeList notified;
  {
    internal::SpinLockGuard lock(&mu_);
    if (waiters_.empty()) return;
    // Not granted: who is told by a notify_all() and never resumed has nothing to hand on.
    notified.add_all(&waiters_);
    word_.store(0, std::memory_order_relaxed);  // As above.
  }
  notified.wake_all();  // *this may be gone.
}

bool Notify::take_or_enqueue(internal::ListedWaiter* waiter) noexcept {
  internal::SpinLockGuard lock(&mu_);
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  while ((word & kHasWaiters) == 0) {
    // [NOTIFY] if there was one. Else a notify_one() that comes first makes it fail, one that comes later finds the
    // bit, and the waiter under mu_.
    if (word_.compare_exchange_weak(word, word == kNotified ? 0 : kHasWaiters,
                                    std::memory_order_acquire, std::memory_order_relaxed)) {
      if (word == kNotified) return true;
      break;
    }
  }
  waiters_.push_back(waiter);
  return false;
}

bool Notify::cancel(internal::ListedWaiter* waiter) noexcept {
  internal::SpinLockGuard lock(&mu_);
  if (!waiters_.remove(waiter)) return false;
  if (waiters_.empty()) word_.store(0, std::memory_order_relaxed);  // As above.
  return true;
}

namespace internal {

bool NotifiedAwaiter::take_or_enqueue() noexcept {
  // Not to be written once it is queued: it may be granted already.
  if (!notify_->take_or_enqueue(this)) return false;
  granted = true;
  return true;
}

bool NotifiedAwaiter::cancel() noexcept { return notify_->cancel(this); }

}  // namespace internal
}  // namespace skua
