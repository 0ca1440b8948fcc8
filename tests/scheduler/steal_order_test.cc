// SPDX-License-Identifier: Apache-2.0
#include "scheduler/steal_order.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace skua::internal {
namespace {

std::vector<int> starts(std::uint64_t seed, int workers, int count) {
  StealOrder order(seed);
  std::vector<int> result;
  for (int i = 0; i < count; ++i) result.push_back(order.start(workers));
  return result;
}

TEST(StealOrderTest, TheSameSeedGivesTheSameOrder) {
  for (const std::uint64_t seed : {0u, 1u, 7u, 0xffff'ffffu}) {
    EXPECT_EQ(starts(seed, 8, 100), starts(seed, 8, 100)) << "seed " << seed;
  }
}

TEST(StealOrderTest, NeighbouringSeedsGiveDifferentOrders) {
  std::set<std::vector<int>> orders;
  for (std::uint64_t seed = 0; seed < 100; ++seed) orders.insert(starts(seed, 8, 100));
  EXPECT_EQ(orders.size(), 100u);
}

TEST(StealOrderTest, EveryStartIsAWorker) {
  for (const int workers : {1, 2, 3, 5, 8, 61, 0x7fff}) {
    for (const int start : starts(3, workers, 1'000)) {
      ASSERT_GE(start, 0) << workers << " workers";
      ASSERT_LT(start, workers) << workers << " workers";
    }
  }
}

TEST(StealOrderTest, EveryWorkerIsReachedAboutEquallyOften) {
  constexpr int kDraws = 10'000;
  for (const int workers : {2, 3, 8, 16}) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      std::vector<int> hits(static_cast<std::size_t>(workers));
      for (const int start : starts(seed, workers, kDraws)) ++hits[static_cast<std::size_t>(start)];
      for (const int count : hits) {
        // Six standard deviations are below a third of the mean for all of these.
        EXPECT_GT(count, kDraws / workers * 2 / 3) << workers << " workers, seed " << seed;
        EXPECT_LT(count, kDraws / workers * 4 / 3) << workers << " workers, seed " << seed;
      }
    }
  }
}

TEST(StealOrderTest, ASeedThatWouldGiveAStateOfZeroGivesAnOrderAllTheSame) {
  // The constructor computes seed * kFactor + 1: its inverse of -1 is the seed that gives zero, where a
  // xorshift generator would stay for ever.
  constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15u;
  std::uint64_t inverse = 1;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kFactor * inverse;  // Newton, modulo 2^64.
  ASSERT_EQ(kFactor * inverse, 1u);
  const std::vector<int> order = starts(0 - inverse, 8, 100);
  EXPECT_EQ(std::set<int>(order.begin(), order.end()).size(), 8u);
}

}  // namespace
}  // namespace skua::internal
