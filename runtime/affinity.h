// SPDX-License-Identifier: Apache-2.0
//
// Which CPUs this process may use.
#pragma once

#include <vector>

namespace skua::internal {

// The affinity mask of the calling thread, in ascending order; empty if the kernel does not tell.
std::vector<int> usable_cpu_list();
// Its size, at least 1.
int usable_cpus();

}  // namespace skua::internal
