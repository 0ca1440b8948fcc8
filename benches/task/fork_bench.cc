// SPDX-License-Identifier: Apache-2.0
//
// Measures: when_all on trees of tiny tasks, for each task; the runtime is warm. Each run's answer is checked.
// Does not measure: useful work.
#include <cstdint>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "skua/join.h"
#include "skua/runtime.h"

namespace skua {
namespace {

// skynet, smaller: a 10-ary tree; each leaf gives its ordinal, each node the sum of its children.
Task<std::int64_t> skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) co_return first;
  std::vector<Task<std::int64_t>> children;
  children.reserve(10);
  for (std::int64_t i = 0; i < 10; ++i) {
    children.push_back(skynet(first + i * (leaves / 10), leaves / 10));
  }
  std::int64_t sum = 0;
  const std::vector<std::int64_t> parts = co_await when_all(std::move(children));
  for (const std::int64_t part : parts) sum += part;
  co_return sum;
}

Task<std::int64_t> skynet_n(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) co_return first;
  std::int64_t sum = 0;
  const auto parts = co_await when_all_n<10>([first, leaves](std::size_t i) {
    return skynet_n(first + static_cast<std::int64_t>(i) * (leaves / 10), leaves / 10);
  });
  for (const std::int64_t part : parts) sum += part;
  co_return sum;
}

void BM_SkynetN(benchmark::State& state) {
  constexpr std::int64_t kLeaves = 1'000'000;
  constexpr std::int64_t kTasks = 1'111'111;
  Runtime runtime({.worker_threads = static_cast<int>(state.range(0))});
  for (auto _ : state) {
    if (runtime.block_on(skynet_n(0, kLeaves)) != kLeaves * (kLeaves - 1) / 2) {
      state.SkipWithError("wrong answer");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * kTasks);
}
BENCHMARK(BM_SkynetN)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

void BM_Skynet(benchmark::State& state) {
  constexpr std::int64_t kLeaves = 1'000'000;
  constexpr std::int64_t kTasks = 1'111'111;
  Runtime runtime({.worker_threads = static_cast<int>(state.range(0))});
  for (auto _ : state) {
    if (runtime.block_on(skynet(0, kLeaves)) != kLeaves * (kLeaves - 1) / 2) {
      state.SkipWithError("wrong answer");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * kTasks);
}
BENCHMARK(BM_Skynet)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// fib, smaller: two children for each node above 1, no cut-off.
Task<std::int64_t> fib(std::int64_t n) {
  if (n < 2) co_return n;
  auto [a, b] = co_await when_all(fib(n - 1), fib(n - 2));
  co_return a + b;
}

Task<std::int64_t> fib_n(std::int64_t n) {
  if (n < 2) co_return n;
  auto [a, b] = co_await when_all_n<2>(
      [n](std::size_t i) { return fib_n(n - 1 - static_cast<std::int64_t>(i)); });
  co_return a + b;
}

void BM_FibN(benchmark::State& state) {
  constexpr std::int64_t kTasks = 2 * 196'418 - 1;
  Runtime runtime({.worker_threads = static_cast<int>(state.range(0))});
  for (auto _ : state) {
    if (runtime.block_on(fib_n(25)) != 75'025) {
      state.SkipWithError("wrong answer");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * kTasks);
}
BENCHMARK(BM_FibN)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

void BM_Fib(benchmark::State& state) {
  constexpr std::int64_t kTasks = 2 * 196'418 - 1;
  Runtime runtime({.worker_threads = static_cast<int>(state.range(0))});
  for (auto _ : state) {
    if (runtime.block_on(fib(25)) != 75'025) {
      state.SkipWithError("wrong answer");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * kTasks);
}
BENCHMARK(BM_Fib)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

}  // namespace
}  // namespace skua
