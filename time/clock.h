// SPDX-License-Identifier: Apache-2.0
//
// The steady clock that timers are measured by.
#pragma once

#include <cstdint>

namespace skua::internal {

// CLOCK_MONOTONIC, in ns: the clock of std::chrono::steady_clock. Any thread.
std::int64_t now_ns() noexcept;

}  // namespace skua::internal
