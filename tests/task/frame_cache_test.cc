// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/frame_cache.h"

#include <cstddef>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "task/frame_depot.h"

namespace skua::internal {
namespace {

class FrameCacheTest : public testing::Test {
 protected:
  void TearDown() override { cache_.release(); }

  FrameDepot depot_;
  FrameCache cache_{&depot_};
};

TEST_F(FrameCacheTest, GivesABlockBackToWhoeverAsksForThatSizeNext) {
  void* const block = cache_.allocate(200);
  cache_.free(block, 200);
  EXPECT_EQ(cache_.allocate(250), block);  // The same class: 193 to 256 bytes.
  void* const other = cache_.allocate(257);
  EXPECT_NE(other, block);
  cache_.free(block, 250);
  cache_.free(other, 257);
}

TEST_F(FrameCacheTest, ABlockHoldsAsManyBytesAsWereAskedFor) {
  for (std::size_t bytes = 1; bytes <= 2000; ++bytes) {
    void* const block = cache_.allocate(bytes);
    std::memset(block, 0x5a, bytes);  // AddressSanitizer looks.
    cache_.free(block, bytes);
  }
}

TEST_F(FrameCacheTest, WhatOneThreadFreesAnotherOneGets) {
  constexpr std::size_t kBlocks = 4096;
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < kBlocks; ++i) blocks.push_back(cache_.allocate(100));
  std::thread other([&] {
    FrameCache cache(&depot_);
    for (void* block : blocks) cache.free(block, 100);
    cache.release();
  });
  other.join();
  // All but what the other thread kept to its end came through the depot.
  const std::set<void*> known(blocks.begin(), blocks.end());
  std::vector<void*> again;
  std::size_t recycled = 0;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    again.push_back(cache_.allocate(100));
    recycled += known.count(again.back());
  }
  EXPECT_GE(recycled, kBlocks - 5 * kFrameBatch);
  EXPECT_EQ(std::set<void*>(again.begin(), again.end()).size(), kBlocks);
  for (void* block : again) cache_.free(block, 100);
}

// Goal: blocks that wander between threads are never given to two owners at a time.
// Method: each owner writes its mark into its blocks and finds it again before it passes them on.
TEST_F(FrameCacheTest, WanderingBlocksHaveOneOwnerAtATime) {
  constexpr int kRounds = 200;
  constexpr std::size_t kBlocks = 500;
  const auto work = [&](int mark) {
    FrameCache cache(&depot_);
    for (int round = 0; round < kRounds; ++round) {
      std::vector<void*> mine;
      for (std::size_t i = 0; i < kBlocks; ++i) {
        mine.push_back(cache.allocate(64 + i % 128));
        std::memset(mine.back(), mark, 64);
      }
      for (std::size_t i = 0; i < kBlocks; ++i) {
        const auto* const bytes = static_cast<unsigned char*>(mine[i]);
        ASSERT_EQ(bytes[0], mark);
        ASSERT_EQ(bytes[63], mark);
        cache.free(mine[i], 64 + i % 128);
      }
    }
    cache.release();
  };
  std::thread first(work, 1);
  std::thread second(work, 2);
  first.join();
  second.join();
}

}  // namespace
}  // namespace skua::internal
