// SPDX-License-Identifier: Apache-2.0
#include "runtime/affinity.h"

#include <algorithm>
#include <cerrno>
#include <sched.h>
#include <vector>

namespace skua::internal {

int usable_cpus() {
  // cpu_set_t holds 1024; the kernel says EINVAL until the mask is as large as its own.
  for (std::size_t sets = 1; sets <= 1024; sets *= 2) {
    std::vector<cpu_set_t> mask(sets);
    const std::size_t bytes = sets * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) == 0) {
      return std::max(CPU_COUNT_S(bytes, mask.data()), 1);
    }
    if (errno != EINVAL) break;
  }
  return 1;
}

}  // namespace skua::internal
