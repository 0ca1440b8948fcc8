// SPDX-License-Identifier: Apache-2.0
#include "runtime/affinity.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <sched.h>
#include <vector>

namespace skua::internal {

std::vector<int> usable_cpu_list() {
  std::vector<int> cpus;
  // cpu_set_t holds 1024; the kernel says EINVAL until the mask is as large as its own.
  for (std::size_t sets = 1; sets <= 1024; sets *= 2) {
    std::vector<cpu_set_t> mask(sets);
    const std::size_t bytes = sets * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) == 0) {
      for (std::size_t cpu = 0; cpu < bytes * 8; ++cpu) {
        if (CPU_ISSET_S(cpu, bytes, mask.data())) cpus.push_back(static_cast<int>(cpu));
      }
      return cpus;
    }
    if (errno != EINVAL) break;
  }
  return cpus;
}

int usable_cpus() { return std::max(static_cast<int>(usable_cpu_list().size()), 1); }

}  // namespace skua::internal
