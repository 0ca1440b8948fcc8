// SPDX-License-Identifier: Apache-2.0
//
// The order of a worker's look, step by step. One thread plays all workers.
#include "scheduler/scheduler.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/steal_order.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "tests/support/scheduler_driver.h"

namespace skua::internal {
namespace {

using testing::ElementsAre;

constexpr int kNobody = IdleSet::kNobody;

using test::announce_sleep;
using test::end_search;
using test::kNothing;
using test::next;
using test::push_injector;
using test::push_ring;
using test::push_slot;
using test::Seen;
using test::steal;
using test::Tasks;
using test::wake_up;

std::uint32_t tick_of(Scheduler& scheduler, int worker) {
  return scheduler.queues(worker).tick.load(std::memory_order_relaxed);
}

// Publishing while nobody sleeps.
void into_slot(Scheduler& scheduler, int worker, TaskHeader* task) {
  EXPECT_EQ(push_slot(scheduler, worker, task), kNobody);
}
void into_ring(Scheduler& scheduler, int worker, Tasks& tasks, int count) {
  for (int i = 0; i < count; ++i) EXPECT_EQ(push_ring(scheduler, worker, tasks.make()), kNobody);
}
void into_injector(Scheduler& scheduler, Tasks& tasks, int count) {
  for (int i = 0; i < count; ++i) EXPECT_EQ(push_injector(scheduler, tasks.make()), kNobody);
}

std::uint64_t count_of(const WorkerCounters::Counter& counter) {
  return counter.load(std::memory_order_relaxed);
}

// --- The order of a look -----------------------------------------------------------------------

TEST(SchedulerTest, AWorkerWithoutTasksFindsNothingAndCountsTheTick) {
  Scheduler scheduler({.workers = 1});
  EXPECT_EQ(next(scheduler, 0), kNothing);
  EXPECT_EQ(next(scheduler, 0), kNothing);
  EXPECT_EQ(tick_of(scheduler, 0), 2u);
}

TEST(SchedulerTest, EverySixtyFirstTickTheInjectorComesBeforeAFullSlotAndRing) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_injector(scheduler, tasks, 5);  // 0 to 4.
  into_ring(scheduler, 0, tasks, 200);
  std::uint64_t from_injector = 0;
  into_slot(scheduler, 0, tasks.make());
  for (std::uint32_t tick = 1; tick <= 4 * 61; ++tick) {
    const Seen found = next(scheduler, 0);
    ASSERT_EQ(tick_of(scheduler, 0), tick);
    if (tick % 61 == 0) {
      EXPECT_EQ(found, Seen(from_injector, Source::kInjectorTick)) << "tick " << tick;
      ++from_injector;
      EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 5 - from_injector);
    } else {
      EXPECT_TRUE(found.source == Source::kSlot || found.source == Source::kRing)
          << "tick " << tick;
      into_slot(scheduler, 0, tasks.make());  // It ran, or has moved to the end of the ring.
    }
  }
  EXPECT_EQ(from_injector, 4u);
  EXPECT_EQ(count_of(scheduler.counters(0).injector_takes), 4u);
}

TEST(SchedulerTest, TheIntervalOfTheInjectorsTurnIsTunable) {
  Scheduler scheduler({.workers = 1, .global_queue_interval = 3});
  Tasks tasks;
  into_injector(scheduler, tasks, 1);  // 0
  into_ring(scheduler, 0, tasks, 3);   // 1 to 3
  EXPECT_EQ(next(scheduler, 0), Seen(1, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), Seen(2, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kInjectorTick));
  EXPECT_EQ(next(scheduler, 0), Seen(3, Source::kRing));
}

TEST(SchedulerTest, OnTheInjectorsTurnAnEmptyInjectorLeavesTheTurnToTheOwnQueues) {
  Scheduler scheduler({.workers = 1, .global_queue_interval = 1});
  Tasks tasks;
  into_ring(scheduler, 0, tasks, 1);
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), kNothing);
}

