// SPDX-License-Identifier: Apache-2.0
//
// A task may block where it runs: its worker goes on in another thread.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <latch>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "skua/this_task.h"
#include "skua/time.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

std::uint64_t lends(const Runtime& runtime) {
  std::uint64_t sum = 0;
  for (const WorkerMetrics& worker : runtime.metrics().workers) sum += worker.lends;
  return sum;
}

Task<> count_down(std::latch* latch) {
  latch->count_down();
  co_return;
}

class BlockInPlaceTest : public test::RuntimeTest {};
INSTANTIATE_TEST_SUITE_P(Workers, BlockInPlaceTest, testing::Values(1, 2, 8),
                         test::RuntimeTest::name);

// Without the hand-over none of these would end: what f waits for stands in the queues of its own worker.

TEST_P(BlockInPlaceTest, TheWorkersOtherTasksGoOn) {
  runtime().block_on([]() -> Task<> {
    for (int i = 0; i < 100; ++i) {
      std::latch others(10);
      for (int k = 0; k < 10; ++k) spawn(count_down(&others));
      block_in_place([&] { others.wait(); });
    }
    co_return;
  }());
  EXPECT_GE(lends(runtime()), 100u);
}

TEST_P(BlockInPlaceTest, TimersGoOn) {
  runtime().block_on([]() -> Task<> {
    std::latch slept(1);
    spawn([](std::latch* done) -> Task<> {
      co_await sleep_for(1ms);
      done->count_down();
    }(&slept));
    block_in_place([&] { slept.wait(); });
    co_return;
  }());
}

TEST_P(BlockInPlaceTest, AsManyMayBlockAsThereAreTasks) {
  constexpr int kTasks = 20;
  runtime().block_on([]() -> Task<> {
    // Each task waits until all of them block.
    std::latch all(kTasks);
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < kTasks; ++i) {
      tasks.push_back(spawn([](std::latch* latch) -> Task<> {
        block_in_place([&] { latch->arrive_and_wait(); });
        co_await yield_now();
      }(&all)));
    }
    for (auto& task : tasks) co_await std::move(task);
  }());
}

TEST_P(BlockInPlaceTest, TheTaskGoesOnOnItsThread) {
  runtime().block_on([]() -> Task<> {
    const std::thread::id before = std::this_thread::get_id();
    const int worker = this_task::worker_index();
    const std::thread::id within = block_in_place([] { return std::this_thread::get_id(); });
    EXPECT_EQ(within, before);
    EXPECT_EQ(std::this_thread::get_id(), before);
    EXPECT_EQ(this_task::worker_index(), worker);
    co_return;
  }());
}

TEST_P(BlockInPlaceTest, TheTaskKeepsItsPriority) {
  auto task = runtime().spawn(
      []() -> Task<> {
        std::latch other(1);
        spawn(count_down(&other), {.priority = Priority::kLow});
        block_in_place([&] { other.wait(); });
        EXPECT_EQ(this_task::priority(), Priority::kHigh);
        const Priority inherited =
            co_await spawn([]() -> Task<Priority> { co_return this_task::priority(); }());
        EXPECT_EQ(inherited, Priority::kHigh);
      }(),
      {.priority = Priority::kHigh});
  runtime().block_on(
      [](JoinHandle<void> handle) -> Task<> { co_await std::move(handle); }(std::move(task)));
}

TEST_P(BlockInPlaceTest, ItsPriorityDoesNotStayBehind) {
  auto task = runtime().spawn(
      []() -> Task<Priority> {
        // Keeps the stand-in busy, so that its last run is one of a kNormal task, as is the next run here.
        std::latch other(1);
        std::atomic<bool> stop{false};
        JoinHandle<void> busy = spawn(
            [](std::latch* begun, std::atomic<bool>* end) -> Task<> {
              begun->count_down();
              while (!end->load()) co_await yield_now();
            }(&other, &stop),
            {.priority = Priority::kNormal});
        block_in_place([&] { other.wait(); });
        JoinHandle<Priority> next =
            spawn([]() -> Task<Priority> { co_return this_task::priority(); }(),
                  {.priority = Priority::kNormal});
        const Priority priority = co_await std::move(next);
        stop.store(true);
        co_await std::move(busy);
        co_return priority;
      }(),
      {.priority = Priority::kHigh});
  EXPECT_EQ(runtime().block_on([](JoinHandle<Priority> handle) -> Task<Priority> {
    co_return co_await std::move(handle);
  }(std::move(task))),
            Priority::kNormal);
}

