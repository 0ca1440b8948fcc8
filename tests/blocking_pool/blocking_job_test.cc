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
  std::latch told(1);
  std::latch open(1);
  std::atomic<bool> ended{false};
  // The closure refers to the frame, which stays until it has ended; its result is dropped before. The abort may find
  // the task on its way to the await: its job is told when it gets there.
  const auto waits = [](std::latch* b, std::latch* t, std::latch* o, std::atomic<bool>* e,
                        std::atomic<int>* l) -> Task<int> {
    const Tracked local(1, l);
    JoinHandle<Tracked> job = spawn_blocking([&local, b, t, o, e, l] {
      b->count_down();
      EXPECT_TRUE(eventually([] { return this_job::aborted(); }));
      t->count_down();
      o->wait();
      EXPECT_EQ(local.value(), 1);
      e->store(true);
      return Tracked(2, l);
    });
    const Tracked result = co_await std::move(job);
    co_return result.value();
  };
  JoinHandle<int> task = runtime().spawn(waits(&begun, &told, &open, &ended, &live));
  const auto abort = [](std::latch* b, std::latch* t, std::latch* o, JoinHandle<int> aborted,
                        std::atomic<bool>* e, std::atomic<int>* l) -> Task<> {
    JoinHandle<void> job_begun = spawn_blocking([b] { b->wait(); });
    co_await std::move(job_begun);
    aborted.abort();
    JoinHandle<void> job_told = spawn_blocking([t] { t->wait(); });
    co_await std::move(job_told);
    EXPECT_FALSE(aborted.is_finished());
    o->count_down();
    const JoinResult<int> result = co_await std::move(aborted).result();
    EXPECT_TRUE(result.cancelled());
    EXPECT_TRUE(e->load());
    EXPECT_EQ(l->load(), 0);
  };
  runtime().block_on(abort(&begun, &told, &open, std::move(task), &ended, &live));
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

constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

// Calls a function when the last copy is destroyed.
std::shared_ptr<void> at_end(std::function<void()> f) {
  return {nullptr, [end = std::move(f)](void*) { end(); }};
}

// The shutdown comes where a submitter, or whoever gives a place to a job in line, may be preempted.
TEST_F(BlockingJobTest, AMandatoryJobOnItsWayIntoTheQueueIsWaitedFor) {
  for (const bool from_the_line : {false, true}) {
    internal::BlockingPool* accepting = nullptr;
    bool ended = false;
    internal::BlockingPoolOptions options;
    options.classes = {{.name = "default", .queue_limit = from_the_line ? 1u : 0u}};
    options.before_mandatory = [&] {
      internal::BlockingPool* const pool = std::exchange(accepting, nullptr);
      if (pool == nullptr) return;  // begin_shutdown() queues it again.
      pool->begin_shutdown();
      ended = pool->wait_idle_until(0);
    };
    internal::BlockingPool pool(std::move(options));
    accepting = &pool;
    if (from_the_line) {
      ASSERT_TRUE(pool.try_reserve(0));
    }
    std::latch open(1);
    const auto job = [&open] {
      open.wait();
      return 7;
    };
    JoinHandle<int> handle =
        internal::spawn_blocking_on(pool, job, {.at_shutdown = AtShutdown::kRun});
    if (from_the_line) pool.give_back(0);
    EXPECT_FALSE(ended);
    EXPECT_FALSE(pool.wait_idle_until(0));
    open.count_down();
    EXPECT_EQ(blocking_join(std::move(handle)), 7);
    EXPECT_TRUE(pool.wait_idle_until(kForever));
  }
}

TEST_F(BlockingJobTest, AMandatoryJobThatFindsNoThreadHasEndedBeforeThePoolHas) {
  internal::BlockingPool* creating = nullptr;
  bool ended = false;
  internal::BlockingPoolOptions options;
  options.create_thread_error = [&creating] {
    creating->begin_shutdown();
    return EAGAIN;
  };
  internal::BlockingPool pool(std::move(options));
  creating = &pool;
  auto job = [kept = at_end([&] { ended = pool.wait_idle_until(0); })] { return 1; };
  JoinHandle<int> handle =
      internal::spawn_blocking_on(pool, std::move(job), {.at_shutdown = AtShutdown::kRun});
  EXPECT_FALSE(ended);
  EXPECT_THROW(blocking_join(std::move(handle)), std::system_error);
  EXPECT_TRUE(pool.wait_idle_until(0));
}

// While the shutdown has a mandatory job in its hands, and destroys another one, a thread that finds the pool stopping
// looks at what is pending.
TEST_F(BlockingJobTest, AMandatoryJobInTheHandsOfAShutdownIsGivenUpByNobody) {
  std::atomic<bool> refuses{false};
  internal::BlockingPoolOptions options;
  options.max_threads = 2;
  options.create_thread_error = [&refuses] { return refuses.load() ? EAGAIN : 0; };
  internal::BlockingPool pool(std::move(options));
  std::latch busy(1);
  std::latch in_destructor(1);
  std::counting_semaphore<> met(0);
  std::latch shut_down(1);
  auto look = [&] {
    busy.count_down();
    in_destructor.wait();
    {
      const internal::BlockedThread blocked;
    }  // Another thread could run what is pending.
    met.release();
  };
  JoinHandle<void> looks = internal::spawn_blocking_on(pool, look);
  busy.wait();
  refuses.store(true);
  std::atomic<bool> ran{false};
  JoinHandle<void> mandatory = internal::spawn_blocking_on(pool, [&ran] { ran.store(true); },
                                                           {.at_shutdown = AtShutdown::kRun});
  JoinHandle<void> slow = internal::spawn_blocking_on(pool, [kept = at_end([&] {
                                                               in_destructor.count_down();
                                                               met.acquire();
                                                             })] {});
  JoinHandle<void> last = internal::spawn_blocking_on(
      pool, [kept = at_end([&, shuts_down = std::this_thread::get_id()] {
               if (std::this_thread::get_id() == shuts_down) return;
               met.release();
               shut_down.wait();  // The mandatory one is in the queue again.
             })] {});
  pool.begin_shutdown();
  shut_down.count_down();
  EXPECT_TRUE(pool.wait_idle_until(kForever));
  EXPECT_TRUE(ran.load());
  blocking_join(std::move(looks));
  blocking_join(std::move(mandatory));
  EXPECT_THROW(blocking_join(std::move(slow)), TaskCancelled);
  EXPECT_THROW(blocking_join(std::move(last)), TaskCancelled);
}

}  // namespace
}  // namespace skua
