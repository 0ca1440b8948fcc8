// SPDX-License-Identifier: Apache-2.0
//
// The coop budget, and opting out of it.
#include "skua/unconstrained.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "skua/internal/worker_core.h"
#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/time.h"
#include "task/frame_count.h"
#include "tests/support/manual_executor.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using internal::kRunBudget;
using testing::ElementsAre;

// --- Loops of operations that are ready ---------------------------------------------------------

// What the tasks of one worker tell each other; plain, for one thread runs them.
struct Meter {
  std::int64_t operations = 0;
  bool over = false;
  // Between two runs of the bystander.
  std::int64_t gap_max = 0;
  std::int64_t bystander_runs = 0;
};

// Runs as often as it is let.
Task<> bystander(Meter* meter) {
  std::int64_t seen = meter->operations;
  while (!meter->over) {
    meter->gap_max = std::max(meter->gap_max, meter->operations - seen);
    seen = meter->operations;
    ++meter->bystander_runs;
    co_await yield_now();
  }
}

// A single worker: a thread of its own, or the caller's.
class BudgetTest : public test::RuntimeTest {
 protected:
  static constexpr int kOperations = 20 * kRunBudget;

  // Runs `loop`, and a bystander beside it.
  Meter measure(Task<> (*loop)(Meter*)) {
    Meter meter;
    runtime().block_on(beside_bystander(&meter, loop));
    EXPECT_GE(meter.operations, kOperations);
    return meter;
  }

 private:
  static Task<> beside_bystander(Meter* meter, Task<> (*loop)(Meter*)) {
    auto other = spawn(bystander(meter));
    co_await loop(meter);
    meter->over = true;
    co_await std::move(other);
  }
};
INSTANTIATE_TEST_SUITE_P(OneWorker, BudgetTest, testing::Values(0, 1), test::RuntimeTest::name);

Task<> acquires(Meter* meter) {
  Semaphore semaphore(1);
  for (int i = 0; i < 20 * kRunBudget; ++i) {
    const SemaphorePermit permit = co_await semaphore.acquire();
    ++meter->operations;
  }
}

Task<int> gives(int value) { co_return value; }

Task<> joins(Meter* meter) {
  std::vector<JoinHandle<int>> ended;
  for (int i = 0; i < 20 * kRunBudget; ++i) ended.push_back(spawn(gives(i)));
  for (const JoinHandle<int>& handle : ended) {
    while (!handle.is_finished()) co_await yield_now();
  }
  for (JoinHandle<int>& handle : ended) {
    const int value = co_await std::move(handle);
    EXPECT_EQ(value, meter->operations);
    ++meter->operations;
  }
}

Task<> asks_for_results(Meter* meter) {
  std::vector<JoinHandle<int>> ended;
  for (int i = 0; i < 20 * kRunBudget; ++i) ended.push_back(spawn(gives(i)));
  for (const JoinHandle<int>& handle : ended) {
    while (!handle.is_finished()) co_await yield_now();
  }
  for (JoinHandle<int>& handle : ended) {
    const JoinResult<int> result = co_await std::move(handle).result();
    EXPECT_TRUE(result.ok());
    ++meter->operations;
  }
}

Task<> sleeps(Meter* meter) {
  const auto past = std::chrono::steady_clock::now() - std::chrono::hours(1);
  for (int i = 0; i < 20 * kRunBudget; ++i) {
    co_await sleep_until(past);
    ++meter->operations;
  }
}

Task<> counts(Meter* meter) {
  ++meter->operations;
  co_return;
}

Task<> forks_many(Meter* meter) {
  const auto make = [meter](std::size_t) { return counts(meter); };
  const auto results = co_await when_all_n(std::size_t{20 * kRunBudget}, make);
  EXPECT_EQ(results.size(), std::size_t{20 * kRunBudget});
}

// A fork of two counts as one operation: the last child is free, like an awaited task.
Task<> forks_pairs(Meter* meter) {
  for (int i = 0; i < 20 * kRunBudget; ++i) {
    co_await when_all(gives(1), gives(2));
    ++meter->operations;
  }
}

struct Loop {
  const char* what;
  Task<> (*run)(Meter*);
};

constexpr Loop kLoops[] = {
    {"acquires", &acquires},        {"joins", &joins},
    {"results", &asks_for_results}, {"sleeps", &sleeps},
    {"forks of two", &forks_pairs},
};

TEST_P(BudgetTest, ALoopOfReadyOperationsLetsOthersRunOncePerBudget) {
  for (const Loop& loop : kLoops) {
    SCOPED_TRACE(loop.what);
    const Meter meter = measure(loop.run);
    EXPECT_LE(meter.gap_max, kRunBudget);
    EXPECT_GE(meter.bystander_runs, kOperations / kRunBudget - 1);
  }
}

// Without a budget the loop runs through, in which nothing else does.
template <Task<> (*kLoop)(Meter*)>
Task<> unconstrained_loop(Meter* meter) {
  const std::int64_t runs_before = meter->bystander_runs;
  co_await unconstrained(kLoop(meter));
  EXPECT_EQ(meter->bystander_runs, runs_before);
}

TEST_P(BudgetTest, AnUnconstrainedLoopDoesNot) {
  measure(&unconstrained_loop<&acquires>);
  measure(&unconstrained_loop<&sleeps>);
}

Task<> throws_after(Task<> (*loop)(Meter*), Meter* meter) {
  co_await loop(meter);
  throw std::runtime_error("thrown");
}