TEST_P(BlockInPlaceTest, WhatIsSpawnedWithinInheritsThePriority) {
  auto task = runtime().spawn(
      []() -> Task<Priority> {
        JoinHandle<Priority> within = block_in_place(
            [] { return spawn([]() -> Task<Priority> { co_return this_task::priority(); }()); });
        co_return co_await std::move(within);
      }(),
      {.priority = Priority::kLow});
  EXPECT_EQ(runtime().block_on([](JoinHandle<Priority> handle) -> Task<Priority> {
    co_return co_await std::move(handle);
  }(std::move(task))),
            Priority::kLow);
}

// The stand-in leaves empty queues behind, and knows that they are. What the task forks next must be seen there.
TEST_P(BlockInPlaceTest, WhatItForksAfterwardsIsFound) {
  runtime().block_on([]() -> Task<> {
    for (int i = 0; i < 20; ++i) {
      std::latch other(1);
      spawn(count_down(&other));
      block_in_place([&] { other.wait(); });
      Semaphore second_has_run(0);
      const auto child = [](Semaphore* semaphore, std::size_t k) -> Task<std::size_t> {
        if (k == 0) {
          (co_await semaphore->acquire()).forget();
        } else {
          semaphore->add_permits(1);
        }
        co_return k;
      };
      const auto parts =
          co_await when_all_n<2>([&](std::size_t k) { return child(&second_has_run, k); });
      EXPECT_EQ(parts[0] + parts[1], 1u);
    }
  }());
}

// Where transfers are no tail calls the run must know its own stack again, and not the stand-in's.
TEST_P(BlockInPlaceTest, AMillionAwaitsAfterwardsTakeNoMoreStackThanBefore) {
  EXPECT_EQ(runtime().block_on([]() -> Task<int> {
    std::latch other(1);
    spawn(count_down(&other));
    block_in_place([&] { other.wait(); });
    int sum = 0;
    for (int i = 0; i < 1'000'000; ++i) sum += co_await []() -> Task<int> { co_return 1; }();
    co_return sum;
  }()),
            1'000'000);
}

TEST_P(BlockInPlaceTest, GivesWhatTheFunctionGives) {
  runtime().block_on([]() -> Task<> {
    int variable = 1;
    int& reference = block_in_place([&]() -> int& { return variable; });
    EXPECT_EQ(&reference, &variable);
    const std::unique_ptr<int> owner = block_in_place([] { return std::make_unique<int>(7); });
    EXPECT_EQ(*owner, 7);
    EXPECT_THROW(block_in_place([] { throw std::runtime_error("no"); }), std::runtime_error);
    // The worker is back after the exception, too.
    co_await yield_now();
  }());
}

TEST_P(BlockInPlaceTest, BlockOnIsAllowedWithin) {
  const int answer = runtime().block_on([](Runtime* runtime) -> Task<int> {
    co_return block_in_place([&] {
      return runtime->block_on([]() -> Task<int> {
        co_await yield_now();
        co_return 42;
      }());
    });
  }(&runtime()));
  EXPECT_EQ(answer, 42);
}

TEST_P(BlockInPlaceTest, CallsWithinACallBlockInPlaceThere) {
  EXPECT_EQ(runtime().block_on([]() -> Task<int> {
    co_return block_in_place([] { return block_in_place([] { return 5; }); });
  }()),
            5);
}

TEST_P(BlockInPlaceTest, TheSiblingsOfAForkedChildGoOn) {
  runtime().block_on([]() -> Task<> {
    std::latch siblings(3);
    const auto child = [](std::latch* latch, std::size_t i) -> Task<std::size_t> {
      if (i == 0) {
        block_in_place([&] { latch->wait(); });
      } else {
        latch->count_down();
      }
      co_return i;
    };
    const auto parts = co_await when_all_n<4>([&](std::size_t i) { return child(&siblings, i); });
    EXPECT_EQ(parts[0] + parts[1] + parts[2] + parts[3], 6u);
  }());
}

