// SPDX-License-Identifier: Apache-2.0
//
// Notify: tells one task that there is something to do, now or when it next asks.
//
//   skua::Notify notify;
//   consumer:  for (;;) { while (std::optional<Job> job = pop()) run(*job); co_await notify.notified(); }
//   producer:  push(job); notify.notify_one();
//
// One word: nothing, one notification that nobody has taken yet, or somebody waits.
//
//   notified:    kNotified -> 0          one CAS
//                0 -> kHasWaiters        under mu_: queue
//   notify_one:  0 -> kNotified          one CAS; a second one changes nothing
//                kHasWaiters             under mu_: to the first that waits
//
//   [NOTIFY]  notify_one()'s RMW of word_ (release) -> the RMW that takes the notification (acquire), or mu_ and
//             [WAKE]. While kHasWaiters is set, which is while the list is not empty (mu_ free), the word is written
//             under mu_.
#pragma once

#include <atomic>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/spin_lock.h"
#include "skua/internal/wait_list.h"

namespace skua {

class Notify;

namespace internal {

// Returned by Notify::notified().
class [[nodiscard("co_await it; nothing waits otherwise")]] NotifiedAwaiter final
    : public ListAwaiter<NotifiedAwaiter> {
 public:
  static constexpr bool kSelectable = true;

  explicit NotifiedAwaiter(Notify* notify) noexcept : notify_(notify) {}
  // Hands on a notification that was given and never taken.
  ~NotifiedAwaiter();

  void await_resume() noexcept { granted = false; }

  bool take() noexcept;
  bool take_or_enqueue() noexcept;
  bool cancel() noexcept;
  void give_back() noexcept;

 private:
  Notify* const notify_;
};

}  // namespace internal

// A notification is kept for the next who asks if nobody waits; more than one is not. For "wake all, and whoever
// comes later" see Event.
//
// Threads: any, and tasks of any runtime.
// Lifetime: outlives whoever waits (SKUA_REQUIRE in the destructor), until they have come back from notified(): an
//   abort of one that has been notified, but not yet gone on, still looks.
class Notify {
 public:
  Notify() noexcept = default;
  Notify(const Notify&) = delete;
  Notify& operator=(const Notify&) = delete;
  ~Notify();

  // Takes the notification, or waits for one. First come, first served.
  //
  // Cancellation: safe; the place in the queue is given up. A notification that had been given already is not lost:
  //   the task goes on with it and ends where it next suspends, or it is handed on.
  // Memory ordering: sees what was done before the notification.
  internal::NotifiedAwaiter notified() noexcept { return internal::NotifiedAwaiter(this); }
  // As notified(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  void blocking_notified() noexcept;

  // Notifies the one who has waited longest, or whoever comes next.
  //
  // Threads: any.
  void notify_one() noexcept SKUA_EXCLUDES(mu_);
  // Notifies all who wait now, and nobody who comes later.
  //
  // Threads: any.
  void notify_all() noexcept SKUA_EXCLUDES(mu_);

 private:
  friend internal::NotifiedAwaiter;

  static constexpr std::uint32_t kNotified = 1;
  static constexpr std::uint32_t kHasWaiters = 2;

  [[nodiscard]] bool try_take() noexcept {
    std::uint32_t expected = kNotified;
    return word_.compare_exchange_strong(expected, 0, std::memory_order_acquire,  // [NOTIFY]
                                         std::memory_order_relaxed);
  }
  [[nodiscard]] bool take_or_enqueue(internal::ListedWaiter* waiter) noexcept SKUA_EXCLUDES(mu_);
  [[nodiscard]] bool cancel(internal::ListedWaiter* waiter) noexcept SKUA_EXCLUDES(mu_);

  std::atomic<std::uint32_t> word_{0};

  internal::SpinLock mu_;
  internal::WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

inline void internal::NotifiedAwaiter::give_back() noexcept {
  if (SKUA_UNLIKELY(granted)) {
    granted = false;
    notify_->notify_one();
  }
}
inline internal::NotifiedAwaiter::~NotifiedAwaiter() { give_back(); }

inline bool internal::NotifiedAwaiter::take() noexcept {
  granted = notify_->try_take();
  return granted;
}

}  // namespace skua
