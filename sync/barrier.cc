// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/barrier.h"

#include "skua/internal/executor.h"

namespace skua {

Barrier::~Barrier() {
  internal::SpinLockGuard lock(&mu_);
  SKUA_REQUIRE(waiters_.empty(), "a Barrier was destroyed while somebody waits for it");
}

bool Barrier::blocking_arrive_and_wait() noexcept {
  internal::require_may_block("skua::Barrier::blocking_arrive_and_wait");
  internal::BarrierAwaiter awaiter(this);
  awaiter.block();
  return awaiter.await_resume();
}

void Barrier::arrive_and_drop() noexcept {
  internal::WakeList woken;
  {
    internal::SpinLockGuard lock(&mu_);
    SKUA_REQUIRE(parties_ > 0, "more parties leave a Barrier than it has");
    --parties_;
    if (arrived_ == 0 || arrived_ < parties_) return;
    arrived_ = 0;
    static_cast<internal::BarrierAwaiter*>(waiters_.front())->last_ = true;
    woken.add_all(&waiters_);
  }
  woken.wake_all();  // *this may be gone.
}

namespace internal {

bool BarrierAwaiter::take_or_enqueue() noexcept {
  WakeList woken;
  {
    SpinLockGuard lock(&barrier_->mu_);
    if (++barrier_->arrived_ < barrier_->parties_) {
      barrier_->waiters_.push_back(this);
      return false;
    }
    barrier_->arrived_ = 0;
    woken.add_all(&barrier_->waiters_);
  }
  last_ = true;
  woken.wake_all();  // *barrier_ may be gone.
  return true;
}

bool BarrierAwaiter::cancel() noexcept {
  SpinLockGuard lock(&barrier_->mu_);
  if (!barrier_->waiters_.remove(this)) return false;
  --barrier_->arrived_;
  return true;
}

}  // namespace internal
}  // namespace skua
