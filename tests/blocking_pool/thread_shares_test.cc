// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/thread_shares.h"

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace skua::internal {
namespace {

constexpr int kNone = ThreadShares::kNone;

// A function of which classes have jobs.
auto jobs_in(std::uint32_t classes) {
  return [classes](int c) { return ((classes >> c) & 1) != 0; };
}

TEST(ThreadSharesTest, AClassStaysBelowItsLimit) {
  ThreadShares shares(4, {{.limit = 9}, {.limit = 2}});
  EXPECT_EQ(shares.limit(0), 4);
  shares.assign(1);
  shares.assign(1);
  EXPECT_FALSE(shares.may_assign(1));
  EXPECT_TRUE(shares.may_assign(0));
  shares.release(1);
  EXPECT_TRUE(shares.may_assign(1));
}

TEST(ThreadSharesTest, AReserveIsKeptFromTheOthers) {
  ThreadShares shares(4, {{.limit = 4}, {.limit = 3, .reserve = 1}});
  for (int i = 0; i < 3; ++i) shares.assign(0);
  EXPECT_FALSE(shares.may_assign(0));
  EXPECT_TRUE(shares.may_assign(1));
  shares.assign(1);
  EXPECT_FALSE(shares.may_assign(1));
  shares.release(0);  // A shared one: anybody's.
  EXPECT_TRUE(shares.may_assign(1));
  shares.release(1);  // The reserve: its class's alone.
  shares.assign(0);
  EXPECT_FALSE(shares.may_assign(0));
}

TEST(ThreadSharesTest, StarvingClassesTakeTurns) {
  ThreadShares shares(1, {{.limit = 1}, {.limit = 1}, {.limit = 1}});
  shares.assign(0);
  EXPECT_FALSE(shares.starves_for(0));
  shares.set_starving(1);
  shares.set_starving(2);
  EXPECT_TRUE(shares.starves_for(0));
  shares.release(0);
  EXPECT_EQ(shares.next_class(0, jobs_in(0b111)), 1);
  shares.assign(1);
  shares.set_starving(0);
  shares.release(1);
  EXPECT_EQ(shares.next_class(1, jobs_in(0b111)), 2);
  shares.assign(2);
  shares.release(2);
  EXPECT_EQ(shares.next_class(2, jobs_in(0b111)), 0);
}

TEST(ThreadSharesTest, AThreadStaysWithItsClassUnlessAnotherStarves) {
  ThreadShares shares(2, {{.limit = 2}, {.limit = 2}});
  EXPECT_EQ(shares.next_class(0, jobs_in(0b11)), 0);
  EXPECT_EQ(shares.next_class(0, jobs_in(0b10)), 1);
  EXPECT_EQ(shares.next_class(0, jobs_in(0)), kNone);
  EXPECT_EQ(shares.next_class(kNone, jobs_in(0b10)), 1);
  shares.set_starving(1);
  EXPECT_EQ(shares.next_class(0, jobs_in(0b01)), 0);  // It starves no more: it has nothing to do.
  EXPECT_EQ(shares.starving(), 0u);
}

TEST(ThreadSharesTest, AThreadOfAReserveIsOfNoUseToOthers) {
  ThreadShares shares(2, {{.limit = 2, .reserve = 1}, {.limit = 2}});
  shares.assign(0);
  shares.assign(0);
  shares.set_starving(1);
  EXPECT_TRUE(shares.starves_for(0));
  shares.release(0);
  shares.assign(1);
  shares.set_starving(1);
  EXPECT_FALSE(shares.starves_for(0));
}

// Whatever is assigned and released: the threads of all with what is reserved and not used never are more than there
// are, and a class below its reserve may always have one.
TEST(ThreadSharesTest, AtRandomNoBoundIsEverPassed) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const int threads = 1 + static_cast<int>(random() % 8);
    std::vector<ClassLimits> classes;
    int left = threads;
    for (int c = 0; c < 4; ++c) {
      const int reserve = static_cast<int>(random() % static_cast<unsigned>(left + 1)) / 2;
      left -= reserve;
      classes.push_back(
          {.limit = std::max(1, reserve + static_cast<int>(random() % 4)), .reserve = reserve});
    }
    ThreadShares shares(threads, classes);
    std::array<int, 4> expected{};
    for (int step = 0; step < 200; ++step) {
      const int c = static_cast<int>(random() % 4);
      int& assigned = expected[static_cast<std::size_t>(c)];
      if (random() % 2 == 0) {
        if (assigned < shares.reserve(c)) {
          ASSERT_TRUE(shares.may_assign(c));
        }
        if (shares.may_assign(c)) {
          shares.assign(c);
          ++assigned;
        }
      } else if (assigned > 0) {
        shares.release(c);
        --assigned;
      }
      int used_or_kept = 0;
      for (int i = 0; i < 4; ++i) {
        ASSERT_EQ(shares.assigned(i), expected[static_cast<std::size_t>(i)]);
        ASSERT_LE(shares.assigned(i), shares.limit(i));
        used_or_kept += std::max(shares.assigned(i), shares.reserve(i));
      }
      ASSERT_LE(used_or_kept, threads);
    }
  }
}

}  // namespace
}  // namespace skua::internal
