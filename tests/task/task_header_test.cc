// SPDX-License-Identifier: Apache-2.0
//
// Suspending, waking, aborting, joining: each order of events by hand, then the races.
#include "skua/internal/task_header.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skua/internal/atomic.h"
#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "task/frame_count.h"
#include "tests/support/manual_executor.h"
#include "tests/support/rounds.h"

namespace skua::internal {
namespace {

using test::Guard;
using test::Log;
using test::ManualExecutor;
using test::ManualOp;
using test::ManualOpAwaiter;
using testing::ElementsAre;
using testing::IsEmpty;

Task<> wait_for(ManualOp* op, Log* log) {
  Guard guard(log, "frame");
  co_await ManualOpAwaiter(op);
  log->push_back("resumed");
}

Task<> wait_twice(ManualOp* first, ManualOp* second, Log* log) {
  Guard guard(log, "frame");
  co_await ManualOpAwaiter(first);
  log->push_back("resumed");
  co_await ManualOpAwaiter(second);
  log->push_back("resumed again");
}

class TaskHeaderTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(live_blocks(), blocks_before_) << "coroutine frames leaked";
  }

  template <typename T>
  JoinHandle<T> spawn(Task<T> task, SpawnOptions options = {}) {
    return spawn_on(executor_, std::move(task), options);
  }

  // True if the finished task has no result.
  template <typename T>
  static bool killed(JoinHandle<T> handle) {
    EXPECT_TRUE(handle.is_finished());
    const JoinShare<T> share = std::move(handle).release_share();
    return share.slot().empty();
  }

  const std::int64_t blocks_before_ = live_blocks();
  ManualExecutor executor_;
  Log log_;
};

// --- Waking -------------------------------------------------------------------------------------

TEST_F(TaskHeaderTest, AWakeUpAfterTheSuspensionSchedulesTheTaskOnce) {
  ManualOp op;
  auto handle = spawn(wait_for(&op, &log_));
  executor_.drain();
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_TRUE(op.complete());
  EXPECT_EQ(executor_.ready(), 1u);
  EXPECT_THAT(log_, IsEmpty());  // It never runs on the waker's stack.
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("resumed", "~frame"));
  EXPECT_EQ(executor_.ended(), 1u);
  EXPECT_FALSE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AWakeUpBeforeTheTaskHasSuspendedResumesItAtOnce) {
  ManualOp op;
  op.before_commit = [&](TaskHeader*) { EXPECT_TRUE(op.complete()); };
  auto handle = spawn(wait_for(&op, &log_));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_EQ(executor_.ready(), 0u);
  EXPECT_THAT(log_, ElementsAre("resumed", "~frame"));
  EXPECT_FALSE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, ClaimWakeLeavesTheSchedulingToTheCallerIfTheTaskIsSuspended) {
  ManualOp op;
  auto handle = spawn(wait_for(&op, &log_));
  executor_.drain();
  TaskHeader* const task = op.take()->task;
  EXPECT_TRUE(task->claim_wake());
  EXPECT_EQ(executor_.ready(), 0u);
  task->run();
  EXPECT_TRUE(handle.is_finished());
}

TEST_F(TaskHeaderTest, ClaimWakeLeavesNothingToTheCallerIfTheTaskHasNotSuspended) {
  ManualOp op;
  op.before_commit = [&](TaskHeader*) { EXPECT_FALSE(op.take()->task->claim_wake()); };
  auto handle = spawn(wait_for(&op, &log_));
  executor_.drain();
  EXPECT_TRUE(handle.is_finished());
}

TEST_F(TaskHeaderTest, ATaskMaySuspendAgainAndAgain) {
  constexpr int kRounds = 1'000;
  ManualOp op;
  auto coroutine = [](ManualOp* wait_on) -> Task<int> {
    int rounds = 0;
    for (; rounds < kRounds; ++rounds) co_await ManualOpAwaiter(wait_on);
    co_return rounds;
  };
  auto handle = spawn(coroutine(&op));
  int wakes = 0;
  for (executor_.drain(); op.complete(); executor_.drain()) ++wakes;
  EXPECT_EQ(wakes, kRounds);
  EXPECT_TRUE(handle.is_finished());
}