// The 19th turn is in a tick that is owed to kLow, which has nothing.
TEST(SchedulerTest, TheInjectorsTurnIsNotLostInATickThatIsOwedToALevelWithoutTasks) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_injector(scheduler, tasks, 40);
  for (std::uint32_t tick = 1; tick <= 40 * 61; ++tick) {
    into_ring(scheduler, 0, tasks, 1);
    EXPECT_EQ(next(scheduler, 0).source == Source::kInjectorTick, tick % 61 == 0) << tick;
  }
}

TEST(SchedulerTest, TheSlotComesFirstThenTheRingInItsOrderThenTheInjector) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_injector(scheduler, tasks, 2);  // 0, 1
  into_ring(scheduler, 0, tasks, 3);   // 2, 3, 4
  into_slot(scheduler, 0, tasks.make());
  EXPECT_EQ(next(scheduler, 0), Seen(5, Source::kSlot));
  for (std::uint64_t id = 2; id <= 4; ++id) {
    EXPECT_EQ(next(scheduler, 0), Seen(id, Source::kRing));
  }
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 2u);
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kInjector));
  EXPECT_EQ(next(scheduler, 0), Seen(1, Source::kRing));  // Came along with it.
  EXPECT_EQ(next(scheduler, 0), kNothing);
}

// A countdown that went on below zero would overflow one day, and look at kNormal alone for 2^31 ticks.
TEST(SchedulerTest, TheCountdownToAnOwedTickStopsWhileEveryTickHasToLook) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  for (int tick = 0; tick < 1000; ++tick) {
    EXPECT_EQ(push_injector(scheduler, tasks.make(kLowLevel)), kNobody);
    into_ring(scheduler, 0, tasks, 1);
    EXPECT_NE(next(scheduler, 0), kNothing);
    EXPECT_GE(scheduler.queues(0).plain_ticks, -1);
    EXPECT_LE(scheduler.queues(0).plain_ticks, 32);
  }
  Scheduler pausing({.workers = 1});
  for (int tick = 0; tick < 100; ++tick) {
    EXPECT_TRUE(pausing.may_go_on(pausing.queues(0)));
    EXPECT_GE(pausing.queues(0).plain_ticks, -1);
  }
}

TEST(SchedulerTest, NextTakesNothingFromAPeer) {
  Scheduler scheduler({.workers = 2});
  Tasks tasks;
  into_ring(scheduler, 0, tasks, 8);
  EXPECT_EQ(next(scheduler, 1), kNothing);
}

// --- The slot ----------------------------------------------------------------------------------

TEST(SchedulerTest, TheSlotRunsThreeTimesInARowWhileTheRingWaits) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_ring(scheduler, 0, tasks, 2);  // 0, 1
  for (std::uint64_t id = 2; id <= 4; ++id) {
    into_slot(scheduler, 0, tasks.make());
    EXPECT_EQ(next(scheduler, 0), Seen(id, Source::kSlot));
  }
  into_slot(scheduler, 0, tasks.make());  // 5 goes to the end of the ring.
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kRing));
  into_slot(scheduler, 0, tasks.make());
  EXPECT_EQ(next(scheduler, 0), Seen(6, Source::kSlot));  // The count begins anew.
  EXPECT_EQ(next(scheduler, 0), Seen(1, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), Seen(5, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), kNothing);
  EXPECT_EQ(count_of(scheduler.counters(0).slot_runs), 4u);
}

TEST(SchedulerTest, ATaskInTheSlotRunsEvenIfTheSlotHasHadItsTurnsAndTheRingIsEmpty) {
  Scheduler scheduler({.workers = 1, .slot_runs_max = 1});
  Tasks tasks;
  into_slot(scheduler, 0, tasks.make());
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kSlot));
  into_slot(scheduler, 0, tasks.make());
  EXPECT_EQ(next(scheduler, 0).id, 1u);
  EXPECT_EQ(next(scheduler, 0), kNothing);
}

