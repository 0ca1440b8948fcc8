// SPDX-License-Identifier: Apache-2.0
#include "skua/timeout.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/spawn.h"
#include "skua/sync/event.h"
#include "skua/sync/oneshot.h"
#include "skua/task.h"
#include "skua/test_clock.h"
#include "skua/this_task.h"
#include "skua/time.h"
#include "skua/when_any.h"
#include "tests/support/abort_script.h"
#include "tests/support/leak_check.h"
#include "tests/support/manual_executor.h"
#include "tests/support/runtime_fixture.h"
#include "time/clock.h"
#include "time/timer_queue.h"

namespace skua {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::Guard;
using test::Log;
using test::ManualExecutor;
using test::ManualOp;
using test::ManualOpAwaiter;

constexpr std::int64_t kFarNs = 1'000'000'000ll * 3600 * 24;  // Beyond all deadlines of a test.

// This thread's timers, which fire when the test says so.
class ManualTimers {
 public:
  ManualTimers() : queue_(internal::now_ns(), nullptr, nullptr) {
    internal::set_current_timer_queue(&queue_);
  }
  ManualTimers(const ManualTimers&) = delete;
  ManualTimers& operator=(const ManualTimers&) = delete;
  ~ManualTimers() { internal::set_current_timer_queue(nullptr); }

  std::size_t fire() { return queue_.fire(internal::now_ns() + kFarNs); }
  bool empty() const { return queue_.next_deadline_ns() == internal::kNeverNs; }

 private:
  internal::TimerQueue queue_;
};

class TimeoutTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(leaks_.report(), ""); }

  template <typename T>
  JoinHandle<T> spawn(Task<T> task) {
    return internal::spawn_on(executor_, std::move(task), {});
  }

  const test::LeakCheck leaks_;
  ManualTimers timers_;
  ManualExecutor executor_;
  Log log_;
};

template <typename T>
T result_of(JoinHandle<T> handle) {
  return std::move(handle).release_share().slot().take();
}

Task<std::string> give_after(ManualOp* op, Log* log) {
  const Guard guard(log, "inner");
  co_await ManualOpAwaiter(op);
  co_return "done";
}

Task<std::string> nest(Task<std::string> inner, Log* log) {
  const Guard guard(log, "outer");
  co_return co_await std::move(inner);
}

Task<> end_after(ManualOp* op) { co_await ManualOpAwaiter(op); }

TEST_F(TimeoutTest, WhatIsInTimeIsGivenAndTheTimerIsTakenBack) {
  ManualOp op;
  auto timed = spawn(timeout(hours(1), give_after(&op, &log_)));
  executor_.drain();
  EXPECT_TRUE(op.complete());
  executor_.drain();
  ASSERT_TRUE(timed.is_finished());
  EXPECT_EQ(*result_of(std::move(timed)), "done");
  EXPECT_EQ(timers_.fire(), 0u);
}

TEST_F(TimeoutTest, WhatIsLateIsGoneInnermostFramesFirst) {
  ManualOp op;
  auto timed = spawn([](ManualOp* op, Log* log) -> Task<> {
    const absl::StatusOr<std::string> result =
        co_await timeout(hours(1), nest(give_after(op, log), log));
    EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
    log->push_back("back");
  }(&op, &log_));
  executor_.drain();
  EXPECT_EQ(timers_.fire(), 1u);
  executor_.drain();
  EXPECT_TRUE(timed.is_finished());
  EXPECT_EQ(log_, (Log{"~inner", "~outer", "back"}));
  EXPECT_EQ(op.cancels(), 1);
}

TEST_F(TimeoutTest, WhatCannotBeCancelledAtOnceIsAwaited) {
  ManualOp op(ManualOp::OnCancel::kKeep);
  auto timed = spawn(timeout(hours(1), give_after(&op, &log_)));
  executor_.drain();
  timers_.fire();
  executor_.drain();
  EXPECT_FALSE(timed.is_finished());
  EXPECT_TRUE(op.complete_cancelled());
  executor_.drain();
  ASSERT_TRUE(timed.is_finished());
  EXPECT_TRUE(absl::IsDeadlineExceeded(result_of(std::move(timed)).status()));
}

