// SPDX-License-Identifier: Apache-2.0
//
// An abort ends a tree of forks at whatever point it meets it: each frame once, the inner ones first, and all of its
// memory comes back. Two workers, driven by hand on one thread, so that each run can be repeated up to any of its
// steps.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "task/frame_count.h"
#include "tests/support/manual_executor.h"
#include "tests/support/random_tree.h"

namespace skua {
namespace {

using internal::JoinShare;
using internal::live_blocks;
using test::Guard;
using test::Log;
using test::ManualExecutor;
using test::ManualOp;
using test::ManualOpAwaiter;
using testing::ElementsAre;

// --- At every step of random trees --------------------------------------------------------------

// One run of a tree. A step is a run of a ready task, a fork that is taken from a deque, or an operation that ends;
// the seed says which, and on which worker.
class SteppedTree final : public test::RandomTree {
 public:
  SteppedTree(std::uint64_t seed, int depth) : RandomTree(seed, depth), choices_(seed) {
    // Small, in most trees, so that they pause.
    if (seed % 4 != 0) executor_.run_budget = static_cast<std::int32_t>(seed % 4);
    handle_.emplace(internal::spawn_on(executor_, run(), {}));
  }

  // False: there is nothing left to do.
  bool step() {
    choices_ = mix(choices_);
    if (choices_ % 4 == 0 && end_an_operation(choices_ >> 8)) return true;
    const int worker = static_cast<int>(choices_ >> 2 & 1);
    return executor_.run_one(worker) || executor_.run_one(1 - worker) ||
           end_an_operation(choices_ >> 8);
  }
  void abort() { handle_->abort(); }
  // std::nullopt: the tree was killed.
  std::optional<Outcome> outcome() {
    EXPECT_TRUE(handle_->is_finished());
    const JoinShare<Outcome> share =
        std::move(*std::exchange(handle_, std::nullopt)).release_share();
    if (share.slot().empty()) return std::nullopt;
    return share.slot().take();
  }

 protected:
  Task<> suspend(std::uint64_t hash) override {
    switch (hash % 4) {
      case 0:
        co_await yield_now();
        break;
      case 1:
        co_await yield_now();
        co_await ManualOpAwaiter(&ops_.emplace_back());
        break;
      case 2:
        co_await ManualOpAwaiter(&ops_.emplace_back());
        co_await yield_now();
        break;
      default:
        co_await ManualOpAwaiter(&ops_.emplace_back(ManualOp::OnCancel::kKeep));
        break;
    }
  }

 private:
  bool end_an_operation(std::uint64_t choice) {
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      ManualOp& op = ops_[(choice + i) % ops_.size()];
      // As a kernel may: the cancelled operation says so only if somebody has cancelled it.
      if (op.cancels() > 0 && choice % 2 == 0 ? op.complete_cancelled() : op.complete()) {
        return true;
      }
    }
    return false;
  }

