// SPDX-License-Identifier: Apache-2.0
//
// Parking, yielding and priorities: how long a kHigh task waits while kLow tasks take all there is.
//
//   phase3_priorities [MILLISECONDS]    1000 unless said otherwise
//
// A kHigh task is due each millisecond; four kLow tasks for each worker compute for 50 us and yield, for ever. The
// kHigh task waits for the run in progress at most, and not for the backlog.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/time.h"

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kWorkers = 2;

struct Load {
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> rounds{0};
};

// Until it is aborted or told to stop. A task that computes should yield now and then: nothing takes the worker away.
skua::Task<> compute(Load* load) {
  while (!load->stop.load(std::memory_order_relaxed)) {
    const Clock::time_point end = Clock::now() + microseconds(50);
    while (Clock::now() < end) continue;
    load->rounds.fetch_add(1, std::memory_order_relaxed);
    co_await skua::yield_now();
  }
}

// How late it is, each time, in microseconds.
skua::Task<std::vector<std::int64_t>> ping(int count) {
  std::vector<std::int64_t> late_us;
  for (int i = 0; i < count; ++i) {
    const Clock::time_point due = Clock::now() + milliseconds(1);
    co_await skua::sleep_until(due);
    late_us.push_back(std::chrono::duration_cast<microseconds>(Clock::now() - due).count());
  }
  co_return late_us;
}

skua::Task<> async_main(int count) {
  Load load;
  std::vector<skua::JoinHandle<void>> low;
  for (int i = 0; i < 4 * kWorkers; ++i) {
    low.push_back(skua::spawn(compute(&load), {.priority = skua::Priority::kLow}));
  }
  std::vector<std::int64_t> late_us =
      co_await skua::spawn(ping(count), {.priority = skua::Priority::kHigh});
  load.stop = true;
  for (skua::JoinHandle<void>& task : low) co_await std::move(task);
  std::sort(late_us.begin(), late_us.end());
  const std::size_t last = late_us.size() - 1;
  std::printf("kHigh: %zu runs, late by p50 %lld us, p99 %lld us, at most %lld us\n",
              late_us.size(), static_cast<long long>(late_us[last / 2]),
              static_cast<long long>(late_us[last * 99 / 100]),
              static_cast<long long>(late_us[last]));
  std::printf("kLow: %lld rounds of 50 us meanwhile\n", static_cast<long long>(load.rounds.load()));
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 1000;
  if (count <= 0 || argc > 2) {
    std::fputs("usage: phase3_priorities [MILLISECONDS]\n", stderr);
    return 2;
  }
  skua::run(async_main(count), {.worker_threads = kWorkers});
}
