// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/blocking_pool.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <latch>
#include <limits>
#include <memory>
#include <optional>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/blocking.h"
#include "skua/internal/blocking_job.h"
#include "skua/join_handle.h"
#include "tests/support/leak_check.h"

namespace skua::internal {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

std::int64_t steady_ns_from_now(milliseconds delay) {
  const auto time = std::chrono::steady_clock::now() + delay;
  return std::chrono::nanoseconds(time.time_since_epoch()).count();
}

// Waits on this plain thread for the end of a job. The share still holds the result.
template <typename T>
JoinShare<T> wait_for(JoinHandle<T> handle) {
  JoinShare<T> share = std::move(handle).release_share();
  ThreadJoiner joiner;
  const auto tagged = reinterpret_cast<std::uintptr_t>(&joiner) | JoinState::kThreadTag;
  if (share.state()->set_joiner(tagged)) joiner.wait();
  return share;
}

template <typename T>
JoinResult<T> block_on_result(JoinHandle<T> handle) {
  const JoinShare<T> share = wait_for(std::move(handle));
  return JoinResult<T>(share.slot());
}

// Calls f(0) ... f(count - 1), each on a thread of its own, and waits for them.
template <typename F>
void on_threads(int count, const F& f) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(f, i);
  for (std::thread& thread : threads) thread.join();
}

// Fails on threads that outlive their pool.
class BlockingPoolTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(leaks_.report(), ""); }

 private:
  const test::LeakCheck leaks_;
};

// --- Jobs and their results -------------------------------------------------------------------

TEST_F(BlockingPoolTest, AJobRunsOnAThreadOfThePoolAndItsResultIsJoined) {
  BlockingPool pool({});
  EXPECT_EQ(pool.metrics().threads, 0);

  const auto id = blocking_join(spawn_blocking_on(pool, [] { return std::this_thread::get_id(); }));

  EXPECT_NE(id, std::this_thread::get_id());
  const BlockingPoolMetrics metrics = pool.metrics();
  EXPECT_EQ(metrics.threads, 1);
  EXPECT_EQ(metrics.threads_created, 1u);
  EXPECT_EQ(metrics.jobs_run, 1u);
  EXPECT_EQ(metrics.queue_depth, 0);
}

TEST_F(BlockingPoolTest, ResultsMayBeMoveOnlyOrReferencesOrVoid) {
  BlockingPool pool({});
  auto owned = std::make_unique<int>(5);
  auto move_only = [p = std::move(owned)]() mutable { return std::move(p); };
  EXPECT_EQ(*blocking_join(spawn_blocking_on(pool, std::move(move_only))), 5);

  int target = 0;
  auto reference = [&target]() -> int& { return target; };
  EXPECT_EQ(&blocking_join(spawn_blocking_on(pool, reference)), &target);

  auto nothing = [&target] { target = 9; };
  blocking_join(spawn_blocking_on(pool, nothing));
  EXPECT_EQ(target, 9);
}

TEST_F(BlockingPoolTest, AnExceptionTravelsToTheJoin) {
  BlockingPool pool({});
  auto job = []() -> int { throw std::runtime_error("from the job"); };
  EXPECT_THROW(blocking_join(spawn_blocking_on(pool, job)), std::runtime_error);
  EXPECT_EQ(blocking_join(spawn_blocking_on(pool, [] { return 3; })), 3);
}

// The closure is gone when the join returns, and the result dies on the thread that joined.
TEST_F(BlockingPoolTest, TheClosureDiesBeforeTheJoinAndTheResultAfterIt) {
  struct Result {
    explicit Result(std::atomic<std::thread::id>* where) : died_on(where) {}
    Result(const Result&) = delete;
    Result(Result&& other) noexcept : died_on(std::exchange(other.died_on, nullptr)) {}
    ~Result() {
      if (died_on != nullptr) died_on->store(std::this_thread::get_id());
    }
    std::atomic<std::thread::id>* died_on;
  };
  BlockingPool pool({});
  for (int i = 0; i < 1'000; ++i) {
    std::atomic<std::thread::id> died_on{};
    auto captured = std::make_shared<int>(0);
    {
      auto job = [captured, &died_on] { return Result(&died_on); };
      const auto share = wait_for(spawn_blocking_on(pool, std::move(job)));
      EXPECT_EQ(captured.use_count(), 1);
      EXPECT_EQ(died_on.load(), std::thread::id());
    }
    EXPECT_EQ(died_on.load(), std::this_thread::get_id());
  }
}

