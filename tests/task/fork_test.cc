// SPDX-License-Identifier: Apache-2.0
//
// when_all, on one thread: who runs when, what comes of results, exceptions and aborts.
#include "skua/internal/fork.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skua/internal/atomic.h"
#include "skua/join.h"
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
using testing::UnorderedElementsAre;

class ForkTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(live_blocks(), blocks_before_) << "coroutine frames leaked";
  }

  template <typename T>
  JoinHandle<T> spawn(Task<T> task) {
    return spawn_on(executor_, std::move(task), {});
  }

  // What a task returned that has ended.
  template <typename T>
  static T result(JoinHandle<T> handle) {
    EXPECT_TRUE(handle.is_finished());
    const JoinShare<T> share = std::move(handle).release_share();
    return share.slot().take();
  }
  template <typename T>
  static bool killed(JoinHandle<T> handle) {
    EXPECT_TRUE(handle.is_finished());
    const JoinShare<T> share = std::move(handle).release_share();
    return share.slot().empty();
  }

  const std::int64_t blocks_before_ = live_blocks();
  ManualExecutor executor_{2};
  Log log_;
};

Task<int> give(int value, Log* log) {
  log->push_back("give " + std::to_string(value));
  co_return value;
}
Task<std::string> text(std::string value) { co_return value; }
Task<> note(std::string what, Log* log) {
  log->push_back(std::move(what));
  co_return;
}
Task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }

Task<int> wait_then_give(ManualOp* op, int value, Log* log) {
  Guard guard(log, "child " + std::to_string(value));
  co_await ManualOpAwaiter(op);
  log->push_back("child " + std::to_string(value) + " resumed");
  co_return value;
}
Task<int> fail(std::string what, Log* log) {
  Guard guard(log, what);
  throw std::runtime_error(what);
  co_return 0;
}
Task<int> wait_then_fail(ManualOp* op, std::string what, Log* log) {
  Guard guard(log, what);
  co_await ManualOpAwaiter(op);
  throw std::runtime_error(what);
}

// --- Results ------------------------------------------------------------------------------------

using Mixed = std::tuple<int, std::string, std::monostate, std::unique_ptr<int>>;

Task<Mixed> fork_mixed(Log* log) {
  co_return co_await when_all(give(1, log), text("two"), note("three", log), boxed(4));
}

TEST_F(ForkTest, ATupleHoldsWhatTheChildrenReturnAndMonostateForVoid) {
  auto parent = spawn(fork_mixed(&log_));
  executor_.drain();
  const Mixed mixed = result(std::move(parent));
  EXPECT_EQ(std::get<0>(mixed), 1);
  EXPECT_EQ(std::get<1>(mixed), "two");
  EXPECT_EQ(std::get<2>(mixed), std::monostate());
  EXPECT_EQ(*std::get<3>(mixed), 4);
  EXPECT_EQ(executor_.ended(), 1u);  // The children are not tasks of their own.
}

Task<std::vector<int>> fork_vector(std::vector<Task<int>> children) {
  co_return co_await when_all(std::move(children));
}

TEST_F(ForkTest, AVectorHoldsTheResultsInTheOrderOfTheTasksWhateverTheOrderOfTheirEnds) {
  ManualOp ops[3];
  std::vector<Task<int>> children;
  for (int i = 0; i < 3; ++i) children.push_back(wait_then_give(&ops[i], i, &log_));
  auto parent = spawn(fork_vector(std::move(children)));
  executor_.drain();
  for (const int i : {2, 0, 1}) {
    EXPECT_FALSE(parent.is_finished());
    EXPECT_TRUE(ops[i].complete());
    executor_.drain();
  }
  EXPECT_THAT(result(std::move(parent)), ElementsAre(0, 1, 2));
  EXPECT_THAT(log_, ElementsAre("child 2 resumed", "~child 2", "child 0 resumed", "~child 0",
                                "child 1 resumed", "~child 1"));
}

Task<std::size_t> fork_notes(std::vector<Task<>> children) {
  const std::vector<std::monostate> results = co_await when_all(std::move(children));
  co_return results.size();
}

TEST_F(ForkTest, AVectorOfVoidTasksGivesMonostates) {
  std::vector<Task<>> children;
  for (const char* what : {"a", "b", "c"}) children.push_back(note(what, &log_));
  auto parent = spawn(fork_notes(std::move(children)));
  executor_.drain();
  EXPECT_EQ(result(std::move(parent)), 3u);
  EXPECT_THAT(log_, UnorderedElementsAre("a", "b", "c"));
}

TEST_F(ForkTest, AnEmptyVectorDoesNotSuspend) {
  auto parent = spawn(fork_vector({}));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_THAT(result(std::move(parent)), IsEmpty());
}

Task<int> fork_nothing() {
  [[maybe_unused]] const std::tuple<> nothing = co_await when_all();
  co_return 1;
}

