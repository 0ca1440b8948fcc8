// SPDX-License-Identifier: Apache-2.0
//
// One task that does not come back keeps nothing else from running, as long as another worker has nothing to do. (P3 of
// the design.) Here the stuck task waits, blocking its thread, for that very thing: what is kept from running shows as
// a test that never ends.
#include <chrono>
#include <cstdint>
#include <ctime>
#include <latch>
#include <semaphore>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/fs/file.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "skua/time.h"
#include "tests/support/leak_check.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

class StuckWorkerTest : public testing::TestWithParam<int> {
 protected:
  ~StuckWorkerTest() override { EXPECT_EQ(leaks_.report(), ""); }
  RuntimeOptions options() const { return {.worker_threads = GetParam()}; }

 private:
  const test::LeakCheck leaks_;
};

INSTANTIATE_TEST_SUITE_P(Workers, StuckWorkerTest, testing::Values(2, 8));

std::uint64_t late_steals(const Runtime& runtime) {
  std::uint64_t sum = 0;
  for (const WorkerMetrics& worker : runtime.metrics().workers) sum += worker.late_steals;
  return sum;
}

Task<> release(std::binary_semaphore* done) {
  done->release();
  co_return;
}

// Nobody is woken for a task in the slot, and nobody sees it there but the watch.
TEST_P(StuckWorkerTest, WhatItHasSpawnedIntoItsSlotRunsElsewhere) {
  Runtime runtime(options());
  for (int round = 0; round < 20; ++round) {
    runtime.block_on([]() -> Task<> {
      std::binary_semaphore done(0);
      JoinHandle<void> child = spawn(release(&done));
      done.acquire();
      co_await std::move(child);
    }());
  }
  EXPECT_GE(late_steals(runtime), 20u);
}

TEST_P(StuckWorkerTest, WhatItHasWokenIntoItsSlotRunsElsewhere) {
  Runtime runtime(options());
  const auto waits = [](Semaphore* semaphore, std::binary_semaphore* done) -> Task<> {
    for (int round = 0; round < 20; ++round) {
      auto permit = co_await semaphore->acquire();
      permit.forget();
      done->release();
    }
  };
  const auto wakes = [](auto waiter) -> Task<> {
    Semaphore semaphore(0);
    std::binary_semaphore done(0);
    JoinHandle<void> handle = spawn(waiter(&semaphore, &done));
    for (int round = 0; round < 20; ++round) {
      semaphore.add_permits(1);
      done.acquire();
    }
    co_await std::move(handle);
  };
  runtime.block_on(wakes(waits));
}

// Both sleep, one of them in the driver. That one is up first, for a timer, and does not come back: the other one has
// to take the driver, though nobody wakes it for that.
TEST_P(StuckWorkerTest, TimersGoOnThoughItWasTheOneInTheDriver) {
  Runtime runtime(options());
  for (int round = 0; round < 5; ++round) {
    runtime.block_on([]() -> Task<> {
      std::binary_semaphore done(0);
      JoinHandle<void> late = spawn([](std::binary_semaphore* semaphore) -> Task<> {
        co_await sleep_for(60ms);
        semaphore->release();
      }(&done));
      co_await sleep_for(30ms);  // Long enough for the watch to end.
      done.acquire();
      co_await std::move(late);
    }());
  }
}

// A task that has blocked in place goes on in a worker that was asleep, and may get stuck there.
TEST_P(StuckWorkerTest, SomebodyWatchesATaskThatComesBackFromBlockingInPlace) {
  Runtime runtime(options());
  for (int round = 0; round < 5; ++round) {
    runtime.block_on([]() -> Task<> {
      std::binary_semaphore nobody(0);
      // Long enough for all workers to fall asleep, and for the watch to end.
      block_in_place([&] { return nobody.try_acquire_for(30ms); });
      std::binary_semaphore done(0);
      JoinHandle<void> child = spawn(release(&done));
      done.acquire();
      co_await std::move(child);
    }());
  }
}

