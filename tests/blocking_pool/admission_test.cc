// SPDX-License-Identifier: Apache-2.0
//
// The bound of a class's queue, and the line before it.
#include "skua/internal/admission.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/blocking.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "tests/support/blocking.h"
#include "tests/support/leak_check.h"
#include "tests/support/tracked.h"

namespace skua {
namespace {

using test::await_handle;
using test::Blocker;
using test::eventually;
using test::result_of;
using test::Tracked;
using test::with_threads;

// --- The line ---------------------------------------------------------------------------------

struct Node : internal::AdmissionNode {
  explicit Node(Kind kind = Kind::kJob) : AdmissionNode(kind) {}
};
using internal::Admission;
internal::AdmissionNode* give_back(Admission& admission) {
  return admission.give_back([](internal::AdmissionNode*) {});
}
using Entry = internal::Admission::Entry;

TEST(AdmissionTest, PlacesGoToWhoWaitsLongest) {
  Admission admission(1);
  Node first, second, third, fourth;
  EXPECT_EQ(admission.enter(&first), Entry::kAdmitted);
  EXPECT_FALSE(admission.try_enter());
  for (Node* node : {&second, &third, &fourth}) EXPECT_EQ(admission.enter(node), Entry::kInLine);
  EXPECT_EQ(admission.in_line(), 3u);
  EXPECT_TRUE(admission.remove(&third));
  EXPECT_FALSE(admission.remove(&third));
  EXPECT_FALSE(admission.remove(&first));
  EXPECT_EQ(give_back(admission), &second);
  EXPECT_FALSE(admission.try_enter());
  EXPECT_EQ(give_back(admission), &fourth);
  EXPECT_EQ(give_back(admission), nullptr);
  EXPECT_TRUE(admission.try_enter());
}

TEST(AdmissionTest, AClosedLineTakesNoJobs) {
  Admission admission(1);
  Node job, another;
  Node task(internal::AdmissionNode::Kind::kTask);
  EXPECT_TRUE(admission.try_enter());
  EXPECT_EQ(admission.enter(&task), Entry::kInLine);
  EXPECT_EQ(admission.enter(&job), Entry::kInLine);
  admission.close();
  EXPECT_EQ(admission.enter(&another), Entry::kClosed);
  EXPECT_EQ(admission.pop_job(), &job);
  EXPECT_EQ(admission.pop_job(), nullptr);
  EXPECT_EQ(give_back(admission), &task);
}

// --- A bounded class ----------------------------------------------------------------------------

// One thread, which is busy, and room for two jobs.
class BoundedTest : public testing::Test {
 protected:
  void TearDown() override {
    runtime_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }
  static RuntimeOptions options() {
    RuntimeOptions options = with_threads(1);
    options.blocking_default.queue_limit = 2;
    return options;
  }
  BlockingClassMetrics of_default() { return runtime().metrics().blocking_classes.at(0); }

  Runtime& runtime() { return *runtime_; }