TEST_F(BlockingPoolTest, AJobWhoseHandleIsDroppedStillRuns) {
  std::atomic<int> runs{0};
  auto result = std::make_shared<int>(0);
  {
    BlockingPool pool({});
    for (int i = 0; i < 100; ++i) {
      auto job = [&runs, result] {
        runs.fetch_add(1);
        return result;
      };
      auto dropped = spawn_blocking_on(pool, std::move(job));
    }
    EXPECT_TRUE(test::eventually([&] { return runs.load() == 100; }));
  }
  EXPECT_EQ(result.use_count(), 1);
}

TEST_F(BlockingPoolTest, AJobMaySubmitAJob) {
  BlockingPool pool({.max_threads = 2});
  auto outer = [] {
    BlockingPool& own = require_blocking_pool("test");
    return wait_for(spawn_blocking_on(own, [] { return 11; })).slot().take();
  };
  EXPECT_EQ(blocking_join(spawn_blocking_on(pool, outer)), 11);
}

TEST_F(BlockingPoolTest, PoolThreadsHaveANameAndLeaveSignalsToOthers) {
  BlockingPool pool({.thread_name = "a-name-longer-than-15"});
  auto job = [] {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof(name));
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    EXPECT_EQ(sigismember(&mask, SIGTERM), 1);
    EXPECT_EQ(sigismember(&mask, SIGSEGV), 0);
    return std::string(name);
  };
  EXPECT_EQ(blocking_join(spawn_blocking_on(pool, job)), "a-name-longer-t");
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGTERM), 0);
}

TEST(BlockingPoolDeathTest, RequiringAPoolOutsideARuntimeNamesTheOperation) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(require_blocking_pool("skua::spawn_blocking()"),
               "skua::spawn_blocking\\(\\) was called outside a runtime");
}

// --- Threads come and go ----------------------------------------------------------------------

// All jobs block until the pool has grown as far as it may: it reaches the bound, and stays there.
TEST_F(BlockingPoolTest, ThePoolGrowsToItsBoundAndNeverBeyond) {
  constexpr int kMaxThreads = 4;
  constexpr int kJobs = 64;
  BlockingPool pool({.max_threads = kMaxThreads});
  std::latch open(1);
  std::atomic<int> running{0};
  std::atomic<bool> exceeded{false};
  auto job = [&] {
    if (running.fetch_add(1) >= kMaxThreads) exceeded.store(true);
    open.wait();
    running.fetch_sub(1);
  };
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < kJobs; ++i) handles.push_back(spawn_blocking_on(pool, job));

  EXPECT_TRUE(test::eventually([&] { return running.load() == kMaxThreads; }));
  EXPECT_EQ(pool.metrics().threads, kMaxThreads);
  EXPECT_EQ(pool.metrics().queue_depth, kJobs - kMaxThreads);
  open.count_down();
  for (JoinHandle<void>& handle : handles) blocking_join(std::move(handle));

  EXPECT_FALSE(exceeded.load());
  EXPECT_EQ(pool.metrics().threads_peak, kMaxThreads);
  EXPECT_EQ(pool.metrics().threads_created, static_cast<std::uint64_t>(kMaxThreads));
  EXPECT_EQ(pool.metrics().jobs_run, static_cast<std::uint64_t>(kJobs));
}

// Occupies `count` threads at once, so that so many exist, and waits until all are idle.
void grow_to(BlockingPool& pool, int count) {
  std::latch all_run(count);
  std::vector<JoinHandle<void>> handles;
  auto job = [&all_run] { all_run.arrive_and_wait(); };
  for (int i = 0; i < count; ++i) handles.push_back(spawn_blocking_on(pool, job));
  for (JoinHandle<void>& handle : handles) blocking_join(std::move(handle));
}

bool all_idle(const BlockingPool& pool, int count) {
  return test::eventually([&] { return pool.metrics().threads_idle == count; });
}

