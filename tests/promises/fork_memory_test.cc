// SPDX-License-Identifier: Apache-2.0
//
// A tree of forks runs depth first and needs memory for its depth, not for its width: the blocks that live are counted
// while a tree of a million leaves runs.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/config.h"
#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/task.h"
#include "task/frame_count.h"
#include "tests/support/block_peak.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

constexpr std::int64_t kFanOut = 10;
#if SKUA_TSAN || SKUA_ASAN
constexpr std::int64_t kDepth = 5;  // Ten times as slow there, and the blocks are the same.
constexpr std::int64_t kLeaves = 100'000;
#else
constexpr std::int64_t kDepth = 6;
constexpr std::int64_t kLeaves = 1'000'000;
#endif

// The number of its leaves.
Task<std::int64_t> lazy_tree(std::int64_t first, std::int64_t leaves, test::BlockPeak* peak) {
  if (leaves == 1) {
    peak->look(first);
    co_return 1;
  }
  const std::int64_t part = leaves / kFanOut;
  const auto make = [=](std::size_t i) {
    return lazy_tree(first + static_cast<std::int64_t>(i) * part, part, peak);
  };
  std::int64_t sum = 0;
  const auto parts = co_await when_all_n<kFanOut>(make);
  for (const std::int64_t p : parts) sum += p;
  co_return sum;
}

// The same by a vector of slots that is allocated.
Task<std::int64_t> sized_tree(std::int64_t first, std::int64_t leaves, test::BlockPeak* peak) {
  if (leaves == 1) {
    peak->look(first);
    co_return 1;
  }
  const std::int64_t part = leaves / kFanOut;
  const auto make = [=](std::size_t i) {
    return sized_tree(first + static_cast<std::int64_t>(i) * part, part, peak);
  };
  std::int64_t sum = 0;
  const auto parts = co_await when_all_n(std::size_t{kFanOut}, make);
  for (const std::int64_t p : parts) sum += p;
  co_return sum;
}

// All children of a node exist before the first one runs.
Task<std::int64_t> eager_tree(std::int64_t first, std::int64_t leaves, test::BlockPeak* peak) {
  if (leaves == 1) {
    peak->look(first);
    co_return 1;
  }
  const std::int64_t part = leaves / kFanOut;
  std::vector<Task<std::int64_t>> children;
  for (std::int64_t i = 0; i < kFanOut; ++i) {
    children.push_back(eager_tree(first + i * part, part, peak));
  }
  std::int64_t sum = 0;
  const std::vector<std::int64_t> parts = co_await when_all(std::move(children));
  for (const std::int64_t p : parts) sum += p;
  co_return sum;
}

using ForkMemoryTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(ForkMemoryTest);

struct Form {
  const char* what;
  Task<std::int64_t> (*tree)(std::int64_t first, std::int64_t leaves, test::BlockPeak* peak);
  std::int64_t on_a_path;  // Blocks of a path from the root to a leaf, while it is the only one.
};

// Each worker is on one path from the root to a leaf: a thief goes on from the record that it has stolen. And it may
// have left another path waiting, where its budget was used up. So the bound is twice as many paths as workers.
TEST_P(ForkMemoryTest, ATreeOfAMillionLeavesLivesOnAPathForEachWorker) {
  constexpr Form kForms[] = {
      {"when_all_n<N>", &lazy_tree, kDepth + 1},
      {"when_all_n", &sized_tree, 2 * kDepth + 1},
      {"when_all", &eager_tree, kDepth * (kFanOut + 1) + 1},
  };
  const std::int64_t workers = std::max(1, GetParam());
  for (const Form& form : kForms) {
    SCOPED_TRACE(form.what);
    const std::int64_t before = internal::live_blocks();
    test::BlockPeak peak(101);
    EXPECT_EQ(runtime().block_on(form.tree(0, kLeaves, &peak)), kLeaves);
    EXPECT_LE(peak.most() - before, 2 * workers * form.on_a_path);
    // It is about as many as that, so the bound says something.
    EXPECT_GE(peak.most() - before, form.on_a_path / 2);
    RecordProperty(form.what, static_cast<int>(peak.most() - before));
  }
}

}  // namespace
}  // namespace skua
