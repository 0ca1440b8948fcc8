// SPDX-License-Identifier: Apache-2.0
//
// Trees of tasks that tasks have spawned: walked depth first, beside tasks that are in turn, and what of them does not
// fit into a ring. One thread plays all workers.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/scheduler.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "tests/support/scheduler_driver.h"

namespace skua::internal {
namespace {

constexpr int kNobody = IdleSet::kNobody;
// The oldest is called so often at least: the scheduler looks for it on the injectors' turn.
constexpr int kOldestInterval = 65'536 + 61;

using test::announce_sleep;
using test::kNothing;
using test::next;
using test::push_injector;
using test::push_ring;
using test::push_slot;
using test::push_yielded;
using test::Seen;
using test::steal;
using test::Tasks;

using Ids = std::vector<std::uint64_t>;

// As a task does that spawns: each child goes to the slot, and displaces the one before it.
void spawn(Scheduler& scheduler, int worker, Tasks& tasks, int count, Level level = kNormalLevel) {
  for (int i = 0; i < count; ++i) {
    EXPECT_EQ(push_slot(scheduler, worker, tasks.make(level), QueueOrder::kNewestFirst), kNobody);
  }
}
void into_ring(Scheduler& scheduler, int worker, Tasks& tasks, int count) {
  for (int i = 0; i < count; ++i) EXPECT_EQ(push_ring(scheduler, worker, tasks.make()), kNobody);
}
void into_injector(Scheduler& scheduler, Tasks& tasks, int count) {
  for (int i = 0; i < count; ++i) EXPECT_EQ(push_injector(scheduler, tasks.make()), kNobody);
}
Ids next_ids(Scheduler& scheduler, int worker, int count) {
  Ids ids;
  for (int i = 0; i < count; ++i) ids.push_back(next(scheduler, worker).id);
  return ids;
}
Ids downwards(std::uint64_t first, std::uint64_t last) {
  Ids ids(first - last + 1);
  std::iota(ids.rbegin(), ids.rend(), last);
  return ids;
}

// A ring of 256 from which 0 to 127 have overflowed, with 256; 128 to 255 are in it, and nothing in the slot.
class SpillTest : public testing::TestWithParam<int> {
 protected:
  SpillTest() {
    spawn(scheduler_, 0, tasks_, 257);
    EXPECT_EQ(scheduler_.injector_depth(kNormalLevel), 0u);
    spawn(scheduler_, 0, tasks_, 1);
    EXPECT_EQ(scheduler_.injector_depth(kNormalLevel), 129u);
    EXPECT_EQ(scheduler_.counters(0).overflows.load(), 1u);
    EXPECT_EQ(next(scheduler_, 0), Seen(257, Source::kSlotNewRun));
  }
  void empty_ring() { EXPECT_EQ(next_ids(scheduler_, 0, 128), downwards(255, 128)); }

  Scheduler scheduler_{{.workers = 2}};
  Tasks tasks_;
};

// --- The order -----------------------------------------------------------------------------------

TEST(TreeOrderTest, WhatATaskHasSpawnedRunsTheLastOneFirst) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  spawn(scheduler, 0, tasks, 3);
  EXPECT_EQ(next(scheduler, 0), Seen(2, Source::kSlotNewRun));
  EXPECT_EQ(next(scheduler, 0), Seen(1, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), kNothing);
}

// Goal: what waits is the siblings along one path. Method: a tree whose nodes spawn ten each, of 111,111 tasks: the
// oldest is called once or twice, and opens one more path for a while.
TEST(TreeOrderTest, ATreeIsWalkedDepthFirst) {
  constexpr std::size_t kDepth = 5;
  constexpr int kFanOut = 10;
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  std::vector<std::size_t> depths{0};  // By id.
  spawn(scheduler, 0, tasks, 1);
  std::size_t ran = 0;
  std::size_t most = 0;
  for (Found found = scheduler.next(scheduler.queues(0), kRunBudget); found;
       found = scheduler.next(scheduler.queues(0), kRunBudget)) {
    ++ran;
    const std::size_t depth = depths[test::id_of(found.task)] + 1;
    if (depth > kDepth) continue;
    spawn(scheduler, 0, tasks, kFanOut);
    depths.resize(depths.size() + kFanOut, depth);
    most = std::max(most, depths.size() - ran);
  }
  EXPECT_EQ(ran, 111'111u);
  EXPECT_LE(most, 3 * kDepth * (kFanOut - 1) + 2);
  EXPECT_EQ(scheduler.counters(0).overflows.load(), 0u);
}

// Whom the end of a child wakes is queued as a child is: in the slot, and behind no other.
TEST(TreeOrderTest, AStepBackUpTheTreeComesBeforeTheOtherBranches) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  spawn(scheduler, 0, tasks, 3);
  EXPECT_EQ(next(scheduler, 0).id, 2u);
  TaskHeader* const joiner = tasks.make();
  spawn(scheduler, 0, tasks, 1);  // 4, which the joiner awaits, and which ends at once.
  EXPECT_EQ(next(scheduler, 0).id, 4u);
  EXPECT_EQ(push_slot(scheduler, 0, joiner, QueueOrder::kNewestFirst), kNobody);
  EXPECT_EQ(next(scheduler, 0), Seen(3, Source::kSlotNewRun));
  EXPECT_EQ(next_ids(scheduler, 0, 2), (Ids{1, 0}));
}

TEST(TreeOrderTest, AStepFromTheSlotHasABudgetOfItsOwn) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_ring(scheduler, 0, tasks, 1);
  spawn(scheduler, 0, tasks, 1);
  EXPECT_EQ(next(scheduler, 0, /*budget_left=*/0), Seen(1, Source::kSlotNewRun));
  EXPECT_EQ(push_slot(scheduler, 0, tasks.make()), kNobody);  // In turn: it goes on with the rest.
  EXPECT_EQ(next(scheduler, 0, /*budget_left=*/0), Seen(0, Source::kRing));
  EXPECT_EQ(next(scheduler, 0, /*budget_left=*/0), Seen(2, Source::kRing));
}

