// SPDX-License-Identifier: Apache-2.0
//
// Tasks that do nothing: spawned and joined by one task, spawned by a thread outside, each spawned by the one before.
#include "skua/spawn.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "benches/harness/workloads.h"
#include "benches/rows/countdown.h"
#include "benches/rows/rows.h"
#include "skua/sync/semaphore.h"

namespace skua::bench {
namespace {

// --- spawn_join -------------------------------------------------------------------------------

Task<std::int64_t> one() { co_return 1; }

Task<std::int64_t> spawn_and_join(std::int64_t tasks) {
  std::int64_t sum = 0;
  std::vector<JoinHandle<std::int64_t>> handles;
  handles.reserve(kSpawnJoinBatch);
  for (std::int64_t left = tasks; left > 0; left -= kSpawnJoinBatch) {
    const std::int64_t batch = std::min(left, kSpawnJoinBatch);
    for (std::int64_t i = 0; i < batch; ++i) handles.push_back(spawn(one()));
    for (JoinHandle<std::int64_t>& handle : handles) sum += co_await std::move(handle);
    handles.clear();
  }
  co_return sum;
}

Outcome run_spawn_join(SkuaEngine& engine, std::int64_t tasks) {
  std::int64_t sum = 0;
  const Usage used = measure([&] { sum = engine.runtime().block_on(spawn_and_join(tasks)); });
  return {.ops = tasks, .right = sum == tasks, .used = used};
}

// --- spawn_external ---------------------------------------------------------------------------

Task<> count_down(Countdown* countdown) {
  countdown->count_down();
  co_return;
}

Outcome run_spawn_external(SkuaEngine& engine, std::int64_t tasks) {
  Countdown countdown(tasks);
  const Usage used = measure([&] {
    for (std::int64_t i = 0; i < tasks; ++i) engine.runtime().spawn(count_down(&countdown));
    engine.runtime().block_on(wait_for(&countdown));
  });
  return {.ops = tasks, .right = countdown.left() == 0, .used = used};
}

// --- chained_spawn ----------------------------------------------------------------------------

struct Chain {
  std::int64_t links = 0;  // Written by one task after the other.
  Semaphore end{0};
};

Task<> link(Chain* chain, std::int64_t left) {
  ++chain->links;
  if (left == 1) {
    chain->end.add_permits(1);
  } else {
    spawn(link(chain, left - 1));
  }
  co_return;
}

Task<std::int64_t> spawn_chain(std::int64_t length) {
  Chain chain;
  spawn(link(&chain, length));
  [[maybe_unused]] const SemaphorePermit permit = co_await chain.end.acquire();
  co_return chain.links;
}

Outcome run_chained_spawn(SkuaEngine& engine, std::int64_t length) {
  std::int64_t links = 0;
  const Usage used = measure([&] { links = engine.runtime().block_on(spawn_chain(length)); });
  return {.ops = length, .right = links == length, .used = used};
}

}  // namespace

std::span<const SkuaRow> spawn_rows() {
  static constexpr std::array kRows = {SkuaRow{kSpawnJoin, run_spawn_join},
                                       SkuaRow{kSpawnExternal, run_spawn_external},
                                       SkuaRow{kChainedSpawn, run_chained_spawn}};
  return kRows;
}

}  // namespace skua::bench