// --- Aborting -----------------------------------------------------------------------------------

TEST_F(TaskHeaderTest, AnAbortedFreshTaskIsDestroyedWithoutHavingRun) {
  ManualOp op;
  auto handle = spawn(wait_for(&op, &log_));
  handle.abort();
  EXPECT_FALSE(handle.is_finished());
  EXPECT_EQ(executor_.ready(), 1u);
  executor_.drain();
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_EQ(executor_.ended(), 1u);
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AnAbortedYieldedTaskIsDestroyed) {
  auto coroutine = [](Log* log) -> Task<> {
    Guard guard(log, "frame");
    co_await yield_now();
    log->push_back("resumed");
  };
  auto handle = spawn(coroutine(&log_));
  EXPECT_TRUE(executor_.run_one());
  handle.abort();
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~frame"));
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AnAbortedTaskWhoseOperationForgetsItIsScheduledAndDestroyed) {
  ManualOp op;
  auto handle = spawn(wait_for(&op, &log_));
  executor_.drain();
  handle.abort();
  EXPECT_EQ(op.cancels(), 1);
  EXPECT_EQ(executor_.ready(), 1u);
  EXPECT_THAT(log_, IsEmpty());  // Frames go on the run loop, not on the aborter's stack.
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~frame"));
  EXPECT_FALSE(op.complete());
  EXPECT_TRUE(killed(std::move(handle)));
}

Task<int> innermost(ManualOp* op, Log* log) {
  Guard outer(log, "innermost's first");
  Guard inner(log, "innermost's second");
  co_await ManualOpAwaiter(op);
  co_return 1;
}
Task<int> middle(ManualOp* op, Log* log) {
  Guard guard(log, "middle");
  const int value = co_await innermost(op, log);
  log->push_back("middle resumed");
  co_return value;
}
Task<int> outermost(ManualOp* op, Log* log) {
  Guard guard(log, "outermost");
  const int value = co_await middle(op, log);
  log->push_back("outermost resumed");
  co_return value;
}

TEST_F(TaskHeaderTest, AnAbortDestroysTheFramesFromTheInnermostOutwards) {
  ManualOp op;
  auto handle = spawn(outermost(&op, &log_));
  executor_.drain();
  handle.abort();
  executor_.drain();
  EXPECT_THAT(log_,
              ElementsAre("~innermost's second", "~innermost's first", "~middle", "~outermost"));
  EXPECT_EQ(executor_.ended(), 1u);
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, WhileAnOperationIsStillPendingTheAbortedTaskStays) {
  ManualOp op(ManualOp::OnCancel::kKeep);
  auto handle = spawn(wait_for(&op, &log_));
  executor_.drain();
  handle.abort();
  EXPECT_EQ(op.cancels(), 1);
  executor_.drain();
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_FALSE(handle.is_finished());
  EXPECT_TRUE(op.complete_cancelled());
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~frame"));
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AResultThatCameAfterAllWinsAndTheNextSuspensionEndsTheTask) {
  ManualOp first(ManualOp::OnCancel::kKeep);
  ManualOp second;
  auto handle = spawn(wait_twice(&first, &second, &log_));
  executor_.drain();
  handle.abort();
  EXPECT_TRUE(first.complete());
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("resumed", "~frame"));
  EXPECT_EQ(second.cancels(), 1);
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, ATaskWhoseResultWonAndThatNeverSuspendsAgainEndsWithItsValue) {
  ManualOp op(ManualOp::OnCancel::kKeep);
  auto handle = spawn(wait_for(&op, &log_));
  executor_.drain();
  handle.abort();
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("resumed", "~frame"));
  EXPECT_FALSE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AnAbortOfATaskThatWasWokenAndHasNotYetRunLeavesItItsResult) {
  ManualOp first;
  ManualOp second;
  auto handle = spawn(wait_twice(&first, &second, &log_));
  executor_.drain();
  EXPECT_TRUE(first.complete());
  handle.abort();
  EXPECT_EQ(first.cancels(), 0);
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("resumed", "~frame"));
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AnAbortBeforeTheTaskHasSuspendedEndsItOnTheRunLoop) {
  ManualOp op;
  op.before_commit = [&](TaskHeader* task) {
    task->abort();
    EXPECT_TRUE(task->abort_requested());
    EXPECT_EQ(op.cancels(), 0);
  };
  auto handle = spawn(outermost(&op, &log_));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_EQ(op.cancels(), 1);
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_EQ(executor_.ready(), 1u);
  executor_.drain();
  EXPECT_EQ(log_.size(), 4u);
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AWakeUpAndAnAbortBeforeTheTaskHasSuspendedLeaveItItsResult) {
  for (const bool wake_first : {true, false}) {
    log_.clear();
    ManualOp first;
    ManualOp second;
    first.before_commit = [&](TaskHeader* task) {
      if (wake_first) {
        EXPECT_TRUE(first.complete());
      }
      task->abort();
      if (!wake_first) {
        EXPECT_TRUE(first.complete());
      }
    };
    auto handle = spawn(wait_twice(&first, &second, &log_));
    executor_.drain();
    EXPECT_THAT(log_, ElementsAre("resumed", "~frame")) << wake_first;
    EXPECT_EQ(first.cancels(), 0);
    EXPECT_EQ(second.cancels(), 1);
    EXPECT_TRUE(killed(std::move(handle)));
  }
}

