// SPDX-License-Identifier: Apache-2.0
//
// when_all_n, and what comes of the results of children that throw. How forks run: fork_test.cc.
#include "skua/join.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/this_task.h"
#include "task/frame_count.h"
#include "tests/support/manual_executor.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using testing::ElementsAre;

using JoinTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(JoinTest);

// Both forms of when_all_n for the same children.
constexpr std::size_t kChildren = 7;
enum class Form { kFixed, kSized };
constexpr std::array<Form, 2> kForms{Form::kFixed, Form::kSized};

template <typename F>
auto all_of(Form form, F make)
    -> Task<std::vector<internal::ValueOrMonostate<internal::ChildResult<F>>>> {
  using Value = internal::ValueOrMonostate<internal::ChildResult<F>>;
  if (form == Form::kSized) {
    std::vector<Value> results = co_await when_all_n(kChildren, std::move(make));
    co_return results;
  }
  std::array<Value, kChildren> results = co_await when_all_n<kChildren>(std::move(make));
  co_return std::vector<Value>(std::make_move_iterator(results.begin()),
                               std::make_move_iterator(results.end()));
}

// --- Results ------------------------------------------------------------------------------------

Task<int> square(std::size_t i) { co_return static_cast<int>(i * i); }

TEST_P(JoinTest, GivesTheResultsInTheOrderOfTheChildren) {
  for (const Form form : kForms) {
    EXPECT_THAT(runtime().block_on(all_of(form, &square)), ElementsAre(0, 1, 4, 9, 16, 25, 36));
  }
}

Task<> increment(std::atomic<int>* count) {
  count->fetch_add(1);
  co_return;
}

TEST_P(JoinTest, GivesMonostatesForChildrenThatReturnNothing) {
  for (const Form form : kForms) {
    std::atomic<int> count{0};
    const auto results =
        runtime().block_on(all_of(form, [&count](std::size_t) { return increment(&count); }));
    EXPECT_EQ(results, std::vector<std::monostate>(kChildren));
    EXPECT_EQ(count.load(), static_cast<int>(kChildren));
  }
}

Task<std::unique_ptr<std::size_t>> boxed(std::size_t i) {
  co_return std::make_unique<std::size_t>(i);
}

TEST_P(JoinTest, MovesResultsThatCannotBeCopied) {
  for (const Form form : kForms) {
    const auto results = runtime().block_on(all_of(form, &boxed));
    for (std::size_t i = 0; i < kChildren; ++i) EXPECT_EQ(*results[i], i);
  }
}

Task<bool> is_odd(std::size_t i) { co_return i % 2 == 1; }

TEST_P(JoinTest, GivesBooleans) {
  for (const Form form : kForms) {
    EXPECT_THAT(runtime().block_on(all_of(form, &is_odd)),
                ElementsAre(false, true, false, true, false, true, false));
  }
}

Task<bool> forks_nothing(bool* called) {
  const auto make = [called](std::size_t i) {
    *called = true;
    return square(i);
  };
  const std::array<int, 0> none = co_await when_all_n<0>(make);
  const std::vector<int> empty = co_await when_all_n(0, make);
  co_return none.empty() && empty.empty();
}

TEST_P(JoinTest, NoChildrenAreNoWork) {
  bool called = false;
  EXPECT_TRUE(runtime().block_on(forks_nothing(&called)));
  EXPECT_FALSE(called);
}

Task<int> forks_one() {
  const std::array<int, 1> one = co_await when_all_n<1>(&square);
  const std::vector<int> single = co_await when_all_n(1, &square);
  co_return 1 + one[0] + static_cast<int>(single.size());
}

TEST_P(JoinTest, OneChildIsEnough) { EXPECT_EQ(runtime().block_on(forks_one()), 2); }

Task<std::vector<int>> squares(std::size_t n) { co_return co_await when_all_n(n, &square); }

TEST_P(JoinTest, ManyChildrenAreNotTooMany) {
  constexpr std::size_t kMany = 20'000;
  const std::vector<int> results = runtime().block_on(squares(kMany));
  ASSERT_EQ(results.size(), kMany);
  for (std::size_t i = 0; i < kMany; ++i) ASSERT_EQ(results[i], static_cast<int>(i * i));
}

// --- The function that makes the children -------------------------------------------------------

Task<std::size_t> yields_then_gives(std::size_t i) {
  co_await yield_now();
  co_return i;
}

