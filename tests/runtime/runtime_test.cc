// SPDX-License-Identifier: Apache-2.0
#include "skua/runtime.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "skua/time.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

using RuntimeTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(RuntimeTest);

// --- Spawning and joining ---------------------------------------------------------------------

Task<int> returns(int value) { co_return value; }

Task<int> returns_later(int value) {
  co_await yield_now();
  co_return value;
}

Task<std::int64_t> storm(int tasks) {
  std::vector<JoinHandle<int>> handles;
  handles.reserve(static_cast<std::size_t>(tasks));
  for (int i = 0; i < tasks; ++i) handles.push_back(spawn(returns_later(i)));
  std::int64_t sum = 0;
  for (JoinHandle<int>& handle : handles) sum += co_await std::move(handle);
  co_return sum;
}

TEST_P(RuntimeTest, JoinsWhatItSpawned) {
  const auto main = []() -> Task<int> {
    JoinHandle<int> handle = spawn(returns(3));
    co_return co_await std::move(handle);
  };
  EXPECT_EQ(runtime().block_on(main()), 3);
}

// The ring holds 256: the rest overflows to the injector and comes back.
TEST_P(RuntimeTest, SurvivesAStormFarBeyondTheRing) {
  constexpr std::int64_t kTasks = 20'000;
  EXPECT_EQ(runtime().block_on(storm(kTasks)), kTasks * (kTasks - 1) / 2);
  if (GetParam() == 1 || GetParam() == 0) {
    EXPECT_GT(runtime().metrics().workers.front().overflows, 0u);
  }
}

TEST_P(RuntimeTest, SpawnsFromOutside) {
  std::vector<JoinHandle<int>> handles;
  for (int i = 0; i < 1000; ++i) handles.push_back(runtime().spawn(returns_later(i)));
  const auto join = [](std::vector<JoinHandle<int>> all) -> Task<int> {
    int sum = 0;
    for (JoinHandle<int>& handle : all) sum += co_await std::move(handle);
    co_return sum;
  };
  EXPECT_EQ(runtime().block_on(join(std::move(handles))), 999 * 1000 / 2);
}

TEST_P(RuntimeTest, RunsWhatWasDetached) {
  const auto set = [](std::atomic<int>* value) -> Task<> {
    co_await yield_now();
    value->store(1);
  };
  const auto main = [](decltype(set) task, std::atomic<int>* value) -> Task<> {
    spawn(task(value));
    while (value->load() == 0) co_await yield_now();
  };
  std::atomic<int> value{0};
  runtime().block_on(main(set, &value));
  EXPECT_EQ(value.load(), 1);
}

Task<int> throws() {
  co_await yield_now();
  throw std::runtime_error("thrown");
}

TEST_P(RuntimeTest, CarriesAnExceptionToTheJoin) {
  const auto main = []() -> Task<std::string> {
    JoinHandle<int> handle = spawn(throws());
    try {
      co_await std::move(handle);
    } catch (const std::runtime_error& error) {
      const std::string what = error.what();
      co_return what;
    }
    co_return "nothing";
  };
  EXPECT_EQ(runtime().block_on(main()), "thrown");
}

