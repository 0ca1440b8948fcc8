// SPDX-License-Identifier: Apache-2.0
//
// What skua/blocking.h promises, on runtimes. Jobs that must be somewhere at some time wait at latches; what nobody
// announces (a queue's depth) is asked for until it is there.
#include "skua/blocking.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/cancellation.h"
#include "skua/internal/mutex.h"
#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/this_task.h"
#include "skua/time.h"
#include "tests/support/blocking.h"
#include "tests/support/leak_check.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using test::Blocker;
using test::eventually;
using test::result_of;
using test::with_threads;

class BlockingTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(leaks_.report(), ""); }

 private:
  const test::LeakCheck leaks_;
};

// In every shape of runtime; 0 workers: kCurrentThread.
class BlockingEverywhereTest : public test::RuntimeTest {};
SKUA_TEST_ALL_RUNTIMES(BlockingEverywhereTest);

// --- From where jobs are spawned --------------------------------------------------------------

TEST_P(BlockingEverywhereTest, JobsAreSpawnedByTasksJobsAndThreads) {
  const auto by_task = []() -> Task<int> {
    JoinHandle<int> job = spawn_blocking([] {
      // By a job, whose end another one waits for.
      return blocking_join(spawn_blocking([] { return 1; })) + 1;
    });
    co_return co_await std::move(job);
  };
  EXPECT_EQ(runtime().block_on(by_task()), 2);
  EXPECT_EQ(blocking_join(runtime().spawn_blocking([] { return 3; })), 3);
  EXPECT_THROW(blocking_join(runtime().spawn_blocking([]() -> int { throw 4; })), int);
  EXPECT_EQ(*blocking_join(runtime().spawn_blocking([] { return std::make_unique<int>(5); })), 5);
  absl::StatusOr<JoinHandle<int>> tried = runtime().try_spawn_blocking([] { return 6; });
  ASSERT_TRUE(tried.ok());
  EXPECT_EQ(blocking_join(*std::move(tried)), 6);
}

// GCC cannot be kept from noting, of each function that takes one, that such arguments are passed otherwise since 4.6.
#ifdef __clang__
TEST_F(BlockingTest, AnOverAlignedClosureLiesWhereItMust) {
  struct alignas(64) Wide {
    int number = 7;
  };
  Runtime runtime(with_threads(1));
  const Wide wide;
  JoinHandle<int> job = runtime.spawn_blocking([wide] {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&wide) % 64, 0u);
    return wide.number;
  });
  EXPECT_EQ(blocking_join(std::move(job)), 7);
}
#endif

// --- Priorities -------------------------------------------------------------------------------

TEST_F(BlockingTest, HigherPrioritiesBeginFirstAndNoneStarves) {
  Runtime runtime(with_threads(1));
  std::vector<Priority> order;
  std::vector<JoinHandle<void>> handles;
  {
    Blocker blocker(runtime);
    const auto spawn_jobs = [&](Priority priority, int count) {
      for (int i = 0; i < count; ++i) {
        handles.push_back(runtime.spawn_blocking([&order, priority] { order.push_back(priority); },
                                                 {.priority = priority}));
      }
    };
    spawn_jobs(Priority::kLow, 1);
    spawn_jobs(Priority::kNormal, 3);
    spawn_jobs(Priority::kHigh, 60);
  }
  for (JoinHandle<void>& handle : handles) blocking_join(std::move(handle));
  const auto last = [&](Priority p) {
    return std::find(order.rbegin(), order.rend(), p).base() - order.begin();
  };
  EXPECT_EQ(order.front(), Priority::kHigh);
  EXPECT_LE(last(Priority::kNormal), 24);
  EXPECT_LE(last(Priority::kLow), 32);
  EXPECT_EQ(last(Priority::kHigh), 64);
}