TEST_F(ForkTest, AnEmptyTupleDoesNotSuspend) {
  auto parent = spawn(fork_nothing());
  EXPECT_TRUE(executor_.run_one());
  EXPECT_EQ(result(std::move(parent)), 1);
}

Task<int> fork_one(Task<int> child) {
  auto [value] = co_await when_all(std::move(child));
  co_return value;
}

TEST_F(ForkTest, ASingleChildRunsAtOnceAndTheParentGoesOn) {
  auto parent = spawn(fork_one(give(7, &log_)));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_EQ(executor_.ready(), 0u);
  EXPECT_EQ(result(std::move(parent)), 7);
}

Task<int> fork_two(Task<int> a, Task<int> b) {
  auto [x, y] = co_await when_all(std::move(a), std::move(b));
  co_return 10 * x + y;
}

TEST_F(ForkTest, ChildrenThatDoNotSuspendRunInOrderInTheRunOfTheParent) {
  std::vector<Task<int>> children;
  for (int i = 0; i < 3; ++i) children.push_back(give(i, &log_));
  auto parent = spawn(fork_vector(std::move(children)));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_THAT(log_, ElementsAre("give 0", "give 1", "give 2"));
  EXPECT_THAT(result(std::move(parent)), ElementsAre(0, 1, 2));
}

TEST_F(ForkTest, WhenAChildSuspendsTheNextOneIsLeftToWhoeverComesFirst) {
  ManualOp op;
  std::vector<Task<int>> children;
  children.push_back(wait_then_give(&op, 0, &log_));
  for (int i = 1; i < 3; ++i) children.push_back(give(i, &log_));
  auto parent = spawn(fork_vector(std::move(children)));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_EQ(executor_.ready(), 0u);
  EXPECT_EQ(executor_.worker(0).deque.size(), 1u);
  EXPECT_TRUE(executor_.run_one());  // Takes the record; the last child follows the second.
  EXPECT_THAT(log_, ElementsAre("give 1", "give 2"));
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_THAT(result(std::move(parent)), ElementsAre(0, 1, 2));
}

TEST_F(ForkTest, ForksNest) {
  ManualOp op;
  auto parent = spawn(fork_two(fork_two(give(1, &log_), wait_then_give(&op, 2, &log_)),
                               fork_one(fork_two(give(3, &log_), give(4, &log_)))));
  executor_.drain();
  EXPECT_FALSE(parent.is_finished());
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(result(std::move(parent)), 10 * 12 + 34);
}

Task<std::int64_t> fork_in_a_loop(int rounds, Log* log) {
  std::int64_t sum = 0;
  for (int i = 0; i < rounds; ++i) {
    auto [x, y] = co_await when_all(give(i, log), give(1, log));
    sum += x + y;
    log->clear();
  }
  co_return sum;
}

