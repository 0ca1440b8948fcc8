// SPDX-License-Identifier: Apache-2.0
//
// Trees by when_all: the tasks of all children are made before the first one runs.
#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "benches/harness/workloads.h"
#include "benches/rows/rows.h"
#include "skua/join.h"

namespace skua::bench {
namespace {

Task<std::int64_t> skynet(std::int64_t first, std::int64_t leaves);

template <std::int64_t... kI>
auto all_of(std::int64_t first, std::int64_t share, std::integer_sequence<std::int64_t, kI...>) {
  return when_all(skynet(first + kI * share, share)...);
}

Task<std::int64_t> skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) co_return first;
  const auto parts = co_await all_of(first, leaves / kSkynetBranches,
                                     std::make_integer_sequence<std::int64_t, kSkynetBranches>());
  co_return std::apply([](auto... part) { return (part + ...); }, parts);
}

Task<std::int64_t> skynet_of_vector(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) co_return first;
  std::vector<Task<std::int64_t>> children;
  children.reserve(kSkynetBranches);
  const std::int64_t share = leaves / kSkynetBranches;
  for (std::int64_t i = 0; i < kSkynetBranches; ++i) {
    children.push_back(skynet_of_vector(first + i * share, share));
  }
  std::int64_t sum = 0;
  const std::vector<std::int64_t> parts = co_await when_all(std::move(children));
  for (const std::int64_t part : parts) sum += part;
  co_return sum;
}

Outcome run_skynet(SkuaEngine& engine, std::int64_t depth) {
  std::int64_t sum = 0;
  const Usage used =
      measure([&] { sum = engine.runtime().block_on(skynet(0, skynet_leaves(depth))); });
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

Outcome run_skynet_of_vector(SkuaEngine& engine, std::int64_t depth) {
  std::int64_t sum = 0;
  const Usage used =
      measure([&] { sum = engine.runtime().block_on(skynet_of_vector(0, skynet_leaves(depth))); });
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

Task<std::int64_t> fib(std::int64_t n) {
  if (n < 2) co_return n;
  auto [a, b] = co_await when_all(fib(n - 1), fib(n - 2));
  co_return a + b;
}

Outcome run_fib(SkuaEngine& engine, std::int64_t n) {
  std::int64_t number = 0;
  const Usage used = measure([&] { number = engine.runtime().block_on(fib(n)); });
  return {.ops = fib_tasks(n), .right = number == fib_number(n), .used = used};
}

}  // namespace

std::span<const SkuaRow> fork_rows() {
  static constexpr std::array kRows = {SkuaRow{kSkynet, run_skynet},
                                       SkuaRow{renamed(kSkynet, "skynet_v"), run_skynet_of_vector},
                                       SkuaRow{kFib, run_fib}};
  return kRows;
}

}  // namespace skua::bench
