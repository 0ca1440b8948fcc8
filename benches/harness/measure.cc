// SPDX-License-Identifier: Apache-2.0
#include "benches/harness/measure.h"

#include <chrono>
#include <fstream>
#include <malloc.h>
#include <string>
#include <sys/resource.h>
#include <sys/time.h>

namespace skua::bench {
namespace {

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

double process_cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);  // Fails for a bad argument only.
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

}  // namespace

std::int64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

Stopwatch::Stopwatch() : start_ns_(now_ns()), start_cpu_s_(process_cpu_s()) {}

Usage Stopwatch::read() const {
  return {.wall_s = static_cast<double>(now_ns() - start_ns_) * 1e-9,
          .cpu_s = process_cpu_s() - start_cpu_s_};
}

double quantile_us(const std::vector<std::int64_t>& sorted_ns, double quantile) {
  const auto last = static_cast<double>(sorted_ns.size() - 1);
  return static_cast<double>(sorted_ns[static_cast<std::size_t>(quantile * last + 0.5)]) * 1e-3;
}

std::int64_t peak_rss_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    if (key == "VmHWM:") {
      std::int64_t kib = 0;
      status >> kib;
      return kib;
    }
    std::getline(status, key);
  }
  return 0;
}

void forget_peak_rss() {
  ::malloc_trim(0);
  constexpr int kResetPeak = 5;  // proc(5)
  std::ofstream("/proc/self/clear_refs") << kResetPeak;
}

}  // namespace skua::bench
