// SPDX-License-Identifier: Apache-2.0
//
// The ways to share tasks among workers: each runs the same mixed load right, and keeps tasks where it has promised.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "skua/this_task.h"
#include "skua/time.h"
#include "tests/support/leak_check.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

struct Shape {
  std::string name;
  Flavor flavor;
  SchedulerPolicy scheduler;
  int workers;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

std::vector<Shape> shapes() {
  std::vector<Shape> all{{"current_thread", Flavor::kCurrentThread, {}, 1}};
  for (const int workers : {1, 2, 5}) {
    const std::string count = "_" + std::to_string(workers);
    using enum SchedulerPolicy;
    all.push_back({"work_stealing" + count, Flavor::kMultiThread, kWorkStealing, workers});
    all.push_back({"no_slot" + count, Flavor::kMultiThread, kWorkStealingNoSlot, workers});
    all.push_back({"global_queue" + count, Flavor::kMultiThread, kGlobalQueue, workers});
    all.push_back({"thread_per_core" + count, Flavor::kThreadPerCore, {}, workers});
  }
  return all;
}

class PoliciesTest : public testing::TestWithParam<Shape> {
 protected:
  PoliciesTest() {
    runtime_.emplace(RuntimeOptions{.flavor = GetParam().flavor,
                                    .scheduler = GetParam().scheduler,
                                    .worker_threads = GetParam().workers});
  }
  ~PoliciesTest() override {
    runtime_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }
  Runtime& runtime() { return *runtime_; }
  int workers() const { return GetParam().workers; }

 private:
  const test::LeakCheck leaks_;
  std::optional<Runtime> runtime_;
};

using ThreadPerCoreTest = PoliciesTest;

std::vector<Shape> thread_per_core_shapes() {
  std::vector<Shape> all = shapes();
  std::erase_if(all, [](const Shape& shape) { return shape.flavor != Flavor::kThreadPerCore; });
  return all;
}

std::string name_of(const testing::TestParamInfo<Shape>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Shapes, PoliciesTest, testing::ValuesIn(shapes()), name_of);
INSTANTIATE_TEST_SUITE_P(Shapes, ThreadPerCoreTest, testing::ValuesIn(thread_per_core_shapes()),
                         name_of);

// --- The same load for all ----------------------------------------------------------------------

Task<std::int64_t> tree(int depth) {
  if (depth == 0) co_return 1;
  JoinHandle<std::int64_t> spawned = spawn(tree(depth - 1));
  auto [left, right] = co_await when_all(tree(depth - 1), tree(depth - 1));
  if (depth % 2 == 0) co_await yield_now();
  co_return left + right + co_await std::move(spawned);
}

Task<> bounces(Semaphore* mine, Semaphore* other, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    auto permit = co_await mine->acquire();
    permit.forget();
    if (i % 16 == 0) co_await yield_now();
    other->add_permits(1);
  }
}

Task<> sleeps(std::atomic<int>* woke) {
  co_await sleep_for(1ms);
  woke->fetch_add(1);
}

Task<std::int64_t> mixed_load(int priority) {
  const SpawnOptions options{.priority = static_cast<Priority>(priority % 3)};
  Semaphore ping(1);
  Semaphore pong(0);
  std::atomic<int> woke{0};
  JoinHandle<void> first = spawn(bounces(&ping, &pong, 500), options);
  JoinHandle<void> second = spawn_local(bounces(&pong, &ping, 500));
  std::vector<JoinHandle<void>> sleepers;
  for (int i = 0; i < 50; ++i) {
    sleepers.push_back(spawn(sleeps(&woke), {.priority = static_cast<Priority>(i % 3)}));
  }
  const std::int64_t leaves = co_await tree(6);
  co_await std::move(first);
  co_await std::move(second);
  for (JoinHandle<void>& sleeper : sleepers) co_await std::move(sleeper);
  co_return leaves + woke.load();
}

