// SPDX-License-Identifier: Apache-2.0
//
// Condition: tasks wait until what a Mutex guards has changed.
//
//   auto guard = co_await mutex.lock();
//   while (jobs.empty()) co_await changed.wait(guard);
//
// A notified waiter goes from the condition's list straight to the mutex, or to the end of its queue: it is woken
// once, with the lock in its hands.
//
//   waits --notify--> has the lock, woken
//     |     \------> in the mutex's queue --unlock--> has the lock, woken
//     \--abort--> out of the list      \--abort--> out of the queue; what notify_one() gave goes to the next
//
//   [CONDITION]  wait() enqueues under mu_ before it unlocks the mutex: who changes something under the mutex and
//                then notifies finds the waiter. What it has done arrives by [MUTEX] and [WAKE].
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>

#include "skua/internal/spin_lock.h"
#include "skua/internal/wait_list.h"
#include "skua/sync/mutex.h"

namespace skua {

class Condition;

namespace internal {

// Returned by Condition::wait(). Lives in the awaiting frame, or on the stack of a thread that blocks.
class [[nodiscard("co_await it; nothing waits otherwise")]] ConditionAwaiter final
    : public ListedWaiter {
 public:
  ConditionAwaiter(Condition* condition, MutexGuard* guard) noexcept;
  // Unlocks what was locked again and never taken.
  ~ConditionAwaiter() {
    if (SKUA_UNLIKELY(granted)) mutex_->unlock();
  }

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return suspend(awaiting, awaiting.promise().task);  // *this may be gone.
  }

  void await_resume() noexcept {
    granted = false;
    *guard_ = MutexGuard(mutex_);
  }

  // Instead of awaiting it.
  void block() noexcept;

 private:
  friend Condition;

  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  void enqueue_and_unlock() noexcept;
  static CancelOutcome cancel_wait(Waiter* waiter) noexcept;
  enum class Notified : std::uint8_t { kNot, kOne, kAll };

  // Locks the mutex on behalf of the waiter, or queues it there. True: locked. Under the condition's mu_.
  [[nodiscard]] bool move_to_mutex(Notified by) noexcept;

  Condition* const condition_;
  MutexGuard* const guard_;
  skua::Mutex* const mutex_;
  Notified notified_ = Notified::kNot;  // By which call. Guarded by the condition's mu_.
};

}  // namespace internal

// Lets those wait who need something to change. Waiting allocates nothing. First come, first notified.
//
// Threads: any, and tasks of any runtime. Those that wait at the same time may use different mutexes.
// Lifetime: outlives whoever waits (SKUA_REQUIRE in the destructor), until they have come back from wait(): while one
//   who was notified waits for the mutex, its abort still needs the condition.
class Condition {
 public:
  Condition() noexcept = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  ~Condition();

  // Unlocks the mutex of `guard`, waits for a notification, and locks it again. There are no spurious wake-ups, but
  // what one waits for may have changed back meanwhile: await in a loop.
  //
  // Cancellation: safe. The task ends without the lock. A notification that it had been given already is not lost:
  //   while it waits for the mutex, that of notify_one() goes on to whoever else waits. If it has been given the lock,
  //   it goes on with it, and ends where it next suspends.
  // Requires: `guard` holds a mutex. It is neither used nor moved meanwhile.
  internal::ConditionAwaiter wait(MutexGuard& guard) noexcept {
    return internal::ConditionAwaiter(this, &guard);
  }

  // As wait(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  void blocking_wait(MutexGuard& guard) noexcept;

  // Lets the one go on who has waited longest. Nothing happens if nobody waits. With the mutex locked or not; if it
  // is, those who are notified do not run before it is unlocked.
  //
  // Threads: any.
  void notify_one() noexcept SKUA_EXCLUDES(mu_);
  // Lets all go on who wait now, one after the other.
  //
  // Threads: any.
  void notify_all() noexcept SKUA_EXCLUDES(mu_);

 private:
  friend internal::ConditionAwaiter;

  // Taken before that of a mutex.
  internal::SpinLock mu_;
  internal::WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

}  // namespace skua