TEST(SchedulerTest, ATaskThatIsDisplacedFromTheSlotGoesToTheEndOfTheRing) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_slot(scheduler, 0, tasks.make());  // 0
  into_ring(scheduler, 0, tasks, 1);      // 1
  into_slot(scheduler, 0, tasks.make());  // 2 displaces 0.
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 2u);
  EXPECT_EQ(next(scheduler, 0), Seen(2, Source::kSlot));
  EXPECT_EQ(next(scheduler, 0), Seen(1, Source::kRing));
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kRing));
}

// --- The injector ------------------------------------------------------------------------------

TEST(SchedulerTest, AWorkerTakesItsFairShareOfTheInjector) {
  Scheduler scheduler({.workers = 4});
  Tasks tasks;
  into_injector(scheduler, tasks, 100);
  EXPECT_EQ(next(scheduler, 2), Seen(0, Source::kInjector));  // 100 / 4 + 1.
  EXPECT_EQ(scheduler.ring_depth(2, kNormalLevel), 25u);
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 74u);
  EXPECT_EQ(count_of(scheduler.counters(2).injector_takes), 26u);
  EXPECT_EQ(next(scheduler, 0), Seen(26, Source::kInjector));  // 74 / 4 + 1.
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 18u);
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 55u);
  for (std::uint64_t id = 1; id <= 25; ++id) {
    EXPECT_EQ(next(scheduler, 2), Seen(id, Source::kRing));
  }
}

TEST(SchedulerTest, AWorkerTakesAtMost128TasksOfTheInjectorAtOnce) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_injector(scheduler, tasks, 1'000);
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kInjector));
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 127u);
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 872u);
}

TEST(SchedulerTest, AWorkerTakesNoMoreOfTheInjectorThanItsRingHasRoomFor) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_injector(scheduler, tasks, 100);
  into_ring(scheduler, 0, tasks, 250);
  EXPECT_EQ(steal(scheduler, 0), Seen(0, Source::kInjector));  // Looks at no own queue.
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 94u);
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 255u);
  EXPECT_EQ(steal(scheduler, 0), Seen(6, Source::kInjector));
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 255u);
  into_ring(scheduler, 0, tasks, 1);
  EXPECT_EQ(steal(scheduler, 0), Seen(7, Source::kInjector));  // The one that runs needs no room.
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 92u);
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 256u);
  EXPECT_EQ(count_of(scheduler.counters(0).overflows), 0u);
}

TEST(SchedulerTest, AFullRingGivesItsOlderHalfToTheInjectorInOneBatch) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_ring(scheduler, 0, tasks, 256);
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 0u);
  into_ring(scheduler, 0, tasks, 1);
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 129u);
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 128u);
  EXPECT_EQ(count_of(scheduler.counters(0).overflows), 1u);
  // Tick 61 and 122 are the injector's turn; it begins with the oldest of the batch.
  std::vector<std::uint64_t> from_ring;
  std::vector<std::uint64_t> from_injector;
  for (int i = 0; i < 130; ++i) {
    const Seen found = next(scheduler, 0);
    (found.source == Source::kRing ? from_ring : from_injector).push_back(found.id);
  }
  ASSERT_EQ(from_ring.size(), 128u);
  for (std::uint64_t id = 0; id < 128; ++id) EXPECT_EQ(from_ring[id], 128 + id);
  EXPECT_THAT(from_injector, ElementsAre(0, 1));
  EXPECT_EQ(next(scheduler, 0), Seen(2, Source::kInjector));
}

TEST(SchedulerTest, ATaskThatIsDisplacedIntoAFullRingOverflowsToo) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  into_slot(scheduler, 0, tasks.make());
  into_ring(scheduler, 0, tasks, 256);
  into_slot(scheduler, 0, tasks.make());
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 129u);
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 128u);
  EXPECT_EQ(next(scheduler, 0), Seen(257, Source::kSlot));
}

// --- Stealing ----------------------------------------------------------------------------------

