// SPDX-License-Identifier: Apache-2.0
//
// No task starves: for each place where a task can wait, adversaries that keep the worker busy, and a bound in ticks.
// The bounds are those of scheduler/README.md. One worker, driven by hand; a tick is one look.
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "scheduler/scheduler.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "tests/support/scheduler_driver.h"
#include "tests/support/task_id.h"

namespace skua::internal {
namespace {

using test::Tasks;

constexpr std::array<Level, kLevels> kAllLevels{kHighLevel, kNormalLevel, kLowLevel};

// A worker that is never without work: every task that it runs comes back to where it waited, whenever the slot is
// empty a new task stands in it, and trees of spawned tasks have no end.
class BusyWorker {
 public:
  // Where a task goes after each of its runs.
  enum class Habit {
    kEnds,
    kYields,
    kIsInjected,
    kIsHomedByItself,
    kIsHomedByOthers,
    kFillsSlot,
    kSpawns
  };

  explicit BusyWorker(const SchedulerTuning& tuning = {}) : scheduler_(tuning) {}

  TaskHeader* add(Level level, Habit habit) {
    if (habit == Habit::kSpawns) ++trees_;
    const bool homed = habit == Habit::kIsHomedByItself || habit == Habit::kIsHomedByOthers;
    TaskHeader* const task = tasks_.make(level, homed ? 0 : -1);
    habits_[task] = habit;
    put(task);
    return task;
  }
  // Every adversary there is, at `level`: some of each kind, a slot that is filled in each run, and a tree.
  void flood(Level level, int of_each = 3) {
    for (const Habit habit :
         {Habit::kYields, Habit::kIsInjected, Habit::kIsHomedByItself, Habit::kIsHomedByOthers}) {
      for (int i = 0; i < of_each; ++i) add(level, habit);
    }
    add(level, Habit::kFillsSlot);
    add(level, Habit::kSpawns);
  }
  // An endless tree of which as many as `branches` tasks live at most.
  void grow_tree(Level level, int branches) {
    branches_max_ = branches;
    add(level, Habit::kSpawns);
  }
  // One that waits, once. Returns it.
  TaskHeader* wait_in_ring(Level level) {
    TaskHeader* const task = tasks_.make(level);
    habits_[task] = Habit::kEnds;
    EXPECT_EQ(test::push_ring(scheduler_, 0, task), IdleSet::kNobody);
    return task;
  }
  TaskHeader* wait_in_injector(Level level) {
    TaskHeader* const task = tasks_.make(level);
    habits_[task] = Habit::kEnds;
    EXPECT_EQ(test::push_injector(scheduler_, task), IdleSet::kNobody);
    return task;
  }
  TaskHeader* wait_homed(Level level, bool in_inbox) {
    TaskHeader* const task = tasks_.make(level, 0);
    habits_[task] = Habit::kEnds;
    EXPECT_EQ(
        in_inbox ? test::push_injector(scheduler_, task) : test::push_ring(scheduler_, 0, task),
        IdleSet::kNobody);
    return task;
  }
  TaskHeader* wait_in_slot(Level level, QueueOrder order = QueueOrder::kInTurn) {
    TaskHeader* const task = tasks_.make(level);
    habits_[task] = Habit::kEnds;
    EXPECT_EQ(test::push_slot(scheduler_, 0, task, order), IdleSet::kNobody);
    return task;
  }
  // As a branch of a tree: it is spawned, and displaced from the slot by what is spawned next.
  TaskHeader* wait_as_branch(Level level) { return wait_in_slot(level, QueueOrder::kNewestFirst); }

  // One look and what follows from it.
  Found tick(std::int32_t budget_left = kRunBudget) {
    const Found found = scheduler_.next(scheduler_.queues(0), budget_left);
    if (found && habits_[found.task] != Habit::kEnds) put(found.task);
    if (found && habits_[found.task] == Habit::kSpawns && trees_ < branches_max_) {
      add(found.level, Habit::kSpawns);
    }
    return found;
  }
  // The number of ticks until `task` runs.
  int ticks_until(const TaskHeader* task, int limit) {
    for (int ticks = 1; ticks <= limit; ++ticks) {
      if (tick().task == task) return ticks;
    }
    ADD_FAILURE() << "task " << test::id_of(task) << " has not run in " << limit << " ticks";
    return limit + 1;
  }
  Scheduler& scheduler() { return scheduler_; }