// Goal: called in order, and never by two threads at a time. Method: it counts its calls in a plain number, while
// the children suspend, so that whoever is idle makes the next one.
TEST_P(JoinTest, MakesTheChildrenInOrderAndOneAtATime) {
  for (int round = 0; round < 200; ++round) {
    for (const Form form : kForms) {
      std::size_t calls = 0;
      std::atomic<bool> inside{false};
      const auto make = [&](std::size_t i) {
        EXPECT_FALSE(inside.exchange(true));
        EXPECT_EQ(i, calls);
        ++calls;
        auto child = yields_then_gives(i);
        inside.store(false);
        return child;
      };
      EXPECT_THAT(runtime().block_on(all_of(form, make)), ElementsAre(0, 1, 2, 3, 4, 5, 6));
      EXPECT_EQ(calls, kChildren);
    }
  }
}

// Counts those that live.
class Tracked {
 public:
  explicit Tracked(std::atomic<int>* live) : live_(live) { live_->fetch_add(1); }
  Tracked(Tracked&& other) noexcept : live_(other.live_) { live_->fetch_add(1); }
  Tracked& operator=(Tracked&&) = delete;
  ~Tracked() { live_->fetch_sub(1); }

 private:
  std::atomic<int>* const live_;
};

// A class: GCC 12 destroys closures twice (docs/compilers.md).
class MakesFrom {
 public:
  explicit MakesFrom(std::shared_ptr<const std::size_t> base) : base_(std::move(base)) {}
  Task<int> operator()(std::size_t i) const { return square(*base_ + i); }

 private:
  std::shared_ptr<const std::size_t> base_;
};

TEST_P(JoinTest, WhatTheFunctionHoldsIsDestroyedOnce) {
  for (const Form form : kForms) {
    auto base = std::make_shared<const std::size_t>(2);
    EXPECT_THAT(runtime().block_on(all_of(form, MakesFrom(base))),
                ElementsAre(4, 9, 16, 25, 36, 49, 64));
    EXPECT_EQ(base.use_count(), 1);
  }
}

// --- Exceptions ---------------------------------------------------------------------------------

Task<std::size_t> counts_run(std::size_t i, std::atomic<int>* runs) {
  runs->fetch_add(1);
  co_return i;
}

template <typename T>
Task<std::string> catch_error(Task<T> task) {
  try {
    co_await std::move(task);
  } catch (const std::runtime_error& error) {
    co_return error.what();
  }
  co_return "nothing thrown";
}

struct Thrower {
  const char* what;
  std::vector<bool> throws;  // For each child.
  std::string first;         // What comes of it.
};

std::vector<Thrower> throwers() {
  return {{"first", {true, false, false, false, false, false, false}, "child 0"},
          {"middle", {false, false, false, true, false, false, false}, "child 3"},
          {"last", {false, false, false, false, false, false, true}, "child 6"},
          {"some", {false, true, true, false, false, true, true}, "child 1"},
          {"all but the last", {true, true, true, true, true, true, false}, "child 0"},
          {"all", {true, true, true, true, true, true, true}, "child 0"}};
}

// What making a child throws is that child's exception, and the others run.
TEST_P(JoinTest, AChildThatCannotBeMadeHasThrown) {
  for (const Thrower& thrower : throwers()) {
    for (const Form form : kForms) {
      SCOPED_TRACE(thrower.what);
      std::atomic<int> runs{0};
      int calls = 0;
      const auto make = [&](std::size_t i) -> Task<std::size_t> {
        ++calls;
        if (thrower.throws[i]) throw std::runtime_error("child " + std::to_string(i));
        return counts_run(i, &runs);
      };
      EXPECT_EQ(runtime().block_on(catch_error(all_of(form, make))), thrower.first);
      EXPECT_EQ(calls, static_cast<int>(kChildren));
      EXPECT_EQ(runs.load(), std::count(thrower.throws.begin(), thrower.throws.end(), false));
    }
  }
}

// The same behind children that suspend, so that any worker makes the next one.
TEST_P(JoinTest, AChildThatCannotBeMadeBesidesOthersThatSuspendHasThrown) {
  for (const Thrower& thrower : throwers()) {
    for (const Form form : kForms) {
      SCOPED_TRACE(thrower.what);
      const auto make = [&](std::size_t i) -> Task<std::size_t> {
        if (thrower.throws[i]) throw std::runtime_error("child " + std::to_string(i));
        return yields_then_gives(i);
      };
      EXPECT_EQ(runtime().block_on(catch_error(all_of(form, make))), thrower.first);
    }
  }
}