TEST_F(TimeoutTest, AResultThatWasThereBeforeTheAbortWins) {
  ManualOp op;
  auto timed = spawn(timeout(hours(1), give_after(&op, &log_)));
  executor_.drain();
  EXPECT_TRUE(op.complete());
  EXPECT_EQ(timers_.fire(), 1u);  // The child is queued with its result.
  executor_.drain();
  ASSERT_TRUE(timed.is_finished());
  EXPECT_EQ(*result_of(std::move(timed)), "done");
}

TEST_F(TimeoutTest, ExceptionsTravel) {
  ManualOp op;
  auto fails = [](ManualOp* op) -> Task<int> {
    co_await ManualOpAwaiter(op);
    throw std::runtime_error("failed");
  };
  auto timed = spawn(timeout(hours(1), fails(&op)));
  executor_.drain();
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_THROW(result_of(std::move(timed)).status().IgnoreError(), std::runtime_error);
  EXPECT_EQ(timers_.fire(), 0u);
}

TEST_F(TimeoutTest, NothingStartsAfterItsDeadline) {
  ManualOp op;
  auto timed = spawn(timeout(milliseconds(0), give_after(&op, &log_)));
  auto passed = spawn(with_deadline(steady_clock::time_point::min(), end_after(&op)));
  executor_.drain();
  EXPECT_TRUE(log_.empty());
  EXPECT_TRUE(absl::IsDeadlineExceeded(result_of(std::move(timed)).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result_of(std::move(passed))));
}

TEST_F(TimeoutTest, OneWithoutADeadlineWaitsForEver) {
  ManualOp op;
  auto timed = spawn(with_deadline(steady_clock::time_point::max(), end_after(&op)));
  executor_.drain();
  EXPECT_EQ(timers_.fire(), 0u);
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_TRUE(result_of(std::move(timed)).ok());
}

TEST_F(TimeoutTest, EveryTypeHasAResult) {
  struct Give {
    static Task<int&> reference(int* value) { co_return *value; }
    static Task<absl::Status> status() { co_return absl::NotFoundError("x"); }
    static Task<absl::StatusOr<int>> status_or() { co_return absl::NotFoundError("x"); }
    static Task<std::unique_ptr<int>> pointer() { co_return std::make_unique<int>(3); }
  };
  int value = 0;
  auto reference = spawn(timeout(hours(1), Give::reference(&value)));
  auto status = spawn(timeout(hours(1), Give::status()));
  auto status_or = spawn(timeout(hours(1), Give::status_or()));
  auto pointer = spawn(timeout(hours(1), Give::pointer()));
  executor_.drain();
  EXPECT_EQ(&result_of(std::move(reference))->get(), &value);
  EXPECT_TRUE(absl::IsNotFound(result_of(std::move(status))));
  const absl::StatusOr<absl::StatusOr<int>> nested = result_of(std::move(status_or));
  ASSERT_TRUE(nested.ok());
  EXPECT_TRUE(absl::IsNotFound(nested->status()));
  EXPECT_EQ(**result_of(std::move(pointer)), 3);
}

TEST_F(TimeoutTest, AnAbortReachesTheTaskAndComesBackWhenItIsGone) {
  ManualOp op(ManualOp::OnCancel::kKeep);
  auto waits = spawn([](ManualOp* op, Log* log) -> Task<> {
    const Guard guard(log, "owner");
    static_cast<void>(co_await timeout(hours(1), give_after(op, log)));
    log->push_back("resumed");
  }(&op, &log_));
  executor_.drain();
  waits.abort();
  EXPECT_EQ(timers_.fire(), 0u);
  executor_.drain();
  EXPECT_FALSE(waits.is_finished());
  EXPECT_TRUE(op.complete_cancelled());
  executor_.drain();
  EXPECT_TRUE(waits.is_finished());
  EXPECT_EQ(log_, (Log{"~inner", "~owner"}));
}