  std::uint64_t choices_;
  ManualExecutor executor_{2};
  std::deque<ManualOp> ops_;  // Does not move them.
  std::optional<JoinHandle<Outcome>> handle_;
};

// Runs a tree for `steps`, aborts it, and lets it end. Returns the steps that it took before, at most `steps`.
int run_then_abort(std::uint64_t seed, int depth, int steps, int* killed) {
  const std::int64_t blocks_before = live_blocks();
  int taken = 0;
  {
    SteppedTree tree(seed, depth);
    while (taken < steps && tree.step()) ++taken;
    tree.abort();
    while (tree.step()) {
    }
    EXPECT_EQ(tree.live(), 0);
    const std::optional<test::RandomTree::Outcome> outcome = tree.outcome();
    if (outcome) {
      EXPECT_EQ(*outcome, tree.expected());
    } else {
      ++*killed;
    }
  }
  EXPECT_EQ(live_blocks(), blocks_before);
  return taken;
}

TEST(ForkAbortTest, EndsATreeAtAnyStep) {
  constexpr std::uint64_t kTrees = 150;
  int killed = 0;
  int finished = 0;
  for (std::uint64_t seed = 1; seed <= kTrees; ++seed) {
    for (int steps = 0;; ++steps) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", abort after " + std::to_string(steps));
      const int killed_before = killed;
      const bool at_the_end =
          run_then_abort(seed, 1 + static_cast<int>(seed % 5), steps, &killed) < steps;
      if (at_the_end) {
        EXPECT_EQ(killed, killed_before);
        ++finished;
        break;
      }
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_EQ(finished, static_cast<int>(kTrees));
  EXPECT_GT(killed, static_cast<int>(kTrees));
}

// --- At chosen points ---------------------------------------------------------------------------

class ForkAbortPointTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(live_blocks(), blocks_before_) << "coroutine frames leaked";
  }

  void spawn(Task<int> task) { root_.emplace(internal::spawn_on(executor_, std::move(task), {})); }
  void abort() { root_->abort(); }
  bool killed() {
    EXPECT_TRUE(root_->is_finished());
    const JoinShare<int> share = std::move(*std::exchange(root_, std::nullopt)).release_share();
    return share.slot().empty();
  }

  const std::int64_t blocks_before_ = live_blocks();
  ManualExecutor executor_{2};
  Log log_;
  std::optional<JoinHandle<int>> root_;
};

Task<int> waits(ManualOp* op, std::string name, Log* log) {
  Guard guard(log, name);
  log->push_back(name);
  co_await ManualOpAwaiter(op);
  log->push_back(name + " resumed");
  co_return 1;
}
Task<int> yields(std::string name, Log* log) {
  Guard guard(log, name);
  log->push_back(name);
  co_await yield_now();
  log->push_back(name + " resumed");
  co_return 1;
}
Task<int> gives(std::string name, Log* log) {
  log->push_back(std::move(name));
  co_return 1;
}
Task<int> pair(Task<int> a, Task<int> b, std::string name, Log* log) {
  Guard guard(log, name);
  const auto [x, y] = co_await when_all(std::move(a), std::move(b));
  log->push_back(name + " resumed");
  co_return x + y;
}

TEST_F(ForkAbortPointTest, ChildrenOfARecordOnADequeNeverStart) {
  ManualOp op;
  spawn(pair(waits(&op, "a", &log_), gives("b", &log_), "root", &log_));
  EXPECT_TRUE(executor_.run_one(0));
  EXPECT_EQ(executor_.worker(0).deque.size(), 1u);
  abort();
  EXPECT_TRUE(executor_.run_one(1));  // The child that was cancelled.
  EXPECT_TRUE(executor_.run_one(1));  // Steals the fork, and finds it cut short.
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("a", "~a", "~root"));
  EXPECT_TRUE(killed());
}

// The last child ends nothing that another worker could find.
TEST_F(ForkAbortPointTest, TheLastChildIsKilledBehindTheOthers) {
  ManualOp op;
  spawn(pair(gives("a", &log_), waits(&op, "b", &log_), "root", &log_));
  executor_.drain();
  EXPECT_TRUE(executor_.worker(0).deque.looks_empty());
  abort();
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("a", "b", "~b", "~root"));
  EXPECT_TRUE(killed());
}

TEST_F(ForkAbortPointTest, TheLastChildIsKilledBeforeTheOthers) {
  ManualOp kept(ManualOp::OnCancel::kKeep);
  ManualOp op;
  spawn(pair(waits(&kept, "a", &log_), waits(&op, "b", &log_), "root", &log_));
  executor_.drain();
  abort();
  executor_.drain();
  EXPECT_FALSE(root_->is_finished());
  EXPECT_TRUE(kept.complete_cancelled());
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("a", "b", "~b", "~a", "~root"));
  EXPECT_TRUE(killed());
}