TEST(TreeOrderTest, AThiefWalksItsBranchesTheYoungestFirst) {
  Scheduler scheduler({.workers = 2});
  Tasks tasks;
  spawn(scheduler, 0, tasks, 9);  // 8 is in the slot.
  EXPECT_EQ(steal(scheduler, 1), Seen(3, Source::kPeer));
  EXPECT_EQ(next_ids(scheduler, 1, 3), (Ids{2, 1, 0}));
  EXPECT_EQ(next_ids(scheduler, 0, 5), (Ids{8, 7, 6, 5, 4}));
}

// --- Beside tasks that are in turn ----------------------------------------------------------------

TEST(TreeOrderTest, ThreeStepsComeBeforeATaskThatIsInTurn) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_ring(scheduler, 0, tasks, 2);  // 0 and 1.
  spawn(scheduler, 0, tasks, 8);      // 2 to 9, the last one in the slot.
  EXPECT_EQ(next_ids(scheduler, 0, 10), (Ids{9, 8, 7, 0, 6, 5, 4, 1, 3, 2}));
}

TEST(TreeOrderTest, AnEndlessChainOfSpawnsComesThreeTimesBeforeATaskThatIsInTurn) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_ring(scheduler, 0, tasks, 1);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    spawn(scheduler, 0, tasks, 1);
    EXPECT_EQ(next(scheduler, 0), Seen(id, Source::kSlotNewRun));
  }
  spawn(scheduler, 0, tasks, 1);
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), Seen(4, Source::kRing));
}

// Behind one that is in turn nobody overtakes: the ring is as it was, until that one has gone.
TEST(TreeOrderTest, WhatStandsBeforeATaskThatIsInTurnRunsInTurnToo) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  spawn(scheduler, 0, tasks, 3);  // 0 and 1 in the ring, 2 in the slot.
  into_ring(scheduler, 0, tasks, 1);
  EXPECT_EQ(next_ids(scheduler, 0, 4), (Ids{2, 0, 1, 3}));
}

// Two tasks that wake each other by the slot are no tree: a branch that waits is not behind them for long.
TEST(TreeOrderTest, TasksThatWakeEachOtherLetATreeGoOn) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  spawn(scheduler, 0, tasks, 5);
  TaskHeader* const wakes = tasks.make();  // 5: as good as two that wake each other.
  EXPECT_EQ(next(scheduler, 0).id, 4u);
  EXPECT_EQ(push_slot(scheduler, 0, wakes), kNobody);
  Ids branches;
  for (int tick = 0; tick < 4 * 5; ++tick) {
    const Seen found = next(scheduler, 0);
    if (found.id == 5) {
      EXPECT_EQ(push_slot(scheduler, 0, wakes), kNobody);
    } else {
      branches.push_back(found.id);
    }
  }
  EXPECT_EQ(branches.size(), 4u);
}

// --- The oldest -----------------------------------------------------------------------------------

