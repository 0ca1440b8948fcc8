// SPDX-License-Identifier: Apache-2.0
//
// A fork whose first child waits stands on a deque until the run loop takes it: within a bound, whatever else is ready.
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

}  // namespace
}  // namespace skua
