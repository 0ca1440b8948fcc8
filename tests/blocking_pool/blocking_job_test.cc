// SPDX-License-Identifier: Apache-2.0
//
// How jobs are cancelled: by their handle, with the task that awaits them, and by a shutdown.
#include "skua/internal/blocking_job.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <latch>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <semaphore>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "blocking_pool/blocking_pool.h"
#include "skua/blocking.h"
#include "skua/cancellation.h"
#include "skua/internal/config.h"
#include "skua/metrics.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "tests/support/blocking.h"
#include "tests/support/leak_check.h"
#include "tests/support/runtime_fixture.h"
#include "tests/support/tracked.h"

namespace skua {
namespace {

using std::chrono::minutes;
using test::await_handle;
using test::Blocker;
using test::eventually;
using test::result_of;
using test::Tracked;
using test::with_threads;

class BlockingJobTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(leaks_.report(), ""); }

 private:
  const test::LeakCheck leaks_;
};

// In every shape of runtime; 0 workers: kCurrentThread.
class BlockingJobEverywhereTest : public test::RuntimeTest {};
SKUA_TEST_ALL_RUNTIMES(BlockingJobEverywhereTest);

TEST_P(BlockingJobEverywhereTest, AJobEndsWithTheTaskThatAwaitsIt) {
  std::atomic<int> live{0};
  std::latch begun(1);
  std::latch open(1);
  std::atomic<bool> ended{false};
  // The closure refers to the frame, which stays until it has ended; its result is dropped before.
  const auto waits = [](std::latch* b, std::latch* o, std::atomic<bool>* e,
                        std::atomic<int>* l) -> Task<int> {
    const Tracked local(1, l);
    JoinHandle<Tracked> job = spawn_blocking([&local, b, o, e, l] {
      b->count_down();
      o->wait();
      EXPECT_EQ(local.value(), 1);
      EXPECT_TRUE(this_job::aborted());
      e->store(true);
      return Tracked(2, l);
    });
    const Tracked result = co_await std::move(job);
    co_return result.value();
  };
  JoinHandle<int> task = runtime().spawn(waits(&begun, &open, &ended, &live));
  const auto abort = [](std::latch* b, std::latch* o, JoinHandle<int> t, std::atomic<bool>* e,
                        std::atomic<int>* l) -> Task<> {
    JoinHandle<void> job_begun = spawn_blocking([b] { b->wait(); });
    co_await std::move(job_begun);
    co_await yield_now();
    t.abort();
    for (int i = 0; i < 10; ++i) co_await yield_now();
    EXPECT_FALSE(t.is_finished());
    o->count_down();
    const JoinResult<int> result = co_await std::move(t).result();
    EXPECT_TRUE(result.cancelled());
    EXPECT_TRUE(e->load());
    EXPECT_EQ(l->load(), 0);
  };
  runtime().block_on(abort(&begun, &open, std::move(task), &ended, &live));
}

TEST_F(BlockingJobTest, AJobThatHasNotBegunNeverRunsWhenItsTaskIsAborted) {
  Runtime runtime(with_threads(1));
  std::atomic<int> live{0};
  std::atomic<bool> ran{false};
  const auto waits = [](std::atomic<int>* l, std::atomic<bool>* r) -> Task<> {
    JoinHandle<void> job = spawn_blocking([kept = Tracked(1, l), r] { r->store(true); });
    co_await std::move(job);
  };
  {
    Blocker blocker(runtime);
    JoinHandle<void> task = runtime.spawn(waits(&live, &ran));
    ASSERT_TRUE(eventually([&] { return runtime.metrics().blocking_queue_depth == 1; }));
    task.abort();
    EXPECT_TRUE(result_of(runtime, std::move(task)).cancelled());
    EXPECT_EQ(live.load(), 0);
  }
  blocking_join(runtime.spawn_blocking([] {}));
  EXPECT_FALSE(ran.load());
}

TEST_F(BlockingJobTest, AnAbandonedJobGoesOnByItself) {
  Runtime runtime(with_threads(1));
  std::latch begun(1);
  std::latch open(1);
  std::atomic<bool> ended{false};
  const auto waits = [](std::latch* b, std::latch* o, std::atomic<bool>* e) -> Task<> {
    JoinHandle<void> job = spawn_blocking(
        [b, o, e] {
          b->count_down();
          o->wait();
          EXPECT_FALSE(this_job::aborted());
          e->store(true);
        },
        {.on_abort = OnAbort::kAbandon});
    co_await std::move(job);
  };
  JoinHandle<void> task = runtime.spawn(waits(&begun, &open, &ended));
  begun.wait();
  task.abort();
  EXPECT_TRUE(result_of(runtime, std::move(task)).cancelled());
  EXPECT_FALSE(ended.load());
  open.count_down();
  EXPECT_TRUE(eventually([&] { return ended.load(); }));
}

