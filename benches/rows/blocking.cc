// SPDX-License-Identifier: Apache-2.0
//
// Closures that do nothing on the blocking pool, awaited by one task in batches.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "benches/rows/rows.h"
#include "skua/spawn.h"

namespace skua::bench {
namespace {

constexpr std::int64_t kBatch = 100;

Task<std::int64_t> spawn_blocking_and_join(std::int64_t jobs) {
  std::int64_t sum = 0;
  std::vector<JoinHandle<std::int64_t>> handles;
  handles.reserve(static_cast<std::size_t>(kBatch));
  for (std::int64_t left = jobs; left > 0; left -= kBatch) {
    const std::int64_t batch = std::min(left, kBatch);
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
          .figures = {{"threads_peak", static_cast<double>(after.blocking_threads_peak)}}};
}

}  // namespace

std::span<const SkuaRow> blocking_rows() {
  static constexpr std::array kRows = {SkuaRow{
      {.name = "spawn_blocking",
       .size_is = "closures",
       .sizes = {.full = 200'000, .warm_up = 20'000, .smoke = 500, .min = 1, .max = 100'000'000}},
      run_spawn_blocking}};
  return kRows;
}

}  // namespace skua::bench