Task<Tracked> gives_or_throws(std::size_t i, bool throws, bool yields, std::atomic<int>* live) {
  Tracked local(live);
  if (yields) co_await yield_now();
  if (throws) throw std::runtime_error("child " + std::to_string(i));
  co_return Tracked(live);
}

TEST_P(JoinTest, TheResultsOfTheOthersAreDestroyedOnceIfOneThrows) {
  for (const Thrower& thrower : throwers()) {
    for (const Form form : kForms) {
      for (const bool yields : {false, true}) {
        SCOPED_TRACE(thrower.what);
        std::atomic<int> live{0};
        const auto make = [&](std::size_t i) {
          return gives_or_throws(i, thrower.throws[i], yields, &live);
        };
        EXPECT_EQ(runtime().block_on(catch_error(all_of(form, make))), thrower.first);
        EXPECT_EQ(live.load(), 0);
      }
    }
  }
}

TEST_P(JoinTest, ResultsAreDestroyedOnceIfNoneThrows) {
  for (const Form form : kForms) {
    std::atomic<int> live{0};
    const auto make = [&](std::size_t i) { return gives_or_throws(i, false, i % 2 == 0, &live); };
    {
      const std::vector<Tracked> results = runtime().block_on(all_of(form, make));
      EXPECT_EQ(live.load(), static_cast<int>(kChildren));
    }
    EXPECT_EQ(live.load(), 0);
  }
}

Task<std::string> catch_in_eager_forms(const std::vector<bool>* throws, bool tuple,
                                       std::atomic<int>* live) {
  const auto child = [=](std::size_t i) { return gives_or_throws(i, (*throws)[i], i == 1, live); };
  try {
    if (tuple) {
      auto results = co_await when_all(child(0), child(1), child(2), child(3));
      co_return "nothing thrown " + std::to_string(std::tuple_size_v<decltype(results)>);
    }
    std::vector<Task<Tracked>> children;
    for (std::size_t i = 0; i < 4; ++i) children.push_back(child(i));
    auto results = co_await when_all(std::move(children));
    co_return "nothing thrown " + std::to_string(results.size());
  } catch (const std::runtime_error& error) {
    co_return error.what();
  }
}

TEST_P(JoinTest, TheEagerFormsDestroyTheirResultsOnceToo) {
  std::atomic<int> live{0};
  for (const bool tuple : {false, true}) {
    for (unsigned mask = 0; mask < 16; ++mask) {
      std::vector<bool> throws(4);
      std::string expected = "nothing thrown 4";
      for (std::size_t i = 4; i-- > 0;) {
        throws[i] = (mask >> i & 1) != 0;
        if (throws[i]) expected = "child " + std::to_string(i);
      }
      EXPECT_EQ(runtime().block_on(catch_in_eager_forms(&throws, tuple, &live)), expected) << mask;
      EXPECT_EQ(live.load(), 0) << mask;
    }
  }
}

// --- Tasks that stay on their worker ------------------------------------------------------------

Task<int> stays(int home, int depth) {
  EXPECT_EQ(this_task::worker_index(), home);
  if (depth == 0) {
    co_await yield_now();
    EXPECT_EQ(this_task::worker_index(), home);
    co_return 1;
  }
  const auto make = [=](std::size_t) {
    EXPECT_EQ(this_task::worker_index(), home);
    return stays(home, depth - 1);
  };
  const std::array<int, 4> parts = co_await when_all_n<4>(make);
  EXPECT_EQ(this_task::worker_index(), home);
  int sum = 0;
  for (const int part : parts) sum += part;
  co_return sum;
}
Task<int> stays_here() {
  auto child = spawn_local(stays(this_task::worker_index(), 5));
  const int sum = co_await std::move(child);
  co_return sum;
}

TEST_P(JoinTest, WhatATaskForksThatStaysOnItsWorkerStaysThereToo) {
  EXPECT_EQ(runtime().block_on(stays_here()), 1024);
}

// --- Who makes the next child -------------------------------------------------------------------

