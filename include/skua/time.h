// SPDX-License-Identifier: Apache-2.0
//
// Sleeping, and limits of time. Time is that of std::chrono::steady_clock, unless a test has paused it
// (skua/test_clock.h).
#pragma once

#include <chrono>

#include "skua/internal/timer.h"
#include "skua/interval.h"    // IWYU pragma: export
#include "skua/test_clock.h"  // IWYU pragma: export
#include "skua/timeout.h"     // IWYU pragma: export

namespace skua {

// The time of the runtime that the calling task runs on: what its sleeps, intervals and timeouts go by. On other
// threads that of std::chrono::steady_clock.
//
// Threads: any.
inline std::chrono::steady_clock::time_point now() noexcept {
  return std::chrono::steady_clock::time_point(
      std::chrono::nanoseconds(internal::runtime_now_ns()));
}

// Lets at least `duration` go by, counted from this call; other tasks run meanwhile. Any unit will
// do. Zero or less completes without suspending (see yield_now() for letting others run); what is
// too long for the clock (292 years) sleeps for ever.
//
// Resolution: deadlines are rounded up to whole milliseconds of the clock: never early, and late by
// up to 1 ms, besides what the worker is busy with.
// Cancellation: safe; nothing is left behind.
// Requires: awaited on a runtime.
template <typename Rep, typename Period>
internal::SleepAwaiter sleep_for(std::chrono::duration<Rep, Period> duration) {
  return internal::SleepAwaiter(internal::deadline_after_ns(internal::saturated_ns(duration)));
}

// Waits until now() is `deadline` or later. A deadline that has passed completes
// without suspending; time_point::max() never comes.
//
// Resolution, Cancellation, Requires: as sleep_for().
inline internal::SleepAwaiter sleep_until(std::chrono::steady_clock::time_point deadline) noexcept {
  return internal::SleepAwaiter(internal::time_ns(deadline));
}

}  // namespace skua