TEST_F(ForkAbortPointTest, AChildThatHasYieldedIsKilledThoughItNeverSuspended) {
  for (const bool last : {false, true}) {
    log_.clear();
    Task<int> yielding = yields("yields", &log_);
    Task<int> other = gives("other", &log_);
    if (last) std::swap(yielding, other);
    spawn(pair(std::move(yielding), std::move(other), "root", &log_));
    EXPECT_TRUE(executor_.run_one());
    abort();
    executor_.drain();
    EXPECT_EQ(log_.front(), last ? "other" : "yields");
    EXPECT_EQ(log_.back(), "~root");
    EXPECT_THAT(log_, testing::Not(testing::Contains("yields resumed")));
    EXPECT_THAT(log_, testing::Contains("~yields"));
    EXPECT_TRUE(killed());
  }
}

TEST_F(ForkAbortPointTest, NestedForksEndInnerFirst) {
  ManualOp ops[3];
  Task<int> inner = pair(waits(&ops[0], "a", &log_), waits(&ops[1], "b", &log_), "inner", &log_);
  spawn(pair(std::move(inner), waits(&ops[2], "c", &log_), "root", &log_));
  executor_.drain();
  abort();
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("a", "b", "c", "~c", "~b", "~a", "~inner", "~root"));
  EXPECT_TRUE(killed());
}

// The mark comes after the child has begun to run, and before it is in its root's list; or right after that.
TEST_F(ForkAbortPointTest, AChildThatIsAboutToSuspendForTheFirstTimeFindsTheMark) {
  ManualOp never;
  auto aborts_then_waits = [](std::optional<JoinHandle<int>>* root, ManualOp* op,
                              Log* log) -> Task<int> {
    Guard guard(log, "child");
    (*root)->abort();
    co_await ManualOpAwaiter(op);
    log->push_back("resumed");
    co_return 1;
  };
  spawn(pair(aborts_then_waits(&root_, &never, &log_), gives("b", &log_), "root", &log_));
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("~child", "~root"));
  EXPECT_TRUE(killed());

  log_.clear();
  ManualOp op;
  op.before_commit = [this](internal::TaskHeader*) { abort(); };
  spawn(pair(waits(&op, "a", &log_), gives("b", &log_), "root", &log_));
  executor_.drain();
  EXPECT_EQ(op.cancels(), 1);
  EXPECT_THAT(log_, ElementsAre("a", "~a", "~root"));
  EXPECT_TRUE(killed());
}

TEST_F(ForkAbortPointTest, TheFunctionThatMakesTheChildrenMayAbortTheirTask) {
  auto root = [](std::optional<JoinHandle<int>>* self, Log* log) -> Task<int> {
    Guard guard(log, "root");
    const auto make = [self, log](std::size_t i) {
      if (i == 2) (*self)->abort();
      return gives("child " + std::to_string(i), log);
    };
    const std::vector<int> results = co_await when_all_n(5, make);
    co_return static_cast<int>(results.size());
  };
  spawn(root(&root_, &log_));
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("child 0", "child 1", "child 2", "~root"));
  EXPECT_TRUE(killed());
}

TEST_F(ForkAbortPointTest, AParentThatForksAgainAfterItsAbortStartsNoChild) {
  ManualOp kept(ManualOp::OnCancel::kKeep);
  auto root = [](ManualOp* op, Log* log) -> Task<int> {
    Guard guard(log, "root");
    const int first = co_await pair(waits(op, "a", log), gives("b", log), "first", log);
    const int second = co_await pair(gives("c", log), gives("d", log), "second", log);
    co_return first + second;
  };
  spawn(root(&kept, &log_));
  executor_.drain();
  abort();
  EXPECT_TRUE(kept.complete());  // The result wins: the first fork ends as if nothing had happened.
  executor_.drain();
  EXPECT_THAT(log_, ElementsAre("a", "b", "a resumed", "~a", "first resumed", "~first", "~second",
                                "~root"));
  EXPECT_TRUE(killed());
}

}  // namespace
}  // namespace skua