TEST_F(TaskHeaderTest, AnAbortAndItsCancelledWakeUpBeforeTheTaskHasSuspendedEndIt) {
  ManualOp op;
  op.before_commit = [&](TaskHeader* task) {
    task->abort();
    EXPECT_TRUE(op.complete_cancelled());
  };
  auto handle = spawn(wait_for(&op, &log_));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_THAT(log_, IsEmpty());  // Not under its own feet.
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~frame"));
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, ATaskThatAbortsItselfRunsOnToItsNextSuspension) {
  ManualOp op;
  std::optional<JoinHandle<void>> handle;
  auto coroutine = [](std::optional<JoinHandle<void>>* self, ManualOp* wait_on,
                      Log* log) -> Task<> {
    Guard guard(log, "frame");
    (*self)->abort();
    log->push_back("ran on");
    co_await ManualOpAwaiter(wait_on);
    log->push_back("resumed");
  };
  handle.emplace(spawn(coroutine(&handle, &op, &log_)));
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("ran on", "~frame"));
  EXPECT_TRUE(killed(std::move(*handle)));
}

TEST_F(TaskHeaderTest, ASecondAbortDoesNothing) {
  ManualOp op(ManualOp::OnCancel::kKeep);
  auto handle = spawn(wait_for(&op, &log_));
  executor_.drain();
  handle.abort();
  handle.abort();
  EXPECT_EQ(op.cancels(), 1);
  EXPECT_TRUE(op.complete_cancelled());
  handle.abort();
  EXPECT_EQ(executor_.ready(), 1u);
  executor_.drain();
  handle.abort();
  EXPECT_EQ(executor_.ready(), 0u);
  EXPECT_EQ(executor_.ended(), 1u);
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AnAbortOfAFinishedTaskDoesNothing) {
  auto coroutine = []() -> Task<int> { co_return 42; };
  auto handle = spawn(coroutine());
  executor_.drain();
  handle.abort();
  EXPECT_EQ(executor_.ready(), 0u);
  const JoinShare<int> share = std::move(handle).release_share();
  EXPECT_EQ(share.slot().take(), 42);
}

TEST_F(TaskHeaderTest, ParametersGoWithTheFrameWhetherItHasRunOrNot) {
  auto coroutine = [](std::unique_ptr<Guard> parameter, ManualOp* wait_on) -> Task<> {
    co_await ManualOpAwaiter(wait_on);
    parameter.reset();
  };
  ManualOp op;
  auto fresh = spawn(coroutine(std::make_unique<Guard>(&log_, "fresh"), &op));
  fresh.abort();
  executor_.drain();
  auto suspended = spawn(coroutine(std::make_unique<Guard>(&log_, "suspended"), &op));
  executor_.drain();
  suspended.abort();
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~fresh", "~suspended"));
}

