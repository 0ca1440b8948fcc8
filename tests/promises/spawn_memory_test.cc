// SPDX-License-Identifier: Apache-2.0
//
// A tree of spawned tasks is walked depth first, too, and needs memory for its depth, not for its width. Or nearly so:
// the oldest branch has its turn by the clock, so that a slow machine opens more of the tree. Hence the bound has much
// room; tests/promises/tree_order_test.cc has the exact one, without a clock.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/config.h"
#include "skua/join_handle.h"
#include "skua/metrics.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "task/frame_count.h"
#include "tests/support/block_peak.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

#if SKUA_TSAN || SKUA_ASAN
constexpr std::int64_t kLeaves = 10'000;
constexpr std::int64_t kWideLeaves = 9'000;
#else
constexpr std::int64_t kLeaves = 100'000;
constexpr std::int64_t kWideLeaves = 30'000;
#endif
constexpr std::int64_t kBlocksMax = 5'000;

// The number of its leaves.
Task<std::int64_t> tree(std::int64_t first, std::int64_t leaves, std::int64_t fan_out,
                        test::BlockPeak* peak) {
  if (leaves == 1) {
    peak->look(first);
    co_return 1;
  }
  const std::int64_t part = std::max<std::int64_t>(leaves / fan_out, 1);
  std::vector<JoinHandle<std::int64_t>> children;
  for (std::int64_t at = 0; at < leaves; at += part) {
    children.push_back(spawn(tree(first + at, part, fan_out, peak)));
  }
  std::int64_t sum = 0;
  for (JoinHandle<std::int64_t>& child : children) sum += co_await std::move(child);
  co_return sum;
}

using SpawnMemoryTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(SpawnMemoryTest);

// The first in, first out, it would be 12,000 blocks.
TEST_P(SpawnMemoryTest, ATreeOfSpawnedTasksLivesOnAFewPathsForEachWorker) {
  const std::int64_t before = internal::live_blocks();
  test::BlockPeak peak(11);
  EXPECT_EQ(runtime().block_on(tree(0, kLeaves, 10, &peak)), kLeaves);
  RecordProperty("peak", static_cast<int>(peak.most() - before));
  EXPECT_LE(peak.most() - before, kBlocksMax);
  EXPECT_GE(peak.most() - before, 10);  // Or the bound says nothing.
}

// Nodes of 300 children do not fit into a ring: many of them are in the spill for a while, which is no tree any more.
TEST_P(SpawnMemoryTest, AWideTreeThatOverflowsARingRunsToItsEnd) {
  const std::int64_t before = internal::live_blocks();
  test::BlockPeak peak(11);
  EXPECT_EQ(runtime().block_on(tree(0, kWideLeaves, 300, &peak)), kWideLeaves);
  RecordProperty("peak", static_cast<int>(peak.most() - before));
  // With others, thieves may be quicker than the root, which spawns 300 tasks in one run.
  const RuntimeMetrics metrics = runtime().metrics();
  if (metrics.workers.size() == 1) {
    EXPECT_GT(metrics.workers.front().overflows, 0u);
  }
}

// --- The order that this rests on -----------------------------------------------------------------

Task<> writes(std::string* log, char name) {
  log->push_back(name);
  co_return;
}

Task<> writes_after_child(std::string* log, char name) {
  co_await spawn(writes(log, 'c'));
  log->push_back(name);
}

Task<> spawns_three(std::string* log) {
  JoinHandle<void> first = spawn(writes(log, '1'));
  JoinHandle<void> second = spawn(writes_after_child(log, '2'));
  JoinHandle<void> third = spawn(writes(log, '3'));
  co_await std::move(first);
  log->push_back('.');
  co_await std::move(second);
  co_await std::move(third);
}

// The last one first, and who has waited for a child before those that have not begun. By the clock the oldest may have
// a turn at any time, if the machine is busy: but not in each of so many runs.
TEST(SpawnOrderTest, ChildrenRunTheLastOneFirstAndAParentRightAfterItsChild) {
  constexpr int kRuns = 50;
  RuntimeOptions options;
  options.flavor = Flavor::kCurrentThread;
  Runtime runtime(options);
  int depth_first = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::string log;
    runtime.block_on(spawns_three(&log));
    EXPECT_EQ(log.size(), 5u);
    if (log == "3c21.") ++depth_first;
  }
  EXPECT_GT(depth_first, 0);
}

}  // namespace
}  // namespace skua