TEST_P(RuntimeTest, TellsValueExceptionAndCancellationApart) {
  const auto main = []() -> Task<> {
    JoinHandle<int> value = spawn(returns(1));
    const JoinResult<int> of_value = co_await std::move(value).result();
    EXPECT_TRUE(of_value.ok());
    JoinHandle<int> failing = spawn(throws());
    const JoinResult<int> of_failing = co_await std::move(failing).result();
    EXPECT_NE(of_failing.exception(), nullptr);
    JoinHandle<void> sleeping = spawn([]() -> Task<> { co_await sleep_for(1h); }());
    co_await yield_now();
    sleeping.abort();
    const JoinResult<void> of_sleeping = co_await std::move(sleeping).result();
    EXPECT_TRUE(of_sleeping.cancelled());
    JoinHandle<void> other = spawn([]() -> Task<> { co_await sleep_for(1h); }());
    other.abort();
    bool thrown = false;
    try {
      co_await std::move(other);
    } catch (const TaskCancelled&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  };
  runtime().block_on(main());
}

TEST_P(RuntimeTest, AwaitsAHandleThatIsFinished) {
  const auto main = []() -> Task<int> {
    JoinHandle<int> handle = spawn(returns(9));
    while (!handle.is_finished()) co_await yield_now();
    co_return co_await std::move(handle);
  };
  EXPECT_EQ(runtime().block_on(main()), 9);
}

TEST_P(RuntimeTest, WaitsForAllChildren) {
  const auto main = []() -> Task<int> {
    auto [a, b, c] = co_await when_all(returns_later(1), returns(2), returns_later(3));
    std::vector<Task<int>> many;
    for (int i = 0; i < 1000; ++i) many.push_back(returns_later(i));
    const std::vector<int> values = co_await when_all(std::move(many));
    int sum = a + b + c;
    for (int value : values) sum += value;
    co_return sum;
  };
  EXPECT_EQ(runtime().block_on(main()), 6 + 999 * 1000 / 2);
}

Task<int> fib(int n) {
  if (n < 2) co_return n;
  auto [a, b] = co_await when_all(fib(n - 1), fib(n - 2));
  co_return a + b;
}

TEST_P(RuntimeTest, ForksATree) { EXPECT_EQ(runtime().block_on(fib(16)), 987); }

TEST_P(RuntimeTest, AHandleMayOutliveItsRuntime) {
  auto handle = std::make_unique<JoinHandle<int>>(runtime().spawn(returns(4)));
  stop();
  EXPECT_TRUE(handle->is_finished());
  handle->abort();
}

// --- Time -------------------------------------------------------------------------------------

TEST_P(RuntimeTest, SleepsAtLeastAsLongAsAsked) {
  const auto main = []() -> Task<> {
    const auto start = std::chrono::steady_clock::now();
    co_await sleep_for(5ms);
    EXPECT_GE(std::chrono::steady_clock::now() - start, 5ms);
  };
  runtime().block_on(main());
}

TEST_P(RuntimeTest, WakesManySleepersInTheOrderOfTheirDeadlines) {
  const auto sleeper = [](int ms, std::atomic<int>* done) -> Task<int> {
    co_await sleep_for(std::chrono::milliseconds(ms));
    co_return done->fetch_add(1);
  };
  const auto main = [](decltype(sleeper) task) -> Task<int> {
    std::atomic<int> done{0};
    std::vector<JoinHandle<int>> handles;
    for (int i = 0; i < 200; ++i) handles.push_back(spawn(task(i % 20, &done)));
    for (JoinHandle<int>& handle : handles) co_await std::move(handle);
    co_return done.load();
  };
  EXPECT_EQ(runtime().block_on(main(sleeper)), 200);
}

// --- Blocking jobs ------------------------------------------------------------------------------

TEST_P(RuntimeTest, OffloadsBlockingWork) {
  const auto main = []() -> Task<int> {
    const auto worker = std::this_thread::get_id();
    JoinHandle<int> job = spawn_blocking([worker] {
      EXPECT_NE(std::this_thread::get_id(), worker);
      return 11;
    });
    co_return co_await std::move(job);
  };
  EXPECT_EQ(runtime().block_on(main()), 11);
}

TEST_P(RuntimeTest, CarriesAnExceptionOutOfABlockingJob) {
  const auto main = []() -> Task<> {
    JoinHandle<int> job = spawn_blocking([]() -> int { throw std::runtime_error("job"); });
    const JoinResult<int> result = co_await std::move(job).result();
    EXPECT_NE(result.exception(), nullptr);
  };
  runtime().block_on(main());
}

TEST_P(RuntimeTest, ABlockingJobMaySpawnTasks) {
  const auto main = []() -> Task<int> {
    JoinHandle<JoinHandle<int>> job = spawn_blocking([] { return spawn(returns_later(12)); });
    JoinHandle<int> task = co_await std::move(job);
    co_return co_await std::move(task);
  };
  EXPECT_EQ(runtime().block_on(main()), 12);
}

// --- Aborting ------------------------------------------------------------------------------------

class Counted {
 public:
  explicit Counted(std::atomic<int>* alive) : alive_(alive) { alive_->fetch_add(1); }
  Counted(Counted&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)) {}
  ~Counted() {
    if (alive_ != nullptr) alive_->fetch_sub(1);
  }

 private:
  std::atomic<int>* alive_;
};

