// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/semaphore.h"

namespace skua {

Semaphore::~Semaphore() {
  internal::MutexLock lock(&mu_);
  SKUA_REQUIRE(first_ == nullptr, "a Semaphore was destroyed while a task waits for it");
}

bool Semaphore::add_free_permits(std::size_t count) noexcept {
  // Relaxed: the CAS that adds the permits is [PERMIT].
  std::size_t word = word_.load(std::memory_order_relaxed);
  while ((word & kHasWaiters) == 0) {
    SKUA_REQUIRE(count <= kPermitsMax - (word >> kPermitShift), count, word >> kPermitShift);
    if (word_.compare_exchange_weak(word, word + (count << kPermitShift), std::memory_order_acq_rel,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void Semaphore::release(std::size_t count) noexcept {
  if (!add_free_permits(count)) release_to_waiters(count);
}

void Semaphore::release_to_waiters(std::size_t count) noexcept {
  internal::SemaphoreAwaiter* granted = nullptr;
  {
    internal::MutexLock lock(&mu_);
    internal::SemaphoreAwaiter** tail = &granted;
    while (first_ != nullptr && count > 0) {
      internal::SemaphoreAwaiter* const waiter = first_;
      unlink(waiter);
      if (waiter->branch_ != nullptr && !waiter->branch_->claim()) continue;
      waiter->granted_ = true;
      *tail = waiter;
      tail = &waiter->next_;
      --count;
    }
    *tail = nullptr;
    if (count > 0) {
      const bool added = add_free_permits(count);  // The bit is set under mu_ only.
      SKUA_CHECK(added);
    }
  }
  // *this may be gone once a task that owns it is awake.
  while (granted != nullptr) {
    internal::SemaphoreAwaiter* const waiter = granted;
    granted = waiter->next_;  // Read first: the wake-up may end the waiter.
    waiter->task->wake();
  }
}

bool Semaphore::take_or_enqueue(internal::SemaphoreAwaiter* waiter) noexcept {
  internal::MutexLock lock(&mu_);
  std::size_t word = word_.load(std::memory_order_relaxed);
  while (word != kHasWaiters) {
    const bool free = word >= kOnePermit;
    const std::size_t next = free ? word - kOnePermit : kHasWaiters;
    // [HANDOVER]: a release that comes first makes it fail.
    if (word_.compare_exchange_weak(word, next, std::memory_order_acq_rel,
                                    std::memory_order_relaxed)) {
      if (free) return true;
      break;
    }
  }
  waiter->prev_ = last_;
  waiter->next_ = nullptr;
  waiter->linked_ = true;
  (last_ != nullptr ? last_->next_ : first_) = waiter;
  last_ = waiter;
  return false;
}

bool Semaphore::cancel(internal::SemaphoreAwaiter* waiter) noexcept {
  internal::MutexLock lock(&mu_);
  if (!waiter->linked_) return false;
  unlink(waiter);
  return true;
}

void Semaphore::unlink(internal::SemaphoreAwaiter* waiter) noexcept {
  (waiter->prev_ != nullptr ? waiter->prev_->next_ : first_) = waiter->next_;
  (waiter->next_ != nullptr ? waiter->next_->prev_ : last_) = waiter->prev_;
  waiter->linked_ = false;
  if (first_ != nullptr) return;
  const std::size_t before = word_.exchange(0, std::memory_order_acq_rel);  // [HANDOVER]
  SKUA_CHECK(before == kHasWaiters, before);
}

namespace internal {

bool SemaphoreAwaiter::suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  waiting->prepare_suspend(awaiting, this);
  if (semaphore_->take_or_enqueue(this)) {
    granted_ = true;
    waiting->undo_prepare();
    return waiting->spend_budget(awaiting, this);
  }
  return waiting->commit_suspend();  // *this may be gone.
}

bool SemaphoreAwaiter::select_arm(SelectBranch* branch) noexcept {
  task = branch->selection->task;
  branch_ = branch;
  if (!semaphore_->take_or_enqueue(this)) return false;
  granted_ = true;
  return true;
}

void SemaphoreAwaiter::select_disarm(SelectBranch*) noexcept {
  static_cast<void>(semaphore_->cancel(this));
}

CancelOutcome SemaphoreAwaiter::cancel_acquire(Waiter* waiter) noexcept {
  auto* const self = static_cast<SemaphoreAwaiter*>(waiter);
  return self->semaphore_->cancel(self) ? CancelOutcome::kUnlinked : CancelOutcome::kPending;
}

}  // namespace internal
}  // namespace skua