TEST_F(TaskHeaderTest, ADrainedTaskIsEndedAsIfItHadBeenAborted) {
  ManualOp op;
  auto fresh = spawn(wait_for(&op, &log_));
  JoinShare<void> share = std::move(fresh).release_share();
  executor_.enter(0);
  auto* const task = static_cast<SpawnedTask*>(share.state());
  task->worker = &executor_.worker(0);
  task->run_draining();
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_TRUE(share.state()->is_complete());
  EXPECT_TRUE(share.slot().empty());
}

// --- Deep chains --------------------------------------------------------------------------------

Task<> nested(std::uint32_t depth, ManualOp* op, std::uint32_t* destroyed) {
  struct Count {
    explicit Count(std::uint32_t* n) : count(n) {}
    ~Count() { ++*count; }
    std::uint32_t* count;
  };
  Count count(destroyed);
  if (depth == 1) {
    co_await ManualOpAwaiter(op);
  } else {
    co_await nested(depth - 1, op, destroyed);
  }
}

TEST_F(TaskHeaderTest, AChainOfAHundredThousandAwaitsIsDestroyedWithoutRecursion) {
  constexpr std::uint32_t kDepth = 100'000;
  ManualOp op;
  std::uint32_t destroyed = 0;
  auto handle = spawn(nested(kDepth, &op, &destroyed));
  executor_.drain();
  EXPECT_EQ(destroyed, 0u);
  handle.abort();
  executor_.drain();
  EXPECT_EQ(destroyed, kDepth);
  EXPECT_TRUE(killed(std::move(handle)));
}

TEST_F(TaskHeaderTest, AChainOfAHundredThousandAwaitsReturnsWithoutRecursion) {
  constexpr std::uint32_t kDepth = 100'000;
  ManualOp op;
  std::uint32_t destroyed = 0;
  auto handle = spawn(nested(kDepth, &op, &destroyed));
  executor_.drain();
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(destroyed, kDepth);
  EXPECT_FALSE(killed(std::move(handle)));
}

// --- Enrolling ----------------------------------------------------------------------------------

TEST_F(TaskHeaderTest, ATaskIsEnrolledWhenItFirstSuspendsAndRetiredWhenItEnds) {
  ManualOp first;
  ManualOp second;
  auto handle = spawn(wait_twice(&first, &second, &log_));
  EXPECT_THAT(executor_.enrolled, IsEmpty());
  executor_.drain();
  EXPECT_EQ(executor_.enrolled.size(), 1u);
  EXPECT_TRUE(first.complete());
  executor_.drain();
  EXPECT_EQ(executor_.enrolled.size(), 1u);
  EXPECT_THAT(executor_.retired, IsEmpty());
  EXPECT_TRUE(second.complete());
  executor_.drain();
  EXPECT_EQ(executor_.retired, executor_.enrolled);
}

TEST_F(TaskHeaderTest, ATaskThatNeverSuspendsIsNeitherEnrolledNorRetired) {
  auto coroutine = []() -> Task<> { co_return; };
  auto handle = spawn(coroutine());
  executor_.drain();
  EXPECT_THAT(executor_.enrolled, IsEmpty());
  EXPECT_THAT(executor_.retired, IsEmpty());
}

TEST_F(TaskHeaderTest, AnAbortedTaskIsRetiredToo) {
  ManualOp op;
  auto handle = spawn(wait_for(&op, &log_));
  executor_.drain();
  handle.abort();
  executor_.drain();
  EXPECT_EQ(executor_.retired.size(), 1u);
}

TEST_F(TaskHeaderTest, ATaskThatTheExecutorRefusesIsDestroyedAndItsHandleSaysCancelled) {
  executor_.refuses = true;
  ManualOp op;
  auto handle = spawn(wait_for(&op, &log_));
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_TRUE(killed(std::move(handle)));
}

// --- The races ----------------------------------------------------------------------------------

// Returns what the counter is then: `value` or more.
int await(const std::atomic<int>& counter, int value) {
  for (;;) {
    const int now = counter.load(std::memory_order_acquire);
    if (now >= value) return now;
    std::this_thread::yield();
  }
}

constexpr std::uint32_t kPausesMax = 400;
void pause(std::uint64_t pauses) {
  for (; pauses > 0; --pauses) cpu_relax();
}