 private:
  const test::LeakCheck leaks_;
  std::optional<Runtime> runtime_{std::in_place, options()};
};

TEST_F(BoundedTest, AFullQueueRefusesWhoDoesNotWait) {
  Blocker blocker(runtime());
  auto kept = std::make_shared<int>(0);
  const auto job = [kept] { ++*kept; };
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<JoinHandle<void>> handle = runtime().try_spawn_blocking(job);
    ASSERT_TRUE(handle.ok());
    handles.push_back(*std::move(handle));
  }
  EXPECT_EQ(runtime().try_spawn_blocking(job).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(kept.use_count(), 4);  // Here, in `job`, in the two.

  blocker.open();
  for (JoinHandle<void>& handle : handles) blocking_join(std::move(handle));
  EXPECT_EQ(*kept, 2);
  EXPECT_TRUE(runtime().try_spawn_blocking(job).ok());
}

TEST_F(BoundedTest, JobsAndTasksStandInLine) {
  std::vector<int> order;  // Written by the only thread of the pool.
  const auto job = [&order](int i) { return [&order, i] { order.push_back(i); }; };
  const auto reserved = [](const auto* make, int i) -> Task<> {
    BlockingPermit permit = co_await reserve_blocking();
    JoinHandle<void> handle = std::move(permit).spawn((*make)(i));
    co_await std::move(handle);
  };
  std::vector<JoinHandle<void>> handles;
  {
    Blocker blocker(runtime());
    for (int i = 0; i < 8; ++i) {
      if (i % 2 == 0) {
        handles.push_back(runtime().spawn_blocking(job(i)));
      } else {
        handles.push_back(runtime().spawn(reserved(&job, i)));
      }
      const std::int64_t queued = std::min(i + 1, 2);
      ASSERT_TRUE(eventually([&] {
        return of_default().queue_depth == queued &&
               of_default().in_line == static_cast<std::size_t>(i + 1 - queued);
      }));
    }
    EXPECT_FALSE(runtime().try_spawn_blocking(job(9)).ok());
  }
  for (JoinHandle<void>& handle : handles) blocking_join(std::move(handle));
  // What comes from the line is queued by the thread of the pool: in the order in which it got its place.
  std::erase_if(order, [](int i) { return i == 0 || i % 2 != 0; });
  EXPECT_EQ(order, (std::vector<int>{2, 4, 6}));
  EXPECT_EQ(of_default().in_line, 0u);
}

TEST_F(BoundedTest, WhatStandsInLineCanBeCancelled) {
  std::atomic<int> runs{0};
  std::atomic<int> live{0};
  const auto job = [&] { return [&runs, kept = Tracked(1, &live)] { runs.fetch_add(1); }; };
  const auto reserve = []() -> Task<> { BlockingPermit permit = co_await reserve_blocking(); };
  std::vector<JoinHandle<void>> queued;
  Blocker blocker(runtime());
  for (int i = 0; i < 2; ++i) queued.push_back(runtime().spawn_blocking(job()));
  ASSERT_EQ(live.load(), 2);

  JoinHandle<void> in_line = runtime().spawn_blocking(job());
  JoinHandle<void> awaited = runtime().spawn(await_handle(runtime().spawn_blocking(job())));
  JoinHandle<void> waiting = runtime().spawn(reserve());
  ASSERT_TRUE(eventually([&] { return of_default().in_line == 3; }));
  in_line.abort();
  EXPECT_TRUE(in_line.is_finished());
  awaited.abort();
  waiting.abort();
  EXPECT_TRUE(result_of(runtime(), std::move(in_line)).cancelled());
  EXPECT_TRUE(result_of(runtime(), std::move(awaited)).cancelled());
  EXPECT_TRUE(result_of(runtime(), std::move(waiting)).cancelled());
  EXPECT_EQ(of_default().in_line, 0u);
  EXPECT_EQ(live.load(), 2);

  blocker.open();
  for (JoinHandle<void>& handle : queued) blocking_join(std::move(handle));
  EXPECT_EQ(runs.load(), 2);
}

// Permits come and go, tasks are aborted while they wait for one, jobs are aborted in line: no place is lost, and in
// the end there are as many as before.
TEST_F(BoundedTest, NoPlaceIsLostWhateverIsCancelled) {
  std::atomic<int> runs{0};
  const auto reserved = [](std::atomic<int>* count) -> Task<> {
    BlockingPermit permit = co_await reserve_blocking();
    co_await yield_now();
    JoinHandle<void> handle = std::move(permit).spawn([count] { count->fetch_add(1); });
    co_await std::move(handle);
  };
  for (int round = 0; round < 100; ++round) {
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 12; ++i) {
      if (i % 2 == 0) {
        handles.push_back(runtime().spawn(reserved(&runs)));
      } else {
        handles.push_back(runtime().spawn_blocking([&runs] { runs.fetch_add(1); }));
      }
    }
    for (std::size_t i = static_cast<std::size_t>(round % 3); i < handles.size(); i += 3)
      handles[i].abort();
    for (JoinHandle<void>& handle : handles) result_of(runtime(), std::move(handle)).ok();
  }
  Blocker blocker(runtime());
  auto first = runtime().try_spawn_blocking([] {});
  auto second = runtime().try_spawn_blocking([] {});
  EXPECT_TRUE(first.ok() && second.ok());
  EXPECT_FALSE(runtime().try_spawn_blocking([] {}).ok());
}

}  // namespace
}  // namespace skua
