// SPDX-License-Identifier: Apache-2.0
//
// The timers of one worker, so that a million sleeps share no lock.
//
//   sleeping task --- add() ---> +------------+ --- fire() ---> wakes the tasks
//                                | TimerWheel |     this worker, or an idle one if it is stuck
//   aborting thread - remove() -> +------------+
//
// A node's life is decided under the lock: kLinked -> kIdle (remove() has won: nobody will wake the
// task) or kLinked -> kFiring (fire() has won: the wake-up is under way, and the node stays until
// then, because an aborted task does not go before the wake-up that it was promised).
//
//   [TIMER]    add()'s critical section -> fire()'s or remove()'s. They see the node and its task.
//   [EARLIER]  add() stores next_deadline_ns_, full barrier, then on_earlier looks for a sleeper.
//              The sleeper publishes until when it sleeps, full barrier, then loads
//              next_deadline_ns(). At least one of the two sees the other, so nobody sleeps past a
//              deadline. The sleeper's half is that of workers/.
//
// Tasks are woken after unlocking: waking takes the locks of others, and may run into remove().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/mutex.h"
#include "skua/internal/timer.h"
#include "time/timer_wheel.h"

namespace skua::internal {

class RuntimeClock;

class TimerQueue {
 public:
  // Called by add() when the earliest deadline has become earlier, on the thread that adds, with no
  // lock held. Two of them may come in either order: `deadline_ns` is a hint, next_deadline_ns()
  // the truth.
  using OnEarlier = void (*)(void* arg, std::int64_t deadline_ns);

  // `on_earlier` may be nullptr. `clock` is the one that deadlines are measured by; nullptr: the steady clock.
  TimerQueue(std::int64_t now_ns, OnEarlier on_earlier, void* arg,
             RuntimeClock* clock = nullptr) noexcept
      : on_earlier_(on_earlier), on_earlier_arg_(arg), clock_(clock), wheel_(now_ns) {}
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  // Requires: no node is linked.
  ~TimerQueue();

  // nullptr: the steady clock.
  RuntimeClock* clock() const noexcept { return clock_; }
  // The time that deadlines are compared with. Any thread.
  std::int64_t now_ns() const noexcept;

  // Adds a node whose deadline and task are set. From here on the task may be woken: between its
  // prepare_suspend() and commit_suspend(). Any thread.
  void add(TimerNode* node) noexcept SKUA_EXCLUDES(mu_);

  // Takes a node out again. False: it was taken out to be fired, the wake-up is under way or over.
  // Any thread that keeps the node alive.
  [[nodiscard]] bool remove(TimerNode* node) noexcept SKUA_EXCLUDES(mu_);

  // Wakes the tasks whose deadlines have come, by deadline; returns how many. Any thread.
  std::size_t fire(std::int64_t now_ns) noexcept SKUA_EXCLUDES(mu_);

  // The earliest deadline, rounded up to the tick; kNeverNs if there is none. It may be too early
  // after a remove(), and never is too late. Any thread.
  std::int64_t next_deadline_ns() const noexcept {
    // Acquire: who acts on what another thread has added sees what it wrote before. See [EARLIER].
    return next_deadline_ns_.load(std::memory_order_acquire);
  }

 private:
  // Constant after construction.
  const OnEarlier on_earlier_;
  void* const on_earlier_arg_;
  RuntimeClock* const clock_;

  mutable Mutex mu_;
  TimerWheel wheel_ SKUA_GUARDED_BY(mu_);

  // Stored under mu_, loaded by any thread.
  alignas(kCacheLine) std::atomic<std::int64_t> next_deadline_ns_{kNeverNs};
};
static_assert(sizeof(TimerQueue) % kCacheLine == 0, "next_deadline_ns_ must not share its line");

// The queue of the worker that this thread is, or nullptr. Never cached across a suspension.
TimerQueue* current_timer_queue() noexcept;
// Installed by workers/ for as long as a thread is a worker; nullptr to remove.
void set_current_timer_queue(TimerQueue* queue) noexcept;

}  // namespace skua::internal
