// SPDX-License-Identifier: Apache-2.0
//
// Lost wake-ups. A task that is made runnable while the workers go to sleep, and that nobody sees, shows as a
// test that never ends.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/atomic.h"
#include "skua/internal/config.h"
#include "skua/runtime.h"
#include "skua/sync/semaphore.h"
#include "skua/time.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using ParkStressTest = test::RuntimeTest;
INSTANTIATE_TEST_SUITE_P(Workers, ParkStressTest, testing::Values(1, 2, 8),
                         test::RuntimeTest::name);

Task<> count(std::atomic<std::int64_t>* done) {
  done->fetch_add(1);
  co_return;
}

// A pause between nothing and about as long as it takes a worker to fall asleep.
void random_pause(std::mt19937_64& random) {
  for (auto i = random() % (1u << (random() % 12)); i > 0; --i) internal::cpu_relax();
}

// Goal: no lost wake-up between outside publishers and workers that park.
// Method: 10^6 spawns (a fifth under a sanitizer) from two threads in bursts of random size; after each burst the
// thread waits until all it spawned has run, so that the workers run dry and park, then pauses for a random time, so
// that the next publish meets them at any point of their way to sleep.
TEST_P(ParkStressTest, AMillionOutsideSpawnsWithRandomPausesAllRun) {
  constexpr std::int64_t kSpawnsPerThread = SKUA_TSAN || SKUA_ASAN ? 100'000 : 500'000;
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const auto publish = [&](std::uint64_t thread_seed) {
    std::mt19937_64 random(thread_seed);
    std::atomic<std::int64_t> done{0};
    std::int64_t spawned = 0;
    while (spawned < kSpawnsPerThread) {
      const auto burst = static_cast<std::int64_t>(1 + random() % (1u << (random() % 9)));
      for (std::int64_t i = 0; i < burst; ++i) runtime().spawn(count(&done));
      spawned += burst;
      // A yield, not a sleep: the next burst should come as soon as the last task has run.
      while (done.load() != spawned) std::this_thread::yield();
      random_pause(random);
    }
  };
  std::thread other(publish, seed + 1);
  publish(seed);
  other.join();
}

// Goal: the same for wake-ups: a task on one worker wakes one on another, and both sides park in between.
// Method: two semaphores passed to and fro between a task and a plain thread.
TEST_P(ParkStressTest, ATaskAndAThreadWakeEachOtherInTurn) {
  constexpr int kRounds = 20'000;
  Semaphore to_task(0);
  std::atomic<int> from_task{0};
  const auto answer = [](Semaphore* ask, std::atomic<int>* reply) -> Task<> {
    for (int i = 0; i < kRounds; ++i) {
      auto permit = co_await ask->acquire();
      permit.forget();
      reply->fetch_add(1);
      reply->notify_one();
    }
  };
  JoinHandle<void> task = runtime().spawn(answer(&to_task, &from_task));
  std::mt19937_64 random(1);
  for (int i = 0; i < kRounds; ++i) {
    to_task.add_permits(1);
    from_task.wait(i);
    random_pause(random);
  }
  const auto join = [](JoinHandle<void> handle) -> Task<> { co_await std::move(handle); };
  runtime().block_on(join(std::move(task)));
}

// Goal: timers that are added while the driver sleeps towards a later deadline, or none, fire.
// Method: sleepers of random lengths, spawned from outside at random times.
TEST_P(ParkStressTest, ShortSleepsWakeASleepingDriver) {
  std::atomic<std::int64_t> done{0};
  const auto sleeper = [](int us, std::atomic<std::int64_t>* count) -> Task<> {
    co_await sleep_for(std::chrono::microseconds(us));
    count->fetch_add(1);
  };
  std::mt19937_64 random(7);
  constexpr int kSleepers = 2000;
  for (int i = 0; i < kSleepers; ++i) {
    runtime().spawn(sleeper(static_cast<int>(random() % 3000), &done));
    random_pause(random);
  }
  EXPECT_TRUE(test::eventually([&] { return done.load() == kSleepers; }));
}

// Goal: runtimes start and stop at any moment of their workers' lives.
// Method: many short-lived runtimes, with work in all states when the end comes.
TEST_P(ParkStressTest, StartsAndStopsManyTimes) {
  for (int round = 0; round < 200; ++round) {
    Runtime short_lived(options());
    std::atomic<std::int64_t> done{0};
    for (int i = 0; i < round % 7; ++i) {
      short_lived.spawn(count(&done));
      short_lived.spawn([]() -> Task<> { co_await sleep_for(std::chrono::milliseconds(1)); }());
      short_lived.spawn([]() -> Task<> { co_await sleep_for(std::chrono::hours(1)); }());
    }
    // The end comes now, whatever has happened so far; `done` outlives the tasks.
    if (round % 3 == 0) short_lived.block_on(count(&done));
    EXPECT_TRUE(short_lived.shutdown(std::chrono::minutes(1)));
  }
}

}  // namespace
}  // namespace skua
