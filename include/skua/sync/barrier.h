// SPDX-License-Identifier: Apache-2.0
//
// Barrier: a number of tasks wait for each other, again and again.
//
//   skua::Barrier barrier(4);
//   bool last = co_await barrier.arrive_and_wait();      // In each of four tasks; true in one of them.
//
//   [BARRIER]  each arrival's critical section -> that of the last arrival, and [WAKE] or its return. Who goes on
//              sees what all did before they arrived.
#pragma once

#include <cstddef>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/spin_lock.h"
#include "skua/internal/wait_list.h"

namespace skua {

class Barrier;

namespace internal {

// Returned by Barrier::arrive_and_wait().
class [[nodiscard("co_await it; nobody arrives otherwise")]] BarrierAwaiter final
    : public ListAwaiter<BarrierAwaiter> {
 public:
  explicit BarrierAwaiter(Barrier* barrier) noexcept : barrier_(barrier) {}
  bool await_resume() const noexcept { return last_; }

  bool take() const noexcept { return false; }  // take_or_enqueue() arrives.
  bool take_or_enqueue() noexcept;
  bool cancel() noexcept;

 private:
  friend Barrier;

  Barrier* const barrier_;
  bool last_ = false;  // Its own, or while it is in the list that of who holds the lock.
};

}  // namespace internal

// Threads: any, and tasks of any runtime.
// Lifetime: outlives whoever waits (SKUA_REQUIRE in the destructor), until all of a round have come back: an abort of
//   one that has not still needs it.
class Barrier {
 public:
  // For `parties` at a time. Requires: parties >= 1.
  explicit Barrier(std::ptrdiff_t parties) noexcept : parties_(parties) {
    SKUA_REQUIRE(parties >= 1, parties);
  }
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;
  ~Barrier();

  // Arrives, and waits until all have; the next round begins then.
  //
  // Returns: true for one of each round: the last to arrive, or, if arrive_and_drop() has ended the round, the first.
  // Cancellation: safe. A task that is aborted while it waits takes its arrival back, and the others wait for
  // another one.
  internal::BarrierAwaiter arrive_and_wait() noexcept { return internal::BarrierAwaiter(this); }
  // As arrive_and_wait(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  bool blocking_arrive_and_wait() noexcept;
  // Leaves: from this round on, one less is waited for. Does not wait.
  //
  // Requires: there are more parties than have left.
  // Threads: any.
  void arrive_and_drop() noexcept SKUA_EXCLUDES(mu_);

 private:
  friend internal::BarrierAwaiter;

  internal::SpinLock mu_;
  std::ptrdiff_t parties_ SKUA_GUARDED_BY(mu_);
  std::ptrdiff_t arrived_ SKUA_GUARDED_BY(mu_) = 0;  // As many wait.
  internal::WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

}  // namespace skua