// Workers are driven by hand, so that it is known who steals what.
class JoinByHandTest : public testing::Test {
 protected:
  static constexpr std::size_t kN = 4;

  void TearDown() override {
    EXPECT_EQ(internal::live_blocks(), blocks_before_) << "coroutine frames leaked";
  }

  template <typename T>
  JoinHandle<T> spawn(Task<T> task) {
    return internal::spawn_on(executor_, std::move(task), {});
  }
  template <typename T>
  static T result(JoinHandle<T> handle) {
    EXPECT_TRUE(handle.is_finished());
    const internal::JoinShare<T> share = std::move(handle).release_share();
    return share.slot().take();
  }

  const std::int64_t blocks_before_ = internal::live_blocks();
  test::ManualExecutor executor_{2};
  std::array<test::ManualOp, kN> ops_;
};

// Waits for `op`, if there is one. Notes which worker began it, and which one ended it.
Task<int> wait_if(test::ManualOp* op, int value, std::vector<std::string>* log,
                  test::ManualExecutor* executor) {
  const auto note = [=](const char* what) {
    const bool first = test::ManualExecutor::running() == &executor->worker(0);
    log->push_back(what + std::to_string(value) + (first ? " on 0" : " on 1"));
  };
  note("begin ");
  if (op != nullptr) co_await test::ManualOpAwaiter(op);
  note("end ");
  co_return value;
}

template <typename F>
Task<int> sum_of(F make) {
  int sum = 0;
  const std::vector<int> values = co_await when_all_n(4, std::move(make));
  for (const int value : values) sum = 10 * sum + value;
  co_return sum;
}

// Goal: the parent goes on behind its last child, whichever of the children suspend and wherever they go on.
// Method: all sets of children that suspend, all thieves: whoever finds no ready task takes the fork, worker 0 or
// worker 1; the suspended ones are woken in a rotated order and run on the worker that `runners` says.
TEST_F(JoinByHandTest, AnyChildrenMaySuspendAndGoOnAnywhere) {
  for (unsigned suspends = 0; suspends < 1u << kN; ++suspends) {
    for (unsigned runners = 0; runners < 1u << kN; ++runners) {
      for (std::size_t rotation = 0; rotation < kN; ++rotation) {
        std::vector<std::string> log;
        std::size_t made = 0;
        const auto make = [&](std::size_t i) {
          EXPECT_EQ(i, made++);
          test::ManualOp* const op = (suspends >> i & 1) != 0 ? &ops_[i] : nullptr;
          return wait_if(op, static_cast<int>(i), &log, &executor_);
        };
        auto parent = spawn(sum_of(make));
        unsigned turn = 0;
        const auto run_all = [&] {
          while (executor_.run_one(static_cast<int>(runners >> (turn % kN) & 1))) ++turn;
        };
        run_all();
        EXPECT_EQ(made, kN);
        for (std::size_t k = 0; k < kN; ++k) {
          const std::size_t i = (k + rotation) % kN;
          if ((suspends >> i & 1) == 0) continue;
          ASSERT_FALSE(parent.is_finished());
          ASSERT_TRUE(ops_[i].complete());
          run_all();
        }
        ASSERT_EQ(result(std::move(parent)), 123) << suspends << ' ' << runners;
        EXPECT_EQ(log.size(), 2 * kN);
      }
    }
  }
}

TEST_F(JoinByHandTest, AThiefMakesTheNextChildAndGoesOnWithTheRest) {
  std::vector<std::string> log;
  const auto make = [&](std::size_t i) {
    return wait_if(i == 0 ? ops_.data() : nullptr, static_cast<int>(i), &log, &executor_);
  };
  auto parent = spawn(sum_of(make));
  EXPECT_TRUE(executor_.run_one(0));
  EXPECT_THAT(log, ElementsAre("begin 0 on 0"));
  EXPECT_TRUE(executor_.run_one(1));
  EXPECT_FALSE(executor_.run_one(1));
  EXPECT_TRUE(ops_[0].complete());
  EXPECT_TRUE(executor_.run_one(0));
  EXPECT_EQ(result(std::move(parent)), 123);
  EXPECT_THAT(log, ElementsAre("begin 0 on 0", "begin 1 on 1", "end 1 on 1", "begin 2 on 1",
                               "end 2 on 1", "begin 3 on 1", "end 3 on 1", "end 0 on 0"));
}

}  // namespace
}  // namespace skua
