// SPDX-License-Identifier: Apache-2.0
//
// Trees by spawn: every child is a task of its own, and its handle is awaited.
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "benches/harness/workloads.h"
#include "benches/rows/rows.h"
#include "skua/spawn.h"

namespace skua::bench {
namespace {

Task<std::int64_t> skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) co_return first;
  std::vector<JoinHandle<std::int64_t>> children;
  children.reserve(kSkynetBranches);
  const std::int64_t share = leaves / kSkynetBranches;
  for (std::int64_t i = 0; i < kSkynetBranches; ++i) {
    children.push_back(spawn(skynet(first + i * share, share)));
  }
  std::int64_t sum = 0;
  for (JoinHandle<std::int64_t>& child : children) sum += co_await std::move(child);
  co_return sum;
}

Outcome run_skynet(SkuaEngine& engine, std::int64_t depth) {
  std::int64_t sum = 0;
  const Usage used =
      measure([&] { sum = engine.runtime().block_on(skynet(0, skynet_leaves(depth))); });
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

Task<std::int64_t> fib(std::int64_t n) {
  if (n < 2) co_return n;
  JoinHandle<std::int64_t> a = spawn(fib(n - 1));
  JoinHandle<std::int64_t> b = spawn(fib(n - 2));
  const std::int64_t first = co_await std::move(a);
  const std::int64_t second = co_await std::move(b);
  co_return first + second;
}

Outcome run_fib(SkuaEngine& engine, std::int64_t n) {
  std::int64_t number = 0;
  const Usage used = measure([&] { number = engine.runtime().block_on(fib(n)); });
  return {.ops = fib_tasks(n), .right = number == fib_number(n), .used = used};
}

}  // namespace

std::span<const SkuaRow> spawn_tree_rows() {
  static constexpr std::array kRows = {SkuaRow{kSkynetSpawn, run_skynet},
                                       SkuaRow{kFibSpawn, run_fib}};
  return kRows;
}

}  // namespace skua::bench
