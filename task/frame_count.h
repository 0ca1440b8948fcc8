// SPDX-License-Identifier: Apache-2.0
//
// How many coroutine frames there are, for tests and metrics.
#pragma once

#include <cstdint>

namespace skua::internal {

// Blocks of coroutine frames and spawned tasks allocated and not freed, in the whole process. Exact while no
// other thread allocates or frees any. Any thread.
std::int64_t live_blocks();

}  // namespace skua::internal