// Its wheel holds the timers of those that have gone to sleep on it: anybody fires them.
TEST_P(StuckWorkerTest, TheTimersOfItsWheelFireElsewhere) {
  constexpr int kSleepers = 64;
  Runtime runtime(options());
  for (int round = 0; round < 3; ++round) {
    runtime.block_on([]() -> Task<> {
      std::latch woken(kSleepers);
      const auto sleeps = [](int i, std::latch* latch) -> Task<> {
        co_await sleep_for(10ms + i * 500us);
        latch->count_down();
      };
      std::vector<JoinHandle<void>> handles;
      for (int i = 0; i < kSleepers; ++i) handles.push_back(spawn(sleeps(i, &woken)));
      for (int i = 0; i < kSleepers; ++i)
        co_await yield_now();  // They go to sleep, here or elsewhere.
      woken.wait();
      for (JoinHandle<void>& handle : handles) co_await std::move(handle);
    }());
  }
}

// The same for an operation of the kernel.
TEST_P(StuckWorkerTest, FilesGoOnThoughItWasTheOneInTheDriver) {
  Runtime runtime(options());
  runtime.block_on([]() -> Task<> {
    std::binary_semaphore done(0);
    JoinHandle<void> late = spawn([](std::binary_semaphore* semaphore) -> Task<> {
      co_await sleep_for(60ms);
      for (int i = 0; i < 10; ++i) {
        auto file = co_await File::open("/proc/self/status");
        EXPECT_TRUE(file.ok()) << file.status();
        EXPECT_TRUE((co_await (*file).close()).ok());
      }
      semaphore->release();
    }(&done));
    co_await sleep_for(30ms);
    done.acquire();
    co_await std::move(late);
  }());
}

// Two tasks that are woken at one look are too little to wake a peer for, as long as runs are short. One of them is
// not.
TEST_P(StuckWorkerTest, WhatWasWokenTogetherWithItRunsElsewhere) {
  Runtime runtime(options());
  for (int round = 0; round < 20; ++round) {
    runtime.block_on([]() -> Task<> {
      for (int i = 0; i < 5000; ++i) co_await yield_now();  // Short runs.
      std::binary_semaphore done(0);
      const auto when = now() + 5ms;
      JoinHandle<void> other = spawn([](auto time, std::binary_semaphore* semaphore) -> Task<> {
        co_await sleep_until(time);
        semaphore->release();
      }(when, &done));
      co_await sleep_until(when);
      done.acquire();
      co_await std::move(other);
    }());
  }
}

// The task that yields is missed at worst until the watch comes by.
TEST_P(StuckWorkerTest, WhatYieldsBehindItRunsElsewhere) {
  Runtime runtime(options());
  for (int round = 0; round < 20; ++round) {
    runtime.block_on([]() -> Task<> {
      std::binary_semaphore done(0);
      JoinHandle<void> yields = spawn([](std::binary_semaphore* semaphore) -> Task<> {
        for (int i = 0; i < 100; ++i) co_await yield_now();
        semaphore->release();
      }(&done));
      for (int i = 0; i < 10; ++i) co_await yield_now();
      done.acquire();
      co_await std::move(yields);
    }());
  }
}

std::chrono::nanoseconds thread_cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Task<> compute_in_long_runs(int* runs, const bool* stop) {
  for (; !*stop; ++*runs) {
    const std::chrono::nanoseconds begin = thread_cpu_time();
    while (thread_cpu_time() - begin < 2ms) {
    }
    co_await yield_now();
  }
}

// Nobody else is there, and each run of the sleeper is short: that must not make the worker forget how long the others'
// are, and how seldom it comes to look at its timers.
TEST(LongTurnsTest, DelayTheTimersOfTheirWorkerByFewOfThem) {
  Runtime runtime({.flavor = Flavor::kCurrentThread});
  runtime.block_on([]() -> Task<> {
    int runs = 0;
    bool stop = false;
    JoinHandle<void> computing = spawn(compute_in_long_runs(&runs, &stop));
    co_await sleep_for(1ms);  // The worker knows no long run yet.
    for (int i = 0; i < 10; ++i) {
      const int before = runs;
      co_await sleep_for(1ms);
      EXPECT_LE(runs - before, 3);
    }
    stop = true;
    co_await std::move(computing);
  }());
}

}  // namespace
}  // namespace skua
