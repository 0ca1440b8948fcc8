// SPDX-License-Identifier: Apache-2.0
//
// What a run costs: time, CPU and memory, of this process and seen by the kernel.
#pragma once

#include <concepts>
#include <cstdint>
#include <utility>
#include <vector>

namespace skua::bench {

struct Usage {
  double wall_s = 0;
  double cpu_s = 0;  // Of all threads of the process, in user and kernel mode.
};

// The steady clock, in ns.
std::int64_t now_ns();

// Runs from its construction on.
class Stopwatch {
 public:
  Stopwatch();
  Usage read() const;

 private:
  std::int64_t start_ns_;
  double start_cpu_s_;
};

// What `work()` took.
template <std::invocable Work>
Usage measure(Work&& work) {
  const Stopwatch watch;
  std::forward<Work>(work)();
  return watch.read();
}

// The most memory that this process has had resident, in KiB; 0 if the kernel does not say.
//
// Not getrusage's ru_maxrss: that one is handed on by exec, and starts at what the starting program had.
std::int64_t peak_rss_kib();
// Gives free memory back, and lets peak_rss_kib() count from what is resident then. Without effect where the kernel
// does not let it.
void forget_peak_rss();

// The sample at this quantile by the nearest rank, in us: 0.5 for the median. Requires: sorted, not empty.
double quantile_us(const std::vector<std::int64_t>& sorted_ns, double quantile);

}  // namespace skua::bench
