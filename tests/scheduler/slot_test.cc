// SPDX-License-Identifier: Apache-2.0
#include "scheduler/slot.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/membarrier.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "tests/support/scheduler_driver.h"
#include "tests/support/task_id.h"

namespace skua::internal {
namespace {

using test::Tasks;

int barriers = 0;
void count_barrier() noexcept { ++barriers; }

TEST(SlotTest, GivesBackWhatWasPutThereWithItsLevelAndItsOrder) {
  for (const SlotGate::Barrier barrier : {SlotGate::Barrier{nullptr}, &count_barrier}) {
    SlotGate gate(barrier);
    Slot slot;
    Tasks tasks;
    TaskHeader* const first = tasks.make();
    TaskHeader* const second = tasks.make();
    EXPECT_FALSE(slot.filled());
    EXPECT_EQ(slot.exchange(SlotEntry(first, kLowLevel, QueueOrder::kInTurn), gate).task(),
              nullptr);
    EXPECT_TRUE(slot.filled());
    const SlotEntry before =
        slot.exchange(SlotEntry(second, kHighLevel, QueueOrder::kNewestFirst), gate);
    EXPECT_EQ(before.task(), first);
    EXPECT_EQ(before.level(), kLowLevel);
    EXPECT_EQ(before.order(), QueueOrder::kInTurn);
    const SlotEntry stolen = slot.steal(gate);
    EXPECT_EQ(stolen.task(), second);
    EXPECT_EQ(stolen.level(), kHighLevel);
    EXPECT_EQ(stolen.order(), QueueOrder::kNewestFirst);
    EXPECT_FALSE(slot.filled());
    EXPECT_EQ(slot.exchange(SlotEntry(), gate).task(), nullptr);
    EXPECT_EQ(slot.steal(gate).task(), nullptr);
  }
}

TEST(SlotTest, TheGateIsOpenWhileNoThiefIsAtASlotAndNeverWithoutABarrier) {
  SlotGate gate(&count_barrier);
  const int before = barriers;
  EXPECT_TRUE(gate.open());
  gate.close();
  EXPECT_EQ(barriers, before + 1);
  EXPECT_FALSE(gate.open());
  gate.close();
  gate.reopen();
  EXPECT_FALSE(gate.open());  // There are two.
  gate.reopen();
  EXPECT_TRUE(gate.open());

  SlotGate without(nullptr);
  EXPECT_FALSE(without.open());
  without.close();
  without.reopen();
  EXPECT_FALSE(without.open());
}

// Between nothing and a few hundred ns, mostly little.
void pause(std::uint32_t& random) {
  random = random * 1664525 + 1013904223;
  for (std::uint32_t i = (random >> 24) >> (random >> 16) % 8; i > 0; --i) asm volatile("");
}

QueueOrder order_of(std::uint64_t id) {
  return id / kLevels % 2 == 0 ? QueueOrder::kInTurn : QueueOrder::kNewestFirst;
}

// Goal: [SLOT-GATE], a task is taken by the owner or by one thief, never by both, and none is lost.
// Method: the owner puts and takes as fast as it can, and both sides dawdle in the midst of it. If the two run at the
// same time, this finds a thief that does not look for the claim, and an owner that does not look at the gate. It does
// not find a membarrier that is left out: that reordering lasts a few ns (tests/base/membarrier_test.cc shows it).
class SlotStressTest : public testing::TestWithParam<bool> {};

TEST_P(SlotStressTest, EveryTaskIsTakenOnce) {
  const bool with_membarrier = GetParam();
  if (with_membarrier && !membarrier_available()) GTEST_SKIP() << "no membarrier(2)";
  constexpr std::size_t kTasks = 500'000;
  SlotGate gate(with_membarrier ? &membarrier : nullptr);
  Slot slot;
  Tasks tasks;
  std::vector<TaskHeader*> all(kTasks);
  for (TaskHeader*& task : all) task = tasks.make();
  const auto taken = std::make_unique<std::atomic<std::uint8_t>[]>(kTasks);
  const auto take = [&](const SlotEntry& entry) {
    if (entry.task() == nullptr) return;
    const std::uint64_t id = test::id_of(entry.task());
    EXPECT_EQ(entry.level(), id % kLevels);
    EXPECT_EQ(entry.order(), order_of(id));
    taken[id].fetch_add(1, std::memory_order_relaxed);
  };
  std::atomic<bool> done{false};
  std::thread thief([&] {
    std::uint32_t random = 1;
    while (!done.load(std::memory_order_acquire)) {
      take(slot.steal(gate, [&random] { pause(random); }));
      pause(random);
    }
  });
  std::uint32_t random = 2;
  const auto dawdle = [&random] { pause(random); };
  for (std::size_t i = 0; i < kTasks; ++i) {
    // Some are displaced, some taken, so that the slot is empty then.
    const SlotEntry entry(all[i], static_cast<Level>(i % kLevels), order_of(i));
    take(slot.exchange(entry, gate, dawdle));
    if (i % 3 == 0) take(slot.exchange(SlotEntry(), gate, dawdle));
  }
  while (slot.filled()) take(slot.exchange(SlotEntry(), gate));
  done.store(true, std::memory_order_release);
  thief.join();
  for (std::size_t i = 0; i < kTasks; ++i) {
    ASSERT_EQ(taken[i].load(std::memory_order_relaxed), 1) << "task " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Gates, SlotStressTest, testing::Bool(), [](const auto& info) {
  return info.param ? "membarrier" : "always_closed";
});

}  // namespace
}  // namespace skua::internal
