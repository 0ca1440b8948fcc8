// SPDX-License-Identifier: Apache-2.0
//
// Where one worker sleeps, and how it is woken there: on its futex, or in the kernel as the holder of the
// driver.
//
//                 park()                      unpark()
//   kEmpty -----------------> kFutex/kDriver ----------> kNotified, and the sleeper is shaken
//   kNotified --------------> kEmpty: does not sleep
//
//   [PARK]  unpark()'s exchange (seq_cst) -> park's CAS or exchange. A wake-up that comes before the sleep
//           is found by it, and none is counted twice.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/futex.h"
#include "io_driver/driver.h"
#include "skua/internal/config.h"

namespace skua::internal {

class Parker {
 public:
  Parker() = default;
  Parker(const Parker&) = delete;
  Parker& operator=(const Parker&) = delete;

  // Sleeps until unpark() or until `deadline_ns` (CLOCK_MONOTONIC; INT64_MAX: none); returns at once if unpark() came
  // first. Owner only.
  void park_on_futex_until(std::int64_t deadline_ns) noexcept {
    if (!begin(kFutex)) return;
    while (state_.load(std::memory_order_acquire) == kFutex) {
      if (deadline_ns == INT64_MAX) {
        futex_wait(&state_, kFutex);
      } else if (!futex_wait_until(&state_, kFutex, deadline_ns)) {
        break;
      }
    }
    end();
  }

  // Says that the owner is about to sleep in the driver. False: unpark() came first, do not. Owner only.
  [[nodiscard]] bool begin_driver() noexcept { return begin(kDriver); }
  // True if unpark() came since begin_driver(). Owner only.
  bool notified() const noexcept { return state_.load(std::memory_order_seq_cst) == kNotified; }
  // The owner is awake, and whatever woke it has been heard. Owner only.
  void end() noexcept { state_.exchange(kEmpty, std::memory_order_seq_cst); }

  // Wakes the owner, or keeps it from sleeping next. Any thread.
  void unpark(Driver& driver) noexcept {
    switch (state_.exchange(kNotified, std::memory_order_seq_cst)) {  // [PARK]
      case kFutex:
        futex_wake_one(&state_);
        break;
      case kDriver:
        driver.wake();
        break;
      default:
        break;
    }
  }

 private:
  static constexpr std::uint32_t kEmpty = 0;
  static constexpr std::uint32_t kFutex = 1;
  static constexpr std::uint32_t kDriver = 2;
  static constexpr std::uint32_t kNotified = 3;

  bool begin(std::uint32_t where) noexcept {
    std::uint32_t expected = kEmpty;
    if (state_.compare_exchange_strong(expected, where, std::memory_order_seq_cst)) return true;
    end();
    return false;
  }

  alignas(kCacheLine) std::atomic<std::uint32_t> state_{kEmpty};
};

}  // namespace skua::internal