TEST_P(PoliciesTest, RunsAMixedLoadToItsEnd) {
  constexpr std::int64_t kExpected = 729 + 50;
  std::vector<JoinHandle<std::int64_t>> loads;
  for (int i = 0; i < 12; ++i) loads.push_back(runtime().spawn(mixed_load(i)));
  const auto join = [](std::vector<JoinHandle<std::int64_t>> handles) -> Task<std::int64_t> {
    std::int64_t sum = 0;
    for (JoinHandle<std::int64_t>& handle : handles) sum += co_await std::move(handle);
    co_return sum;
  };
  EXPECT_EQ(runtime().block_on(join(std::move(loads))), 12 * kExpected);
}

TEST_P(PoliciesTest, EndsWithTasksInAllItsQueues) {
  const auto yields = []() -> Task<> {
    for (;;) co_await yield_now();
  };
  for (int i = 0; i < 300; ++i) {
    runtime().spawn(yields(), {.priority = static_cast<Priority>(i % 3)});
    runtime().spawn_on(i % workers(), yields(), {.priority = static_cast<Priority>(i % 3)});
  }
  EXPECT_TRUE(runtime().shutdown(1min));
}

// --- Where a task is ------------------------------------------------------------------------------

// Goes through every kind of suspension, and says where it was resumed.
Task<std::vector<int>> places(Semaphore* from_task, Semaphore* from_thread) {
  std::vector<int> seen;
  const auto note = [&seen] { seen.push_back(this_task::worker_index()); };
  note();
  co_await yield_now();
  note();
  co_await sleep_for(1ms);
  note();
  for (Semaphore* const semaphore : {from_task, from_thread}) {
    auto permit = co_await semaphore->acquire();
    permit.forget();
    note();
  }
  JoinHandle<int> elsewhere = spawn([]() -> Task<int> { co_return this_task::worker_index(); }());
  co_await std::move(elsewhere);
  note();
  // What it forks stays with it: whichever child ends last goes on as this task.
  const auto child = []() -> Task<int> {
    co_await yield_now();
    co_await sleep_for(1ms);
    co_return this_task::worker_index();
  };
  auto [left, right] = co_await when_all(child(), child());
  seen.push_back(left);
  seen.push_back(right);
  note();
  JoinHandle<int> blocking = spawn_blocking([] { return 0; });
  co_await std::move(blocking);
  note();
  co_return seen;
}

void expect_all(const std::vector<int>& seen, int worker) {
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], worker) << "resumption " << i;
}

// Wakes what waits on `semaphore`, from whatever worker it is on at the time.
Task<> wakes(Semaphore* semaphore, std::int64_t permits) {
  for (std::int64_t i = 0; i < permits; ++i) {
    semaphore->add_permits(1);
    co_await yield_now();
  }
}

TEST_P(PoliciesTest, ATaskThatIsSpawnedOnAWorkerStaysThere) {
  constexpr int kEach = 8;
  Semaphore from_task(0);
  Semaphore from_thread(0);
  std::vector<JoinHandle<std::vector<int>>> handles;
  for (int i = 0; i < kEach * workers(); ++i) {
    handles.push_back(runtime().spawn_on(i % workers(), places(&from_task, &from_thread),
                                         {.priority = static_cast<Priority>(i / workers() % 3)}));
  }
  std::thread waker([&] { from_thread.add_permits(kEach * workers()); });
  runtime().spawn(wakes(&from_task, kEach * workers()));
  for (std::size_t i = 0; i < handles.size(); ++i) {
    SCOPED_TRACE("task " + std::to_string(i));
    const auto join = [](JoinHandle<std::vector<int>> handle) -> Task<std::vector<int>> {
      co_return co_await std::move(handle);
    };
    expect_all(runtime().block_on(join(std::move(handles[i]))), static_cast<int>(i) % workers());
  }
  waker.join();
}

TEST_P(PoliciesTest, ALocalTaskStaysWhereItWasSpawned) {
  Semaphore from_task(0);
  Semaphore from_thread(0);
  std::thread waker([&] { from_thread.add_permits(20); });
  const auto parent = [](Semaphore* task, Semaphore* thread) -> Task<> {
    for (int i = 0; i < 20; ++i) {
      const int here = this_task::worker_index();
      JoinHandle<std::vector<int>> local = spawn_local(places(task, thread));
      spawn(wakes(task, 1));
      expect_all(co_await std::move(local), here);
    }
  };
  runtime().block_on(parent(&from_task, &from_thread));
  waker.join();
}

