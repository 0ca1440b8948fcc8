// SPDX-License-Identifier: Apache-2.0
//
// Event: something that has happened or not; those who wait go on when it has, and so does whoever comes later.
//
//   skua::Event ready;
//   co_await ready.wait();          // Any number of tasks.
//   ready.set();
//
//   [EVENT]  set()'s critical section -> that of wait(), or mu_ and [WAKE]. Who goes on sees what was done before
//   set().
//
// A task that has seen the event may end it at once, while set() is still on its way out: so who finds it set passes
// mu_ once, which set() leaves as its last access.
#pragma once

#include <atomic>

#include "skua/internal/config.h"
#include "skua/internal/spin_lock.h"
#include "skua/internal/wait_list.h"

namespace skua {

class Event;

namespace internal {

// Returned by Event::wait().
class [[nodiscard("co_await it; nothing waits otherwise")]] EventAwaiter final
    : public ListAwaiter<EventAwaiter> {
 public:
  static constexpr bool kSelectable = true;

  explicit EventAwaiter(Event* event) noexcept : event_(event) {}
  void await_resume() const noexcept {}

  bool take() noexcept;
  bool take_or_enqueue() noexcept;
  bool cancel() noexcept;

 private:
  Event* const event_;
};

}  // namespace internal

// Threads: any, and tasks of any runtime.
// Lifetime: outlives whoever waits (SKUA_REQUIRE in the destructor). Who comes back from wait() may end it, if
//   nobody else is going to use it; a set() that let it go on is through with it. Others that wait are going to use it
//   until they have come back, too: an abort of one that has been let go, but not yet gone on, still looks.
class Event {
 public:
  Event() noexcept = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  // It has happened. Wakes all who wait.
  //
  // Threads: any.
  void set() noexcept SKUA_EXCLUDES(mu_);
  // It has not happened any more: who comes from now on waits for the next set().
  //
  // Threads: any.
  void reset() noexcept SKUA_EXCLUDES(mu_);
  // Threads: any.
  bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }  // [EVENT]

  // Waits until it is set. A reset() right after set() takes nothing back from those who were waiting.
  //
  // Cancellation: safe; nothing is left behind.
  internal::EventAwaiter wait() noexcept { return internal::EventAwaiter(this); }
  // As wait(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  void blocking_wait() noexcept;

 private:
  friend internal::EventAwaiter;

  mutable internal::SpinLock mu_;
  std::atomic<bool> set_{false};  // Written under mu_.
  internal::WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

}  // namespace skua