// Aborts race with the beginning and the end of the job: a task either has its result or is cancelled, and nothing is
// lost or destroyed twice.
TEST_F(BlockingJobTest, AbortsRaceWithJobs) {
  Runtime runtime(with_threads(2));
  std::atomic<int> live{0};
  const auto waits = [](std::atomic<int>* l) -> Task<Tracked> {
    const Tracked local(1, l);
    JoinHandle<Tracked> job =
        spawn_blocking([&local, kept = Tracked(2, l), l] { return Tracked(local.value(), l); });
    co_return co_await std::move(job);
  };
  int cancelled = 0;
  for (int i = 0; i < 3'000; ++i) {
    JoinHandle<Tracked> task = runtime.spawn(waits(&live));
    for (int spins = 0; spins < i % 50; ++spins) std::this_thread::yield();
    task.abort();
    JoinResult<Tracked> result = result_of(runtime, std::move(task));
    ASSERT_EQ(result.exception(), nullptr);
    if (result.cancelled()) ++cancelled;
  }
  EXPECT_GT(cancelled, 0);
  EXPECT_EQ(live.load(), 0);
}

TEST_F(BlockingJobTest, ATokenTellsTheJobThatItIsNotWanted) {
  Runtime runtime(with_threads(2));
  const auto until_cancelled = [](CancellationToken token) {
    std::latch cancelled(1);
    const CancellationCallback callback(token, [&cancelled] { cancelled.count_down(); });
    cancelled.wait();
    return 1;
  };
  JoinHandle<int> aborted = runtime.spawn_blocking(until_cancelled);
  ASSERT_TRUE(eventually([&] { return runtime.running_blocking_jobs().size() == 1; }));
  aborted.abort();
  EXPECT_TRUE(result_of(runtime, std::move(aborted)).cancelled());

  JoinHandle<int> awaited = runtime.spawn(await_handle(runtime.spawn_blocking(until_cancelled)));
  ASSERT_TRUE(eventually([&] { return runtime.metrics().blocking_jobs_run == 2; }));
  awaited.abort();
  EXPECT_TRUE(result_of(runtime, std::move(awaited)).cancelled());

  // A shutdown cancels it, too.
  JoinHandle<int> last = runtime.spawn_blocking(until_cancelled);
  ASSERT_TRUE(eventually([&] { return runtime.metrics().blocking_jobs_run == 3; }));
  EXPECT_TRUE(runtime.shutdown(minutes(1)));
  EXPECT_EQ(blocking_join(std::move(last)), 1);
}

// --- Ends ---------------------------------------------------------------------------------------

TEST_F(BlockingJobTest, AnAbortThatComesAfterTheEndCancelsNoToken) {
  Runtime runtime(with_threads(1));
  std::optional<CancellationToken> kept;
  const auto job = [&kept](CancellationToken token) {
    kept = std::move(token);
    return 7;
  };
  JoinHandle<int> handle = runtime.spawn_blocking(job);
  ASSERT_TRUE(eventually([&] { return handle.is_finished(); }));
  handle.abort();
  EXPECT_FALSE(kept->is_cancelled());
  EXPECT_EQ(blocking_join(std::move(handle)), 7);
}

#if !SKUA_ASAN && !SKUA_TSAN  // Whose operator new ends the process if it is asked for too much.
TEST_F(BlockingJobTest, AJobWhoseNameFindsNoMemoryIsDestroyed) {
  Runtime runtime(with_threads(1));
  std::atomic<int> live{0};
  const char* const name = "too long to be copied";
  const auto too_long = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());
  const auto spawn_named = [&] {
    auto job = [kept = Tracked(1, &live)] { return kept.value(); };
    (void)runtime.spawn_blocking(std::move(job), {.name = std::string_view(name, too_long)});
  };
  EXPECT_THROW(spawn_named(), std::bad_alloc);
  EXPECT_EQ(live.load(), 0);
}
#endif

// --- Shutdown -----------------------------------------------------------------------------------

TEST_F(BlockingJobTest, AJobThatRunsAnotherOneIsShownAndToldOfAShutdown) {
  Runtime runtime(with_threads(1));
  std::latch begun(1);
  std::latch open(1);
  const auto outer = [&](CancellationToken token) {
    auto inner = [&] {
      begun.count_down();
      open.wait();
    };
    blocking_join(spawn_blocking(inner, {.name = "inner"}));
    return token.is_cancelled();
  };
  JoinHandle<bool> told = runtime.spawn_blocking(outer, {.name = "outer"});
  begun.wait();
  const std::vector<RunningBlockingJob> jobs = runtime.running_blocking_jobs();
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_EQ(jobs[0].name, "inner");
  EXPECT_EQ(jobs[1].name, "outer");
  EXPECT_EQ(jobs[0].thread, jobs[1].thread);
  EXPECT_FALSE(runtime.shutdown(std::chrono::milliseconds(1)));
  open.count_down();
  EXPECT_TRUE(runtime.shutdown(minutes(1)));
  EXPECT_TRUE(blocking_join(std::move(told)));
}

}  // namespace
}  // namespace skua
