// SPDX-License-Identifier: Apache-2.0
#include "workers/worker.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <fcntl.h>
#include <memory>
#include <string>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "fs/requests.h"
#include "io_driver/driver.h"
#include "skua/fs/file.h"
#include "skua/internal/io_source.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "skua/this_task.h"
#include "skua/time.h"
#include "tests/support/leak_check.h"
#include "workers/worker_set.h"

namespace skua::internal {
namespace {

using namespace std::chrono_literals;

// The workers of these tests have no threads: each test takes the turns of a worker itself, one by one, so that
// it sees what a worker does in which order.
class WorkerTurnTest : public testing::Test {
 protected:
  void make(int workers, WorkerSetOptions options = {}) {
    options.workers = workers;
    auto set = WorkerSet::create(std::move(options));
    ASSERT_TRUE(set.ok()) << set.status();
    set_ = *std::move(set);
  }
  void TearDown() override {
    set_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }

  // Spawned from outside: goes to the injector.
  void inject(Task<> task, SpawnOptions options = {}) { spawn_on(*set_, std::move(task), options); }

  // One turn of `worker`.
  std::pair<Turn, Source> turn(int worker) {
    Source source;
    set_->worker(worker).install();
    const Turn turn = set_->worker(worker).turn(source);
    set_->worker(worker).uninstall();
    return {turn, source};
  }