// --- An abort, and the deadline, at each moment ---------------------------------------------------

class TimeoutScript {
 private:
  struct Fire {
    void operator()(ManualTimers* timers) const { timers->fire(); }
  };
  using FireAtEnd = std::unique_ptr<ManualTimers, Fire>;

 public:
  std::vector<Task<>> tasks() {
    auto [tx, rx] = oneshot<int>();
    std::vector<Task<>> tasks;
    tasks.push_back(wait(std::move(rx)));
    tasks.push_back(fire_late(FireAtEnd(&timers_)));
    tasks.push_back(send(std::move(tx), FireAtEnd(&timers_)));
    return tasks;
  }
  void check(std::size_t victim, bool cancelled) {
    EXPECT_EQ(live_, 0);
    EXPECT_TRUE(timers_.empty() || timers_.fire() == 0);
    if (victim != 0 || !cancelled) {
      EXPECT_TRUE(ended_);
    }
  }

 private:
  Task<int> receive(OneshotReceiver<int> rx) {
    ++live_;
    const std::unique_ptr<int, Subtract> alive(&live_);
    const std::optional<int> value = co_await rx.recv();
    co_await yield_now();
    co_return value.value_or(1);
  }
  Task<> wait(OneshotReceiver<int> rx) {
    const auto outer = co_await timeout(hours(2), timeout(hours(1), receive(std::move(rx))));
    EXPECT_EQ(live_, 0);
    const absl::Status status = outer.ok() ? outer->status() : outer.status();
    EXPECT_TRUE(status.ok() || absl::IsDeadlineExceeded(status));
    ended_ = true;
  }
  // Both fire: one of them may be the victim.
  static Task<> fire_late(FireAtEnd) {
    co_await yield_now();
    co_await yield_now();
    co_await yield_now();
  }
  static Task<> send(OneshotSender<int> tx, FireAtEnd) {
    co_await yield_now();
    co_await yield_now();
    co_await yield_now();
    tx.send(1);
    co_await yield_now();
  }

  struct Subtract {
    void operator()(int* live) const { --*live; }
  };
  ManualTimers timers_;
  int live_ = 0;
  bool ended_ = false;
};

// --- On a runtime ---------------------------------------------------------------------------------

using TimeoutRuntimeTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(TimeoutRuntimeTest);

Task<> wait_for(Event* event) { co_await event->wait(); }
Task<> sleep_a_little() { co_await sleep_for(milliseconds(1)); }

TEST_P(TimeoutRuntimeTest, ATaskThatIsLateIsCancelled) {
  Event never;
  const absl::Status late = runtime().block_on(timeout(milliseconds(5), wait_for(&never)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late));
  const absl::Status in_time = runtime().block_on(timeout(hours(1), sleep_a_little()));
  EXPECT_TRUE(in_time.ok());
}

TEST_P(TimeoutRuntimeTest, TheEarlierDeadlineCountsAndIsInheritedByAllThatIsStarted) {
  using Point = std::optional<steady_clock::time_point>;
  struct Read {
    static Task<Point> deadline() { co_return this_task::deadline(); }
    static Task<> all(steady_clock::time_point expected) {
      EXPECT_EQ(this_task::deadline(), Point(expected));
      auto forked = co_await when_all(deadline(), deadline());
      EXPECT_EQ(std::get<0>(forked), Point(expected));
      EXPECT_EQ(std::get<1>(forked), Point(expected));
      EXPECT_EQ(co_await spawn(deadline()), Point(expected));
      const absl::StatusOr<Point> later = co_await timeout(hours(9), deadline());
      EXPECT_EQ(later.value(), Point(expected));
      const auto sooner_at = expected - milliseconds(1);
      const absl::StatusOr<Point> sooner = co_await with_deadline(sooner_at, deadline());
      EXPECT_EQ(sooner.value(), Point(sooner_at));
      auto any = co_await when_any(deadline());
      EXPECT_EQ(std::get<0>(any), Point(expected));
      EXPECT_EQ(this_task::deadline(), Point(expected));
    }
  };
  const auto at = steady_clock::now() + hours(1);
  EXPECT_TRUE(runtime().block_on(with_deadline(at, Read::all(at))).ok());
  EXPECT_EQ(runtime().block_on(Read::deadline()), std::nullopt);
}

