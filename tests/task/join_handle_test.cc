// SPDX-License-Identifier: Apache-2.0
//
// Ending, awaiting and dropping in every order. What a handle does on a runtime is in tests/runtime.
#include "skua/join_handle.h"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "skua/internal/task_header.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "task/frame_count.h"
#include "tests/support/manual_executor.h"

namespace skua::internal {
namespace {

using test::ManualExecutor;
using test::ManualOp;
using test::ManualOpAwaiter;

class JoinHandleTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(live_blocks(), blocks_before_) << "coroutine frames leaked";
  }

  template <typename T>
  JoinHandle<T> spawn(Task<T> task) {
    return spawn_on(executor_, std::move(task), {});
  }

  const std::int64_t blocks_before_ = live_blocks();
  ManualExecutor executor_;
};

// A join that nobody runs, and that counts its releases.
struct CountedJoin : JoinState {
  CountedJoin() : JoinState(&kVTable) {}
  int releases = 0;

 private:
  static void count_release(JoinState* join) noexcept {
    ++static_cast<CountedJoin*>(join)->releases;
  }
  static void ignore_abort(JoinState*) noexcept {}
  static constexpr JoinVTable kVTable{.release = &count_release, .abort = &ignore_abort};
};

TEST(JoinStateTest, ADroppedHandleLeavesTheReleaseToTheEnd) {
  CountedJoin join;
  join.drop_handle();
  EXPECT_EQ(join.releases, 0);
  join.complete(false);
  EXPECT_EQ(join.releases, 1);
}

TEST(JoinStateTest, AfterTheEndTheHandleReleases) {
  for (const bool threw : {false, true}) {
    CountedJoin join;
    EXPECT_FALSE(join.is_complete());
    join.complete(threw);
    EXPECT_TRUE(join.is_complete());
    EXPECT_EQ(join.releases, 0);
    join.drop_handle();
    EXPECT_EQ(join.releases, 1);
  }
}

TEST(JoinStateTest, AfterTheEndNobodyCanWait) {
  CountedJoin join;
  join.complete(false);
  EXPECT_FALSE(join.set_joiner(std::uintptr_t{64}));
  EXPECT_EQ(join.releases, 0);
}

TEST(JoinStateTest, AWaitingThreadIsNotifiedAndThenTheHandleReleases) {
  CountedJoin join;
  ThreadJoiner joiner;
  ASSERT_TRUE(join.set_joiner(reinterpret_cast<std::uintptr_t>(&joiner) | JoinState::kThreadTag));
  EXPECT_FALSE(joiner.notified());
  join.complete(false);
  EXPECT_TRUE(joiner.notified());
  joiner.wait();
  EXPECT_EQ(join.releases, 0);
  join.drop_handle();
  EXPECT_EQ(join.releases, 1);
}

TEST(JoinStateTest, AJoinerThatWasTakenBackIsNotWoken) {
  CountedJoin join;
  ThreadJoiner joiner;
  const std::uintptr_t word = reinterpret_cast<std::uintptr_t>(&joiner) | JoinState::kThreadTag;
  ASSERT_TRUE(join.set_joiner(word));
  EXPECT_TRUE(join.clear_joiner(word));
  EXPECT_FALSE(join.clear_joiner(word));
  join.drop_handle();
  join.complete(false);
  EXPECT_FALSE(joiner.notified());
  EXPECT_EQ(join.releases, 1);
}

TEST(JoinStateTest, AJoinerCannotBeTakenBackAfterTheEnd) {
  CountedJoin join;
  ThreadJoiner joiner;
  const std::uintptr_t word = reinterpret_cast<std::uintptr_t>(&joiner) | JoinState::kThreadTag;
  ASSERT_TRUE(join.set_joiner(word));
  join.complete(false);
  EXPECT_FALSE(join.clear_joiner(word));
}

TEST(JoinStateTest, AnExceptionThatAnAbortedJoinerHadWaitedForIsDropped) {
  CountedJoin join;
  join.abandoned = true;
  join.drop_handle();
  join.complete(true);
  EXPECT_EQ(join.releases, 1);
}

Task<int> join_it(JoinHandle<int> handle) { co_return co_await std::move(handle) + 1; }
Task<int> answer_after(ManualOp* op) {
  co_await ManualOpAwaiter(op);
  co_return 41;
}
Task<> fail_after(ManualOp* op) {
  co_await ManualOpAwaiter(op);
  throw std::runtime_error("failed");
}
Task<> join_void(JoinHandle<void> handle) { co_await std::move(handle); }

