// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/spin_lock.h"

#include <ctime>
#include <sched.h>

#include "skua/internal/atomic.h"

namespace skua::internal {
namespace {

constexpr int kSpins = 6;   // With 1, 2, 4, ... pauses between two looks.
constexpr int kYields = 8;  // Then the holder was preempted, by this thread perhaps.
// At last: the holder may be of a lower priority than all who wait, and yield to nobody.
constexpr long kSleepMinNs = 20'000;
constexpr long kSleepMaxNs = 1'000'000;

}  // namespace

SKUA_PRESERVE_MOST void SpinLock::lock_slow() noexcept {
  long sleep_ns = kSleepMinNs;
  for (int round = 0;; ++round) {
    if (round < kSpins) {
      for (int i = 0; i < 1 << round; ++i) cpu_relax();
    } else if (round < kSpins + kYields) {
      sched_yield();
    } else {
      const timespec pause{.tv_sec = 0, .tv_nsec = sleep_ns};
      nanosleep(&pause, nullptr);
      if (sleep_ns < kSleepMaxNs) sleep_ns *= 2;
    }
    // Relaxed: a look, so that the line is not fought for; the exchange decides.
    if (taken_.load(std::memory_order_relaxed)) continue;
    if (!taken_.exchange(true, std::memory_order_acquire)) return;  // [SPIN]
  }
}

}  // namespace skua::internal