TEST(SchedulerTest, AThiefTakesHalfOfTheFirstPeerFromARandomStart) {
  constexpr int kWorkers = 4;
  constexpr int kThief = 1;
  std::vector<int> victims;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Scheduler scheduler({.workers = kWorkers, .seed = seed});
    Tasks tasks;
    for (int worker = 0; worker < kWorkers; ++worker) {
      if (worker != kThief) into_ring(scheduler, worker, tasks, 8);
    }
    int victim = StealOrder(seed + kThief).start(kWorkers);
    if (victim == kThief) victim = (victim + 1) % kWorkers;
    const std::uint64_t first =
        8 * static_cast<std::uint64_t>(victim > kThief ? victim - 1 : victim);
    EXPECT_EQ(steal(scheduler, kThief), Seen(first + 3, Source::kPeer)) << "seed " << seed;
    EXPECT_EQ(scheduler.ring_depth(victim, kNormalLevel), 4u);
    EXPECT_EQ(scheduler.ring_depth(kThief, kNormalLevel), 3u);
    // The three kHigh rings, then the first with something in it.
    EXPECT_EQ(count_of(scheduler.counters(kThief).steal_attempts), 4u);
    EXPECT_EQ(count_of(scheduler.counters(kThief).steals), 1u);
    EXPECT_EQ(count_of(scheduler.counters(kThief).stolen), 4u);
    EXPECT_EQ(next(scheduler, kThief), Seen(first, Source::kRing));
    victims.push_back(victim);
  }
  std::sort(victims.begin(), victims.end());
  victims.erase(std::unique(victims.begin(), victims.end()), victims.end());
  EXPECT_THAT(victims, ElementsAre(0, 2, 3));
}

TEST(SchedulerTest, AThiefGoesOnceAroundAllPeers) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Scheduler scheduler({.workers = 8, .seed = seed});
    Tasks tasks;
    EXPECT_EQ(steal(scheduler, 3), kNothing);
    EXPECT_EQ(count_of(scheduler.counters(3).searches), 1u);
    EXPECT_EQ(count_of(scheduler.counters(3).steal_attempts), 7u * kLevels);
    into_ring(scheduler, 6, tasks, 1);
    EXPECT_EQ(steal(scheduler, 3), Seen(0, Source::kPeer)) << "seed " << seed;
    EXPECT_EQ(scheduler.ring_depth(6, kNormalLevel), 0u);
  }
}

TEST(SchedulerTest, AThiefThatFindsNoPeerWithTasksLooksAtTheInjectorAgain) {
  Scheduler scheduler({.workers = 2});
  Tasks tasks;
  into_injector(scheduler, tasks, 4);
  EXPECT_EQ(steal(scheduler, 0), Seen(0, Source::kInjector));  // 4 / 2 + 1.
  EXPECT_EQ(scheduler.ring_depth(0, kNormalLevel), 2u);
  EXPECT_EQ(scheduler.injector_depth(kNormalLevel), 1u);
}

TEST(SchedulerTest, ThePeersSlotIsItsOwn) {
  Scheduler scheduler({.workers = 2});
  Tasks tasks;
  into_slot(scheduler, 0, tasks.make());
  EXPECT_EQ(steal(scheduler, 1), kNothing);
  EXPECT_EQ(next(scheduler, 0), Seen(0, Source::kSlot));
}

TEST(SchedulerTest, AtMostHalfOfTheWorkersSearchAtATime) {
  Scheduler scheduler({.workers = 4});
  Tasks tasks;
  EXPECT_EQ(steal(scheduler, 0), kNothing);
  EXPECT_EQ(steal(scheduler, 1), kNothing);
  EXPECT_EQ(scheduler.idle().searching(), 2);
  into_ring(scheduler, 3, tasks, 4);
  EXPECT_EQ(steal(scheduler, 2), kNothing);
  EXPECT_EQ(count_of(scheduler.counters(2).steal_attempts), 0u);
  EXPECT_EQ(steal(scheduler, 1), Seen(1, Source::kPeer));  // It searches already.
  EXPECT_EQ(scheduler.idle().searching(), 2);
  EXPECT_EQ(end_search(scheduler, 1), kNobody);
  EXPECT_EQ(steal(scheduler, 2).source, Source::kPeer);
}