TEST(TreeOrderTest, TheOldestIsNextWhenItIsCalled) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  spawn(scheduler, 0, tasks, 6);
  EXPECT_EQ(next_ids(scheduler, 0, 2), (Ids{5, 4}));
  scheduler.queues(0).call_oldest();
  EXPECT_EQ(next_ids(scheduler, 0, 2), (Ids{0, 3}));
  spawn(scheduler, 0, tasks, 1);
  scheduler.queues(0).call_oldest();
  EXPECT_EQ(next_ids(scheduler, 0, 3), (Ids{1, 6, 2}));  // The slot's goes to the ring.
  EXPECT_EQ(next(scheduler, 0), kNothing);
}

// After so many steps, and in so many ticks, so it may be twice.
TEST(TreeOrderTest, TheOldestRunsEvery65536Ticks) {
  constexpr int kRounds = 3;
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  spawn(scheduler, 0, tasks, 20);
  TaskHeader* const step = tasks.make();
  EXPECT_EQ(push_slot(scheduler, 0, step, QueueOrder::kNewestFirst), kNobody);
  std::vector<int> ticks{0};
  for (int tick = 1; tick <= kRounds * kOldestInterval; ++tick) {
    const Seen found = next(scheduler, 0);
    if (found.id == 20) {
      EXPECT_EQ(push_slot(scheduler, 0, step, QueueOrder::kNewestFirst), kNobody);
      continue;
    }
    ASSERT_EQ(found, Seen(ticks.size() - 1, Source::kRing));
    EXPECT_LE(tick - ticks.back(), kOldestInterval);
    ticks.push_back(tick);
  }
  EXPECT_GE(ticks[1], 50'000);
  EXPECT_GE(ticks.size() - 1, std::size_t{kRounds});
  EXPECT_LE(ticks.size() - 1, std::size_t{2 * kRounds});
}

// --- What overflows -------------------------------------------------------------------------------

TEST_F(SpillTest, ItWaitsUntilTheOwnQueuesAreEmptyAndNotForTheInjectorsTurn) {
  into_injector(scheduler_, tasks_, 1);  // 258
  Ids from_ring;
  Ids on_injectors_turn;
  for (int i = 0; i < 129; ++i) {
    const Seen found = next(scheduler_, 0);
    (found.source == Source::kRing ? from_ring : on_injectors_turn).push_back(found.id);
  }
  EXPECT_EQ(from_ring, downwards(255, 128));
  EXPECT_EQ(on_injectors_turn, Ids{258});
  // A share, as of an injector: 129 / 2 + 1. The rest of it in the order of a tree.
  EXPECT_EQ(next(scheduler_, 0), Seen(0, Source::kInjector));
  EXPECT_EQ(scheduler_.ring_depth(0, kNormalLevel), 64u);
  EXPECT_EQ(scheduler_.injector_depth(kNormalLevel), 64u);
  EXPECT_EQ(next_ids(scheduler_, 0, 64), downwards(64, 1));
}

TEST_F(SpillTest, ItTakesTurnsWithTheInjector) {
  empty_ring();
  into_injector(scheduler_, tasks_, 200);  // 258 and so on.
  bool from_injector = false;
  for (int batches = 0; batches < 6; ++batches) {
    const Seen found = next(scheduler_, 0);
    ASSERT_EQ(found.source, Source::kInjector);
    if (batches > 0) {
      EXPECT_NE(found.id >= 258, from_injector) << batches;
    }
    from_injector = found.id >= 258;
    while (scheduler_.ring_depth(0, kNormalLevel) > 0) {
      ASSERT_NE(next(scheduler_, 0), kNothing);
    }
  }
}

TEST_F(SpillTest, OneOfItIsNextWhenTheOldestIsCalledAndThenTheRingsOldest) {
  LocalQueues& self = scheduler_.queues(0);
  for (std::uint64_t call = 0; call < 5; ++call) {
    spawn(scheduler_, 0, tasks_, 1);
    self.call_oldest();
    EXPECT_EQ(next(scheduler_, 0), Seen(call, Source::kInjectorTick));
    EXPECT_EQ(next(scheduler_, 0), Seen(128 + call, Source::kRing));
    EXPECT_EQ(next(scheduler_, 0).id, 258 + call);  // Down the tree again.
  }
  EXPECT_EQ(scheduler_.injector_depth(kNormalLevel), 124u);
}

// Beside a task that yields for ever the own queues are never empty.
TEST_F(SpillTest, BesideATaskInTurnItHasTheTickAfterTheInjectors) {
  TaskHeader* const yields = tasks_.make();
  const std::uint64_t its_id = tasks_.last();
  EXPECT_EQ(push_yielded(scheduler_, 0, yields), kNobody);
  std::vector<int> ticks;
  for (int tick = 1; tick <= 1000; ++tick) {
    const Seen found = next(scheduler_, 0);
    if (found.id == its_id) {
      EXPECT_EQ(push_yielded(scheduler_, 0, yields), kNobody);
    } else if (found.source == Source::kInjectorTick) {
      EXPECT_EQ(found.id, ticks.size());
      ticks.push_back(tick);
    }
  }
  ASSERT_EQ(ticks.size(), 16u);
  for (std::size_t i = 1; i < ticks.size(); ++i) EXPECT_LE(ticks[i] - ticks[i - 1], 62);
}

TEST_F(SpillTest, APeerFindsIt) {
  EXPECT_EQ(next(scheduler_, 1), Seen(0, Source::kInjector));
  EXPECT_EQ(scheduler_.ring_depth(1, kNormalLevel), 64u);
  empty_ring();
  EXPECT_EQ(next(scheduler_, 0).source, Source::kInjector);
}

TEST_F(SpillTest, AThiefThatFindsNoPeerWithTasksLooksThereToo) {
  empty_ring();
  EXPECT_EQ(steal(scheduler_, 1), Seen(0, Source::kInjector));
}

TEST_F(SpillTest, NobodySleepsNorGoesOnWithATreeOfForksWhileItHasTasks) {
  empty_ring();
  for (int taken = 0; taken < 129; ++taken) {
    EXPECT_FALSE(announce_sleep(scheduler_, 1)) << taken;
    EXPECT_FALSE(scheduler_.may_go_on(scheduler_.queues(0))) << taken;
    scheduler_.queues(0).call_oldest();
    EXPECT_EQ(next(scheduler_, 0).id, taken == 128 ? 256u : static_cast<std::uint64_t>(taken));
  }
  EXPECT_TRUE(scheduler_.may_go_on(scheduler_.queues(0)));
  EXPECT_TRUE(announce_sleep(scheduler_, 1));
}

TEST(TreeOrderTest, AnOverflowInWhichATaskIsInTurnGoesToTheInjector) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_ring(scheduler, 0, tasks, 1);
  spawn(scheduler, 0, tasks, 257);
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 129u);
  std::uint64_t on_injectors_turn = 0;
  for (int tick = 1; tick <= 125; ++tick) {
    const Seen found = next(scheduler, 0);
    if (found.source != Source::kInjectorTick) continue;
    EXPECT_EQ(found.id, on_injectors_turn);
    ++on_injectors_turn;
  }
  EXPECT_EQ(on_injectors_turn, 2u);
}