TEST_P(BlockingEverywhereTest, APriorityIsCarriedFromTaskToJobToTask) {
  const auto own = []() -> Task<Priority> { co_return this_task::priority(); };
  const auto task = [](const auto* inner) -> Task<Priority> {
    JoinHandle<JoinHandle<Priority>> job = spawn_blocking([inner] { return spawn((*inner)()); });
    JoinHandle<Priority> spawned = co_await std::move(job);
    co_return co_await std::move(spawned);
  };
  const auto root = [](const auto* t, const auto* inner) -> Task<> {
    for (const Priority priority : {Priority::kHigh, Priority::kLow, Priority::kNormal}) {
      JoinHandle<Priority> spawned = spawn((*t)(inner), {.priority = priority});
      const Priority carried = co_await std::move(spawned);
      EXPECT_EQ(carried, priority);
    }
  };
  runtime().block_on(root(&task, &own));
}

// --- Classes ----------------------------------------------------------------------------------

TEST_F(BlockingTest, AClassAtItsLimitDelaysNoOther) {
  RuntimeOptions options = with_threads(4);
  options.blocking_classes = {{.name = "one", .max_threads = 1}};
  Runtime runtime(options);
  const SpawnBlockingOptions one = {.pool_class = BlockingClass::user(0)};
  Blocker blocker(runtime, one);
  std::atomic<int> runs{0};
  std::vector<JoinHandle<void>> waiting;
  for (int i = 0; i < 20; ++i) {
    waiting.push_back(runtime.spawn_blocking([&runs] { runs.fetch_add(1); }, one));
  }
  for (const BlockingClass other :
       {BlockingClass::kDefault, BlockingClass::kFs, BlockingClass::kDns}) {
    EXPECT_EQ(blocking_join(runtime.spawn_blocking([] { return 1; }, {.pool_class = other})), 1);
  }
  const BlockingClassMetrics metrics = runtime.metrics().blocking_classes.at(3);
  EXPECT_EQ(metrics.name, "one");
  EXPECT_EQ(metrics.threads, 1);
  EXPECT_EQ(metrics.queue_depth, 20);
  EXPECT_EQ(runs.load(), 0);
  blocker.open();
  for (JoinHandle<void>& handle : waiting) blocking_join(std::move(handle));
  EXPECT_EQ(runs.load(), 20);
}

TEST_F(BlockingTest, AReservedThreadIsThereWhenAllOthersAreBusy) {
  Runtime runtime(
      with_threads(32));  // So many that file operations and look-ups have some of their own.
  std::vector<std::unique_ptr<Blocker>> blockers;
  for (int i = 0; i < 26; ++i) blockers.push_back(std::make_unique<Blocker>(runtime));
  JoinHandle<int> queued = runtime.spawn_blocking([] { return 0; });
  for (const BlockingClass other : {BlockingClass::kFs, BlockingClass::kDns}) {
    EXPECT_EQ(blocking_join(runtime.spawn_blocking([] { return 1; }, {.pool_class = other})), 1);
  }
  EXPECT_FALSE(queued.is_finished());
  EXPECT_LE(runtime.metrics().blocking_threads_peak, 32);
  blockers.clear();
  EXPECT_EQ(blocking_join(std::move(queued)), 0);
}

// One thread, and in one class always another job: the other class gets its turns all the same.
TEST_F(BlockingTest, AClassThatNeverRunsEmptyStarvesNoOther) {
  RuntimeOptions options = with_threads(1);
  options.blocking_classes = {{.name = "other"}};
  Runtime runtime(options);
  struct Endless {
    static void spawn_next(std::atomic<bool>* stop) {
      if (stop->load()) return;
      auto job = spawn_blocking([stop] { spawn_next(stop); });
    }
  };
  std::atomic<bool> stop{false};
  std::vector<JoinHandle<void>> endless;
  for (int i = 0; i < 3; ++i) {
    endless.push_back(runtime.spawn_blocking([&stop] { Endless::spawn_next(&stop); }));
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(blocking_join(runtime.spawn_blocking([i] { return i; },
                                                   {.pool_class = BlockingClass::user(0)})),
              i);
  }
  stop.store(true);
  EXPECT_TRUE(runtime.shutdown(minutes(1)));
  EXPECT_EQ(runtime.metrics().blocking_threads_peak, 1);
}

