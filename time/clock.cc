// SPDX-License-Identifier: Apache-2.0
#include "time/clock.h"

#include <time.h>

namespace skua::internal {

std::int64_t now_ns() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);  // Cannot fail: the clock exists and the address is good.
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace skua::internal