TEST_F(BlockingPoolTest, TheThreadThatWentIdleLastIsWokenFirst) {
  BlockingPool pool({.max_threads = 4});
  grow_to(pool, 4);
  auto who = [] { return std::this_thread::get_id(); };
  std::optional<std::thread::id> last;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(all_idle(pool, 4));
    const std::thread::id id = blocking_join(spawn_blocking_on(pool, who));
    EXPECT_EQ(id, last.value_or(id));
    last = id;
  }
  EXPECT_EQ(pool.metrics().threads_created, 4u);
}

// No thread is created for it, and one futex call at most is made.
TEST_F(BlockingPoolTest, AWarmThreadIsWokenOnce) {
  BlockingPool pool({});
  blocking_join(spawn_blocking_on(pool, [] {}));
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(all_idle(pool, 1));
    const std::uint64_t wakes = pool.metrics().wakes;
    blocking_join(spawn_blocking_on(pool, [] {}));
    EXPECT_EQ(pool.metrics().wakes, wakes + 1);
  }
  EXPECT_EQ(pool.metrics().threads_created, 1u);
}

TEST_F(BlockingPoolTest, SurplusThreadsExpireWhileOneIsKeptBusy) {
  BlockingPool pool({.max_threads = 4, .keep_alive = milliseconds(200)});
  grow_to(pool, 4);
  EXPECT_TRUE(test::eventually([&] {
    blocking_join(spawn_blocking_on(pool, [] {}));
    return pool.metrics().threads == 1;
  }));
}

TEST_F(BlockingPoolTest, IdleThreadsExpireAndThePoolGrowsAgain) {
  BlockingPool pool({.max_threads = 3, .keep_alive = milliseconds(1)});
  for (int round = 0; round < 3; ++round) {
    grow_to(pool, 3);
    EXPECT_TRUE(test::eventually([&] { return pool.metrics().threads == 0; }));
    EXPECT_EQ(pool.metrics().threads_idle, 0);
  }
  EXPECT_GE(pool.metrics().threads_created, 9u);
  EXPECT_EQ(pool.metrics().threads_peak, 3);
}

// With no keep-alive every job meets a thread that is just going: taken from the stack by one and
// timed out by the other, or gone already.
TEST_F(BlockingPoolTest, AJobThatMeetsAnExpiringThreadRuns) {
  BlockingPool pool({.keep_alive = milliseconds(0)});
  for (int i = 0; i < 3'000; ++i) {
    ASSERT_EQ(blocking_join(spawn_blocking_on(pool, [i] { return i; })), i);
  }
}

