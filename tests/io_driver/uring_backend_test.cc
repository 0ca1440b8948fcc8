// SPDX-License-Identifier: Apache-2.0
//
// Calls, which are operations that the blocking pool makes beside the ring (and where there is none): they complete,
// are cancelled before they begin, are waited for once they have, and end with their runtime.
#include "io_driver/uring_backend.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <latch>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/blocking.h"
#include "skua/fs/contents.h"
#include "skua/internal/io_op.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using internal::IoAwaiter;
using internal::IoRequest;

// On as few threads as there can be.
class CallTest : public test::RuntimeTest {
 protected:
  RuntimeOptions adjust(RuntimeOptions options) override {
    options.max_blocking_threads = 1;
    return options;
  }
};
SKUA_TEST_ALL_RUNTIMES(CallTest);

struct Counter {
  static std::int32_t call(void* self) noexcept {
    return static_cast<Counter*>(self)->calls.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  static std::int32_t interrupted(void* self) noexcept {
    const std::int32_t calls = call(self);
    return calls < 4 ? -EINTR : calls;
  }
  std::atomic<std::int32_t> calls{0};
};

// Says that it has begun, and goes on when it may.
struct Gate {
  static std::int32_t call(void* self) noexcept {
    auto* const gate = static_cast<Gate*>(self);
    gate->begun.count_down();
    gate->open.wait();
    gate->ended.store(true);
    return 0;
  }
  std::latch begun{1};
  std::latch open{1};
  std::atomic<bool> ended{false};
};

Task<std::int32_t> call(IoRequest::Call function, void* argument) {
  const std::int32_t result = co_await IoAwaiter(IoRequest::call(function, argument));
  co_return result;
}

TEST_P(CallTest, ManyCallsAndReadsCompleteSideBySide) {
  const auto main = [](Counter* counter) -> Task<> {
    std::vector<JoinHandle<std::int32_t>> calls;
    std::vector<JoinHandle<absl::StatusOr<std::string>>> reads;
    for (int i = 0; i < 200; ++i) {
      calls.push_back(spawn(call(&Counter::call, counter)));
      reads.push_back(spawn(fs::read_file("/proc/self/comm")));
    }
    for (auto& handle : calls) {
      const std::int32_t result = co_await std::move(handle);
      EXPECT_GT(result, 0);
    }
    for (auto& handle : reads) {
      const absl::StatusOr<std::string> content = co_await std::move(handle);
      EXPECT_TRUE(content.ok()) << content.status();
    }
  };
  Counter counter;
  runtime().block_on(main(&counter));
  EXPECT_EQ(counter.calls.load(), 200);
}

TEST_P(CallTest, AnInterruptedCallIsMadeAgain) {
  Counter counter;
  EXPECT_EQ(runtime().block_on(call(&Counter::interrupted, &counter)), 4);
}

// The only thread of the pool is taken, so the call is still in the queue: its abort does not wait for that thread.
TEST_P(CallTest, ACallThatHasNotBegunIsCancelledAtOnce) {
  Gate gate;
  Counter counter;
  const auto main = [](Gate* taken, Counter* never) -> Task<> {
    JoinHandle<std::int32_t> first = spawn(call(&Gate::call, taken));
    while (!taken->begun.try_wait()) co_await yield_now();
    JoinHandle<std::int32_t> second = spawn(call(&Counter::call, never));
    for (int i = 0; i < 50; ++i) co_await yield_now();
    second.abort();
    const JoinResult<std::int32_t> result = co_await std::move(second).result();
    EXPECT_TRUE(result.cancelled());
    EXPECT_FALSE(taken->ended.load());
    taken->open.count_down();
    const std::int32_t done = co_await std::move(first);
    EXPECT_EQ(done, 0);
  };
  runtime().block_on(main(&gate, &counter));
  EXPECT_EQ(counter.calls.load(), 0);
}

// The argument lives in the task's frame: the task must not end before the call has.
TEST_P(CallTest, AnAbortWaitsForACallThatHasBegun) {
  Gate gate;
  const auto main = [](Gate* under_way) -> Task<> {
    JoinHandle<std::int32_t> handle = spawn(call(&Gate::call, under_way));
    while (!under_way->begun.try_wait()) co_await yield_now();
    handle.abort();
    for (int i = 0; i < 50; ++i) co_await yield_now();
    EXPECT_FALSE(handle.is_finished());
    under_way->open.count_down();
    const JoinResult<std::int32_t> result = co_await std::move(handle).result();
    EXPECT_TRUE(under_way->ended.load());
  };
  runtime().block_on(main(&gate));
}

// One call runs, the others wait for its thread; then the runtime ends. None is made again and again.
TEST_P(CallTest, AShutdownEndsCallsThatHaveNotBegun) {
  Gate gate;
  Counter counter;
  const auto main = [](Gate* under_way, Counter* never) -> Task<> {
    spawn(call(&Gate::call, under_way));
    while (!under_way->begun.try_wait()) co_await yield_now();
    for (int i = 0; i < 20; ++i) spawn(call(&Counter::call, never));
    for (int i = 0; i < 20; ++i) co_await yield_now();
  };
  runtime().block_on(main(&gate, &counter));
  std::thread opener([&] { gate.open.count_down(); });
  stop();
  opener.join();
  EXPECT_TRUE(gate.ended.load());
  EXPECT_LE(counter.calls.load(), 20);  // Those for which the thread came in time.
}

}  // namespace
}  // namespace skua
