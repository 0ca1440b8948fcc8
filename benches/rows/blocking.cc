// SPDX-License-Identifier: Apache-2.0
//
// The blocking pool: closures that do nothing, awaited by one task in batches; and how regularly a task goes on while
// closures that compute for long keep more threads busy than there are CPUs.
#include "skua/blocking.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

#include "benches/harness/measure.h"
#include "benches/harness/workloads.h"
#include "benches/rows/rows.h"
#include "skua/spawn.h"
#include "skua/time.h"

namespace skua::bench {
namespace {

Task<std::int64_t> spawn_blocking_and_join(std::int64_t jobs) {
  std::int64_t sum = 0;
  std::vector<JoinHandle<std::int64_t>> handles;
  handles.reserve(static_cast<std::size_t>(kSpawnBlockingBatch));
  for (std::int64_t left = jobs; left > 0; left -= kSpawnBlockingBatch) {
    const std::int64_t batch = std::min(left, kSpawnBlockingBatch);
    for (std::int64_t i = 0; i < batch; ++i) {
      handles.push_back(spawn_blocking([] { return std::int64_t{1}; }));
    }
    for (JoinHandle<std::int64_t>& handle : handles) sum += co_await std::move(handle);
    handles.clear();
  }
  co_return sum;
}

Outcome run_spawn_blocking(SkuaEngine& engine, std::int64_t jobs) {
  const RuntimeMetrics before = engine.runtime().metrics();
  std::int64_t sum = 0;
  const Usage used =
      measure([&] { sum = engine.runtime().block_on(spawn_blocking_and_join(jobs)); });
  const RuntimeMetrics after = engine.runtime().metrics();
  return {.ops = jobs,
          .right = sum == jobs && after.blocking_jobs_run - before.blocking_jobs_run ==
                                      static_cast<std::uint64_t>(jobs),
          .used = used,
          .figures = {
              {"threads_peak", static_cast<double>(after.blocking_threads_peak)},
              {"wakes_per_op", static_cast<double>(after.blocking_wakes - before.blocking_wakes) /
                                   static_cast<double>(jobs)}}};
}

// --- blocking_beat ----------------------------------------------------------------------------

constexpr int kBusyThreads = 4;
constexpr std::int64_t kJobCpuNs = 200'000'000;
constexpr std::chrono::milliseconds kBeat{1};

std::int64_t thread_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// As a function that derives a key from a password: rounds of arithmetic for 200 ms of CPU time.
std::uint64_t derive_key(std::uint64_t seed) {
  constexpr int kRounds = 10'000;
  const std::int64_t end_ns = thread_cpu_ns() + kJobCpuNs;
  std::uint64_t key = seed;
  do {
    for (int i = 0; i < kRounds; ++i) {
      key ^= key >> 33;
      key = key * 0xff51afd7ed558ccdu + seed;
    }
  } while (thread_cpu_ns() < end_ns);
  return key;
}

// Sleeps from beat to beat until all jobs have ended. How late each one was.
Task<std::vector<std::int64_t>> keep_time(const std::atomic<std::int64_t>* jobs_left) {
  std::vector<std::int64_t> late_ns;
  while (jobs_left->load(std::memory_order_relaxed) > 0) {
    const std::int64_t due_ns = now_ns() + std::chrono::nanoseconds(kBeat).count();
    co_await sleep_for(kBeat);
    late_ns.push_back(now_ns() - due_ns);
  }
  co_return late_ns;
}

Outcome run_blocking_beat(SkuaEngine& engine, std::int64_t jobs) {
  RuntimeOptions options = engine.options();
  options.max_blocking_threads = kBusyThreads;
  Runtime runtime(options);
  std::atomic<std::int64_t> jobs_left{jobs};
  std::vector<std::int64_t> late_ns;
  const Usage used = measure([&] {
    std::vector<JoinHandle<std::uint64_t>> handles;
    for (std::int64_t i = 0; i < jobs; ++i) {
      handles.push_back(runtime.spawn_blocking([&jobs_left, i] {
        const std::uint64_t key = derive_key(static_cast<std::uint64_t>(i));
        jobs_left.fetch_sub(1, std::memory_order_relaxed);
        return key;
      }));
    }
    late_ns = runtime.block_on(keep_time(&jobs_left));
    for (JoinHandle<std::uint64_t>& handle : handles) blocking_join(std::move(handle));
  });
  std::sort(late_ns.begin(), late_ns.end());
  return {.ops = static_cast<std::int64_t>(late_ns.size()),
          .right = !late_ns.empty() && runtime.metrics().blocking_threads_peak <= kBusyThreads,
          .used = used,
          .figures = latency_figures(late_ns)};
}

}  // namespace

std::span<const SkuaRow> blocking_rows() {
  static constexpr std::array kRows = {
      SkuaRow{kSpawnBlocking, run_spawn_blocking},
      SkuaRow{{.name = "blocking_beat",
               .size_is = "closures of 200 ms",
               .sizes = {.full = 64, .warm_up = 2, .smoke = 1, .min = 1, .max = 10'000}},
              run_blocking_beat}};
  return kRows;
}

}  // namespace skua::bench
