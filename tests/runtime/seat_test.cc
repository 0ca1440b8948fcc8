// SPDX-License-Identifier: Apache-2.0
#include "runtime/seat.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/time.h"
#include "tests/support/leak_check.h"
#include "time/clock.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using internal::Seat;
using internal::ThreadJoiner;

constexpr std::int64_t kNoDeadline = INT64_MAX;

TEST(SeatTest, IsFreeAtFirstAndAfterItWasLeft) {
  Seat seat;
  ThreadJoiner joiner;
  EXPECT_TRUE(seat.take(joiner, kNoDeadline));
  seat.leave();
  EXPECT_TRUE(seat.take(joiner, kNoDeadline));
  seat.leave();
}

TEST(SeatTest, ADeadlineEndsTheWait) {
  Seat seat;
  ThreadJoiner first;
  ThreadJoiner second;
  ASSERT_TRUE(seat.take(first, kNoDeadline));
  EXPECT_FALSE(seat.take(second, internal::now_ns() + 1'000'000));
  seat.leave();
  EXPECT_TRUE(seat.take(second, kNoDeadline));
  seat.leave();
}

TEST(SeatTest, GoesToAWaiterOrTheWaiterGoesWhenItsTaskHasEnded) {
  for (int round = 0; round < 2000; ++round) {
    Seat seat;
    ThreadJoiner first;
    ThreadJoiner second;
    ASSERT_TRUE(seat.take(first, kNoDeadline));
    std::thread waiter([&] {
      if (seat.take(second, kNoDeadline)) seat.leave();
    });
    if (round % 2 == 0) second.notify();
    seat.leave();
    waiter.join();
    EXPECT_TRUE(seat.take(first, kNoDeadline));
    seat.leave();
  }
}

// --- A current-thread runtime that several threads block on ------------------------------------------

class CurrentThreadTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(leaks_.report(), ""); }
  static RuntimeOptions current_thread() { return {.flavor = Flavor::kCurrentThread}; }

 private:
  const test::LeakCheck leaks_;
};

Task<int> later(int value) {
  co_await sleep_for(1ms);
  co_return value;
}

TEST_F(CurrentThreadTest, ABlockingJobMayBlockOnTheRuntimeThatAwaitsIt) {
  Runtime runtime(current_thread());
  const auto main = [](Runtime* self) -> Task<int> {
    JoinHandle<int> job = spawn_blocking([self] { return self->block_on(later(5)); });
    co_return co_await std::move(job);
  };
  EXPECT_EQ(runtime.block_on(main(&runtime)), 5);
}

TEST_F(CurrentThreadTest, ABlockingJobMayRunARuntimeOfItsOwnAndSpawnAfterwards) {
  Runtime outer({.worker_threads = 1, .max_blocking_threads = 1});
  const auto main = []() -> Task<int> {
    JoinHandle<JoinHandle<int>> job = spawn_blocking([] {
      const int inner = run(later(1), {.flavor = Flavor::kCurrentThread});
      return spawn(later(inner + 1));
    });
    JoinHandle<int> spawned = co_await std::move(job);
    JoinHandle<int> nested = spawn_blocking([] { return 3; });
    co_return co_await std::move(spawned) + co_await std::move(nested);
  };
  EXPECT_EQ(outer.block_on(main()), 5);
}

TEST_F(CurrentThreadTest, AShutdownThatCannotHaveTheSeatKeepsItsDeadline) {
  Runtime runtime(current_thread());
  std::atomic<bool> sitting{false};
  std::thread sitter([&] {
    const auto sits = [](std::atomic<bool>* flag) -> Task<> {
      flag->store(true);
      flag->notify_one();
      co_await sleep_for(1h);
    };
    EXPECT_THROW(runtime.block_on(sits(&sitting)), TaskCancelled);
  });
  sitting.wait(false);
  // Either the sitter ends the tasks in time, and gets the seat's end, or the deadline comes.
  runtime.shutdown(1ms);
  sitter.join();
  EXPECT_TRUE(runtime.shutdown(1min));
}

class CurrentThreadDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(CurrentThreadDeathTest, EndingARuntimeOnAWorkerIsReported) {
  const auto main = []() -> Task<> {
    Runtime inner({.flavor = Flavor::kCurrentThread});
    co_return;
  };
  EXPECT_DEATH(run(main(), {.worker_threads = 1}), "~Runtime was called on a worker");
}

}  // namespace
}  // namespace skua
