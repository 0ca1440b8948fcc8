// SPDX-License-Identifier: Apache-2.0
//
// What is aborted, late or shut down comes to its end, whatever loop it is in.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <ranges>
#include <semaphore>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <gtest/gtest.h>

#include "skua/for_each_concurrent.h"
#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/this_task.h"
#include "skua/time.h"
#include "skua/timeout.h"
#include "tests/support/leak_check.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using SteadyTime = std::chrono::steady_clock::time_point;

class EndingsTest : public testing::TestWithParam<int> {
 protected:
  ~EndingsTest() override { EXPECT_EQ(leaks_.report(), ""); }
  RuntimeOptions options() const { return {.worker_threads = GetParam()}; }

 private:
  const test::LeakCheck leaks_;
};

INSTANTIATE_TEST_SUITE_P(Workers, EndingsTest, testing::Values(1, 2, 8));

Task<> sleep_long() { co_await sleep_for(1h); }

Task<> wait_until(SteadyTime when) {
  const absl::Status status = co_await with_deadline(when, sleep_long());
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

// Its own deadline is inherited: it fires with the outer one, which aborts its owner.
Task<> wait_until_twice(SteadyTime when) {
  (void)co_await with_deadline(when, wait_until(when + 1h));
}

Task<> all_of(std::vector<JoinHandle<void>> handles) {
  for (JoinHandle<void>& handle : handles) (void)co_await std::move(handle).result();
}

TEST_P(EndingsTest, ATimeoutThatFiresWhileItsTaskIsAborted) {
  Runtime runtime(options());
  for (int round = 0; round < 3; ++round) {
    const SteadyTime when = now() + 20ms;
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 500; ++i) {
      handles.push_back(runtime.spawn(i % 2 == 0 ? wait_until(when) : wait_until_twice(when)));
    }
    runtime.block_on([](SteadyTime then) -> Task<> { co_await sleep_until(then); }(when));
    for (std::size_t i = handles.size(); i-- > 0;) handles[i].abort();
    runtime.block_on(all_of(std::move(handles)));
  }
}

Task<absl::Status> refused() { co_return absl::UnavailableError("refused"); }

Task<> try_for_ever() {
  for (;;) {
    const absl::Status status = co_await timeout(1ms, refused());
    if (status.ok()) co_return;
  }
}

TEST_P(EndingsTest, ARetryLoopWhoseTimeIsOver) {
  Runtime runtime(options());
  const absl::Status status = runtime.block_on(timeout(5ms, try_for_ever()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

// The runtime is told to end while the task stands in a queue; its children are refused then.
struct Gate {
  std::binary_semaphore inside{0};
  std::binary_semaphore go_on{0};
};

Task<> block_third(int i, Gate* gate) {
  if (i == 3) {
    gate->inside.release();
    gate->go_on.acquire();
  }
  co_return;
}

Task<> for_ever(std::size_t limit, Gate* gate) {
  co_await for_each_concurrent(std::views::iota(0), limit,
                               [gate](int i) { return block_third(i, gate); });
}

Task<> retry_whatever(Gate* gate) {
  for (int i = 0;; ++i) {
    try {
      (void)co_await timeout(1h, block_third(i, gate));
    } catch (const std::exception&) {
    }
  }
}

TEST_P(EndingsTest, LoopsOverChildrenThatAShutdownRefuses) {
  for (const bool concurrent : {true, false}) {
    Gate gate;
    Runtime runtime(options());
    JoinHandle<void> handle =
        runtime.spawn(concurrent ? for_ever(1, &gate) : retry_whatever(&gate));
    gate.inside.acquire();
    EXPECT_FALSE(runtime.shutdown(0ns));  // Begins it.
    gate.go_on.release();
    // The destructor waits for the end.
  }
}

Task<> nothing() { co_return; }

TEST_P(EndingsTest, AWalkOverAnInfiniteRangeThatIsAborted) {
  Runtime runtime(options());
  for (const std::size_t limit : {std::size_t{1}, std::size_t{10'000}}) {
    runtime.block_on([](std::size_t at_a_time) -> Task<> {
      std::atomic<int> begun{0};
      bool done = false;
      const auto walk = [](std::atomic<int>* count, std::size_t most, bool* ended) -> Task<> {
        co_await for_each_concurrent(std::views::iota(0), most, [count](int) {
          count->fetch_add(1);
          return nothing();
        });
        *ended = true;  // Not with elements left.
      };
      JoinHandle<void> walker = spawn(walk(&begun, at_a_time, &done));
      while (begun.load() < 100) co_await sleep_for(100us);
      walker.abort();
      const JoinResult<void> result = co_await std::move(walker).result();
      EXPECT_TRUE(result.cancelled());
      EXPECT_FALSE(done);
    }(limit));
  }
}

// The result of a detached task that has a deadline is destroyed with it, and may spawn.
struct Spawning {
  explicit Spawning(std::atomic<int>* counter) : count(counter) {}
  Spawning(Spawning&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
  Spawning& operator=(Spawning&&) = delete;
  ~Spawning() {
    if (count == nullptr) return;
    spawn([](std::atomic<int>* counter) -> Task<> {
      counter->fetch_add(1);
      co_return;
    }(count));
  }
  std::atomic<int>* count;
};

Task<Spawning> leave_something(std::atomic<int>* count) { co_return Spawning(count); }

TEST_P(EndingsTest, AResultThatNobodyTakesMaySpawn) {
  Runtime runtime(options());
  std::atomic<int> count{0};
  const auto parent = [](std::atomic<int>* counter) -> Task<> {
    spawn(leave_something(counter));
    while (counter->load() == 0) co_await sleep_for(100us);
  };
  const absl::Status status = runtime.block_on(timeout(1h, parent(&count)));
  EXPECT_TRUE(status.ok()) << status;
}

// The children of a fork are made by whichever run finds them; they belong to their parent all the same.
TEST_P(EndingsTest, AChildIsMadeInTheNameOfItsParent) {
  Runtime runtime(options());
  runtime.block_on([]() -> Task<> {
    const TaskId own = this_task::id();
    spawn([]() -> Task<> { co_await yield_now(); }());
    co_await when_all_n(5, [own](std::size_t) {
      EXPECT_EQ(this_task::id(), own);
      return []() -> Task<> { co_await sleep_for(1ms); }();
    });
  }());
}

}  // namespace
}  // namespace skua