TEST_P(TimeoutRuntimeTest, AnInheritedDeadlineIsKeptWhereItIsTheEarlierOne) {
  struct Late {
    static Task<> in_spawned(Event* never) {
      const absl::Status status = co_await timeout(hours(1), wait_for(never));
      EXPECT_TRUE(absl::IsDeadlineExceeded(status));
    }
    static Task<> start(Event* never, JoinHandle<void>* handle) {
      *handle = spawn(in_spawned(never));
      co_return;
    }
    static Task<> main(Event* never) {
      JoinHandle<void> handle = spawn(wait_for(never));
      handle.abort();
      // Its own is in an hour; that of the task that has spawned it comes soon.
      const absl::Status started = co_await timeout(milliseconds(20), start(never, &handle));
      if (started.ok()) co_await std::move(handle);
    }
  };
  Event never;
  runtime().block_on(Late::main(&never));
}

TEST_P(TimeoutRuntimeTest, ItGoesByTheClockOfTheRuntime) {
  struct Virtual {
    static Task<> sleep(hours duration) { co_await sleep_for(duration); }
    static Task<> main() {
      test_clock::pause();
      const absl::Status late = co_await timeout(hours(1), sleep(hours(2)));
      EXPECT_TRUE(absl::IsDeadlineExceeded(late));
      const absl::Status in_time = co_await timeout(hours(2), sleep(hours(1)));
      EXPECT_TRUE(in_time.ok());
      test_clock::resume();
    }
  };
  runtime().block_on(Virtual::main());
}

// Goal: the end of the task and its deadline may come together: the timer fires once or never, and nothing leaks.
// Method: sleeps as long as the timeouts, many at a time.
TEST_P(TimeoutRuntimeTest, TheEndMayComeWithTheDeadline) {
  struct Race {
    static Task<int> sleep(int i) {
      co_await sleep_for(milliseconds(1 + i % 4));
      co_return i;
    }
    static Task<int> one(std::size_t i) {
      const absl::StatusOr<int> result =
          co_await timeout(milliseconds(1 + i / 4 % 4), sleep(static_cast<int>(i)));
      if (result.ok()) {
        EXPECT_EQ(*result, static_cast<int>(i));
      }
      co_return result.ok() || absl::IsDeadlineExceeded(result.status()) ? 1 : 0;
    }
    static Task<> all() {
      const std::vector<int> ends = co_await when_all_n(400, &Race::one);
      for (const int end : ends) EXPECT_EQ(end, 1);
    }
  };
  runtime().block_on(Race::all());
}

TEST_P(TimeoutRuntimeTest, AShutdownEndsThoseThatWait) {
  Event never;
  runtime().spawn([](Event* event) -> Task<> {
    static_cast<void>(co_await timeout(hours(1), wait_for(event)));
    ADD_FAILURE() << "resumed";
  }(&never));
  EXPECT_TRUE(runtime().shutdown(hours(1)));
}

TEST(TimeoutAbortTest, AnAbortAtAnyMomentLeavesNothingBehind) {
  EXPECT_GT(test::abort_everywhere<TimeoutScript>(), 15u);
  EXPECT_GT(test::abort_everywhere<TimeoutScript>(1), 15u);  // Without a budget.
}

}  // namespace
}  // namespace skua