// Three classes with limits and a reserve, jobs from everywhere, threads that expire at once: all jobs run, and no
// class is ever beyond its limit.
TEST_F(BlockingTest, NoJobIsLostBetweenTheClasses) {
  RuntimeOptions options = with_threads(3);
  options.blocking_keep_alive = milliseconds(0);
  options.blocking_classes = {{.name = "a", .max_threads = 1},
                              {.name = "b", .max_threads = 2, .reserved_threads = 1}};
  Runtime runtime(options);
  const BlockingClass classes[] = {BlockingClass::kDefault, BlockingClass::user(0),
                                   BlockingClass::user(1)};
  const int limits[] = {3, 1, 2};
  std::atomic<int> running[3] = {};
  std::atomic<int> runs{0};
  std::atomic<bool> exceeded{false};
  constexpr int kJobs = 3000;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      std::vector<JoinHandle<void>> handles;
      for (unsigned i = 0; i < kJobs; ++i) {
        const unsigned c = (i / (t + 1)) % 3;
        auto job = [&, c] {
          if (running[c].fetch_add(1) >= limits[c]) exceeded.store(true);
          runs.fetch_add(1);
          running[c].fetch_sub(1);
        };
        handles.push_back(runtime.spawn_blocking(job, {.pool_class = classes[c]}));
        if (i % 7 == 0) blocking_join(std::exchange(handles.back(), runtime.spawn_blocking([] {})));
      }
      for (JoinHandle<void>& handle : handles) blocking_join(std::move(handle));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(runs.load(), 3 * kJobs);
  EXPECT_FALSE(exceeded.load());
  EXPECT_LE(runtime.metrics().blocking_threads_peak, 3);
}

TEST_F(BlockingTest, AnOverloadedClassSaysSo) {
  RuntimeOptions options = with_threads(1);
  // Whatever waits at all has waited for too long.
  options.blocking_default.delay_target = std::chrono::nanoseconds(0);
  options.blocking_default.overload_interval = std::chrono::nanoseconds(0);
  Runtime runtime(options);
  EXPECT_FALSE(runtime.blocking_overloaded());
  Blocker blocker(runtime);
  EXPECT_FALSE(runtime.blocking_overloaded());
  JoinHandle<void> waiting = runtime.spawn_blocking([] {});
  const auto ask = []() -> Task<bool> { co_return blocking_overloaded(); };
  EXPECT_TRUE(runtime.block_on(ask()));
  EXPECT_FALSE(runtime.blocking_overloaded(BlockingClass::kFs));
  const BlockingClassMetrics metrics = runtime.metrics().blocking_classes.at(0);
  EXPECT_TRUE(metrics.overloaded);
  EXPECT_GT(metrics.oldest_age.count(), 0);
  EXPECT_GT(runtime.metrics().blocking_classes.at(0).oldest_age, metrics.oldest_age);
  blocker.open();
  blocking_join(std::move(waiting));
  EXPECT_FALSE(runtime.blocking_overloaded());
  EXPECT_EQ(runtime.metrics().blocking_classes.at(0).oldest_age.count(), 0);
}

TEST_F(BlockingTest, OptionsThatCannotWorkAreRefused) {
  const auto message = [](RuntimeOptions options) {
    return std::string(Runtime::create(std::move(options)).status().message());
  };
  EXPECT_NE(message({.max_blocking_threads = 4,
                     .blocking_classes = {{.reserved_threads = 3}, {.reserved_threads = 2}}})
                .find("sum of reserved_threads"),
            std::string::npos);
  EXPECT_NE(message({.max_blocking_threads = 4, .blocking_classes = {{.reserved_threads = 4}}}),
            "");
  EXPECT_NE(message({.blocking_classes = {{.max_threads = 1, .reserved_threads = 2}}}), "");
  EXPECT_NE(message({.blocking_classes = {{.max_threads = -1}}}), "");
  EXPECT_NE(message({.blocking_classes = std::vector<BlockingClassOptions>(30)}), "");
  EXPECT_EQ(message({.max_blocking_threads = 1}), "");
}

// --- Shutdown ---------------------------------------------------------------------------------

