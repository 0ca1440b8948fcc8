// SPDX-License-Identifier: Apache-2.0
#include "base/membarrier.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include <gtest/gtest.h>

namespace skua::internal {
namespace {

TEST(MembarrierTest, TheAnswerDoesNotChange) {
  EXPECT_EQ(membarrier_available(), membarrier_available());
}

// Shows that the other thread needs no barrier of its own. Both store, then load what the other one stores: at least
// one of them must see the other. The cheap side has nothing but the compiler to keep its two steps in order. Without
// the call of membarrier() both miss each other in about one round of 200, on x86, while the two run at the same time.
// Beside other work they seldom do, and a round takes some time slices: then there are fewer rounds.
TEST(MembarrierTest, IsABarrierInTheOtherThreadToo) {
  if (!membarrier_available()) GTEST_SKIP() << "the kernel refuses membarrier(2)";
  constexpr std::uint32_t kRounds = 20'000;
  constexpr std::uint32_t kNoMore = kRounds + 1;
  const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  struct alignas(128) Word {
    std::atomic<std::uint32_t> value{0};
  };
  Word cheap;      // What the cheap side stores.
  Word expensive;  // What the one stores that calls membarrier().
  Word seen_by_cheap;
  Word begin;
  Word ended;
  // Returns what the word was then: `round` or more.
  const auto wait_for = [](const Word& word, std::uint32_t round) {
    for (int spins = 0;; ++spins) {
      const std::uint32_t value = word.value.load(std::memory_order_acquire);
      if (value >= round) return value;
      if (spins == 1000) {
        spins = 0;
        std::this_thread::yield();
      }
    }
  };
  std::thread other([&] {
    for (std::uint32_t round = 1; wait_for(begin, round) != kNoMore; ++round) {
      cheap.value.store(round, std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      const std::uint32_t seen = expensive.value.load(std::memory_order_relaxed);
      seen_by_cheap.value.store(seen, std::memory_order_relaxed);
      ended.value.store(round, std::memory_order_release);
    }
  });
  std::uint32_t both_missed = 0;
  for (std::uint32_t round = 1; round <= kRounds && std::chrono::steady_clock::now() < enough;
       ++round) {
    begin.value.store(round, std::memory_order_release);
    // The other one begins some time later; that the two meet takes a different pause each time.
    for (std::uint32_t i = round % 256; i > 0; --i) asm volatile("");
    expensive.value.store(round, std::memory_order_relaxed);
    membarrier();
    const std::uint32_t seen = cheap.value.load(std::memory_order_relaxed);
    wait_for(ended, round);
    if (seen != round && seen_by_cheap.value.load(std::memory_order_relaxed) != round) {
      ++both_missed;
    }
  }
  begin.value.store(kNoMore, std::memory_order_release);
  other.join();
  EXPECT_EQ(both_missed, 0u);
}

}  // namespace
}  // namespace skua::internal
