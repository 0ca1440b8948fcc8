// SPDX-License-Identifier: Apache-2.0
#include "skua/task.h"

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/config.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "tests/support/leak_check.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using TaskTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(TaskTest);

Task<int> forty_two() { co_return 42; }

TEST_P(TaskTest, GivesWhatItReturns) { EXPECT_EQ(runtime().block_on(forty_two()), 42); }

Task<std::unique_ptr<int>> move_only(int value) { co_return std::make_unique<int>(value); }

TEST_P(TaskTest, CarriesAMoveOnlyResult) { EXPECT_EQ(*runtime().block_on(move_only(7)), 7); }

Task<int&> reference_to(int* value) { co_return *value; }

TEST_P(TaskTest, CarriesAReference) {
  int value = 1;
  runtime().block_on(reference_to(&value)) = 2;
  EXPECT_EQ(value, 2);
}

Task<> set(int* value) {
  *value = 5;
  co_return;
}

Task<int> awaits_void() {
  int value = 0;
  co_await set(&value);
  co_return value;
}

TEST_P(TaskTest, MayReturnNothing) { EXPECT_EQ(runtime().block_on(awaits_void()), 5); }

Task<std::string> throws(std::string text) {
  if (!text.empty()) throw std::runtime_error(text);
  co_return text;
}

Task<std::string> catches() {
  try {
    co_await throws("inner");
  } catch (const std::runtime_error& error) {
    const std::string what = error.what();
    co_return "caught " + what;
  }
  co_return "nothing";
}

TEST_P(TaskTest, RethrowsAtTheAwait) { EXPECT_EQ(runtime().block_on(catches()), "caught inner"); }

TEST_P(TaskTest, RethrowsFromBlockOn) {
  EXPECT_THROW(runtime().block_on(throws("outer")), std::runtime_error);
}

// Notes its destruction.
class Tracker {
 public:
  Tracker(std::vector<std::string>* log, std::string name) : log_(log), name_(std::move(name)) {}
  Tracker(Tracker&& other) noexcept
      : log_(std::exchange(other.log_, nullptr)), name_(std::move(other.name_)) {}
  ~Tracker() {
    if (log_ != nullptr) log_->push_back(name_);
  }

 private:
  std::vector<std::string>* log_;
  std::string name_;
};

Task<> holds([[maybe_unused]] Tracker tracker) { co_return; }

TEST_P(TaskTest, IsLazyAndDestroysItsParametersIfItNeverRuns) {
  std::vector<std::string> log;
  {
    Task<> task = holds(Tracker(&log, "parameter"));
    EXPECT_TRUE(log.empty());
  }
  EXPECT_EQ(log, std::vector<std::string>{"parameter"});
}

Task<> inner(std::vector<std::string>* log, [[maybe_unused]] Tracker parameter) {
  Tracker local(log, "inner local");
  co_return;
}

Task<> outer(std::vector<std::string>* log) {
  Tracker local(log, "outer local");
  Tracker parameter(log, "inner parameter");
  co_await inner(log, std::move(parameter));
  log->push_back("after the await");
}

TEST_P(TaskTest, IsGoneWithItsParametersBeforeTheAwaiterGoesOn) {
  std::vector<std::string> log;
  runtime().block_on(outer(&log));
  EXPECT_EQ(log, (std::vector<std::string>{"inner local", "inner parameter", "after the await",
                                           "outer local"}));
}

struct ThrowsAtTheEnd {
  ~ThrowsAtTheEnd() noexcept(false) { throw std::runtime_error("destructor"); }
};

Task<std::string> returns_and_then_throws() {
  const ThrowsAtTheEnd at_the_end;
  co_return std::string(1000, 'x');
}

TEST_P(TaskTest, AnExceptionAfterTheReturnReplacesTheValue) {
  EXPECT_THROW(runtime().block_on(returns_and_then_throws()), std::runtime_error);
}

TEST_P(TaskTest, MovesAndKnowsWhetherItIsEmpty) {
  Task<int> task = forty_two();
  Task<int> other = std::move(task);
  EXPECT_FALSE(task);  // NOLINT(bugprone-use-after-move): that is the question.
  EXPECT_TRUE(other);
  other = forty_two();
  EXPECT_EQ(runtime().block_on(std::move(other)), 42);
}

Task<std::int64_t> identity(std::int64_t value) { co_return value; }

Task<std::int64_t> sum_of_awaits(std::int64_t n) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += co_await identity(i);
  co_return sum;
}

// Each await ends synchronously. If resuming the awaiter were a call, the stack would grow by a frame each; TSan's
// are so large that a tenth of them is enough.
TEST_P(TaskTest, AwaitsAMillionTimesInALoopWithoutStackGrowth) {
  constexpr std::int64_t kAwaits = SKUA_TSAN ? 100'000 : 1'000'000;
  EXPECT_EQ(runtime().block_on(sum_of_awaits(kAwaits)), kAwaits * (kAwaits - 1) / 2);
}

Task<int> depth(int n) {
  if (n == 0) co_return 0;
  co_return 1 + co_await depth(n - 1);
}

TEST_P(TaskTest, NestsAHundredThousandDeepWithoutStackGrowth) {
  EXPECT_EQ(runtime().block_on(depth(100'000)), 100'000);
}

Task<int> throws_from(int n) {
  if (n == 0) throw std::runtime_error("bottom");
  co_return co_await throws_from(n - 1);
}

TEST_P(TaskTest, CarriesAnExceptionThroughAThousandFrames) {
  EXPECT_THROW(runtime().block_on(throws_from(1000)), std::runtime_error);
}

Task<> awaits_twice() {
  Task<int> task = forty_two();
  co_await std::move(task);
  co_await std::move(task);  // NOLINT(bugprone-use-after-move): that is the bug.
}

TEST(TaskDeathTest, AwaitingTwiceIsReportedAsTheCallersBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(run(awaits_twice(), {.worker_threads = 1}),
               "requirement failed: handle_ != nullptr");
}

}  // namespace
}  // namespace skua