TEST_F(ForkTest, ALoopOfForksDoesNotGrowTheStack) {
  auto parent = spawn(fork_in_a_loop(100'000, &log_));
  executor_.drain();
  EXPECT_EQ(result(std::move(parent)), 4'999'950'000 + 100'000);
}

// --- Exceptions ---------------------------------------------------------------------------------

template <typename T>
Task<std::string> catch_error(Task<T> task) {
  try {
    co_await std::move(task);
  } catch (const std::runtime_error& error) {
    co_return error.what();
  }
  co_return "nothing thrown";
}

TEST_F(ForkTest, TheFirstExceptionInArgumentOrderIsRethrownWhenAllHaveEnded) {
  ManualOp ops[3];
  std::vector<Task<int>> children;
  children.push_back(wait_then_give(&ops[0], 0, &log_));
  children.push_back(wait_then_fail(&ops[1], "first", &log_));
  children.push_back(wait_then_fail(&ops[2], "second", &log_));
  auto parent = spawn(catch_error(fork_vector(std::move(children))));
  executor_.drain();
  for (const int i : {2, 1, 0}) {  // The second throws first.
    EXPECT_FALSE(parent.is_finished());
    EXPECT_TRUE(ops[i].complete());
    executor_.drain();
  }
  EXPECT_EQ(result(std::move(parent)), "first");
  EXPECT_THAT(log_, ElementsAre("~second", "~first", "child 0 resumed", "~child 0"));
}

TEST_F(ForkTest, AChildThatThrowsAtOnceLeavesTheOthersToTheirEnds) {
  ManualOp op;
  auto parent = spawn(catch_error(fork_two(fail("first", &log_), wait_then_give(&op, 2, &log_))));
  executor_.drain();
  EXPECT_FALSE(parent.is_finished());
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(result(std::move(parent)), "first");
  EXPECT_THAT(log_, ElementsAre("~first", "child 2 resumed", "~child 2"));
}

TEST_F(ForkTest, AnExceptionPassesThroughNestedForks) {
  auto inner = fork_one(fail("inner", &log_));
  auto parent = spawn(catch_error(fork_two(give(1, &log_), std::move(inner))));
  executor_.drain();
  EXPECT_EQ(result(std::move(parent)), "inner");
}

// --- Aborts -------------------------------------------------------------------------------------

Task<int> guarded_fork(Task<int> a, Task<int> b, Log* log) {
  Guard guard(log, "parent");
  const int value = co_await fork_two(std::move(a), std::move(b));
  log->push_back("parent resumed");
  co_return value;
}

TEST_F(ForkTest, AnAbortOfTheParentAbortsItsSuspendedChildrenAndDestroysAllOnce) {
  ManualOp ops[2];
  auto parent = spawn(
      guarded_fork(wait_then_give(&ops[0], 0, &log_), wait_then_give(&ops[1], 1, &log_), &log_));
  executor_.drain();
  parent.abort();
  EXPECT_EQ(ops[0].cancels() + ops[1].cancels(), 2);
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~child 1", "~child 0", "~parent"));
  EXPECT_EQ(executor_.ended(), 1u);
  EXPECT_TRUE(killed(std::move(parent)));
}

TEST_F(ForkTest, AnAbortOfTheParentEndsChildrenThatAreStillQueuedUnrun) {
  ManualOp op;
  auto parent = spawn(guarded_fork(wait_then_give(&op, 0, &log_), give(1, &log_), &log_));
  EXPECT_TRUE(executor_.run_one());  // The second child has not started.
  parent.abort();
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~child 0", "~parent"));
  EXPECT_TRUE(killed(std::move(parent)));
}

TEST_F(ForkTest, AnAbortedParentWaitsForTheChildrenWhoseOperationsAreStillPending) {
  ManualOp pending(ManualOp::OnCancel::kKeep);
  ManualOp op;
  auto parent =
      spawn(guarded_fork(wait_then_give(&pending, 0, &log_), wait_then_give(&op, 1, &log_), &log_));
  executor_.drain();
  parent.abort();
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~child 1"));
  EXPECT_FALSE(parent.is_finished());
  EXPECT_TRUE(pending.complete_cancelled());
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~child 1", "~child 0", "~parent"));
  EXPECT_TRUE(killed(std::move(parent)));
}

TEST_F(ForkTest, IfAllChildrenOfAnAbortedParentEndWithResultsTheParentGetsThem) {
  ManualOp ops[] = {ManualOp(ManualOp::OnCancel::kKeep), ManualOp(ManualOp::OnCancel::kKeep)};
  auto parent = spawn(
      guarded_fork(wait_then_give(&ops[0], 0, &log_), wait_then_give(&ops[1], 1, &log_), &log_));
  executor_.drain();
  parent.abort();
  for (ManualOp& op : ops) EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("child 0 resumed", "~child 0", "child 1 resumed", "~child 1",
                                "parent resumed", "~parent"));
  EXPECT_EQ(result(std::move(parent)), 1);
}

TEST_F(ForkTest, IfOneChildOfAnAbortedParentIsDestroyedTheResultsOfTheOthersAreDropped) {
  ManualOp kept(ManualOp::OnCancel::kKeep);
  ManualOp op;
  auto parent =
      spawn(guarded_fork(wait_then_give(&op, 0, &log_), wait_then_give(&kept, 1, &log_), &log_));
  executor_.drain();
  parent.abort();
  EXPECT_TRUE(kept.complete());
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~child 0", "child 1 resumed", "~child 1", "~parent"));
  EXPECT_TRUE(killed(std::move(parent)));
}

TEST_F(ForkTest, AChildThatIsRunningWhenItsParentIsAbortedEndsAtItsNextSuspension) {
  std::vector<JoinHandle<int>> self;
  auto aborts_parent = [](std::vector<JoinHandle<int>>* parent, ManualOp* op,
                          Log* log) -> Task<int> {
    Guard guard(log, "running child");
    parent->front().abort();
    log->push_back("ran on");
    co_await ManualOpAwaiter(op);
    log->push_back("resumed");
    co_return 0;
  };
  ManualOp ops[2];
  self.push_back(spawn(guarded_fork(wait_then_give(&ops[0], 0, &log_),
                                    aborts_parent(&self, &ops[1], &log_), &log_)));
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("ran on", "~child 0", "~running child", "~parent"));
  EXPECT_TRUE(killed(std::move(self.front())));
}

TEST_F(ForkTest, AChildThatIsRunningAndNeverSuspendsAgainEndsWithItsValue) {
  std::vector<JoinHandle<int>> self;
  auto aborts_parent = [](std::vector<JoinHandle<int>>* parent) -> Task<int> {
    parent->front().abort();
    co_return 5;
  };
  self.push_back(spawn(guarded_fork(give(3, &log_), aborts_parent(&self), &log_)));
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("give 3", "parent resumed", "~parent"));
  EXPECT_EQ(result(std::move(self.front())), 35);
}

