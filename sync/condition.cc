// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/condition.h"

#include "skua/internal/check.h"
#include "skua/internal/executor.h"

namespace skua {

Condition::~Condition() {
  internal::SpinLockGuard lock(&mu_);
  SKUA_REQUIRE(waiters_.empty(), "a Condition was destroyed while somebody waits for it");
}

void Condition::blocking_wait(MutexGuard& guard) noexcept {
  internal::require_may_block("skua::Condition::blocking_wait");
  internal::ConditionAwaiter awaiter(this, &guard);
  awaiter.block();
  awaiter.await_resume();
}

void Condition::notify_one() noexcept {
  internal::ListedWaiter* locked = nullptr;
  {
    internal::SpinLockGuard lock(&mu_);
    internal::ListedWaiter* const waiter = waiters_.pop_front();
    if (waiter == nullptr) return;
    auto* const awaiter = static_cast<internal::ConditionAwaiter*>(waiter);
    if (awaiter->move_to_mutex(internal::ConditionAwaiter::Notified::kOne)) locked = waiter;
  }
  if (locked != nullptr) locked->wake();
}

void Condition::notify_all() noexcept {
  internal::WakeList locked;
  {
    internal::SpinLockGuard lock(&mu_);
    while (internal::ListedWaiter* const waiter = waiters_.pop_front()) {
      auto* const awaiter = static_cast<internal::ConditionAwaiter*>(waiter);
      if (awaiter->move_to_mutex(internal::ConditionAwaiter::Notified::kAll)) locked.add(waiter);
    }
  }
  locked.wake_all();
}

namespace internal {

ConditionAwaiter::ConditionAwaiter(Condition* condition, MutexGuard* guard) noexcept
    : ListedWaiter(&cancel_wait), condition_(condition), guard_(guard), mutex_(guard->mutex()) {
  SKUA_REQUIRE(mutex_ != nullptr, "Condition::wait() with a MutexGuard that holds nothing");
}

bool ConditionAwaiter::suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  waiting->prepare_suspend(awaiting, this);
  enqueue_and_unlock();
  return waiting->commit_suspend();  // *this may be gone.
}

void ConditionAwaiter::block() noexcept {
  ThreadJoiner joiner;
  set_thread(&joiner);
  enqueue_and_unlock();
  joiner.wait();  // [JOIN-THREAD]
}

void ConditionAwaiter::enqueue_and_unlock() noexcept {
  guard_->mutex_ = nullptr;
  {
    SpinLockGuard lock(&condition_->mu_);  // [CONDITION]
    condition_->waiters_.push_back(this);
  }
  // *this is still there: a task does not go on before its commit_suspend(), nor a thread before it waits.
  mutex_->unlock();
}

bool ConditionAwaiter::move_to_mutex(Notified by) noexcept {
  notified_ = by;
  if (!mutex_->take_or_enqueue(this)) return false;
  granted = true;
  return true;
}

CancelOutcome ConditionAwaiter::cancel_wait(Waiter* waiter) noexcept {
  auto* const self = static_cast<ConditionAwaiter*>(waiter);
  Notified notified;
  {
    SpinLockGuard lock(&self->condition_->mu_);
    notified = self->notified_;
    if (notified == Notified::kNot) {
      return self->condition_->waiters_.remove(self) ? CancelOutcome::kUnlinked
                                                     : CancelOutcome::kPending;
    }
  }
  if (!self->mutex_->cancel(self)) return CancelOutcome::kPending;
  // The one who was chosen to go on will not. If nobody else waits, whoever comes looks at what has changed first.
  if (notified == Notified::kOne) self->condition_->notify_one();
  return CancelOutcome::kUnlinked;
}

}  // namespace internal
}  // namespace skua
