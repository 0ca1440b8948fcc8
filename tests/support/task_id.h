// SPDX-License-Identifier: Apache-2.0
//
// The number of a task that a test has made.
#pragma once

#include <cstdint>

#include "skua/internal/task_header.h"

namespace skua::test {

// Requires: a SpawnedTask.
inline std::uint64_t id_of(const internal::TaskHeader* task) {
  return static_cast<const internal::SpawnedTask*>(task)->id;
}

}  // namespace skua::test