Task<int> abort_self_then_fork(std::vector<JoinHandle<int>>* self, Task<int> a, Task<int> b,
                               Log* log) {
  self->front().abort();
  const int value = co_await guarded_fork(std::move(a), std::move(b), log);
  co_return value;
}

TEST_F(ForkTest, AParentThatWasAbortedBeforeItForksRunsNoChild) {
  std::vector<JoinHandle<int>> self;
  self.push_back(spawn(abort_self_then_fork(&self, give(1, &log_), give(2, &log_), &log_)));
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~parent"));
  EXPECT_TRUE(killed(std::move(self.front())));
}

TEST_F(ForkTest, AnAbortReachesTheChildrenOfNestedForks) {
  ManualOp ops[4];
  std::vector<Task<int>> pairs;
  for (int i = 0; i < 4; i += 2) {
    pairs.push_back(guarded_fork(wait_then_give(&ops[i], i, &log_),
                                 wait_then_give(&ops[i + 1], i + 1, &log_), &log_));
  }
  auto parent = spawn(guarded_fork(std::move(pairs[0]), std::move(pairs[1]), &log_));
  executor_.drain();
  parent.abort();
  for (const ManualOp& op : ops) EXPECT_EQ(op.cancels(), 1);
  executor_.drain();
  EXPECT_THAT(log_, UnorderedElementsAre("~child 0", "~child 1", "~child 2", "~child 3", "~parent",
                                         "~parent", "~parent"));
  EXPECT_EQ(log_.back(), "~parent");
  EXPECT_TRUE(killed(std::move(parent)));
}

TEST_F(ForkTest, AnAbortAfterAChildHasThrownStillEndsTheParentOnce) {
  ManualOp op;
  auto parent = spawn(guarded_fork(fail("thrown", &log_), wait_then_give(&op, 1, &log_), &log_));
  executor_.drain();
  parent.abort();
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~thrown", "~child 1", "~parent"));
  EXPECT_TRUE(killed(std::move(parent)));
}

TEST_F(ForkTest, AnAwaiterThatIsNeverAwaitedDestroysItsTasksUnrun) {
  {
    [[maybe_unused]] auto awaiter = when_all(give(1, &log_), give(2, &log_));
    std::vector<Task<int>> children;
    children.push_back(give(3, &log_));
    [[maybe_unused]] auto vector_awaiter = when_all(std::move(children));
  }
  EXPECT_THAT(log_, IsEmpty());
}

// --- The race -----------------------------------------------------------------------------------

// `sum` is plain in each child: [FORK] publishes it.
Task<int> yield_and_count(int rounds) {
  int sum = 0;
  for (int i = 0; i < rounds; ++i) {
    co_await yield_now();
    ++sum;
  }
  co_return sum;
}

// Goal: the parent goes on exactly once, behind its last child, or is destroyed exactly once, if an abort
// meets children that run, yield and end on other threads. Method: two threads run whatever is ready while
// this one aborts the parent after a varying while.
TEST_F(ForkTest, AnAbortThatRacesTheEndsOfTheChildrenEndsAllOnce) {
  test::Rounds rounds(1'500);
  constexpr int kChildren = 4;
  std::atomic<bool> stop{false};
  const auto work = [&](int worker) {
    while (!stop.load(std::memory_order_acquire)) {
      if (!executor_.run_one(worker)) std::this_thread::yield();
    }
  };
  std::thread helper_a(work, 0);
  std::thread helper_b(work, 1);
  int destroyed = 0;
  while (rounds.another()) {
    const auto round = static_cast<std::size_t>(rounds.made());
    std::vector<Task<int>> children;
    for (int i = 0; i < kChildren; ++i) children.push_back(yield_and_count(i));
    auto parent = spawn(fork_vector(std::move(children)));
    for (std::size_t spins = 16 * (round % 64); spins > 0; --spins) cpu_relax();
    if (round % 4 != 0) parent.abort();
    while (executor_.ended() < round) std::this_thread::yield();
    while (!parent.is_finished()) std::this_thread::yield();
    const JoinShare<std::vector<int>> share = std::move(parent).release_share();
    if (share.slot().empty()) {
      ++destroyed;
      EXPECT_NE(round % 4, 0u);
    } else {
      EXPECT_THAT(share.slot().take(), ElementsAre(0, 1, 2, 3));
    }
  }
  stop.store(true, std::memory_order_release);
  helper_a.join();
  helper_b.join();
  EXPECT_GT(destroyed, 0);
  if (rounds.made() >= 4) {
    EXPECT_LT(destroyed, rounds.made());  // Each fourth is not aborted.
  }
}

}  // namespace
}  // namespace skua::internal