TEST(SchedulerTest, ASingleWorkerNeverSearches) {
  Scheduler scheduler({.workers = 1});
  Tasks tasks;
  EXPECT_EQ(steal(scheduler, 0), kNothing);
  EXPECT_EQ(scheduler.idle().searching(), 0);
  EXPECT_EQ(end_search(scheduler, 0), kNobody);
  EXPECT_EQ(count_of(scheduler.counters(0).steal_attempts), 0u);
  into_injector(scheduler, tasks, 1);
  EXPECT_EQ(steal(scheduler, 0), Seen(0, Source::kInjector));
  EXPECT_EQ(scheduler.idle().searching(), 0);
}

// --- Waking ------------------------------------------------------------------------------------

TEST(SchedulerTest, ATaskInAnEmptySlotWakesNobodyAndADisplacedOneWakesASleeper) {
  Scheduler scheduler({.workers = 2});
  Tasks tasks;
  ASSERT_TRUE(announce_sleep(scheduler, 1));
  EXPECT_EQ(push_slot(scheduler, 0, tasks.make()), kNobody);
  EXPECT_EQ(push_slot(scheduler, 0, tasks.make()), 1);
  EXPECT_EQ(push_slot(scheduler, 0, tasks.make()),
            kNobody);  // Worker 1 searches already.
}

TEST(SchedulerTest, ATaskInARingOrInTheInjectorWakesASleeper) {
  Scheduler scheduler({.workers = 3});
  Tasks tasks;
  ASSERT_TRUE(announce_sleep(scheduler, 1));
  ASSERT_TRUE(announce_sleep(scheduler, 2));
  EXPECT_EQ(push_ring(scheduler, 0, tasks.make()), 2);
  wake_up(scheduler, 2);
  EXPECT_EQ(steal(scheduler, 2), Seen(0, Source::kPeer));
  EXPECT_EQ(end_search(scheduler, 2), 1);
  wake_up(scheduler, 1);
  ASSERT_TRUE(announce_sleep(scheduler, 1));
  EXPECT_EQ(push_injector(scheduler, tasks.make()), 1);
}

TEST(SchedulerTest, TheLastSearcherThatFindsATaskWakesAnother) {
  Scheduler scheduler({.workers = 4});
  Tasks tasks;
  ASSERT_TRUE(announce_sleep(scheduler, 3));
  EXPECT_EQ(steal(scheduler, 1), kNothing);
  EXPECT_EQ(steal(scheduler, 2), kNothing);
  into_ring(scheduler, 0, tasks, 8);  // Wakes nobody: there are searchers.
  EXPECT_EQ(steal(scheduler, 1).source, Source::kPeer);
  EXPECT_EQ(end_search(scheduler, 1), kNobody);
  EXPECT_EQ(steal(scheduler, 2).source, Source::kPeer);
  EXPECT_EQ(end_search(scheduler, 2), 3);
  EXPECT_EQ(scheduler.idle().searching(), 1);  // Worker 3, which is about to wake up.
}

TEST(SchedulerTest, WhoDoesNotSearchWakesNobodyAtTheEndOfItsSearch) {
  Scheduler scheduler({.workers = 2});
  ASSERT_TRUE(announce_sleep(scheduler, 1));
  EXPECT_EQ(end_search(scheduler, 0), kNobody);
  EXPECT_EQ(scheduler.idle().awake(), 1);
}

