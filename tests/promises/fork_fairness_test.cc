// SPDX-License-Identifier: Apache-2.0
//
// A fork whose first child waits stands on a deque until the run loop takes it: within a bound, whatever else is ready.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"

namespace skua {
namespace {

// The newest fork comes first once in 16 ticks (scheduler/scheduler.h); each volley and each yield is a tick.
constexpr int kTicksMax = 16;

struct Court {
  bool over = false;
  int ticks = 0;
  int ticks_before_second_child = -1;
  Semaphore ping{0};
  Semaphore pong{0};
  Semaphore first_child{0};
};

// Two of these wake each other for ever, by way of the slot.
Task<> play(Court* court, Semaphore* mine, Semaphore* theirs) {
  while (!court->over) {
    SemaphorePermit permit = co_await mine->acquire();
    permit.forget();
    ++court->ticks;
    theirs->add_permits(1);
  }
}

Task<> keep_yielding(Court* court) {
  while (!court->over) {
    co_await yield_now();
    ++court->ticks;
  }
}

Task<> first_child(Court* court) {
  SemaphorePermit permit = co_await court->first_child.acquire();
  permit.forget();
}

Task<> second_child(Court* court) {
  court->ticks_before_second_child = court->ticks;
  court->over = true;
  court->first_child.add_permits(1);
  co_return;
}

Task<> fork_beside_a_game(Court* court) {
  JoinHandle<void> yielder = spawn(keep_yielding(court));
  JoinHandle<void> left = spawn(play(court, &court->ping, &court->pong));
  JoinHandle<void> right = spawn(play(court, &court->pong, &court->ping));
  court->ping.add_permits(1);
  co_await when_all(first_child(court), second_child(court));
  court->ping.add_permits(1);
  court->pong.add_permits(1);
  co_await std::move(left);
  co_await std::move(right);
  co_await std::move(yielder);
}

TEST(ForkFairnessTest, AForkWaitsForABoundedNumberOfTicksBesideAFullSlotAndRing) {
  Court court;
  run(fork_beside_a_game(&court), {.flavor = Flavor::kCurrentThread});
  EXPECT_GE(court.ticks_before_second_child, 0);
  EXPECT_LE(court.ticks_before_second_child, kTicksMax);
}

// The same for one that stays on its worker.
Task<> fork_at_home(Court* court) { co_await spawn_local(fork_beside_a_game(court)); }

TEST(ForkFairnessTest, SoDoesAForkOfATaskThatStaysOnItsWorker) {
  Court court;
  run(fork_at_home(&court), {.flavor = Flavor::kCurrentThread});
  EXPECT_GE(court.ticks_before_second_child, 0);
  EXPECT_LE(court.ticks_before_second_child,
            2 * kTicksMax);  // The ring and the homed tasks take turns.
}

// A tree that never waits, for which each volley that uses up the budget is a tick.
struct Grove {
  std::atomic<bool> over{false};
  std::int64_t leaves = 0;
};

Task<> grow(Grove* grove) {
  const auto leaf = [](Grove* in) -> Task<> {
    ++in->leaves;
    co_return;
  };
  while (!grove->over.load(std::memory_order_relaxed)) {
    co_await when_all_n(1000, [grove, leaf](std::size_t) { return leaf(grove); });
  }
}

Task<> set(std::atomic<bool>* flag) {
  flag->store(true);
  co_return;
}

// Whatever the number of ticks that the worker has counted before.
TEST(ForkFairnessTest, ALowerLevelRunsBesideATreeThatPauses) {
  for (const Priority tree : {Priority::kNormal, Priority::kHigh}) {
    for (int ticks = 0; ticks < 4; ++ticks) {
      Runtime runtime({.worker_threads = 1});
      for (int i = 0; i < ticks; ++i) runtime.block_on([]() -> Task<> { co_return; }());
      Grove grove;
      JoinHandle<void> grown = runtime.spawn(grow(&grove), {.priority = tree});
      const Priority lower = tree == Priority::kHigh ? Priority::kNormal : Priority::kLow;
      runtime.block_on([](JoinHandle<void> handle) -> Task<> {
        co_await std::move(handle);
      }(runtime.spawn(set(&grove.over), {.priority = lower})));
      runtime.block_on(
          [](JoinHandle<void> handle) -> Task<> { co_await std::move(handle); }(std::move(grown)));
    }
  }
}

Task<> plant(Grove* grove, std::optional<JoinHandle<void>>* grown) {
  grown->emplace(spawn(grow(grove)));
  co_await yield_now();
}

Task<> yield_until_over(Grove* grove) {
  while (!grove->over.load(std::memory_order_relaxed)) co_await yield_now();
}

// The tree's forks are younger, and on the same deque. So many others yield that the tree pauses each 16 ticks just so:
// no fork's turn comes by itself.
TEST(ForkFairnessTest, AnotherTasksForkRunsBesideATreeThatPauses) {
  constexpr int kYielders = 10;
  constexpr std::int64_t kLeavesInAPause = 128;
  Grove grove;
  Runtime runtime({.worker_threads = 1});
  runtime.block_on([](Grove* all) -> Task<> {
    for (int i = 0; i < kYielders; ++i) spawn(yield_until_over(all));
    std::optional<JoinHandle<void>> grown;
    co_await when_all(plant(all, &grown), set(&all->over));
    co_await *std::move(grown);
  }(&grove));
  EXPECT_LT(grove.leaves, 2 * 65'536 / kYielders * kLeavesInAPause);
}

}  // namespace
}  // namespace skua