Task<> waits_for_ever([[maybe_unused]] Counted counted, Semaphore* never, std::atomic<int>* begun) {
  begun->fetch_add(1);
  [[maybe_unused]] const auto permit = co_await never->acquire();
}

Task<> nested_wait(std::atomic<int>* alive, Semaphore* never, std::atomic<int>* begun) {
  Counted local(alive);
  co_await waits_for_ever(Counted(alive), never, begun);
}

TEST_P(RuntimeTest, AnAbortedTaskIsGoneWhenItsHandleSaysSo) {
  const auto main = []() -> Task<> {
    std::atomic<int> alive{0};
    std::atomic<int> begun{0};
    Semaphore never(0);
    for (int round = 0; round < 100; ++round) {
      JoinHandle<void> handle = spawn(nested_wait(&alive, &never, &begun));
      if (round % 2 == 0) {
        while (begun.load() != round / 2 + 1) co_await yield_now();
      }
      handle.abort();
      const JoinResult<void> result = co_await std::move(handle).result();
      EXPECT_TRUE(result.cancelled());
      EXPECT_EQ(alive.load(), 0);
      begun.store(round / 2 + 1);
    }
  };
  runtime().block_on(main());
}

TEST_P(RuntimeTest, AbortsAForkedTree) {
  const auto tree = [](auto self, int level, std::atomic<int>* alive, Semaphore* never,
                       std::atomic<int>* begun) -> Task<> {
    Counted local(alive);
    if (level == 0) {
      begun->fetch_add(1);
      [[maybe_unused]] const auto permit = co_await never->acquire();
      co_return;
    }
    co_await when_all(self(self, level - 1, alive, never, begun),
                      self(self, level - 1, alive, never, begun));
  };
  const auto main = [](decltype(tree) task) -> Task<> {
    std::atomic<int> alive{0};
    std::atomic<int> begun{0};
    Semaphore never(0);
    JoinHandle<void> handle = spawn(task(task, 5, &alive, &never, &begun));
    while (begun.load() != 32) co_await yield_now();
    handle.abort();
    const JoinResult<void> result = co_await std::move(handle).result();
    EXPECT_TRUE(result.cancelled());
    EXPECT_EQ(alive.load(), 0);
  };
  runtime().block_on(main(tree));
}

Task<> nest(int depth, Semaphore* never, std::atomic<int>* begun) {
  if (depth == 0) {
    begun->store(1);
    [[maybe_unused]] const auto permit = co_await never->acquire();
    co_return;
  }
  co_await when_all(nest(depth - 1, never, begun));
}

