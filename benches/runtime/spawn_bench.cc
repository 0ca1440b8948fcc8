// SPDX-License-Identifier: Apache-2.0
//
// Measures: spawning, joining and yielding, for each task; the runtime is warm. Each run's answer is checked.
// Does not measure: useful work. These are for comparing versions of Skua, not claims about applications.
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"

namespace skua {
namespace {

// Runs `make(n)` once for each iteration and checks that it gives `expected`.
template <typename Make>
void run_rounds(benchmark::State& state, std::int64_t n, std::int64_t expected, Make make) {
  Runtime runtime({.worker_threads = static_cast<int>(state.range(0))});
  for (auto _ : state) {
    if (runtime.block_on(make(n)) != expected) {
      state.SkipWithError("wrong answer");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * n);
}

Task<std::int64_t> one() { co_return 1; }

// spawn_join: empty tasks spawned from one task, each handle awaited, in batches of 1000.
Task<std::int64_t> spawn_and_join(std::int64_t tasks) {
  constexpr std::int64_t kBatch = 1000;
  std::int64_t sum = 0;
  std::vector<JoinHandle<std::int64_t>> handles;
  handles.reserve(kBatch);
  for (std::int64_t done = 0; done < tasks; done += kBatch) {
    for (std::int64_t i = 0; i < kBatch; ++i) handles.push_back(spawn(one()));
    for (auto& handle : handles) sum += co_await std::move(handle);
    handles.clear();
  }
  co_return sum;
}

void BM_SpawnJoin(benchmark::State& state) { run_rounds(state, 100'000, 100'000, spawn_and_join); }
BENCHMARK(BM_SpawnJoin)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// chained_spawn: each task spawns the next.
Task<> link(std::int64_t left, Semaphore* end) {
  if (left == 0) {
    end->add_permits(1);
  } else {
    spawn(link(left - 1, end));
  }
  co_return;
}

Task<std::int64_t> chain(std::int64_t length) {
  Semaphore end(0);
  spawn(link(length, &end));
  [[maybe_unused]] const auto permit = co_await end.acquire();
  co_return length;
}

void BM_ChainedSpawn(benchmark::State& state) { run_rounds(state, 100'000, 100'000, chain); }
BENCHMARK(BM_ChainedSpawn)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// yield: 1000 tasks that yield.
Task<std::int64_t> yields(std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await yield_now();
  co_return times;
}

Task<std::int64_t> many_yields(std::int64_t times) {
  constexpr std::int64_t kTasks = 1000;
  std::vector<JoinHandle<std::int64_t>> handles;
  for (std::int64_t i = 0; i < kTasks; ++i) handles.push_back(spawn(yields(times / kTasks)));
  std::int64_t sum = 0;
  for (auto& handle : handles) sum += co_await std::move(handle);
  co_return sum;
}

void BM_Yield(benchmark::State& state) { run_rounds(state, 1'000'000, 1'000'000, many_yields); }
BENCHMARK(BM_Yield)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// skynet_spawn: a 10-ary tree, every child spawned and its handle awaited; each leaf gives its ordinal.
Task<std::int64_t> skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) co_return first;
  std::vector<JoinHandle<std::int64_t>> children;
  children.reserve(10);
  for (std::int64_t i = 0; i < 10; ++i) {
    children.push_back(spawn(skynet(first + i * (leaves / 10), leaves / 10)));
  }
  std::int64_t sum = 0;
  for (auto& child : children) sum += co_await std::move(child);
  co_return sum;
}

void BM_SkynetSpawn(benchmark::State& state) {
  constexpr std::int64_t kLeaves = 1'000'000;
  run_rounds(state, kLeaves, kLeaves * (kLeaves - 1) / 2,
             [](std::int64_t leaves) { return skynet(0, leaves); });
}
BENCHMARK(BM_SkynetSpawn)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// spawn_external: spawned by a thread outside the runtime, which then waits for all.
Task<> count_down(std::atomic<std::int64_t>* left) {
  if (left->fetch_sub(1, std::memory_order_acq_rel) == 1) left->notify_one();
  co_return;
}

void BM_SpawnExternal(benchmark::State& state) {
  constexpr std::int64_t kTasks = 100'000;
  Runtime runtime({.worker_threads = static_cast<int>(state.range(0))});
  for (auto _ : state) {
    std::atomic<std::int64_t> left{kTasks};
    for (std::int64_t i = 0; i < kTasks; ++i) runtime.spawn(count_down(&left));
    for (auto seen = left.load(); seen != 0; seen = left.load()) left.wait(seen);
  }
  state.SetItemsProcessed(state.iterations() * kTasks);
}
BENCHMARK(BM_SpawnExternal)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

}  // namespace
}  // namespace skua