TEST_P(ThreadPerCoreTest, EveryTaskStaysAndTheWorkersTakeTurns) {
  Semaphore from_task(0);
  Semaphore from_thread(0);
  std::thread waker([&] { from_thread.add_permits(4 * workers()); });
  std::vector<JoinHandle<std::vector<int>>> handles;
  for (int i = 0; i < 4 * workers(); ++i) {
    handles.push_back(runtime().spawn(places(&from_task, &from_thread)));
  }
  runtime().spawn(wakes(&from_task, 4 * workers()));
  std::vector<int> tasks_of(static_cast<std::size_t>(workers()), 0);
  for (JoinHandle<std::vector<int>>& handle : handles) {
    const auto join = [](JoinHandle<std::vector<int>> task) -> Task<std::vector<int>> {
      co_return co_await std::move(task);
    };
    const std::vector<int> seen = runtime().block_on(join(std::move(handle)));
    expect_all(seen, seen.front());
    ++tasks_of[static_cast<std::size_t>(seen.front())];
  }
  waker.join();
  for (const int tasks : tasks_of) EXPECT_EQ(tasks, 4);
}

TEST_P(ThreadPerCoreTest, WhatATaskSpawnsStaysWithIt) {
  const auto here = []() -> Task<int> { co_return this_task::worker_index(); };
  runtime().block_on([](auto child) -> Task<> {
    for (int i = 0; i < 100; ++i) {
      const int parent = this_task::worker_index();
      JoinHandle<int> handle = spawn(child());
      EXPECT_EQ(co_await std::move(handle), parent);
    }
  }(here));
}

TEST_P(PoliciesTest, ATaskCanSpawnOnEveryWorker) {
  runtime().block_on([](int count) -> Task<> {
    for (int worker = 0; worker < count; ++worker) {
      JoinHandle<int> handle =
          spawn_on(worker, []() -> Task<int> { co_return this_task::worker_index(); }());
      EXPECT_EQ(co_await std::move(handle), worker);
    }
  }(workers()));
}

// --- Priorities -----------------------------------------------------------------------------------

TEST_P(PoliciesTest, ChildrenInheritThePriorityUnlessTheyAreGivenOne) {
  const auto outer = [](Priority given) -> Task<> {
    EXPECT_EQ(this_task::priority(), given);
    const auto mine = []() -> Task<Priority> {
      co_await yield_now();
      co_return this_task::priority();
    };
    JoinHandle<Priority> child = spawn(mine());
    EXPECT_EQ(co_await std::move(child), given);
    JoinHandle<Priority> local = spawn_local(mine());
    EXPECT_EQ(co_await std::move(local), given);
    for (const Priority other : {Priority::kHigh, Priority::kNormal, Priority::kLow}) {
      JoinHandle<Priority> chosen = spawn(mine(), {.priority = other});
      EXPECT_EQ(co_await std::move(chosen), other);
    }
    auto [left, right] = co_await when_all(mine(), mine());
    EXPECT_EQ(left, given);
    EXPECT_EQ(right, given);
    EXPECT_EQ(this_task::priority(), given);
  };
  const auto join = [](JoinHandle<void> handle) -> Task<> { co_await std::move(handle); };
  runtime().block_on(outer(Priority::kNormal));
  for (const Priority priority : {Priority::kHigh, Priority::kNormal, Priority::kLow}) {
    runtime().block_on(join(runtime().spawn(outer(priority), {.priority = priority})));
  }
}

TEST(PlacementDeathTest, AskingOutsideATaskSaysSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(this_task::worker_index(),
               "skua::this_task::worker_index was called outside a task");
  EXPECT_DEATH(this_task::priority(), "skua::this_task::priority was called outside a task");
}

TEST(PlacementDeathTest, ThereMustBeSuchAWorker) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto nothing = []() -> Task<> { co_return; };
  EXPECT_DEATH(
      {
        Runtime runtime({.worker_threads = 2});
        runtime.spawn_on(2, nothing());
      },
      "home < options_.workers");
  EXPECT_DEATH(
      {
        Runtime runtime({.worker_threads = 2});
        runtime.spawn_on(-1, nothing());
      },
      "worker >= 0");
}

}  // namespace
}  // namespace skua
