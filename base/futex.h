// SPDX-License-Identifier: Apache-2.0
//
// futex(2) on one 32-bit word, private to the process. Spurious wake-ups happen: the caller loops.
#pragma once

#include <atomic>
#include <cstdint>

namespace skua::internal {

// Sleeps while *word == expected. Returns at once if it is not.
void futex_wait(std::atomic<std::uint32_t>* word, std::uint32_t expected) noexcept;

// The same until the steady clock (CLOCK_MONOTONIC) reads deadline_ns. False: the time is over.
bool futex_wait_until(std::atomic<std::uint32_t>* word, std::uint32_t expected,
                      std::int64_t deadline_ns) noexcept;

// Wakes one sleeper. `word` is used as an address only.
void futex_wake_one(std::atomic<std::uint32_t>* word) noexcept;

}  // namespace skua::internal
