// SPDX-License-Identifier: Apache-2.0
//
// How much CPU time this process may use, by its control group.
#pragma once

#include <optional>
#include <string>

namespace skua::internal {

// The CPU bandwidth limit of this process's cgroup and of all above it, in CPUs: 1.5 means 150 ms of CPU time in each
// 100 ms. std::nullopt: no limit is set, or none can be read. Understands cpu.max (v2) and cpu.cfs_quota_us (v1), both
// mounted in the usual place, /sys/fs/cgroup.
//
// `root` is put before every path; tests give a directory of their own.
std::optional<double> cgroup_cpu_limit(const std::string& root = "");

// The number of workers for `cpus` CPUs in the affinity mask and a limit: the limit rounded up (as Go does since
// 1.25, so that half a CPU of quota is not wasted), at least 1 and at most `cpus`.
int workers_for(int cpus, std::optional<double> limit);

}  // namespace skua::internal
