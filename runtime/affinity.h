// SPDX-License-Identifier: Apache-2.0
//
// How many CPUs this process may use.
#pragma once

namespace skua::internal {

// The size of the affinity mask of this process, at least 1.
int usable_cpus();

}  // namespace skua::internal