// Several submitters against few threads, so that threads go idle, are woken and expire all the
// time, and submitters leave their jobs to each other's wakes. Every job runs exactly once.
TEST_F(BlockingPoolTest, ManySubmittersLoseNoJobAndRunNoneTwice) {
  constexpr int kSubmitters = 4;
  constexpr int kJobsEach = 50'000;
  for (const milliseconds keep_alive : {milliseconds(0), milliseconds(10'000)}) {
    std::vector<std::atomic<std::uint8_t>> runs(kSubmitters * kJobsEach);
    std::atomic<int> total{0};
    BlockingPool pool({.max_threads = 3, .keep_alive = keep_alive});
    const auto submit = [&](int submitter) {
      for (int i = submitter * kJobsEach; i < (submitter + 1) * kJobsEach; ++i) {
        auto job = [&runs, &total, i] {
          runs[static_cast<std::size_t>(i)].fetch_add(1, std::memory_order_relaxed);
          total.fetch_add(1, std::memory_order_relaxed);
        };
        auto dropped = spawn_blocking_on(pool, job);
      }
    };
    on_threads(kSubmitters, submit);

    EXPECT_TRUE(test::eventually([&] { return total.load() == kSubmitters * kJobsEach; }))
        << total.load();
    for (const auto& count : runs) ASSERT_EQ(count.load(), 1);
    EXPECT_LE(pool.metrics().threads_peak, 3);
    EXPECT_EQ(pool.metrics().queue_depth, 0);
    EXPECT_EQ(pool.metrics().jobs_run, static_cast<std::uint64_t>(kSubmitters * kJobsEach));
  }
}

// Each submitter waits for each of its jobs, without sleeping, so that the next one comes while the
// thread goes idle. Threads stay forever: a lone job that is lost here is found by nobody.
TEST_F(BlockingPoolTest, ALoneJobThatMeetsAThreadGoingIdleRuns) {
  for (const int submitter_count : {1, 2, 4}) {
    BlockingPool pool(
        {.max_threads = (submitter_count + 1) / 2, .keep_alive = milliseconds::max()});
    const auto submit = [&pool](int) {
      for (int i = 0; i < 20'000; ++i) {
        auto handle = spawn_blocking_on(pool, [] {});
        while (!handle.is_finished()) std::this_thread::yield();
      }
    };
    on_threads(submitter_count, submit);
  }
}

// --- No thread to be had ----------------------------------------------------------------------

TEST_F(BlockingPoolTest, WithoutAnyThreadTheJobFailsAndThePoolRecovers) {
  std::atomic<int> error{EAGAIN};
  BlockingPool pool({.create_thread_error = [&error] { return error.load(); }});
  auto captured = std::make_shared<int>(0);
  auto job = [captured] { return 1; };
  auto handle = spawn_blocking_on(pool, std::move(job));

  EXPECT_TRUE(handle.is_finished());
  try {
    blocking_join(std::move(handle));
    FAIL() << "it ran without a thread";
  } catch (const std::system_error& failure) {
    EXPECT_EQ(failure.code().value(), EAGAIN);
  }
  EXPECT_EQ(pool.metrics().threads, 0);
  EXPECT_EQ(pool.metrics().threads_peak, 0);
  EXPECT_EQ(pool.metrics().threads_created, 0u);
  EXPECT_EQ(pool.metrics().jobs_run, 0u);

  error.store(0);
  EXPECT_EQ(blocking_join(spawn_blocking_on(pool, [] { return 2; })), 2);
}

TEST_F(BlockingPoolTest, WithoutAFurtherThreadJobsWaitForThoseThatExist) {
  std::atomic<int> creations{0};
  BlockingPool pool(
      {.create_thread_error = [&creations] { return creations.fetch_add(1) == 0 ? 0 : EAGAIN; }});
  std::latch open(1);
  auto blocked = spawn_blocking_on(pool, [&open] { open.wait(); });
  EXPECT_TRUE(test::eventually([&] { return pool.metrics().queue_depth == 0; }));
  auto first = spawn_blocking_on(pool, [] { return 1; });
  auto second = spawn_blocking_on(pool, [] { return 2; });
  EXPECT_GE(creations.load(), 2);
  EXPECT_FALSE(first.is_finished());
  EXPECT_EQ(pool.metrics().queue_depth, 2);

  open.count_down();
  blocking_join(std::move(blocked));
  EXPECT_EQ(blocking_join(std::move(first)), 1);
  EXPECT_EQ(blocking_join(std::move(second)), 2);
  EXPECT_EQ(pool.metrics().threads_created, 1u);
}

// While a creation is about to fail, the only thread goes idle and a job is left to the holder of
// the wake. Nobody else would ever look.
TEST_F(BlockingPoolTest, AFailedCreationWakesAThreadThatWentIdleMeanwhile) {
  BlockingPool* created = nullptr;
  std::latch open(1);
  std::optional<JoinHandle<int>> left;
  int creations = 0;
  const auto fail_late = [&] {
    if (++creations == 1) return 0;
    open.count_down();
    EXPECT_TRUE(all_idle(*created, 1));
    left.emplace(spawn_blocking_on(*created, [] { return 3; }));
    return EAGAIN;
  };
  BlockingPool pool({.create_thread_error = fail_late});
  created = &pool;
  auto blocked = spawn_blocking_on(pool, [&open] { open.wait(); });
  EXPECT_TRUE(test::eventually([&] { return pool.metrics().queue_depth == 0; }));
  EXPECT_EQ(blocking_join(spawn_blocking_on(pool, [] { return 2; })), 2);
  EXPECT_EQ(blocking_join(*std::move(left)), 3);
  blocking_join(std::move(blocked));
}

// Three classes: one with a limit and a bounded queue, one with a thread of its own.
std::vector<BlockingClassOptions> three_classes() {
  return {{}, {.max_threads = 1, .queue_limit = 2}, {.max_threads = 2, .reserved_threads = 1}};
}
SpawnBlockingOptions in_class(int i) {
  constexpr BlockingClass kClasses[] = {BlockingClass::kDefault, BlockingClass::kFs,
                                        BlockingClass::kDns};
  return {.pool_class = kClasses[i % 3]};
}

// Half of all creations fail, while threads expire at once: every job ends, one way or the other.
TEST_F(BlockingPoolTest, JobsEndWhileCreationsFailAndThreadsExpire) {
  std::atomic<std::uint32_t> creations{0};
  BlockingPool pool(
      {.max_threads = 3,
       .keep_alive = milliseconds(0),
       .classes = three_classes(),
       .create_thread_error = [&] { return creations.fetch_add(1) % 2 == 0 ? EAGAIN : 0; }});
  std::atomic<std::uint64_t> values{0};
  std::atomic<std::uint64_t> failures{0};
  const auto submit = [&](int submitter) {
    for (int i = 0; i < 2'000; ++i) {
      const auto options = in_class(i / (submitter + 1));
      const auto result = block_on_result(spawn_blocking_on(pool, [] { return 1; }, options));
      EXPECT_FALSE(result.cancelled());
      (result.ok() ? values : failures).fetch_add(1);
    }
  };
  on_threads(4, submit);
  EXPECT_EQ(values.load() + failures.load(), 8'000u);
  EXPECT_EQ(pool.metrics().jobs_run, values.load());
  EXPECT_LE(pool.metrics().threads_peak, 3);
  EXPECT_GT(values.load(), 0u);
}

// The failed job's closure submits another one as it dies, from inside submit().
TEST_F(BlockingPoolTest, AFailingJobMaySubmitAJobAsItDies) {
  struct Last {
    explicit Last(std::function<void()> f) : call(std::move(f)) {}
    Last(Last&& other) noexcept : call(std::exchange(other.call, nullptr)) {}
    ~Last() {
      if (call) call();
    }
    std::function<void()> call;
  };
  BlockingPool pool({.create_thread_error = [] { return EAGAIN; }});
  std::optional<JoinHandle<int>> second;
  Last last([&] { second.emplace(spawn_blocking_on(pool, [] { return 1; })); });
  auto job = [kept = std::move(last)] { return 0; };
  auto first = spawn_blocking_on(pool, std::move(job));
  EXPECT_NE(block_on_result(std::move(first)).exception(), nullptr);
  ASSERT_TRUE(second.has_value());
  EXPECT_NE(block_on_result(*std::move(second)).exception(), nullptr);
}

// --- Cancelling -------------------------------------------------------------------------------

TEST_F(BlockingPoolTest, AnAbortBeforeTheStartDestroysTheClosureUnrun) {
  BlockingPool pool({.max_threads = 1});
  std::latch open(1);
  auto blocked = spawn_blocking_on(pool, [&open] { open.wait(); });
  auto captured = std::make_shared<int>(0);
  auto job = [captured] { *captured = 1; };
  auto handle = spawn_blocking_on(pool, std::move(job));
  EXPECT_EQ(captured.use_count(), 2);

  handle.abort();
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_TRUE(handle.is_finished());
  handle.abort();
  EXPECT_TRUE(block_on_result(std::move(handle)).cancelled());

  open.count_down();
  blocking_join(std::move(blocked));
  blocking_join(spawn_blocking_on(pool, [] {}));
  EXPECT_EQ(*captured, 0);
  EXPECT_EQ(pool.metrics().jobs_run, 2u);
}

TEST_F(BlockingPoolTest, AnAbortOfARunningJobDropsItsResult) {
  BlockingPool pool({});
  std::latch begun(1);
  std::latch open(1);
  auto result = std::make_shared<int>(4);
  auto job = [&begun, &open, result] {
    begun.count_down();
    open.wait();
    EXPECT_TRUE(this_job::aborted());
    return result;
  };
  auto handle = spawn_blocking_on(pool, job);
  begun.wait();
  handle.abort();
  EXPECT_FALSE(handle.is_finished());
  open.count_down();
  EXPECT_TRUE(block_on_result(std::move(handle)).cancelled());
  EXPECT_EQ(result.use_count(), 2);  // Here, and in `job`.
  EXPECT_FALSE(this_job::aborted());
}

// Aborts race with starts: a job has a result only if it has run, and its closure is destroyed either way.
TEST_F(BlockingPoolTest, AJobIsEitherRunOrCancelled) {
  BlockingPool pool({.max_threads = 2});
  auto captured = std::make_shared<int>(0);
  for (int i = 0; i < 20'000; ++i) {
    std::atomic<bool> ran{false};
    auto job = [captured, &ran] { ran.store(true); };
    auto handle = spawn_blocking_on(pool, std::move(job));
    if (i % 2 == 0) std::this_thread::yield();
    handle.abort();
    const auto result = block_on_result(std::move(handle));
    // It may have run although it was cancelled, when the abort came after its beginning.
    ASSERT_TRUE(ran.load() || result.cancelled());
    ASSERT_EQ(captured.use_count(), 1);
  }
}

// --- Shutdown ---------------------------------------------------------------------------------

TEST_F(BlockingPoolTest, ShutdownCancelsQueuedJobsAndWaitsForRunningOnes) {
  BlockingPool pool({.max_threads = 1});
  std::latch open(1);
  auto running = spawn_blocking_on(pool, [&open] {
    open.wait();
    return 6;
  });
  EXPECT_TRUE(test::eventually([&] { return pool.metrics().queue_depth == 0; }));
  auto captured = std::make_shared<int>(0);
  std::vector<JoinHandle<void>> queued;
  for (int i = 0; i < 10; ++i) {
    auto job = [captured] { *captured = 1; };
    queued.push_back(spawn_blocking_on(pool, std::move(job)));
  }

  pool.begin_shutdown();
  pool.begin_shutdown();
  EXPECT_EQ(captured.use_count(), 1);
  for (JoinHandle<void>& handle : queued) {
    ASSERT_TRUE(handle.is_finished());
    EXPECT_TRUE(block_on_result(std::move(handle)).cancelled());
  }
  auto late = spawn_blocking_on(pool, [] {});
  ASSERT_TRUE(late.is_finished());
  EXPECT_TRUE(block_on_result(std::move(late)).cancelled());
  EXPECT_FALSE(pool.wait_idle_until(steady_ns_from_now(milliseconds(5))));

  open.count_down();
  EXPECT_TRUE(pool.wait_idle_until(kForever));
  EXPECT_TRUE(pool.wait_idle_until(kForever));
  EXPECT_EQ(pool.metrics().threads, 0);
  EXPECT_EQ(blocking_join(std::move(running)), 6);
  EXPECT_EQ(*captured, 0);
}

TEST_F(BlockingPoolTest, DestructionSendsIdleThreadsHome) {
  for (int i = 0; i < 50; ++i) {
    BlockingPool pool({.max_threads = 8});
    grow_to(pool, i % 8);  // None, too.
  }
}

// Submitters go on while the pool shuts down. Every handle ends, with a result if and only if the
// job ran, and nothing is left in the queue.
TEST_F(BlockingPoolTest, EveryJobEndsWhenShutdownRacesWithSubmitters) {
  for (int round = 0; round < 200; ++round) {
    const milliseconds keep_alive(round % 2 == 0 ? 0 : 10'000);
    BlockingPool pool(
        {.max_threads = round % 3 + 2, .keep_alive = keep_alive, .classes = three_classes()});
    std::atomic<std::uint64_t> runs{0};
    std::atomic<std::uint64_t> results{0};
    std::latch started(3);
    const auto submit = [&] {
      started.count_down();
      std::vector<JoinHandle<void>> handles;
      auto job = [&runs] { runs.fetch_add(1); };
      for (int i = 0; i < 200; ++i) {
        SpawnBlockingOptions options = in_class(i / 2);
        if (i % 5 == 0) options.at_shutdown = AtShutdown::kRun;
        handles.push_back(spawn_blocking_on(pool, job, options));
      }
      for (JoinHandle<void>& handle : handles) {
        if (block_on_result(std::move(handle)).ok()) results.fetch_add(1);
      }
    };
    std::vector<std::thread> submitters;
    for (int s = 0; s < 3; ++s) submitters.emplace_back(submit);
    started.wait();
    for (int i = 0; i < round % 20; ++i) std::this_thread::yield();
    pool.begin_shutdown();
    for (std::thread& submitter : submitters) submitter.join();
    EXPECT_TRUE(pool.wait_idle_until(kForever));
    EXPECT_EQ(runs.load(), results.load());
    EXPECT_EQ(pool.metrics().queue_depth, 0);
    EXPECT_EQ(pool.metrics().jobs_run, runs.load());
  }
}

}  // namespace
}  // namespace skua::internal
