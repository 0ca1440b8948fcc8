// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/event.h"

#include "skua/internal/check.h"
#include "skua/internal/executor.h"

namespace skua {

Event::~Event() {
  internal::SpinLockGuard lock(&mu_);
  SKUA_REQUIRE(waiters_.empty(), "an Event was destroyed while somebody waits for it");
}

void Event::set() noexcept {
  internal::WakeList woken;
  {
    internal::SpinLockGuard lock(&mu_);
    set_.store(true, std::memory_order_release);  // [EVENT]
    woken.add_all(&waiters_);
  }
  woken.wake_all();  // *this may be gone.
}

void Event::reset() noexcept {
  internal::SpinLockGuard lock(&mu_);
  set_.store(false, std::memory_order_relaxed);  // Tells nothing but itself.
}

void Event::blocking_wait() noexcept {
  internal::require_may_block("skua::Event::blocking_wait");
  internal::EventAwaiter awaiter(this);
  awaiter.block();
}

namespace internal {

bool EventAwaiter::take() noexcept {
  if (!event_->is_set()) return false;
  const SpinLockGuard pass(&event_->mu_);
  return true;
}

bool EventAwaiter::take_or_enqueue() noexcept {
  SpinLockGuard lock(&event_->mu_);
  if (event_->is_set()) return true;  // [EVENT]
  event_->waiters_.push_back(this);
  return false;
}

bool EventAwaiter::cancel() noexcept {
  SpinLockGuard lock(&event_->mu_);
  return event_->waiters_.remove(this);
}

}  // namespace internal
}  // namespace skua