TEST_F(BlockingTest, AShutdownNamesWhatStillRuns) {
  RuntimeOptions options = with_threads(2);
  options.blocking_classes = {{.name = "kdf"}};
  Runtime runtime(options);
  Blocker named(runtime, {.name = "hash the passwords", .pool_class = BlockingClass::user(0)});
  Blocker nameless(runtime);
  EXPECT_FALSE(runtime.shutdown(milliseconds(1)));
  std::vector<RunningBlockingJob> jobs = runtime.running_blocking_jobs();
  ASSERT_EQ(jobs.size(), 2u);
  std::sort(jobs.begin(), jobs.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  EXPECT_EQ(jobs[0].name, "");
  EXPECT_EQ(jobs[0].class_name, "default");
  EXPECT_EQ(jobs[1].name, "hash the passwords");
  EXPECT_EQ(jobs[1].class_name, "kdf");
  EXPECT_NE(jobs[1].id, jobs[0].id);
  EXPECT_NE(jobs[1].thread, jobs[0].thread);
  EXPECT_GT(jobs[1].running_for.count(), 0);
  named.open();
  nameless.open();
  EXPECT_TRUE(runtime.shutdown(minutes(1)));
  EXPECT_TRUE(runtime.running_blocking_jobs().empty());
}

TEST_F(BlockingTest, MandatoryJobsStillRun) {
  RuntimeOptions options = with_threads(2);
  options.blocking_classes = {{.name = "bounded", .max_threads = 1, .queue_limit = 1}};
  Runtime runtime(options);
  const BlockingClass bounded = BlockingClass::user(0);
  std::vector<JoinHandle<void>> mandatory;
  std::vector<JoinHandle<void>> others;
  std::atomic<int> runs{0};
  std::atomic<int> other_runs{0};
  Blocker first(runtime);
  Blocker second(runtime, {.pool_class = bounded});
  for (int i = 0; i < 4; ++i) {  // In the queues, and in line.
    const BlockingClass pool_class = i % 2 == 0 ? BlockingClass::kDefault : bounded;
    mandatory.push_back(
        runtime.spawn_blocking([&runs] { runs.fetch_add(1); },
                               {.pool_class = pool_class, .at_shutdown = AtShutdown::kRun}));
    others.push_back(runtime.spawn_blocking([&other_runs] { other_runs.fetch_add(1); },
                                            {.pool_class = pool_class}));
  }
  // The shutdown aborts the task that awaits it.
  CancellationToken aborted;
  std::latch begun(1);
  const auto awaits = [](std::atomic<int>* count, CancellationToken* token,
                         std::latch* has_token) -> Task<> {
    *token = this_task::cancellation();
    has_token->count_down();
    JoinHandle<void> job =
        spawn_blocking([count] { count->fetch_add(1); }, {.at_shutdown = AtShutdown::kRun});
    co_await std::move(job);
  };
  JoinHandle<void> awaiting = runtime.spawn(awaits(&runs, &aborted, &begun));
  begun.wait();
  ASSERT_TRUE(eventually([&] { return runtime.metrics().blocking_queue_depth == 6; }));
  EXPECT_FALSE(runtime.shutdown(milliseconds(1)));
  // The abort may take longer than the shutdown had time; a job that has ended before it would win.
  ASSERT_TRUE(eventually([&] { return aborted.is_cancelled(); }));
  EXPECT_FALSE(awaiting.is_finished());
  for (JoinHandle<void>& handle : others) EXPECT_TRUE(handle.is_finished());
  EXPECT_EQ(runs.load(), 0);
  JoinHandle<void> late = runtime.spawn_blocking([] {}, {.at_shutdown = AtShutdown::kRun});
  EXPECT_TRUE(late.is_finished());
  first.open();
  second.open();
  EXPECT_TRUE(runtime.shutdown(minutes(1)));
  for (JoinHandle<void>& handle : mandatory) blocking_join(std::move(handle));
  EXPECT_THROW(blocking_join(std::move(awaiting)), TaskCancelled);
  EXPECT_EQ(runs.load(), 5);
  EXPECT_EQ(other_runs.load(), 0);
}

// --- Jobs that wait for jobs --------------------------------------------------------------------

TEST_F(BlockingTest, AJobThatJoinsAJobOfItsClassRunsIt) {
  Runtime runtime(with_threads(1));
  struct Nested {
    static int depth(int n) {
      if (n == 0) return 0;
      return 1 + blocking_join(spawn_blocking([n] { return depth(n - 1); }));
    }
  };
  EXPECT_EQ(blocking_join(runtime.spawn_blocking([] { return Nested::depth(100); })), 100);
  const auto throws = [] {
    return blocking_join(spawn_blocking([]() -> int { throw std::runtime_error("inner"); }));
  };
  EXPECT_THROW(blocking_join(runtime.spawn_blocking(throws)), std::runtime_error);
  EXPECT_EQ(runtime.metrics().blocking_threads_created, 1u);
  EXPECT_EQ(runtime.metrics().blocking_stalls, 0u);
  EXPECT_EQ(runtime.metrics().blocking_jobs_run, 103u);
}

TEST_F(BlockingTest, WhenAllThreadsWaitForOthersItIsReported) {
  internal::Mutex mu;
  std::vector<std::string> messages;
  RuntimeOptions options = with_threads(2);
  options.on_blocking_stall = [&](const std::string& message) {
    internal::MutexLock lock(&mu);
    messages.push_back(message);
  };
  Runtime runtime(options);
  Semaphore go(0);
  const auto waits = [](Semaphore* s) -> Task<> {
    const SemaphorePermit permit = co_await s->acquire();
  };
  std::vector<JoinHandle<void>> jobs;
  for (int i = 0; i < 2; ++i) {
    jobs.push_back(runtime.spawn_blocking([&] { runtime.block_on(waits(&go)); }));
  }
  // All wait, but for nothing that is seen to be missing.
  ASSERT_TRUE(eventually([&] { return runtime.metrics().blocking_jobs_run == 2; }));
  JoinHandle<void> queued = runtime.spawn_blocking([] {});
  ASSERT_TRUE(eventually([&] { return runtime.metrics().blocking_stalls == 1; }));
  JoinHandle<void> another = runtime.spawn_blocking([] {});
  go.add_permits(2);
  for (JoinHandle<void>& job : jobs) blocking_join(std::move(job));
  blocking_join(std::move(queued));
  blocking_join(std::move(another));
  internal::MutexLock lock(&mu);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_NE(messages[0].find("class \"default\""), std::string::npos);
  EXPECT_NE(messages[0].find("max_blocking_threads"), std::string::npos);
}

using BlockingDeathTest = BlockingTest;
TEST_F(BlockingDeathTest, ATaskMayNotBlockForAJob) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto task = []() -> Task<> {
    blocking_join(spawn_blocking([] {}));
    co_return;
  };
  EXPECT_DEATH(run(task(), with_threads(1)), "skua::blocking_join was called on a worker");
}

