// SPDX-License-Identifier: Apache-2.0
//
// Latch: counts down to zero, once; those who wait go on then.
//
//   skua::Latch done(10);
//   co_await done.wait();           // Any number of tasks.
//   done.count_down();              // Ten times.
//
//   [LATCH]  each count_down()'s RMW of count_ (acq_rel) -> wait()'s load (acquire), or mu_ and [WAKE]. Who goes on
//            sees what was done before every count_down().
//
// The last count_down() is made under mu_, and who finds the count at zero passes mu_ once: it may end the latch
// then.
#pragma once

#include <atomic>
#include <cstddef>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/spin_lock.h"
#include "skua/internal/wait_list.h"

namespace skua {

class Latch;

namespace internal {

// Returned by Latch::wait() and arrive_and_wait().
class [[nodiscard("co_await it; nothing waits otherwise")]] LatchAwaiter final
    : public ListAwaiter<LatchAwaiter> {
 public:
  static constexpr bool kSelectable = true;

  explicit LatchAwaiter(Latch* latch) noexcept : latch_(latch) {}
  void await_resume() const noexcept {}

  bool take() noexcept;
  bool take_or_enqueue() noexcept;
  bool cancel() noexcept;

 private:
  Latch* const latch_;
};

}  // namespace internal

// Threads: any, and tasks of any runtime.
// Lifetime: outlives whoever waits (SKUA_REQUIRE in the destructor). Who comes back from wait() may end it, if
//   nobody else is going to use it; the count_down() calls are through with it. Others that wait are going to use it
//   until they have come back, too: an abort of one that has been let go, but not yet gone on, still looks.
class Latch {
 public:
  // Requires: count >= 0.
  explicit Latch(std::ptrdiff_t count) noexcept : count_(count) { SKUA_REQUIRE(count >= 0, count); }
  Latch(const Latch&) = delete;
  Latch& operator=(const Latch&) = delete;
  ~Latch();

  // Counts down by `n`. At zero, wakes all who wait.
  //
  // Requires: 0 <= n, and not more than what is left.
  // Threads: any.
  void count_down(std::ptrdiff_t n = 1) noexcept SKUA_EXCLUDES(mu_);
  // Whether the count is zero.
  //
  // Threads: any.
  bool try_wait() const noexcept {
    return count_.load(std::memory_order_acquire) == 0;  // [LATCH]
  }

  // Waits until the count is zero.
  //
  // Cancellation: safe; nothing is left behind.
  internal::LatchAwaiter wait() noexcept { return internal::LatchAwaiter(this); }
  // Counts down, at once, and waits.
  //
  // Cancellation: as wait(); what was counted stays counted.
  internal::LatchAwaiter arrive_and_wait(std::ptrdiff_t n = 1) noexcept {
    count_down(n);
    return internal::LatchAwaiter(this);
  }
  // As wait(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  void blocking_wait() noexcept;

 private:
  friend internal::LatchAwaiter;

  internal::SpinLock mu_;
  std::atomic<std::ptrdiff_t> count_;
  internal::WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

}  // namespace skua