// The forks are nested deeper than any stack could follow.
TEST_P(RuntimeTest, AbortsForksNestedAHundredThousandDeep) {
  const auto main = []() -> Task<> {
    Semaphore never(0);
    std::atomic<int> begun{0};
    JoinHandle<void> handle = spawn(nest(100'000, &never, &begun));
    while (begun.load() == 0) co_await yield_now();
    handle.abort();
    const JoinResult<void> result = co_await std::move(handle).result();
    EXPECT_TRUE(result.cancelled());
  };
  runtime().block_on(main());
}

// What fails while its owner is failing or being aborted already does not end the process.
TEST_P(RuntimeTest, AHandleDroppedByAFailureOrAnAbortIsNoDetaching) {
  const auto fails_late = [](Semaphore* go) -> Task<> {
    [[maybe_unused]] const auto permit = co_await go->acquire();
    throw std::runtime_error("late");
  };
  const auto owner = [](decltype(fails_late) task, Semaphore* go, bool fail) -> Task<> {
    const JoinHandle<void> first = spawn(task(go));
    if (fail) throw std::runtime_error("owner");
    co_await sleep_for(1h);
  };
  const auto main = [](decltype(owner) make, decltype(fails_late) task) -> Task<> {
    Semaphore go(0);
    JoinHandle<void> failing = spawn(make(task, &go, true));
    const JoinResult<void> failed = co_await std::move(failing).result();
    EXPECT_NE(failed.exception(), nullptr);
    JoinHandle<void> aborted = spawn(make(task, &go, false));
    for (int i = 0; i < 20; ++i) co_await yield_now();
    aborted.abort();
    const JoinResult<void> gone = co_await std::move(aborted).result();
    EXPECT_TRUE(gone.cancelled());
    go.add_permits(2);
    for (int i = 0; i < 100; ++i) co_await yield_now();
    co_await sleep_for(2ms);
    [[maybe_unused]] const auto both = co_await go.acquire();
  };
  runtime().block_on(main(owner, fails_late));
}

// --- Ending ----------------------------------------------------------------------------------------

TEST_P(RuntimeTest, ShutdownEndsTasksThatWait) {
  std::atomic<int> alive{0};
  std::atomic<int> begun{0};
  Semaphore never(0);
  for (int i = 0; i < 100; ++i) runtime().spawn(nested_wait(&alive, &never, &begun));
  for (int i = 0; i < 100; ++i) {
    runtime().spawn([](Counted) -> Task<> { co_await sleep_for(1h); }(Counted(&alive)));
  }
  if (multi_thread()) {
    EXPECT_TRUE(test::eventually([&] { return begun.load() == 100; }));
  }
  EXPECT_TRUE(runtime().shutdown(1min));
  EXPECT_EQ(alive.load(), 0);
}

TEST_P(RuntimeTest, ShutdownEndsTasksThatNeverRan) {
  std::atomic<int> alive{0};
  for (int i = 0; i < 1000; ++i) {
    runtime().spawn([](Counted) -> Task<> { co_return; }(Counted(&alive)));
  }
  stop();
  EXPECT_EQ(alive.load(), 0);
}

TEST_P(RuntimeTest, ShutdownEndsTasksThatYieldForEver) {
  std::atomic<int> alive{0};
  for (int i = 0; i < 20; ++i) {
    runtime().spawn([](Counted) -> Task<> {
      for (;;) co_await yield_now();
    }(Counted(&alive)));
  }
  stop();
  EXPECT_EQ(alive.load(), 0);
}

TEST_P(RuntimeTest, ShutdownEndsTasksThatJoinEachOther) {
  std::atomic<int> alive{0};
  const auto joins = [](Counted, JoinHandle<void> other) -> Task<> { co_await std::move(other); };
  Semaphore never(0);
  std::atomic<int> begun{0};
  JoinHandle<void> last = runtime().spawn(nested_wait(&alive, &never, &begun));
  for (int i = 0; i < 50; ++i) {
    last = runtime().spawn(joins(Counted(&alive), std::move(last)));
  }
  if (multi_thread()) {
    EXPECT_TRUE(test::eventually([&] { return begun.load() == 1; }));
  }
  stop();
  EXPECT_EQ(alive.load(), 0);
}

TEST_P(RuntimeTest, ShutdownTakesNothingNew) {
  EXPECT_TRUE(runtime().shutdown(1min));
  std::atomic<int> alive{0};
  const auto task = [](Counted) -> Task<> { co_return; };
  JoinHandle<void> handle = runtime().spawn(task(Counted(&alive)));
  EXPECT_EQ(alive.load(), 0);
  EXPECT_TRUE(handle.is_finished());
  EXPECT_THROW(runtime().block_on(returns(1)), TaskCancelled);
  JoinHandle<int> job = runtime().spawn_blocking([] { return 1; });
  EXPECT_TRUE(job.is_finished());
}

TEST_P(RuntimeTest, ShutdownSaysThatAJobIsStillRunning) {
  std::atomic<bool> go{false};
  std::atomic<bool> running{false};
  JoinHandle<void> job = runtime().spawn_blocking([&] {
    running.store(true);
    running.notify_all();
    go.wait(false);
  });
  running.wait(false);
  EXPECT_FALSE(runtime().shutdown(1ms));
  go.store(true);
  go.notify_all();
  EXPECT_TRUE(runtime().shutdown(1min));
  EXPECT_TRUE(job.is_finished());
}

TEST_P(RuntimeTest, DestructorsMaySpawnAndWakeWhileItShutsDown) {
  struct SpawnsAtTheEnd {
    ~SpawnsAtTheEnd() {
      JoinHandle<int> refused = spawn(returns(1));
      EXPECT_TRUE(refused.is_finished());
      semaphore->add_permits(1);
    }
    Semaphore* semaphore;
  };
  Semaphore never(0);
  const auto task = [](Semaphore* semaphore) -> Task<> {
    const SpawnsAtTheEnd at_the_end{semaphore};
    co_await sleep_for(1h);
  };
  const auto waits = [](Semaphore* semaphore) -> Task<> {
    [[maybe_unused]] const auto permit = co_await semaphore->acquire();
    co_await sleep_for(1h);
  };
  const auto main = [](decltype(task) first, decltype(waits) second, Semaphore* s) -> Task<> {
    for (int i = 0; i < 10; ++i) {
      spawn(second(s));
      spawn(first(s));
    }
    for (int i = 0; i < 50; ++i) co_await yield_now();
    co_await sleep_for(2ms);
  };
  runtime().block_on(main(task, waits, &never));
  stop();
}

// --- Several runtimes, several threads -----------------------------------------------------------------

TEST_P(RuntimeTest, BlocksSeveralThreadsAtATime) {
  std::vector<std::thread> threads;
  std::atomic<int> sum{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) sum += runtime().block_on(returns_later(i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum.load(), 50 * (0 + 1 + 2 + 3));
}

TEST_P(RuntimeTest, WaitsForATaskOfAnotherRuntime) {
  Runtime other({.worker_threads = 1});
  JoinHandle<int> far = other.spawn(returns_later(21));
  const auto join = [](JoinHandle<int> handle) -> Task<int> {
    co_return co_await std::move(handle);
  };
  EXPECT_EQ(runtime().block_on(join(std::move(far))), 21);
}

TEST_P(RuntimeTest, CountsWhatItDoes) {
  runtime().block_on(storm(1000));
  const RuntimeMetrics metrics = runtime().metrics();
  EXPECT_EQ(metrics.tasks_spawned, 1001u);
  EXPECT_GE(metrics.runs(), 2000u);
  stop();
}

// --- Bad use -------------------------------------------------------------------------------------------

TEST(RuntimeOptionsTest, OutOfRangeIsAnError) {
  const auto message = [](RuntimeOptions options) {
    return std::string(Runtime::create(std::move(options)).status().message());
  };
  EXPECT_EQ(message({.worker_threads = -1}),
            "RuntimeOptions::worker_threads is -1, must be 0 to 32767");
  EXPECT_NE(message({.max_blocking_threads = 0}), "");
  EXPECT_NE(message({.global_queue_interval = 0}), "");
  EXPECT_NE(message({.event_interval = -3}), "");
  EXPECT_NE(message({.ring_entries = 0}), "");
  EXPECT_EQ(message({.worker_threads = 1}), "");
}

class RuntimeDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(RuntimeDeathTest, BlockingOnAWorkerIsReported) {
  const auto blocks = [](Runtime* runtime) -> Task<int> {
    co_return runtime->block_on(returns(1));
  };
  const auto die = [&] {
    Runtime runtime({.worker_threads = 1});
    runtime.block_on(blocks(&runtime));
  };
  EXPECT_DEATH(die(), "block_on was called on a worker");
}

TEST_F(RuntimeDeathTest, SpawningOutsideARuntimeIsReported) {
  EXPECT_DEATH(spawn(returns(1)), "skua::spawn was called outside a runtime");
}

TEST_F(RuntimeDeathTest, ADetachedTaskThatThrowsEndsTheProcessWithItsName) {
  const auto main = []() -> Task<> {
    spawn(throws(), {.name = "culprit"});
    for (;;) co_await yield_now();
  };
  EXPECT_DEATH(run(main(), {.worker_threads = 1}),
               "detached task ended with an exception.*culprit");
}

}  // namespace
}  // namespace skua
