// SPDX-License-Identifier: Apache-2.0
//
// Interval: a tick each period.
//
//   skua::Interval every(1s);
//   for (;;) {
//     co_await every.tick();             // The first one at once.
//     report();
//   }
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>

#include "skua/internal/check.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/timer.h"

namespace skua {

class Interval;

// When the ticks come that were due while nobody was waiting for them. A tick counts as missed if it is taken more than
// 5 ms late, or a whole period, if that is shorter.
enum class MissedTicks : std::uint8_t {
  kBurst,  // At once, one after the other, until all are made up for. The number of ticks is right.
  kDelay,  // Never: the next one comes a period after the one that was late. The distance between two is right.
  kSkip,  // Never: the next one comes when it would have come without the delay. The times of day are right.
};

namespace internal {

// Returned by Interval::tick(). Lives in the awaiting frame.
class [[nodiscard("co_await it; nothing waits otherwise")]] TickAwaiter final {
 public:
  TickAwaiter(Interval* interval, std::int64_t deadline_ns) noexcept
      : interval_(interval), sleep_(deadline_ns) {}
  TickAwaiter(const TickAwaiter&) = delete;
  TickAwaiter& operator=(const TickAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return sleep_.await_suspend(awaiting);  // *this may be gone.
  }
  std::chrono::steady_clock::time_point await_resume() noexcept;

  // Of a select.
  bool select_take(internal::TaskHeader* task) noexcept { return sleep_.select_take(task); }
  bool select_arm(internal::SelectBranch* branch) noexcept { return sleep_.select_arm(branch); }
  void select_disarm(internal::SelectBranch* branch) noexcept { sleep_.select_disarm(branch); }

 private:
  Interval* const interval_;
  SleepAwaiter sleep_;
};

}  // namespace internal

// A value: a copy goes on from where this one is.
//
// Threads: one task at a time uses it; copy it for another one.
// Lifetime: neither assigned to, moved nor dropped while a task waits in its tick().
class Interval {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // The first tick comes at once. As in sleep_for(), any unit will do, and what is too long for the clock is for ever.
  //
  // Requires: period > 0.
  template <typename Rep, typename Period>
  explicit Interval(std::chrono::duration<Rep, Period> period,
                    MissedTicks missed = MissedTicks::kBurst)
      : Interval(internal::runtime_now_ns(), internal::saturated_ns(period), missed) {}
  // The first tick comes at `start`.
  //
  // Requires: period > 0.
  template <typename Rep, typename Period>
  Interval(TimePoint start, std::chrono::duration<Rep, Period> period,
           MissedTicks missed = MissedTicks::kBurst)
      : Interval(internal::time_ns(start), internal::saturated_ns(period), missed) {}

  // Waits until the next tick is due.
  //
  // Returns: when it was due, on co_await: by the clock of the runtime (skua::now()), and before this moment if the
  //   task is late.
  // Resolution: as sleep_for().
  // Cancellation: safe. A tick that was not returned is still to come.
  // Requires: awaited on a runtime.
  internal::TickAwaiter tick() noexcept { return internal::TickAwaiter(this, next_ns_); }

  // The next tick comes a period from now on, and the others after it.
  void reset() noexcept { reset_to(internal::deadline_after_ns(period_ns_)); }
  // The next tick comes at once.
  void reset_now() noexcept { reset_to(internal::runtime_now_ns()); }
  // The next tick comes at `time`.
  void reset_at(TimePoint time) noexcept { reset_to(internal::time_ns(time)); }

  // Between two ticks.
  std::chrono::nanoseconds period() const noexcept { return std::chrono::nanoseconds(period_ns_); }
  // What is done about missed ticks, from the next tick that is taken on.
  MissedTicks missed_ticks() const noexcept { return missed_; }
  void set_missed_ticks(MissedTicks missed) noexcept { missed_ = missed; }

 private:
  friend internal::TickAwaiter;

  Interval(std::int64_t start_ns, std::int64_t period_ns, MissedTicks missed) noexcept
      : next_ns_(start_ns), period_ns_(period_ns), missed_(missed) {
    SKUA_REQUIRE(period_ns > 0, "an Interval needs a period of more than zero", period_ns);
  }

  void reset_to(std::int64_t next_ns) noexcept { next_ns_ = next_ns; }
  // The tick has come; decides when the next one does. Returns when it was due.
  std::int64_t take_tick() noexcept;

  std::int64_t next_ns_;
  std::int64_t period_ns_;
  MissedTicks missed_;
};

inline std::chrono::steady_clock::time_point internal::TickAwaiter::await_resume() noexcept {
  return Interval::TimePoint(std::chrono::nanoseconds(interval_->take_tick()));
}

}  // namespace skua