TEST_F(BlockingDeathTest, AClassThatIsNotThereIsReported) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Runtime runtime(with_threads(1));
        auto job = runtime.spawn_blocking([] {}, {.pool_class = BlockingClass::user(0)});
      },
      "\\(3, 3\\)");
}

// --- What the pool does not hold up -------------------------------------------------------------

// 64 jobs want four threads, and none of those that run ends before a ticker has ticked a hundred times: a ticker that
// waited for a job, or for a thread of the pool, would wait for ever. How late the ticks are is measured by the row
// `blocking_beat` of benches/rows.
TEST_P(BlockingEverywhereTest, ATickerGoesOnWhileThePoolIsBusy) {
  constexpr int kJobs = 64;
  const auto root = [](Runtime* rt) -> Task<> {
    std::latch ticked(100);
    std::atomic<int> running{0};
    std::vector<JoinHandle<void>> jobs;
    for (int i = 0; i < kJobs; ++i) {
      jobs.push_back(spawn_blocking([&ticked, &running] {
        running.fetch_add(1);
        ticked.wait();
      }));
    }
    while (running.load() < 4) co_await sleep_for(milliseconds(1));
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(running.load(), 4);
      EXPECT_EQ(rt->metrics().blocking_queue_depth, kJobs - 4);
      co_await sleep_for(milliseconds(1));
      ticked.count_down();
    }
    for (JoinHandle<void>& job : jobs) co_await std::move(job);
    EXPECT_EQ(rt->metrics().blocking_threads_peak, 4);
  };
  RuntimeOptions four = options();
  four.max_blocking_threads = 4;
  Runtime runtime(four);
  runtime.block_on(root(&runtime));
}

}  // namespace
}  // namespace skua