 private:
  void put(TaskHeader* task) {
    int wake = IdleSet::kNobody;
    switch (habits_[task]) {
      case Habit::kEnds:
        break;
      case Habit::kYields:
      case Habit::kIsHomedByItself:
        wake = test::push_yielded(scheduler_, 0, task);
        break;
      case Habit::kIsInjected:
      case Habit::kIsHomedByOthers:
        wake = test::push_injector(scheduler_, task);
        break;
      case Habit::kFillsSlot:
        wake = test::push_slot(scheduler_, 0, task);
        break;
      case Habit::
          kSpawns:  // Ends, and leaves one child, which may as well be itself, or two: see tick().
        wake = test::push_slot(scheduler_, 0, task, QueueOrder::kNewestFirst);
        break;
    }
    EXPECT_EQ(wake, IdleSet::kNobody);  // Nobody sleeps.
  }

  Scheduler scheduler_;
  Tasks tasks_;
  std::map<const TaskHeader*, Habit> habits_;
  int trees_ = 0;  // Tasks of trees that live.
  int branches_max_ = 8;
};

using Habit = BusyWorker::Habit;

// Calls `check(worker, phase)` for workers that have ticked `phase` times under their load: the ticks of a level, the
// injectors' turn and the slot's streak meet in every combination.
template <typename Load, typename Check>
void in_every_phase(int phases, Load load, Check check) {
  for (int phase = 0; phase < phases; ++phase) {
    SCOPED_TRACE("phase " + std::to_string(phase));
    BusyWorker worker;
    load(worker);
    for (int i = 0; i < phase; ++i) worker.tick();
    check(worker);
    if (testing::Test::HasFailure()) return;
  }
}

// --- One level: the places within it ------------------------------------------------------------

// Each place against all adversaries of the same level.

TEST(FairnessTest, ATaskInTheRingRunsWithinEightTicksForEachOneBeforeIt) {
  // Slot (three runs, then another's turn) and homed tasks (every other turn).
  in_every_phase(
      128, [](BusyWorker& worker) { worker.flood(kNormalLevel); },
      [](BusyWorker& worker) {
        const int before = static_cast<int>(worker.scheduler().ring_depth(0, kNormalLevel));
        const TaskHeader* const task = worker.wait_in_ring(kNormalLevel);
        EXPECT_LE(worker.ticks_until(task, 10'000), 8 * (before + 1) + before / 7 + 2);
      });
}

TEST(FairnessTest, ATaskInTheInjectorRunsWithin61TicksForEachOneBeforeIt) {
  in_every_phase(
      128, [](BusyWorker& worker) { worker.flood(kNormalLevel); },
      [](BusyWorker& worker) {
        const int before = static_cast<int>(worker.scheduler().injector_depth(kNormalLevel));
        const TaskHeader* const task = worker.wait_in_injector(kNormalLevel);
        EXPECT_LE(worker.ticks_until(task, 10'000), 61 * (before + 1));
      });
}

TEST(FairnessTest, AHomedTaskRunsWithinEightTicksForEachOneBeforeIt) {
  for (const bool in_inbox : {false, true}) {
    in_every_phase(
        128, [](BusyWorker& worker) { worker.flood(kNormalLevel); },
        [&](BusyWorker& worker) {
          constexpr int kBefore = 6;  // Those of the flood, wherever they are now.
          const TaskHeader* const task = worker.wait_homed(kNormalLevel, in_inbox);
          EXPECT_LE(worker.ticks_until(task, 10'000), 8 * (kBefore + 1) + 2);
        });
  }
}

TEST(FairnessTest, ATaskThatYieldsRunsAgainWithinEightTicksForEachOneBeforeIt) {
  BusyWorker worker;
  worker.flood(kNormalLevel);
  const TaskHeader* const yields = worker.add(kNormalLevel, Habit::kYields);
  for (int run = 0; run < 500; ++run) {
    const int in_ring = static_cast<int>(worker.scheduler().ring_depth(0, kNormalLevel));
    EXPECT_LE(worker.ticks_until(yields, 10'000), 8 * in_ring + 2) << "run " << run;
  }
}

// The slot is the best place; what is displaced from it is in the ring.
TEST(FairnessTest, ATaskThatIsDisplacedFromTheSlotRunsWithinTheBoundOfTheRing) {
  in_every_phase(
      128, [](BusyWorker& worker) { worker.flood(kNormalLevel); },
      [](BusyWorker& worker) {
        const int before = static_cast<int>(worker.scheduler().ring_depth(0, kNormalLevel)) + 1;
        const TaskHeader* const task = worker.wait_in_slot(kNormalLevel);
        worker.wait_in_slot(kNormalLevel);
        EXPECT_LE(worker.ticks_until(task, 10'000), 8 * (before + 1) + 2);
      });
}

// The injector is a queue for each producer, and its consumer leaves a producer after 32 tasks. Whichever of the two it
// begins with, the other one's task waits no longer.
TEST(FairnessTest, ATaskFromOneOutsideThreadDoesNotWaitForAllOfAnothersFlood) {
  constexpr int kFlood = 2000;
  for (const bool flood_first : {false, true}) {
    BusyWorker worker;
    worker.add(kNormalLevel, Habit::kYields);
    const auto flood = [&] {
      for (int i = 0; i < kFlood; ++i) worker.wait_in_injector(kNormalLevel);
    };
    const TaskHeader* task = nullptr;
    const auto put_one = [&] { task = worker.wait_in_injector(kNormalLevel); };
    if (flood_first) {
      std::thread(flood).join();
      put_one();
    } else {
      std::thread(put_one).join();
      flood();
    }
    // Two producers, and the worker itself, which has put nothing there.
    EXPECT_LE(worker.ticks_until(task, 61 * kFlood), 61 * 3 * 33) << flood_first;
  }
}

// --- The levels against each other --------------------------------------------------------------

TEST(FairnessTest, WithTheOthersFloodedLowGetsOneTickIn32AndNormalOneIn8) {
  BusyWorker worker;
  for (const Level level : kAllLevels) worker.flood(level);
  std::array<int, kLevels> since{};
  std::array<int, kLevels> runs{};
  constexpr int kTicks = 61 * 32 * 20;
  for (int i = 0; i < kTicks; ++i) {
    const Found found = worker.tick();
    ASSERT_TRUE(found);
    for (int& ticks : since) ++ticks;
    since[found.level] = 0;
    ++runs[found.level];
    ASSERT_LT(since[kNormalLevel], 8) << "tick " << i;
    ASSERT_LT(since[kLowLevel], 32) << "tick " << i;
  }
  // And no more than they are owed, but for the injectors' turns.
  EXPECT_LE(runs[kNormalLevel], kTicks / 8 + kTicks / 61 + 1);
  EXPECT_LE(runs[kLowLevel], kTicks / 32 + kTicks / 61 + 1);
}

TEST(FairnessTest, LowGetsItsTickWhereverItsTasksWait) {
  for (const Habit habit : {Habit::kYields, Habit::kIsInjected, Habit::kIsHomedByItself,
                            Habit::kIsHomedByOthers, Habit::kFillsSlot}) {
    BusyWorker worker;
    worker.flood(kHighLevel);
    worker.flood(kNormalLevel);
    worker.add(kLowLevel, habit);
    int since = 0;
    for (int i = 0; i < 4000; ++i) {
      since = worker.tick().level == kLowLevel ? 0 : since + 1;
      ASSERT_LT(since, 32) << "habit " << static_cast<int>(habit);
    }
  }
}

TEST(FairnessTest, EveryTaskOfEveryLevelRunsWithinItsBoundUnderAllFloods) {
  struct Bound {
    Bound(Level of, int ring, int injector) : level(of), in_ring(ring), in_injector(injector) {}
    Level level;
    int in_ring;      // Ticks for each task before it, and for itself.
    int in_injector;  // The same.
  };
  // A level's share of the ticks, then its slot, its homed tasks, and for kHigh its injector.
  for (const Bound& bound : {Bound(kHighLevel, 20, 4), Bound(kNormalLevel, 8 * 8, 3 * 61),
                             Bound(kLowLevel, 32 * 8, 3 * 61)}) {
    SCOPED_TRACE("level " + std::to_string(bound.level));
    const auto load = [](BusyWorker& worker) {
      for (const Level level : kAllLevels) worker.flood(level);
    };
    in_every_phase(61, load, [&](BusyWorker& worker) {
      const int ring = static_cast<int>(worker.scheduler().ring_depth(0, bound.level)) + 1;
      const TaskHeader* const in_ring = worker.wait_in_ring(bound.level);
      EXPECT_LE(worker.ticks_until(in_ring, 20'000), bound.in_ring * ring);
      for (const bool in_inbox : {false, true}) {
        const TaskHeader* const homed = worker.wait_homed(bound.level, in_inbox);
        EXPECT_LE(worker.ticks_until(homed, 20'000), bound.in_ring * (6 + 1));
      }
      const int injector = static_cast<int>(worker.scheduler().injector_depth(bound.level)) + 1;
      const TaskHeader* const injected = worker.wait_in_injector(bound.level);
      EXPECT_LE(worker.ticks_until(injected, 20'000), bound.in_injector * injector);
    });
  }
}

// Wherever the kHigh task is put, and whatever the others have.
TEST(FairnessTest, AHighTaskNeverWaitsForABacklogOfTheOthers) {
  using Put = TaskHeader* (*)(BusyWorker&);
  const std::map<std::string, Put> places = {
      {"ring", [](BusyWorker& worker) { return worker.wait_in_ring(kHighLevel); }},
      {"slot", [](BusyWorker& worker) { return worker.wait_in_slot(kHighLevel); }},
      {"injector", [](BusyWorker& worker) { return worker.wait_in_injector(kHighLevel); }},
      {"inbox", [](BusyWorker& worker) { return worker.wait_homed(kHighLevel, true); }},
      {"homed", [](BusyWorker& worker) { return worker.wait_homed(kHighLevel, false); }},
  };
  for (const auto& [place, put] : places) {
    for (const Level lowest : {kNormalLevel, kLowLevel}) {
      SCOPED_TRACE(place + " before " + (lowest == kLowLevel ? "kNormal and kLow" : "kNormal"));
      const auto load = [&](BusyWorker& worker) {
        for (Level level = kNormalLevel; level <= lowest; ++level) {
          worker.add(level, Habit::kYields);
          if (lowest == kLowLevel) worker.flood(level, 20);
          for (int i = 0; i < 100; ++i) worker.wait_in_injector(level);
        }
      };
      in_every_phase(200, load, [&, put = put](BusyWorker& worker) {
        // One tick that is owed to another level, one that is the injectors', then its own.
        EXPECT_LE(worker.ticks_until(put(worker), 1000), 3);
      });
    }
  }
}

TEST(FairnessTest, AHighTaskWaitsForTheHighTasksAheadOfItAndTheTicksThatAreOwed) {
  constexpr int kAhead = 50;
  const auto load = [](BusyWorker& worker) {
    worker.flood(kNormalLevel, 20);
    worker.flood(kLowLevel, 20);
  };
  in_every_phase(100, load, [](BusyWorker& worker) {
    for (int i = 0; i < kAhead; ++i) worker.wait_in_injector(kHighLevel);
    // 1 in 8, 1 in 32 and 1 in 61 are not kHigh's.
    EXPECT_LE(worker.ticks_until(worker.wait_in_injector(kHighLevel), 1000),
              (kAhead + 1) * 5 / 4 + 2);
  });
}

// --- Trees ----------------------------------------------------------------------------------------

// Trees are walked depth first, so that a branch may wait for all that grows from its younger siblings.

constexpr int kOldestInterval = 65'536 + 61;  // The oldest is called on the injectors' turn.

// What is in turn waits for three steps, and so for as many as it would for any other slot and ring; but for what
// stands before it, branches among it.
TEST(FairnessTest, ATaskInTurnRunsWithinFourTicksForEachOneBeforeItUnderAnEndlessTree) {
  in_every_phase(
      128, [](BusyWorker& worker) { worker.grow_tree(kNormalLevel, 100); },
      [](BusyWorker& worker) {
        const int before = static_cast<int>(worker.scheduler().ring_depth(0, kNormalLevel));
        const TaskHeader* const task = worker.wait_in_ring(kNormalLevel);
        EXPECT_LE(worker.ticks_until(task, 10'000), 4 * (before + 1));
        const TaskHeader* const homed = worker.wait_homed(kNormalLevel, /*in_inbox=*/true);
        EXPECT_LE(worker.ticks_until(homed, 10'000), 8);
        const TaskHeader* const injected = worker.wait_in_injector(kNormalLevel);
        EXPECT_LE(worker.ticks_until(injected, 10'000), 61);
      });
}

// A tree that overflows all the time changes nothing for who comes from outside.
TEST(FairnessTest, ATaskInTheInjectorRunsWithin61TicksThoughTreesOverflow) {
  BusyWorker worker;
  worker.grow_tree(kNormalLevel, 1'000'000);
  for (int i = 0; i < 2000; ++i) worker.tick();
  EXPECT_GT(worker.scheduler().injector_depth(kNormalLevel), 1000u);
  for (int i = 0; i < 50; ++i) {
    const TaskHeader* const task = worker.wait_in_injector(kNormalLevel);
    EXPECT_LE(worker.ticks_until(task, 10'000), 61) << i;
  }
}

TEST(FairnessTest, ABranchRunsWithin65536TicksForEachOneBeforeItOrAsSoonAsItIsCalled) {
  for (const bool by_call : {false, true}) {
    BusyWorker worker;
    constexpr int kBranches = 3;
    std::array<TaskHeader*, kBranches> branches{};
    for (TaskHeader*& branch : branches) branch = worker.wait_as_branch(kNormalLevel);
    worker.grow_tree(kNormalLevel, 50);
    for (const TaskHeader* const branch : branches) {
      if (by_call) {
        worker.scheduler().queues(0).call_oldest();
        EXPECT_EQ(worker.ticks_until(branch, 10), 1);
        for (int i = 0; i < 1000; ++i) worker.tick();
      } else {
        const int ticks = worker.ticks_until(branch, 2 * kOldestInterval);
        EXPECT_LE(ticks, kOldestInterval);
        // Or it is not depth first. Steps and ticks are counted, so the second one may come soon after the first.
        if (branch == branches[0]) {
          EXPECT_GE(ticks, 50'000);
        }
      }
    }
  }
}

// The tree has stopped growing, but not to run: what has overflowed from the ring comes back, the oldest first.
TEST(FairnessTest, ABranchThatHasOverflowedRunsWithin65536TicksForEachOneBeforeItOrWhenItIsCalled) {
  for (const bool by_call : {false, true}) {
    BusyWorker worker;
    const TaskHeader* const branch = worker.wait_as_branch(kNormalLevel);
    worker.grow_tree(kNormalLevel, 600);
    for (int i = 0; i < 2000; ++i) worker.tick();
    EXPECT_GT(worker.scheduler().injector_depth(kNormalLevel), 200u);
    if (by_call) {
      worker.scheduler().queues(0).call_oldest();
      EXPECT_EQ(worker.ticks_until(branch, 10), 1);
    } else {
      EXPECT_LE(worker.ticks_until(branch, 2 * kOldestInterval), kOldestInterval);
    }
  }
}

// The steps that may come before a branch are counted by level, and a level's share of the ticks is its own.
TEST(FairnessTest, ABranchOfEachLevelRunsUnderEndlessTreesOfAll) {
  BusyWorker worker;
  std::array<TaskHeader*, kLevels> branches{};
  for (const Level level : kAllLevels) branches[level] = worker.wait_as_branch(level);
  for (const Level level : kAllLevels) worker.grow_tree(level, 60);
  std::array<int, kLevels> ran_after{};
  for (int tick = 1; tick <= 3 * kOldestInterval; ++tick) {
    const Found found = worker.tick();
    for (const Level level : kAllLevels) {
      if (found.task == branches[level]) ran_after[level] = tick;
    }
  }
  for (const Level level : kAllLevels) {
    EXPECT_GT(ran_after[level], 0) << static_cast<int>(level);
    EXPECT_LE(ran_after[level], kOldestInterval + 64) << static_cast<int>(level);
  }
}

// --- The time slice of the slot -----------------------------------------------------------------

TEST(FairnessTest, ASlotWhoseFillerHasUsedUpTheBudgetGoesToTheEndOfTheRing) {
  BusyWorker worker;
  const TaskHeader* const first = worker.wait_in_ring(kNormalLevel);
  const TaskHeader* const in_slot = worker.wait_in_slot(kNormalLevel);
  EXPECT_EQ(worker.tick(/*budget_left=*/0).task, first);
  const Found found = worker.tick();
  EXPECT_EQ(found.task, in_slot);
  EXPECT_EQ(found.source, Source::kRing);
}

TEST(FairnessTest, OneUnitOfTheBudgetIsEnoughForTheSlot) {
  BusyWorker worker;
  worker.wait_in_ring(kNormalLevel);
  const TaskHeader* const in_slot = worker.wait_in_slot(kNormalLevel);
  EXPECT_EQ(worker.tick(/*budget_left=*/1).task, in_slot);
}

}  // namespace
}  // namespace skua::internal