TEST_F(JoinHandleTest, AJoinGivesTheResultWhetherItBeginsBeforeOrAfterTheEnd) {
  for (const bool join_first : {true, false}) {
    ManualOp op;
    auto answer = spawn(answer_after(&op));
    executor_.drain();
    if (!join_first) {
      EXPECT_TRUE(op.complete());
    }
    executor_.drain();
    auto joiner = spawn(join_it(std::move(answer)));
    executor_.drain();
    EXPECT_EQ(joiner.is_finished(), !join_first);
    if (join_first) {
      EXPECT_TRUE(op.complete());
    }
    executor_.drain();
    const JoinShare<int> share = std::move(joiner).release_share();
    EXPECT_EQ(share.slot().take(), 42);
  }
}

TEST_F(JoinHandleTest, AnAbortedJoinerDetachesTheTaskItWaitedForWhoseExceptionIsThenDropped) {
  ManualOp op;
  auto joiner = spawn(join_void(spawn(fail_after(&op))));
  executor_.drain();
  joiner.abort();
  executor_.drain();
  EXPECT_TRUE(joiner.is_finished());
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(executor_.ended(), 2u);
}

TEST_F(JoinHandleTest, AnAbortThatComesWhenTheAwaitedTaskHasEndedLeavesTheJoinerItsResult) {
  ManualOp op;
  auto joiner = spawn(join_it(spawn(answer_after(&op))));
  executor_.drain();
  EXPECT_TRUE(op.complete());
  EXPECT_TRUE(executor_.run_one());
  joiner.abort();
  executor_.drain();
  const JoinShare<int> share = std::move(joiner).release_share();
  EXPECT_EQ(share.slot().take(), 42);
}

TEST_F(JoinHandleTest, AnAwaitedExceptionIsRethrownAtTheJoin) {
  auto coroutine = [](JoinHandle<void> handle) -> Task<std::string> {
    try {
      co_await std::move(handle);
    } catch (const std::runtime_error& error) {
      co_return error.what();
    }
    co_return "nothing thrown";
  };
  ManualOp op;
  auto joiner = spawn(coroutine(spawn(fail_after(&op))));
  executor_.drain();
  EXPECT_TRUE(op.complete());
  executor_.drain();
  const JoinShare<std::string> share = std::move(joiner).release_share();
  EXPECT_EQ(share.slot().take(), "failed");
}

TEST_F(JoinHandleTest, AnExceptionOfATaskWhoseHandleIsDroppedAfterItsEndIsDropped) {
  ManualOp op;
  {
    auto handle = spawn(fail_after(&op));
    executor_.drain();
    EXPECT_TRUE(op.complete());
    executor_.drain();
    EXPECT_TRUE(handle.is_finished());
  }
  EXPECT_EQ(executor_.ended(), 1u);
}

TEST_F(JoinHandleTest, TheJoinOfAnAbortedTaskThrowsTaskCancelled) {
  auto coroutine = [](JoinHandle<void> handle) -> Task<bool> {
    try {
      co_await std::move(handle);
    } catch (const TaskCancelled&) {
      co_return true;
    }
    co_return false;
  };
  ManualOp op;
  auto handle = spawn(fail_after(&op));
  executor_.drain();
  handle.abort();
  auto joiner = spawn(coroutine(std::move(handle)));
  executor_.drain();
  const JoinShare<bool> share = std::move(joiner).release_share();
  EXPECT_TRUE(share.slot().take());
}

TEST_F(JoinHandleTest, ADetachedTaskRunsOnAndFreesItself) {
  ManualOp op;
  {
    auto dropped = spawn(answer_after(&op));
  }
  executor_.drain();
  EXPECT_EQ(live_blocks(), blocks_before_ + 1);
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(executor_.ended(), 1u);
}

TEST(JoinStateDeathTest, AnExceptionThatLeavesADetachedTaskEndsTheProcessWithTheTasksName) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ManualExecutor executor;
        ManualOp op;
        {
          auto dropped = spawn_on(executor, fail_after(&op), {.name = "the odd one"});
        }
        executor.drain();
        op.complete();
        executor.drain();
      },
      "a detached task ended with an exception: task [0-9]+ \"the odd one\"");
}

// What it waits for was cancelled, by a shutdown for one: so it is, too, and nobody has failed.
TEST_F(JoinHandleTest, ADetachedTaskMayEndWithTaskCancelled) {
  ManualOp op;
  {
    auto dropped = spawn([](ManualOp* awaited) -> Task<int> {
      co_await ManualOpAwaiter(awaited);
      throw TaskCancelled();
    }(&op));
  }
  executor_.drain();
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(executor_.ended(), 1u);
}

}  // namespace
}  // namespace skua::internal
