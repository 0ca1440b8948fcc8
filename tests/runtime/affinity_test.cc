// SPDX-License-Identifier: Apache-2.0
#include "runtime/affinity.h"

#include <algorithm>
#include <cstddef>
#include <sched.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "skua/spawn.h"

namespace skua {
namespace {

TEST(AffinityTest, TheListIsTheMaskInAscendingOrder) {
  const std::vector<int> cpus = internal::usable_cpu_list();
  ASSERT_FALSE(cpus.empty());
  EXPECT_TRUE(std::is_sorted(cpus.begin(), cpus.end()));
  EXPECT_EQ(internal::usable_cpus(), static_cast<int>(cpus.size()));
  EXPECT_NE(std::find(cpus.begin(), cpus.end(), ::sched_getcpu()), cpus.end());
}

Task<std::vector<int>> mask_of_worker() { co_return internal::usable_cpu_list(); }

TEST(AffinityTest, APinnedWorkerMayUseOneCpuEachInTurn) {
  const std::vector<int> cpus = internal::usable_cpu_list();
  const int workers = static_cast<int>(cpus.size()) + 1;
  Runtime runtime({.worker_threads = workers, .pin_workers = true});
  for (int i = 0; i < workers; ++i) {
    JoinHandle<std::vector<int>> mask = runtime.spawn_on(i, mask_of_worker());
    const auto wait = [](JoinHandle<std::vector<int>> handle) -> Task<std::vector<int>> {
      co_return co_await std::move(handle);
    };
    const std::vector<int> expected = {cpus[static_cast<std::size_t>(i) % cpus.size()]};
    EXPECT_EQ(runtime.block_on(wait(std::move(mask))), expected) << i;
  }
}

TEST(AffinityTest, OtherwiseAWorkerMayUseThemAll) {
  Runtime runtime({.worker_threads = 2});
  EXPECT_EQ(runtime.block_on(mask_of_worker()), internal::usable_cpu_list());
}

}  // namespace
}  // namespace skua