TEST(SchedulerTest, AWokenWorkerSearchesEvenIfHalfOfTheWorkersDoSo) {
  Scheduler scheduler({.workers = 3});
  Tasks tasks;
  ASSERT_TRUE(announce_sleep(scheduler, 2));
  EXPECT_EQ(push_ring(scheduler, 0, tasks.make()),
            2);  // Counts as searching from here on.
  EXPECT_EQ(push_ring(scheduler, 0, tasks.make()), kNobody);
  EXPECT_EQ(steal(scheduler, 1), Seen(0, Source::kPeer));
  EXPECT_EQ(scheduler.idle().searching(), 2);
  wake_up(scheduler, 2);
  EXPECT_EQ(steal(scheduler, 2), Seen(1, Source::kPeer));
  EXPECT_EQ(scheduler.idle().searching(), 2);
}

// --- Sleeping ----------------------------------------------------------------------------------

TEST(SchedulerTest, AWorkerSleepsIfThereIsNothingToDo) {
  Scheduler scheduler({.workers = 2});
  EXPECT_EQ(steal(scheduler, 1), kNothing);
  EXPECT_EQ(scheduler.idle().searching(), 1);
  EXPECT_TRUE(announce_sleep(scheduler, 1));
  EXPECT_EQ(scheduler.idle().searching(), 0);
  EXPECT_EQ(scheduler.idle().awake(), 1);
  wake_up(scheduler, 1);  // By itself, for the driver or a timer.
  EXPECT_EQ(scheduler.idle().searching(), 0);
  EXPECT_EQ(scheduler.idle().awake(), 2);
}

TEST(SchedulerTest, AWorkerDoesNotSleepOnWorkThatWasPublishedBefore) {
  enum class Place { kInjector, kOwnSlot, kOwnRing, kPeersRing };
  for (const Place place :
       {Place::kInjector, Place::kOwnSlot, Place::kOwnRing, Place::kPeersRing}) {
    Scheduler scheduler({.workers = 2});
    Tasks tasks;
    EXPECT_EQ(steal(scheduler, 1), kNothing);
    switch (place) {
      case Place::kInjector:
        into_injector(scheduler, tasks, 1);
        break;
      case Place::kOwnSlot:
        into_slot(scheduler, 1, tasks.make());
        break;
      case Place::kOwnRing:
        into_ring(scheduler, 1, tasks, 1);
        break;
      case Place::kPeersRing:
        into_ring(scheduler, 0, tasks, 1);
        break;
    }
    EXPECT_FALSE(announce_sleep(scheduler, 1)) << static_cast<int>(place);
    EXPECT_EQ(scheduler.idle().awake(), 2);
    // It searches on: the publishers woke nobody, because it searched.
    EXPECT_EQ(scheduler.idle().searching(), 1);
    Seen found = next(scheduler, 1);
    if (found == kNothing) found = steal(scheduler, 1);
    EXPECT_EQ(found.id, 0u) << static_cast<int>(place);
  }
}

// Two tasks come while worker 1 searches, so nobody is woken; the last look of worker 1 finds them. It runs one, and
// the other one must not wait for that: worker 0 sleeps, and is to be woken.
TEST(SchedulerTest, AWorkerThatItsLastLookKeepsAwakeWakesAnotherForTheRest) {
  Scheduler scheduler({.workers = 2});
  Tasks tasks;
  EXPECT_TRUE(announce_sleep(scheduler, 0));
  EXPECT_EQ(steal(scheduler, 1), kNothing);  // Searches.
  EXPECT_EQ(push_injector(scheduler, tasks.make()), IdleSet::kNobody);
  EXPECT_EQ(push_injector(scheduler, tasks.make()), IdleSet::kNobody);
  EXPECT_FALSE(announce_sleep(scheduler, 1));
  EXPECT_EQ(next(scheduler, 1).id, 0u);
  EXPECT_EQ(end_search(scheduler, 1), 0);
}

// --- Stealing late ------------------------------------------------------------------------------

int barriers = 0;
void count_barrier() noexcept { ++barriers; }

