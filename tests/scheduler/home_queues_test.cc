// SPDX-License-Identifier: Apache-2.0
#include "scheduler/home_queues.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "tests/support/scheduler_driver.h"
#include "tests/support/task_id.h"

namespace skua::internal {
namespace {

using test::Tasks;
using testing::ElementsAre;

TEST(TaskFifoTest, GivesTheTasksInTheirOrderWhileItGrows) {
  TaskFifo fifo;
  Tasks tasks;
  EXPECT_EQ(fifo.pop(), nullptr);
  std::uint64_t next = 0;
  // Three in, two out, so that it grows with its content wrapped around the end.
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 3; ++i) fifo.push(tasks.make());
    for (int i = 0; i < 2; ++i) EXPECT_EQ(test::id_of(fifo.pop()), next++);
  }
  EXPECT_EQ(fifo.size(), 200u);
  while (!fifo.empty()) EXPECT_EQ(test::id_of(fifo.pop()), next++);
  EXPECT_EQ(next, 600u);
  EXPECT_EQ(fifo.pop(), nullptr);
}

TEST(HomeInboxTest, GivesEachLevelUpToABatchInItsOrder) {
  HomeInbox inbox;
  Tasks tasks;
  EXPECT_FALSE(inbox.maybe());
  for (std::size_t i = 0; i < HomeInbox::kBatch + 2; ++i) inbox.push(tasks.make(), kLowLevel);
  inbox.push(tasks.make(), kHighLevel);
  EXPECT_TRUE(inbox.maybe());
  EXPECT_EQ(inbox.pending(), HomeInbox::kBatch + 3);
  std::vector<std::pair<std::uint64_t, Level>> taken;
  const auto take = [&](TaskHeader* task, Level level) {
    taken.emplace_back(test::id_of(task), level);
  };
  inbox.drain(take);
  ASSERT_EQ(taken.size(), HomeInbox::kBatch + 1);
  EXPECT_EQ(taken.front(), std::pair(std::uint64_t{HomeInbox::kBatch + 2}, kHighLevel));
  for (std::uint64_t i = 0; i < HomeInbox::kBatch; ++i) {
    EXPECT_EQ(taken[i + 1], std::pair(i, kLowLevel));
  }
  EXPECT_EQ(inbox.pending(), 2u);
  taken.clear();
  inbox.drain(take);
  EXPECT_THAT(taken, ElementsAre(std::pair(std::uint64_t{HomeInbox::kBatch}, kLowLevel),
                                 std::pair(std::uint64_t{HomeInbox::kBatch + 1}, kLowLevel)));
  EXPECT_EQ(inbox.pending(), 0u);
}

// Shows that nothing is lost or doubled, and that each producer's tasks stay in their order. Four threads push while
// the worker drains.
TEST(HomeInboxTest, TakesFromManyThreadsAtOnce) {
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kEach = 20'000;
  HomeInbox inbox;
  std::deque<SpawnedTask> tasks;
  for (std::uint64_t i = 0; i < kThreads * kEach; ++i) {
    tasks.emplace_back().id = i;
  }
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        inbox.push(&tasks[thread * kEach + i], static_cast<Level>(thread % kLevels));
      }
    });
  }
  std::vector<std::uint64_t> next(kThreads, 0);
  std::uint64_t taken = 0;
  while (taken < kThreads * kEach) {
    if (!inbox.maybe()) std::this_thread::yield();
    inbox.drain([&](const TaskHeader* task, Level level) {
      const std::uint64_t thread = test::id_of(task) / kEach;
      EXPECT_EQ(level, thread % kLevels);
      EXPECT_EQ(test::id_of(task) % kEach, next[thread]++);
      ++taken;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(inbox.pending(), 0u);
}

}  // namespace
}  // namespace skua::internal
