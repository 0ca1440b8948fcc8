// SPDX-License-Identifier: Apache-2.0
#include "skua/generator.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "tests/support/abort_script.h"
#include "tests/support/leak_check.h"
#include "tests/support/manual_executor.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using test::Guard;
using test::Log;
using test::ManualExecutor;
using test::ManualOp;
using test::ManualOpAwaiter;

class GeneratorTest : public testing::Test {
 protected:
  ~GeneratorTest() override { EXPECT_EQ(leaks_.report(), ""); }

  // Runs a task that does not wait for anything.
  void run(Task<> task) {
    JoinHandle<void> handle = internal::spawn_on(executor_, std::move(task), {});
    executor_.drain();
    EXPECT_TRUE(handle.is_finished());
  }

  const test::LeakCheck leaks_;
  ManualExecutor executor_;
};

Generator<int> count_to(int end) {
  for (int i = 1; i <= end; ++i) co_yield i;
}

TEST_F(GeneratorTest, ItYieldsOneValueAfterTheOtherAndThenNothing) {
  const auto play = []() -> Task<> {
    Generator<int> numbers = count_to(2);
    EXPECT_TRUE(static_cast<bool>(numbers));
    std::optional<int> number = co_await numbers.next();
    EXPECT_EQ(number, 1);
    number = co_await numbers.next();
    EXPECT_EQ(number, 2);
    for (int i = 0; i < 3; ++i) {
      number = co_await numbers.next();
      EXPECT_EQ(number, std::nullopt);
      EXPECT_FALSE(static_cast<bool>(numbers));
    }
    Generator<int> empty = count_to(0);
    number = co_await empty.next();
    EXPECT_EQ(number, std::nullopt);
  };
  run(play());
}