// The kernel may keep worker 1 from running between its search and its first task: worker 0 must neither sleep nor turn
// in circles until then.
TEST(SchedulerTest, WhoSeesWorkBeforeItSleepsTakesItThoughAnotherSearches) {
  Scheduler scheduler({.workers = 2});
  Tasks tasks;
  EXPECT_EQ(steal(scheduler, 1), kNothing);
  into_ring(scheduler, 1, tasks, 4);  // Wakes nobody: somebody searches.
  EXPECT_EQ(steal(scheduler, 0), kNothing);
  EXPECT_FALSE(announce_sleep(scheduler, 0));
  EXPECT_EQ(scheduler.idle().searching(), 2);
  EXPECT_EQ(steal(scheduler, 0).source, Source::kPeer);
  EXPECT_EQ(end_search(scheduler, 0), kNobody);
  EXPECT_EQ(end_search(scheduler, 1), kNobody);
  EXPECT_EQ(scheduler.idle().searching(), 0);
}

// Worker 1 sleeps and has the watch; worker 0 has filled its slot and does not come back.
TEST(SchedulerTest, TheWatchTakesTheSlotOfAWorkerThatHasNotTickedForAMillisecond) {
  constexpr std::int64_t kMs = 1'000'000;
  Scheduler scheduler({.workers = 2, .barrier = &count_barrier});
  Tasks tasks;
  EXPECT_EQ(push_ring(scheduler, 0, tasks.make()), kNobody);
  EXPECT_EQ(next(scheduler, 0).id, 0u);
  into_slot(scheduler, 0, tasks.make(kLowLevel));
  ASSERT_TRUE(announce_sleep(scheduler, 1));
  LocalQueues& watch = scheduler.queues(1);
  ASSERT_TRUE(scheduler.has_watch(watch));
  wake_up(scheduler, 1);
  const int before = barriers;
  LateLook look = scheduler.look_late(watch, 100 * kMs);
  EXPECT_FALSE(look.found);  // It has run something since the last look, which there was none of.
  EXPECT_TRUE(look.peers_ran);
  EXPECT_TRUE(look.slot_waits);
  look = scheduler.look_late(watch, 101 * kMs - 1);
  EXPECT_FALSE(look.found);
  EXPECT_FALSE(look.peers_ran);
  EXPECT_EQ(barriers, before);  // Nobody is interrupted for a look.
  look = scheduler.look_late(watch, 101 * kMs);
  EXPECT_EQ(Seen(look.found), Seen(1, Source::kPeersSlot, kLowLevel));
  EXPECT_EQ(barriers, before + 1);
  EXPECT_EQ(count_of(scheduler.counters(1).late_steals), 1u);
  EXPECT_EQ(count_of(scheduler.counters(1).watch_looks), 3u);
  // Its owner comes back, and finds nothing there.
  EXPECT_EQ(next(scheduler, 0), kNothing);
  into_slot(scheduler, 0, tasks.make());
  EXPECT_EQ(next(scheduler, 0), Seen(2, Source::kSlot));
}

TEST(SchedulerTest, ASlotWhoseOwnerTicksIsLeftAlone) {
  constexpr std::int64_t kMs = 1'000'000;
  Scheduler scheduler({.workers = 2, .barrier = &count_barrier});
  Tasks tasks;
  ASSERT_TRUE(announce_sleep(scheduler, 1));
  wake_up(scheduler, 1);
  for (std::int64_t ms = 1; ms < 50; ++ms) {
    next(scheduler, 0);
    into_slot(scheduler, 0, tasks.make());
    const LateLook look = scheduler.look_late(scheduler.queues(1), ms * kMs);
    EXPECT_FALSE(look.found) << ms;
    EXPECT_TRUE(look.peers_ran) << ms;
    EXPECT_TRUE(look.slot_waits) << ms;
  }
}

TEST(SchedulerTest, ATaskInAPeersSlotKeepsNobodyAwake) {
  Scheduler scheduler({.workers = 2});
  Tasks tasks;
  into_slot(scheduler, 0, tasks.make());
  EXPECT_TRUE(announce_sleep(scheduler, 1));
}

}  // namespace
}  // namespace skua::internal
