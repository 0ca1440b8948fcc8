// SPDX-License-Identifier: Apache-2.0
//
// What --workers means to a program whose threads are as many as its tasks.
#pragma once

#include <cerrno>
#include <cstddef>
#include <sched.h>

#include "benches/harness/program.h"

namespace skua::bench {

// An engine that is nothing but threads: they run on as many of the process's CPUs as others have workers.
class ConfinedThreads {
 public:
  explicit ConfinedThreads(const EngineOptions& options) {
    cpu_set_t allowed;
    cpu_set_t chosen;
    CPU_ZERO(&chosen);
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) not_possible(kWhat, errno);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&chosen) < options.workers; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &chosen);
    }
    if (::sched_setaffinity(0, sizeof chosen, &chosen) != 0) not_possible(kWhat, errno);
  }

 private:
  static constexpr const char* kWhat = "the CPUs of this process";
};

}  // namespace skua::bench