  // Runs tasks that do nothing until the next seven ticks are owed to no level in particular.
  void skip_owed_ticks() {
    while (set_->scheduler().queues(0).tick.load() % 32 != 11) {
      inject([]() -> Task<> { co_return; }());
      ASSERT_EQ(turn(0).first, Turn::kRan);
    }
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
  const auto [what, source] = turn(0);
  EXPECT_EQ(what, Turn::kRan);
  // If 5 ms have passed, the slot's goes behind the oldest.
  EXPECT_TRUE(source == Source::kSlotNewRun || source == Source::kRing);
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

// --- Levels -------------------------------------------------------------------------------------

Task<> notes(std::string* log, char name) {
  log->push_back(name);
  co_return;
}

// Waits, says that it was woken, and wakes the next one.
Task<> passes_on(Semaphore* waits_for, Semaphore* next, std::string* log, char name) {
  for (;;) {
    auto permit = co_await waits_for->acquire();
    permit.forget();
    log->push_back(name);
    if (next != nullptr) next->add_permits(1);
  }
}

Task<> wakes(Semaphore* semaphore, std::string* log, char name) {
  log->push_back(name);
  semaphore->add_permits(1);
  co_return;
}

constexpr SpawnOptions kHighTask{.priority = Priority::kHigh};
constexpr SpawnOptions kLowTask{.priority = Priority::kLow};

TEST_F(WorkerTurnTest, WhatAHighTaskWakesRunsAtItsLevelAndPassesItOn) {
  make(1);
  Semaphore to_normal(0);
  Semaphore to_low(0);
  std::string log;
  inject(passes_on(&to_normal, &to_low, &log, 'n'));
  inject(passes_on(&to_low, nullptr, &log, 'l'), kLowTask);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(turn(0).first, Turn::kRan);
  EXPECT_EQ(log, "");
  skip_owed_ticks();
  for (int i = 0; i < 3; ++i) inject(notes(&log, '.'));
  inject(wakes(&to_normal, &log, 'H'), kHighTask);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(turn(0).first, Turn::kRan);
  EXPECT_EQ(log, "Hnl...");
  // For that one run. Now the low one is the last again.
  log.clear();
  skip_owed_ticks();
  inject(wakes(&to_low, &log, 'N'));
  for (int i = 0; i < 3; ++i) inject(notes(&log, '.'));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(turn(0).first, Turn::kRan);
  EXPECT_EQ(log, "Nl");  // kNormal has woken it: it goes before what came later.
  while (turn(0).first == Turn::kRan && log.size() < 5) {
  }
  EXPECT_EQ(log, "Nl...");
  drain();
}

TEST_F(WorkerTurnTest, WhatATimerWakesRunsAtItsOwnLevel) {
  make(1, {.event_interval = 1});
  std::string log;
  inject(
      [](std::string* out) -> Task<> {
        co_await sleep_for(1ms);
        out->push_back('l');
      }(&log),
      kLowTask);
  EXPECT_EQ(turn(0).first, Turn::kRan);
  // A kHigh task runs all the time until the timer has fired, and is the last to run before that.
  inject(
      []() -> Task<> {
        const auto end = std::chrono::steady_clock::now() + 2ms;
        while (std::chrono::steady_clock::now() < end) co_await yield_now();
      }(),
      kHighTask);
  for (int i = 0; i < 3; ++i) inject(notes(&log, '.'));
  EXPECT_TRUE(test::eventually([&] { return turn(0).first == Turn::kRan && log.size() == 4; }));
  EXPECT_EQ(log.find("l"), log.size() - 1) << log;
  drain();
}

// By the interval alone the timer would be looked at after a million turns.
TEST_F(WorkerTurnTest, LooksAtTheTimersByTheClockToo) {
  make(1, {.event_interval = 1'000'000});
  bool fired = false;
  inject([](bool* out) -> Task<> {
    co_await sleep_for(1ms);
    *out = true;
  }(&fired));
  inject([](const bool* out) -> Task<> {
    while (!*out) {
      const auto end = std::chrono::steady_clock::now() + 100us;
      while (std::chrono::steady_clock::now() < end) {
      }
      co_await yield_now();
    }
  }(&fired));
  int turns = 0;
  for (; set_->live_tasks() > 0; ++turns) {
    ASSERT_EQ(turn(0).first, Turn::kRan);
    ASSERT_LT(turns, 1000);
  }
  EXPECT_TRUE(fired);
  drain();
}

TEST_F(WorkerTurnTest, AYieldEndsARunThatWasRaised) {
  make(1);
  Semaphore semaphore(0);
  std::string log;
  inject(
      [](Semaphore* waits_for, std::string* out) -> Task<> {
        auto permit = co_await waits_for->acquire();
        permit.forget();
        out->push_back('1');
        co_await yield_now();
        out->push_back('2');
      }(&semaphore, &log),
      kLowTask);
  EXPECT_EQ(turn(0).first, Turn::kRan);
  skip_owed_ticks();
  for (int i = 0; i < 3; ++i) inject(notes(&log, '.'));
  inject(wakes(&semaphore, &log, 'H'), kHighTask);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(turn(0).first, Turn::kRan);
  EXPECT_EQ(log, "H1...2");
  drain();
}

// --- The driver -------------------------------------------------------------------------------------

constexpr std::uint64_t kLastEvent = 100;

// Counts the writes to an eventfd, until the one that says so.
Task<> counts_events(IoSource* source, int* events) {
  for (std::uint64_t value = 0; value != kLastEvent;) {
    const Readiness seen = source->readiness(Direction::kRead);
    if (seen.ready() && ::read(source->fd(), &value, sizeof(value)) == sizeof(value)) {
      ++*events;
    } else {
      EXPECT_EQ(co_await source->wait(Direction::kRead, seen), 0);
    }
  }
}

void write_event(const IoSource& source, std::uint64_t value) {
  ASSERT_EQ(::write(source.fd(), &value, sizeof(value)), static_cast<ssize_t>(sizeof(value)));
}

// A look by the clock comes first now and then, and finds the event; so it is tried until none does.
TEST_F(WorkerTurnTest, WhoFindsTheDriverFreeWaitsThereAndLooksNoSecondTime) {
  make(1);
  IoSource source(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  int events = 0;
  inject(counts_events(&source, &events));
  EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kInjector));
  bool waited = false;
  for (int written = 1; !waited && written < 10'000; ++written) {
    // The registration has an event of its own: the eventfd can be written to.
    while (set_->driver().poller().waits() == 0) turn(0);
    write_event(source, 1);
    const std::uint64_t before = set_->driver().poller().waits();
    const Seen seen = turn(0);
    waited =
        seen == Seen(Turn::kParked, Source::kNone) && set_->driver().poller().waits() == before + 1;
    while (events < written) turn(0);
  }
  EXPECT_TRUE(waited);
  write_event(source, kLastEvent);
  while (set_->live_tasks() > 0) turn(0);
  drain();
}

// What such operations have come to is seen without a system call, so the worker looks before it goes to sleep.
TEST_F(WorkerTurnTest, WithOperationsInFlightAWorkerLooksBeforeItParks) {
  make(1);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  IoSource source(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  int events = 0;
  int count = -1;
  inject(counts_events(&source, &events));
  inject([](int fd, int* out) -> Task<> {
    std::array<char, 8> buffer;
    *out = co_await IoAwaiter(read_request(fd, buffer.data(), buffer.size(), -1, false));
  }(pipe[0], &count));
  for (int i = 0; i < 2; ++i) EXPECT_EQ(turn(0).first, Turn::kRan);
  EXPECT_EQ(set_->driver().in_flight(), 1);
  for (int written = 1; written <= 100; ++written) {
    write_event(source, 1);
    while (events < written) EXPECT_NE(turn(0).first, Turn::kParked);
  }
  EXPECT_EQ(::close(pipe[1]), 0);
  while (count != 0) turn(0);
  write_event(source, kLastEvent);
  while (set_->live_tasks() > 0) turn(0);
  drain();
  EXPECT_EQ(::close(pipe[0]), 0);
}

// --- Tasks that stay --------------------------------------------------------------------------------

TEST_F(WorkerTurnTest, ATaskOfAnotherWorkerIsNeitherRunNorStolen) {
  make(2);
  int ran_on = -1;
  spawn_on(
      *set_,
      [](int* out) -> Task<> {
        *out = this_task::worker_index();
        co_return;
      }(&ran_on),
      {}, /*home=*/1);
  // Worker 0 would park: it looks everywhere, and finds nothing.
  EXPECT_FALSE(set_->scheduler().next(set_->scheduler().queues(0), kRunBudget));
  EXPECT_FALSE(set_->scheduler().steal(set_->scheduler().queues(0)));
  EXPECT_EQ(set_->scheduler().end_search(set_->scheduler().queues(0)), IdleSet::kNobody);
  EXPECT_EQ(turn(1), Seen(Turn::kRan, Source::kHomed));
  EXPECT_EQ(ran_on, 1);
}

// --- The watch --------------------------------------------------------------------------------------

TEST_F(WorkerTurnTest, TheWatchRunsWhatAStuckWorkerHasInItsSlot) {
  for (const bool use_membarrier : {true, false}) {
    make(2, {.use_membarrier = use_membarrier});
    inject(spawns(1));
    EXPECT_EQ(turn(0), Seen(Turn::kRan, Source::kInjector));
    // Worker 0 is taken to be stuck from here on. Worker 1 sleeps for a millisecond, looks for the first time, sleeps
    // again, and looks for the second time.
    EXPECT_EQ(turn(1), Seen(Turn::kParked, Source::kNone));
    EXPECT_EQ(turn(1), Seen(Turn::kParked, Source::kNone));
    // A sleep may end early: the kernel interrupts it when a ring of this process goes, for one.
    auto seen = turn(1);
    while (seen == Seen(Turn::kParked, Source::kNone)) seen = turn(1);
    EXPECT_EQ(seen, Seen(Turn::kRan, Source::kPeersSlot));
    EXPECT_EQ(set_->live_tasks(), 0);
    EXPECT_EQ(set_->scheduler().counters(1).late_steals.load(), 1u);
    EXPECT_GE(set_->scheduler().counters(1).watch_looks.load(), 2u);
    set_.reset();
  }
}

// --- The end ----------------------------------------------------------------------------------------

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