// Those are taken one at a time, or have a turn in each 32 ticks: there is no spill for them.
TEST(TreeOrderTest, OfTheOtherLevelsAllOverflowsGoToTheirInjectors) {
  for (const Level level : {kHighLevel, kLowLevel}) {
    Scheduler scheduler({.workers = 1});
    Tasks tasks;
    spawn(scheduler, 0, tasks, 258, level);
    EXPECT_EQ(scheduler.injector_depth(level), 129u);
    EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 0u);
    EXPECT_EQ(scheduler.ring_depth(0, level), 128u);
    Ids seen;
    for (int i = 0; i < 258; ++i) seen.push_back(next(scheduler, 0).id);
    std::sort(seen.begin(), seen.end());
    Ids all = downwards(257, 0);
    std::sort(all.begin(), all.end());
    EXPECT_EQ(seen, all) << "level " << static_cast<int>(level);
  }
}

// --- Other policies -------------------------------------------------------------------------------

TEST(TreeOrderTest, WithoutASlotOrARingEverythingRunsInTurn) {
  for (const QueuePolicy policy : {QueuePolicy::kWorkStealingNoSlot, QueuePolicy::kGlobalQueue}) {
    Scheduler scheduler({.workers = 1, .policy = policy});
    Tasks tasks;
    spawn(scheduler, 0, tasks, 4);
    EXPECT_EQ(next_ids(scheduler, 0, 4), (Ids{0, 1, 2, 3}));
  }
}

TEST(TreeOrderTest, HomedTasksRunInTurn) {
  for (const QueuePolicy policy : {QueuePolicy::kWorkStealing, QueuePolicy::kThreadPerCore}) {
    Scheduler scheduler({.workers = 1, .policy = policy});
    Tasks tasks;
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(push_slot(scheduler, 0, tasks.make(kNormalLevel, 0), QueueOrder::kNewestFirst),
                kNobody);
    }
    const Ids in_turn{0, 1, 2, 3};
    const Ids after_the_slot{3, 0, 1, 2};
    EXPECT_EQ(next_ids(scheduler, 0, 4),
              policy == QueuePolicy::kThreadPerCore ? after_the_slot : in_turn);
  }
}

}  // namespace
}  // namespace skua::internal