// What must not move waits for its worker's own thread.
TEST_P(BlockInPlaceTest, LocalTasksStayWithTheirThread) {
  runtime().block_on([]() -> Task<> {
    std::atomic<bool> local_ran{false};
    std::thread::id local_thread;
    JoinHandle<void> local =
        spawn_local([](std::atomic<bool>* ran, std::thread::id* thread) -> Task<> {
          *thread = std::this_thread::get_id();
          ran->store(true);
          co_return;
        }(&local_ran, &local_thread));
    std::latch others(100);
    for (int k = 0; k < 100; ++k) spawn(count_down(&others));
    block_in_place([&] {
      others.wait();
      EXPECT_FALSE(local_ran.load());
    });
    const std::thread::id here = std::this_thread::get_id();
    co_await std::move(local);
    EXPECT_EQ(local_thread, here);
  }());
}

TEST_P(BlockInPlaceTest, ShutdownWaitsForTheCall) {
  std::latch begun(1);
  std::latch may_end(1);
  std::atomic<bool> ended{false};
  runtime().spawn([](std::latch* b, std::latch* e, std::atomic<bool>* done) -> Task<> {
    block_in_place([&] {
      b->count_down();
      e->wait();
    });
    done->store(true);
    co_return;
  }(&begun, &may_end, &ended));
  begun.wait();
  EXPECT_FALSE(runtime().shutdown(1ms));
  may_end.count_down();
  EXPECT_TRUE(runtime().shutdown(1h));
  EXPECT_TRUE(ended.load());
}

// Many tasks on few workers, each at times within a call, at times waiting for others.
TEST_P(BlockInPlaceTest, Stress) {
  constexpr int kTasks = 40;
  const int rounds = 50;
  Semaphore turns(3);
  std::atomic<int> done{0};
  runtime().block_on([](Semaphore* permits, std::atomic<int>* count, int times) -> Task<> {
    std::vector<JoinHandle<void>> tasks;
    for (int i = 0; i < kTasks; ++i) {
      tasks.push_back(
          spawn([](Semaphore* sem, std::atomic<int>* sum, int n, unsigned seed) -> Task<> {
            std::minstd_rand random(seed);
            for (int k = 0; k < n; ++k) {
              switch (random() % 4) {
                case 0:
                  block_in_place([] { std::this_thread::yield(); });
                  break;
                case 1: {
                  [[maybe_unused]] const SemaphorePermit permit = co_await sem->acquire();
                  block_in_place([] {});
                  break;
                }
                case 2:
                  co_await yield_now();
                  break;
                default: {
                  const auto fork = [](std::size_t part) -> Task<int> {
                    if (part == 1) block_in_place([] {});
                    co_return static_cast<int>(part);
                  };
                  const auto parts = co_await when_all_n<3>(fork);
                  EXPECT_EQ(parts[0] + parts[1] + parts[2], 3);
                }
              }
            }
            sum->fetch_add(1);
          }(permits, count, times, static_cast<unsigned>(i + 1))));
    }
    for (auto& task : tasks) co_await std::move(task);
  }(&turns, &done, rounds));
  EXPECT_EQ(done.load(), kTasks);
}

// --- Where nothing moves --------------------------------------------------------------------------

TEST(BlockInPlaceElsewhereTest, OnAThreadOfNoRuntimeItSimplyRuns) {
  EXPECT_EQ(block_in_place([] { return 3; }), 3);
}

TEST(BlockInPlaceElsewhereTest, InABlockingJobItSimplyRuns) {
  Runtime runtime({.worker_threads = 1});
  EXPECT_EQ(runtime.block_on([]() -> Task<int> {
    auto job = spawn_blocking([] { return block_in_place([] { return 4; }); });
    co_return co_await std::move(job);
  }()),
            4);
  EXPECT_EQ(lends(runtime), 0u);
}

TEST(BlockInPlaceElsewhereTest, WhereTasksHaveAThreadOfTheirOwnTheyWait) {
  for (const Flavor flavor : {Flavor::kCurrentThread, Flavor::kThreadPerCore}) {
    Runtime runtime({.flavor = flavor, .worker_threads = 1});
    runtime.block_on([]() -> Task<> {
      bool ran = false;
      JoinHandle<void> other = spawn([](bool* r) -> Task<> {
        *r = true;
        co_return;
      }(&ran));
      block_in_place([&] { EXPECT_FALSE(ran); });
      co_await std::move(other);
      EXPECT_TRUE(ran);
    }());
    EXPECT_EQ(lends(runtime), 0u);
  }
}

}  // namespace
}  // namespace skua