// In every configuration: the stack does not grow from value to value.
TEST_F(GeneratorTest, ManyValuesCostNoStack) {
  int sum = 0;
  const auto play = [](int* total) -> Task<> {
    Generator<int> numbers = count_to(200'000);
    while (const std::optional<int> number = co_await numbers.next()) *total += *number % 2;
  };
  run(play(&sum));
  EXPECT_EQ(sum, 100'000);
}

Generator<std::unique_ptr<std::string>> texts() {
  co_yield std::make_unique<std::string>("one");
  auto two = std::make_unique<std::string>("two");
  co_yield std::move(two);
  EXPECT_EQ(two, nullptr);
}

Generator<std::string> copies(std::string text) {
  co_yield text;
  co_yield "literal";
  co_yield text + "!";
}

Generator<std::string&> references(std::vector<std::string>* all) {
  for (std::string& one : *all) co_yield one;
}

TEST_F(GeneratorTest, ValuesAreMovedOrCopiedAndReferencesAreThemselves) {
  const auto play = []() -> Task<> {
    std::vector<std::string> seen;
    auto moved = texts();
    while (auto text = co_await moved.next()) seen.push_back(**text);
    auto copied = copies("a text that is too long for the small string optimization");
    while (auto text = co_await copied.next()) seen.push_back(text->substr(0, 8));
    const std::vector<std::string> expected = {"one", "two", "a text t", "literal", "a text t"};
    EXPECT_EQ(seen, expected);
    auto referred = references(&seen);
    std::size_t at = 0;
    while (std::string* const text = co_await referred.next()) {
      EXPECT_EQ(text, &seen[at++]);
      text->clear();
    }
    EXPECT_EQ(at, 5u);
    EXPECT_EQ(seen[0], "");
  };
  run(play());
}

Generator<int> throws_after(int values, Log* log) {
  const Guard guard(log, "generator");
  for (int i = 0; i < values; ++i) co_yield i;
  throw std::runtime_error("from the generator");
}

TEST_F(GeneratorTest, WhatItThrowsReachesTheConsumerOnceAndTheFrameIsGoneThen) {
  Log log;
  const auto play = [](Log* l) -> Task<> {
    Generator<int> numbers = throws_after(1, l);
    std::optional<int> number = co_await numbers.next();
    EXPECT_EQ(number, 0);
    std::string caught;
    try {
      number = co_await numbers.next();
    } catch (const std::runtime_error& error) {
      caught = error.what();
      EXPECT_EQ(*l, Log{"~generator"});
    }
    EXPECT_EQ(caught, "from the generator");
    number = co_await numbers.next();
    EXPECT_EQ(number, std::nullopt);
  };
  run(play(&log));
}

Generator<int> holds(int depth, Log* log) {
  const Guard outer(log, "outer" + std::to_string(depth));
  if (depth > 0) {
    Generator<int> inner = holds(depth - 1, log);
    const Guard within(log, "within" + std::to_string(depth));
    while (const std::optional<int> value = co_await inner.next()) co_yield *value;
  } else {
    for (int i = 0; i < 3; ++i) co_yield i;
  }
}

TEST_F(GeneratorTest, OneThatIsDroppedEarlyIsDestroyedWithWhatItHolds) {
  Log log;
  const auto play = [](Log* l) -> Task<> {
    {
      Generator<int> never = holds(1, l);
    }
    EXPECT_EQ(*l, Log{});  // Nothing had begun.
    Generator<int> numbers = holds(1, l);
    const std::optional<int> number = co_await numbers.next();
    EXPECT_EQ(number, 0);
    Generator<int> moved = std::move(numbers);
    EXPECT_FALSE(static_cast<bool>(numbers));
    moved = holds(0, l);
    EXPECT_EQ(*l, (Log{"~within1", "~outer0", "~outer1"}));
  };
  run(play(&log));
}

Task<int> wait_for(ManualOp* op, Log* log) {
  const Guard guard(log, "task");
  co_await ManualOpAwaiter(op);
  co_return 7;
}

Generator<int> waits(ManualOp* op, Log* log) {
  const Guard guard(log, "generator");
  for (;;) co_yield co_await wait_for(op, log);
}

Task<> consume(ManualOp* op, Log* log, int* taken) {
  const Guard guard(log, "consumer");
  Generator<int> values = waits(op, log);
  while (const std::optional<int> value = co_await values.next()) *taken += *value;
}

TEST_F(GeneratorTest, ItMayAwaitAndAnAbortDestroysTheFramesFromTheInnermostOutwards) {
  Log log;
  ManualOp op;
  int taken = 0;
  JoinHandle<void> handle = internal::spawn_on(executor_, consume(&op, &log, &taken), {});
  executor_.drain();
  EXPECT_EQ(taken, 0);
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(taken, 7);
  log.clear();
  handle.abort();
  EXPECT_EQ(op.cancels(), 1);
  executor_.drain();
  EXPECT_TRUE(handle.is_finished());
  EXPECT_EQ(log, (Log{"~task", "~generator", "~consumer"}));
}

// The result that was there wins: the generator yields it, and the consumer ends where it next suspends.
TEST_F(GeneratorTest, AnAbortThatComesTooLateLosesNoValue) {
  Log log;
  ManualOp op(ManualOp::OnCancel::kKeep);
  int taken = 0;
  JoinHandle<void> handle = internal::spawn_on(executor_, consume(&op, &log, &taken), {});
  executor_.drain();
  handle.abort();
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(taken, 7);
  EXPECT_FALSE(handle.is_finished());
  EXPECT_TRUE(op.complete_cancelled());
  executor_.drain();
  EXPECT_TRUE(handle.is_finished());
  EXPECT_EQ(taken, 7);
}

// Two tasks take turns with one generator, and end at any moment.
struct SharedScript {
  std::vector<Task<>> tasks() {
    std::vector<Task<>> all;
    all.push_back(take(this, 3));
    all.push_back(take(this, 3));
    return all;
  }
  void check(std::size_t, bool) { EXPECT_LE(sum, 21); }

  static Generator<int> yields() {
    for (int i = 1; i <= 6; ++i) {
      co_await yield_now();
      co_yield i;
    }
  }
  static Task<> take(SharedScript* self, int count) {
    for (int i = 0; i < count; ++i) {
      if (std::exchange(self->busy, true)) co_return;
      const Busy busy(self);
      const std::optional<int> value = co_await self->numbers.next();
      if (!value.has_value()) co_return;  // It was destroyed with the other task.
      self->sum += *value;
    }
  }
  struct Busy {
    explicit Busy(SharedScript* s) : self(s) {}
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;
    ~Busy() { self->busy = false; }
    SharedScript* const self;
  };

  Generator<int> numbers = yields();
  bool busy = false;
  int sum = 0;
};

TEST_F(GeneratorTest, AnAbortAtAnyMomentLeavesNothingBehind) {
  EXPECT_GT(test::abort_everywhere<SharedScript>(), 8u);
}

class GeneratorOnRuntimeTest : public test::RuntimeTest {};

Generator<int> forks(int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const auto child = [](int value) -> Task<int> {
      co_await yield_now();
      co_return value;
    };
    auto [a, b] = co_await when_all(child(i), child(2 * i));
    co_yield a + b;
  }
}

TEST_P(GeneratorOnRuntimeTest, ItMayForkAndPassFromTaskToTask) {
  const auto take = [](Generator<int> values, int* sum) -> Task<Generator<int>> {
    for (int i = 0; i < 5; ++i) {
      const std::optional<int> value = co_await values.next();
      if (value.has_value()) *sum += *value;
    }
    co_return values;
  };
  const auto play = [](auto takes) -> Task<int> {
    Generator<int> values = forks(100);
    int sum = 0;
    while (values) {
      JoinHandle<Generator<int>> handle = spawn(takes(std::move(values), &sum));
      values = co_await std::move(handle);
    }
    co_return sum;
  };
  EXPECT_EQ(runtime().block_on(play(take)), 3 * 99 * 100 / 2);
}

SKUA_TEST_ALL_RUNTIMES(GeneratorOnRuntimeTest);

}  // namespace
}  // namespace skua
