// SPDX-License-Identifier: Apache-2.0
//
// How urgent a task is. What each level is promised: SpawnOptions::priority, and scheduler/README.md for the bounds.
#pragma once

#include <cstdint>

namespace skua {

// Ready tasks of a higher level run first. So that nothing starves, a worker that always has work gives at least 1
// of 8 turns to kNormal against kHigh, and at least 1 of 32 to kLow.
enum class Priority : std::uint8_t {
  kHigh,
  kNormal,
  kLow,
};

}  // namespace skua