// `written` is plain: the wake-up publishes it.
Task<> wait_and_read(ManualOp* op, const int* written, int* frames_destroyed) {
  struct Count {
    explicit Count(int* n) : count(n) {}
    ~Count() { ++*count; }
    int* count;
  };
  Count count(frames_destroyed);
  co_await ManualOpAwaiter(op);
  EXPECT_EQ(*written, 1);
}

class TaskHeaderRaceTest : public TaskHeaderTest,
                           public testing::WithParamInterface<ManualOp::OnCancel> {};

// Goal: whoever comes first, a task that is woken and aborted at once ends exactly once, resumed or
// destroyed, and leaks nothing. Method: each round one thread wakes and another one aborts, each after a
// random while, as the task suspends (even rounds) or when it has done so (odd rounds); this thread runs what
// becomes ready. In an eighth of the rounds each, the abort comes after the end and the wake-up after the
// abort, so that both outcomes occur. An operation that keeps its waiter when it is cancelled always wakes
// it, at times as cancelled.
TEST_P(TaskHeaderRaceTest, ATaskThatIsWokenAndAbortedAtOnceEndsOnce) {
  constexpr int kNoMore = std::numeric_limits<int>::max();
  test::Rounds rounds(4'000);
  std::atomic<int> begun{0};   // Rounds.
  std::atomic<int> helped{0};  // Both helpers' rounds.
  std::optional<ManualOp> op;
  std::optional<JoinHandle<void>> handle;
  std::atomic<int> over{0};
  std::atomic<int> aborted{0};
  int written = 0;
  std::thread waker([&] {
    std::minstd_rand random(1);
    for (int round = 1; await(begun, round) != kNoMore; ++round) {
      pause(random() % kPausesMax);
      if (round % 8 == 1) await(aborted, round);
      // Until the task has published its waiter, or the aborter was faster.
      while (over.load(std::memory_order_acquire) < round) {
        Waiter* const waiter = op->take();
        if (waiter == nullptr) {
          std::this_thread::yield();
          continue;
        }
        written = 1;
        // As a kernel may: the cancelled operation says so only if somebody has cancelled it.
        if (round % 3 == 0 && op->cancels() != 0) {
          waiter->task->wake_cancelled();
        } else {
          waiter->task->wake();
        }
        break;
      }
      helped.fetch_add(1, std::memory_order_release);
    }
  });
  std::thread aborter([&] {
    std::minstd_rand random(2);
    for (int round = 1; await(begun, round) != kNoMore; ++round) {
      pause(random() % kPausesMax);
      if (round % 8 == 0) await(over, round);
      handle->abort();
      aborted.store(round, std::memory_order_release);
      helped.fetch_add(1, std::memory_order_release);
    }
  });

  int destroyed = 0;
  int resumed = 0;
  while (rounds.another()) {
    const int round = rounds.made();
    op.emplace(GetParam());
    written = 0;
    int frames_destroyed = 0;
    handle.emplace(spawn(wait_and_read(&*op, &written, &frames_destroyed)));
    if (round % 2 == 1) executor_.drain();
    begun.store(round, std::memory_order_release);
    const auto ended = static_cast<std::size_t>(round);
    while (executor_.ended() < ended) {
      if (!executor_.run_one()) std::this_thread::yield();
    }
    over.store(round, std::memory_order_release);
    await(helped, 2 * round);
    EXPECT_EQ(executor_.ready(), 0u) << "round " << round;
    // A task that was aborted before it had run has no frame to count.
    EXPECT_LE(frames_destroyed, 1) << "round " << round;
    ++(killed(std::move(*handle)) ? destroyed : resumed);
    handle.reset();
    EXPECT_EQ(live_blocks(), blocks_before_) << "round " << round;
  }
  begun.store(kNoMore, std::memory_order_release);
  waker.join();
  aborter.join();
  EXPECT_EQ(destroyed + resumed, rounds.made());
  EXPECT_GT(destroyed, 0);
  EXPECT_GT(resumed, 0);
}

INSTANTIATE_TEST_SUITE_P(Operations, TaskHeaderRaceTest,
                         testing::Values(ManualOp::OnCancel::kUnlink, ManualOp::OnCancel::kKeep));

}  // namespace
}  // namespace skua::internal
