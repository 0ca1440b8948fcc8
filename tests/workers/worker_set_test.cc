// SPDX-License-Identifier: Apache-2.0
#include "workers/worker_set.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/time.h"
#include "tests/support/leak_check.h"

namespace skua::internal {
namespace {

using namespace std::chrono_literals;

// The workers of these tests have no threads: each test takes the turns of a worker itself, one by one, so that
// it sees what a worker does in which order.
class WorkerTurnTest : public testing::Test {
 protected:
  void make(int workers) {
    auto set = WorkerSet::create({.workers = workers});
    ASSERT_TRUE(set.ok()) << set.status();
    set_ = *std::move(set);
  }
  void TearDown() override {
    set_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }

  // Spawned from outside: goes to the injector.
  void inject(Task<> task) { spawn_on(*set_, std::move(task), {}); }

  // One turn of `worker`.
  std::pair<Turn, Source> turn(int worker) {
    Source source;
    set_->worker(worker).install();
    const Turn turn = set_->worker(worker).turn(source);
    set_->worker(worker).uninstall();
    return {turn, source};
  }

  // Ends the set, with what is left in it.
  void drain() {
    set_->request_shutdown();
    set_->worker(0).install();
    Source source;
    while (set_->worker(0).turn(source) != Turn::kStopped) {
    }
    set_->worker(0).uninstall();
  }

  const test::LeakCheck leaks_;
  std::unique_ptr<WorkerSet> set_;
};

using Seen = std::pair<Turn, Source>;

Task<> nothing() { co_return; }

Task<> yields(int times) {
  for (int i = 0; i < times; ++i) co_await yield_now();
}

Task<> spawns(int tasks) {
  for (int i = 0; i < tasks; ++i) spawn(nothing());
  co_return;
}

TEST_F(WorkerTurnTest, LooksAtSlotRingInjectorDriverAndThenParks) {
  make(1);
  inject(spawns(3));
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kInjector));
  // The youngest is in the slot, the other two in the ring; the injector comes after them.
  inject(nothing());
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kSlot));
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kRing));
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kRing));
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kInjector));
  // A timer that is due is found by the look at the driver and the timers, before any sleep.
  inject([]() -> Task<> { co_await sleep_for(1ms); }());
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kInjector));
  // Not due yet: the worker sleeps in the driver until it is.
  EXPECT_EQ(turn(0), Seen(Turn::kParked, Source::kNone));
  EXPECT_EQ(set_->scheduler().counters(0).driver_waits.load(), 1u);
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kSlot));
  drain();
}

TEST_F(WorkerTurnTest, LooksAtTheInjectorFirstEvery61Ticks) {
  make(1);
  inject(yields(1000));
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kInjector));
  int from_injector = 0;
  for (int tick = 2; tick <= 4 * 61; ++tick) {
    if (tick % 61 == 60) inject(nothing());
    const auto [what, source] = turn(0);
    EXPECT_EQ(what, Turn::kRan);
    EXPECT_EQ(source, tick % 61 == 0 ? Source::kInjectorTick : Source::kRing) << "tick " << tick;
    if (source == Source::kInjectorTick) ++from_injector;
  }
  EXPECT_EQ(from_injector, 4);
  drain();
}

TEST_F(WorkerTurnTest, FiresTimersEvery61TicksThoughThereIsWork) {
  make(1);
  bool fired = false;
  inject([](bool* done) -> Task<> {
    co_await sleep_for(1ms);
    *done = true;
  }(&fired));
  inject(yields(1'000'000'000));
  // The yielding task is always ready, so the worker never runs dry and never sleeps.
  EXPECT_TRUE(test::eventually([&] {
    for (int tick = 0; tick < 61; ++tick) turn(0);
    return fired;
  }));
  EXPECT_EQ(set_->scheduler().counters(0).parks.load(), 0u);
  drain();
}

TEST_F(WorkerTurnTest, StealsFromAPeerBeforeItSleeps) {
  make(2);
  inject(spawns(5));
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kInjector));
  // Four stand in the ring of worker 0, one in its slot. Half of the four change sides; the last of them runs.
  EXPECT_EQ(turn(1), Seen(Turn::kRan, Source::kPeer));
  EXPECT_EQ(set_->scheduler().ring_depth(0, kNormalLevel), 2u);
  EXPECT_EQ(turn(1), Seen(Turn::kRan, Source::kRing));
  EXPECT_EQ(turn(1), Seen(Turn::kRan, Source::kPeer));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(turn(0).first, Turn::kRan);
  EXPECT_EQ(set_->live_tasks(), 0);
}

TEST_F(WorkerTurnTest, DestroysATaskThatWaitsWhenTheEndComes) {
  make(1);
  inject([]() -> Task<> { co_await sleep_for(1h); }());
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kInjector));
  EXPECT_EQ(set_->live_tasks(), 1);
  drain();
  EXPECT_EQ(set_->live_tasks(), 0);
}

}  // namespace
}  // namespace skua::internal