// The budget is back behind unconstrained(), however that has ended, and only behind the outermost.
Task<> nests(Meter* meter) {
  const std::int64_t runs_before = meter->bystander_runs;
  const auto outer = [](Meter* m) -> Task<> {
    bool thrown = false;
    try {
      co_await unconstrained(throws_after(&acquires, m));
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
    co_await acquires(m);
  };
  co_await unconstrained(outer(meter));
  EXPECT_EQ(meter->bystander_runs, runs_before);
  const std::int64_t gap_before = std::exchange(meter->gap_max, 0);
  EXPECT_EQ(gap_before, 0);
  co_await yield_now();  // The bystander sees the long gap now.
  meter->gap_max = 0;
  co_await acquires(meter);
  EXPECT_GE(meter->bystander_runs, runs_before + 20);
}

TEST_P(BudgetTest, TheBudgetIsBackBehindTheOutermostUnconstrained) {
  EXPECT_LE(measure(&nests).gap_max, kRunBudget);
}

Task<> forks_unconstrained(Meter* meter) { co_await unconstrained(forks_many(meter)); }

TEST_P(BudgetTest, WhatAnUnconstrainedTaskForksHasItsBudget) {
  const Meter meter = measure(&forks_unconstrained);
  EXPECT_LT(meter.gap_max, kOperations / 2);
  EXPECT_GT(meter.bystander_runs, 2);
}

// --- A result in the hands of a task that waits for its turn ------------------------------------

class HeldResultTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(internal::live_blocks(), blocks_before_) << "coroutine frames leaked";
  }

  // Runs `task` until its budget is used up, aborts it, and lets it end.
  void abort_after_a_budget(Task<> task) {
    auto handle = internal::spawn_on(executor_, std::move(task), {});
    EXPECT_TRUE(executor_.run_one());
    EXPECT_EQ(executor_.ready(), 1u);
    handle.abort();
    for (int i = 0; i < 10 && !handle.is_finished(); ++i) executor_.run_one();
    ASSERT_TRUE(handle.is_finished());
    const internal::JoinShare<void> share = std::move(handle).release_share();
    EXPECT_TRUE(share.slot().empty());
  }

  const std::int64_t blocks_before_ = internal::live_blocks();
  test::ManualExecutor executor_;
  test::Log log_;
};

Task<> acquires_then_waits(Semaphore* semaphore, test::ManualOp* op, std::vector<int>* got,
                           test::Log* log) {
  test::Guard guard(log, "frame");
  for (int i = 1; i <= kRunBudget; ++i) {
    const SemaphorePermit permit = co_await semaphore->acquire();
    got->push_back(i);
  }
  log->push_back("waits");
  co_await test::ManualOpAwaiter(op);
  log->push_back("resumed");
}

TEST_F(HeldResultTest, APermitIsNotLostByAnAbortAndTheNextSuspensionEndsTheTask) {
  Semaphore semaphore(1);
  test::ManualOp op;
  std::vector<int> got;
  abort_after_a_budget(acquires_then_waits(&semaphore, &op, &got, &log_));
  EXPECT_EQ(got.size(), std::size_t{kRunBudget});
  EXPECT_THAT(log_, ElementsAre("waits", "~frame"));
  EXPECT_EQ(op.cancels(), 1);
  EXPECT_EQ(semaphore.available(), 1u);
}

Task<> acquires_for_ever(Semaphore* semaphore, int* got) {
  for (;;) {
    const SemaphorePermit permit = co_await semaphore->acquire();
    ++*got;
  }
}

// The operation that begins after the abort is the next suspension, as soon as it has to wait for its turn.
TEST_F(HeldResultTest, AnAbortEndsALoopOfReadyOperationsWithinABudget) {
  Semaphore semaphore(1);
  int got = 0;
  abort_after_a_budget(acquires_for_ever(&semaphore, &got));
  EXPECT_EQ(got, 2 * kRunBudget - 1);
  EXPECT_EQ(semaphore.available(), 1u);
}

Task<> forks_one_for_ever(Semaphore* semaphore, int* got) {
  co_await when_all(acquires_for_ever(semaphore, got));
}

TEST_F(HeldResultTest, AnAbortEndsSuchALoopInAForkedChildToo) {
  Semaphore semaphore(1);
  int got = 0;
  abort_after_a_budget(forks_one_for_ever(&semaphore, &got));
  EXPECT_EQ(got, 2 * kRunBudget - 1);
  EXPECT_EQ(semaphore.available(), 1u);
}

Task<> joins_all(std::vector<JoinHandle<int>> handles, std::vector<int>* values,
                 test::ManualOp* op) {
  for (JoinHandle<int>& handle : handles) values->push_back(co_await std::move(handle));
  co_await test::ManualOpAwaiter(op);
}

TEST_F(HeldResultTest, TheResultOfAnEndedTaskIsNotLostByAnAbort) {
  std::vector<JoinHandle<int>> handles;
  for (int i = 1; i <= kRunBudget; ++i) {
    handles.push_back(internal::spawn_on(executor_, gives(i), {}));
  }
  executor_.drain();
  test::ManualOp op;
  std::vector<int> values;
  abort_after_a_budget(joins_all(std::move(handles), &values, &op));
  ASSERT_EQ(values.size(), std::size_t{kRunBudget});
  EXPECT_EQ(values.back(), kRunBudget);
  EXPECT_EQ(op.cancels(), 1);
}

// A tree of forks that pauses has no result in its hands: the child that stands in the queue never starts.
TEST_F(HeldResultTest, ATreeThatPausesIsEndedByAnAbortBeforeItsNextChild) {
  Meter meter;
  abort_after_a_budget(forks_many(&meter));
  EXPECT_EQ(meter.operations, kRunBudget);
}

}  // namespace
}  // namespace skua
