// SPDX-License-Identifier: Apache-2.0
//
// Tasks that do nothing but yield.
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "benches/harness/workloads.h"
#include "benches/rows/rows.h"
#include "skua/spawn.h"

namespace skua::bench {
namespace {

Task<std::int64_t> yield(std::int64_t times) {
  std::int64_t yields = 0;
  for (; yields < times; ++yields) co_await yield_now();
  co_return yields;
}

Task<std::int64_t> yield_all(std::int64_t times) {
  std::vector<JoinHandle<std::int64_t>> handles;
  handles.reserve(kYieldTasks);
  for (std::int64_t i = 0; i < kYieldTasks; ++i) handles.push_back(spawn(yield(times)));
  std::int64_t sum = 0;
  for (JoinHandle<std::int64_t>& handle : handles) sum += co_await std::move(handle);
  co_return sum;
}

Outcome run_yield(SkuaEngine& engine, std::int64_t times) {
  std::int64_t yields = 0;
  const Usage used = measure([&] { yields = engine.runtime().block_on(yield_all(times)); });
  return {.ops = kYieldTasks * times, .right = yields == kYieldTasks * times, .used = used};
}

}  // namespace

std::span<const SkuaRow> yield_rows() {
  static constexpr std::array kRows = {SkuaRow{kYield, run_yield}};
  return kRows;
}

}  // namespace skua::bench
