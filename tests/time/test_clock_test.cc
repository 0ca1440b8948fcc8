// SPDX-License-Identifier: Apache-2.0
#include "skua/test_clock.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/blocking.h"
#include "skua/fs/file.h"
#include "skua/join_handle.h"
#include "skua/net/socket_address.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/unix_stream.h"
#include "skua/socket_engine.h"
#include "skua/spawn.h"
#include "skua/sync/channel.h"
#include "skua/sync/event.h"
#include "skua/task.h"
#include "skua/time.h"
#include "skua/timeout.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using Milliseconds = std::chrono::milliseconds;
using TimePoint = std::chrono::steady_clock::time_point;

// None of these tests lasts as long as the time that goes by in it: they would run for days.
class TestClockTest : public test::RuntimeTest {};

Milliseconds since(TimePoint start) {
  return std::chrono::duration_cast<Milliseconds>(now() - start);
}

// What the tasks of a test have done, and when.
class Journal {
 public:
  void note(std::string what, TimePoint start) {
    const std::lock_guard lock(mu_);
    lines_.push_back(std::move(what) + " " + std::to_string(since(start).count()));
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mu_);
    return lines_;
  }

 private:
  std::mutex mu_;
  std::vector<std::string> lines_;
};
using Lines = std::vector<std::string>;

TEST_P(TestClockTest, APausedClockJumpsToTheNextDeadlineWhenNothingIsRunnable) {
  const auto play = []() -> Task<> {
    test_clock::pause();
    const TimePoint start = now();
    co_await sleep_for(24h);
    EXPECT_EQ(since(start), 24h);
    co_await sleep_until(start + 48h);
    EXPECT_EQ(since(start), 48h);
  };
  runtime().block_on(play());
}

Task<> sleep_and_note(Journal* journal, TimePoint start, std::string what, Milliseconds first,
                      Milliseconds second) {
  co_await sleep_for(first);
  journal->note(what, start);
  co_await sleep_for(second);
  journal->note(what, start);
}

TEST_P(TestClockTest, AdvanceFiresInOrderAndReturnsLast) {
  const auto play = [](Journal* journal) -> Task<> {
    test_clock::pause();
    const TimePoint start = now();
    JoinHandle<void> a = spawn(sleep_and_note(journal, start, "a", 20s, 25s));
    JoinHandle<void> b = spawn(sleep_and_note(journal, start, "b", 10s, 40s));
    JoinHandle<void> c = spawn(sleep_and_note(journal, start, "c", 70s, 1s));
    co_await test_clock::advance(5s);
    journal->note("test", start);
    co_await test_clock::advance(45s);
    journal->note("test", start);
    EXPECT_TRUE(a.is_finished());
    EXPECT_TRUE(b.is_finished());
    EXPECT_FALSE(c.is_finished());
    co_await test_clock::advance(0s);
    journal->note("test", start);
    co_await std::move(c);
  };
  Journal journal;
  runtime().block_on(play(&journal));
  const Lines expected = {"test 5000",  "b 10000",    "a 20000", "a 45000", "b 50000",
                          "test 50000", "test 50000", "c 70000", "c 71000"};
  EXPECT_EQ(journal.lines(), expected);
}

// What a timer sets off comes to rest before the next one is due, over any number of tasks.
TEST_P(TestClockTest, WhatADeadlineSetsOffEndsBeforeTheNextOne) {
  const auto relay = [](Receiver<int> rx, std::optional<Sender<int>> tx, Journal* journal,
                        TimePoint start) -> Task<> {
    for (;;) {
      std::optional<int> value = co_await rx.recv();
      if (!value.has_value()) co_return;
      if (!tx.has_value()) {
        journal->note("arrived " + std::to_string(*value), start);
      } else {
        static_cast<void>(co_await tx->send(*value));
      }
    }
  };
  const auto play = [](auto relays, Journal* journal) -> Task<> {
    test_clock::pause();
    const TimePoint start = now();
    std::vector<JoinHandle<void>> handles;
    auto [first, rx] = channel<int>(1);
    Receiver<int> end = std::move(rx);
    for (int i = 0; i < 20; ++i) {
      auto [next_tx, next_rx] = channel<int>(1);
      handles.push_back(spawn(relays(std::move(end), std::move(next_tx), journal, start)));
      end = std::move(next_rx);
    }
    handles.push_back(spawn(relays(std::move(end), std::nullopt, journal, start)));
    for (int i = 1; i <= 3; ++i) {
      static_cast<void>(co_await first.send(i));
      co_await sleep_for(1ms);
    }
    {
      const Sender<int> dropped = std::move(first);
    }
    for (JoinHandle<void>& handle : handles) co_await std::move(handle);
  };
  Journal journal;
  runtime().block_on(play(relay, &journal));
  EXPECT_EQ(journal.lines(), (Lines{"arrived 1 0", "arrived 2 1", "arrived 3 2"}));
}

// Goal: whatever tasks there are, each sleeps exactly as long as it asked for, and time never goes back. Method: random
// sleeps in many tasks, among them some that only yield.
TEST_P(TestClockTest, EverySleepTakesExactlyWhatItAskedFor) {
  const auto sleeper = [](std::uint32_t seed) -> Task<> {
    std::mt19937 random(seed);
    for (int i = 0; i < 30; ++i) {
      const Milliseconds duration(random() % 5'000);
      const TimePoint before = now();
      co_await sleep_for(duration);
      EXPECT_EQ(now() - before, duration);
      if (random() % 4 == 0) co_await yield_now();
    }
  };
  const auto play = [](auto sleeps) -> Task<> {
    test_clock::pause();
    std::vector<JoinHandle<void>> handles;
    for (std::uint32_t seed = 0; seed < 50; ++seed) handles.push_back(spawn(sleeps(seed)));
    for (JoinHandle<void>& handle : handles) co_await std::move(handle);
  };
  runtime().block_on(play(sleeper));
}

TEST_P(TestClockTest, ResumedItGoesOnFromWhereItIs) {
  const auto play = []() -> Task<> {
    const TimePoint before = now();
    EXPECT_LE(before, std::chrono::steady_clock::now());
    test_clock::pause();
    co_await sleep_for(1h);
    test_clock::resume();
    const TimePoint resumed = now();
    EXPECT_GE(resumed - before, 1h);
    co_await sleep_for(5ms);  // In real time, though the clock is an hour ahead.
    EXPECT_GE(now() - resumed, 5ms);
    EXPECT_GT(now(), std::chrono::steady_clock::now());
    test_clock::pause();
    EXPECT_GE(now() - resumed, 5ms);
    co_await sleep_for(1h);
    EXPECT_GE(now() - resumed, 1h);
  };
  runtime().block_on(play());
}

// The other workers have gone to sleep without an end in sight: the timer of one must wake them.
TEST_P(TestClockTest, ATimerThatStoodStillIsHeardWhenTheClockGoesOn) {
  const auto play = []() -> Task<> {
    test_clock::pause(AutoAdvance::kNo);
    JoinHandle<void> sleeper = spawn([]() -> Task<> { co_await sleep_for(20ms); }());
    for (int i = 0; i < 100; ++i) co_await yield_now();
    EXPECT_FALSE(sleeper.is_finished());
    test_clock::resume();
    co_await std::move(sleeper);
  };
  runtime().block_on(play());
}

TEST_P(TestClockTest, WithoutAutoAdvanceItMovesByAdvanceAloneAlsoFromAPlainThread) {
  test_clock::pause(runtime(), AutoAdvance::kNo);
  Journal journal;
  const auto begin = []() -> Task<TimePoint> { co_return now(); };
  const TimePoint start = runtime().block_on(begin());
  JoinHandle<void> a = runtime().spawn(sleep_and_note(&journal, start, "a", 10s, 10s));
  test_clock::advance(runtime(), 0s);
  EXPECT_EQ(journal.lines(), Lines());
  test_clock::advance(runtime(), 15s);
  EXPECT_EQ(journal.lines(), (Lines{"a 10000"}));
  EXPECT_FALSE(a.is_finished());
  test_clock::advance(runtime(), 5s);
  EXPECT_EQ(journal.lines(), (Lines{"a 10000", "a 20000"}));
  test_clock::resume(runtime());
}

TEST_P(TestClockTest, ABlockingJobHoldsTheJumpUpAndAnAdvanceDoesNotWaitForIt) {
  const auto play = []() -> Task<> {
    test_clock::pause();
    const TimePoint start = now();
    std::latch gate(1);
    auto job = spawn_blocking([&gate] { gate.wait(); });
    Event slept;
    const auto sleep = [](Event* event) -> Task<> {
      co_await sleep_for(1h);
      event->set();
    };
    JoinHandle<void> sleeper = spawn(sleep(&slept));
    co_await test_clock::advance(30min);
    EXPECT_EQ(since(start), 30min);
    EXPECT_FALSE(slept.is_set());
    gate.count_down();
    co_await std::move(job);
    EXPECT_EQ(since(start), 30min);  // The job has ended before anybody could move the clock.
    co_await slept.wait();
    EXPECT_EQ(since(start), 1h);
    co_await std::move(sleeper);
  };
  runtime().block_on(play());
}

TEST_P(TestClockTest, AnOperationOnAFileIsNotOvertakenByTime) {
  const auto play = []() -> Task<> {
    test_clock::pause();
    const TimePoint start = now();
    JoinHandle<void> sleeper = spawn([]() -> Task<> { co_await sleep_for(1h); }());
    for (int i = 0; i < 10; ++i) {
      auto file = co_await File::open("/proc/self/status");
      EXPECT_TRUE(file.ok()) << file.status();
      EXPECT_TRUE((co_await (*file).close()).ok());
    }
    EXPECT_EQ(since(start), 0ms);
    co_await std::move(sleeper);
    EXPECT_EQ(since(start), 1h);
  };
  runtime().block_on(play());
}

// On either engine: what waits for a peer takes no time of its own.
TEST(TestClockSocketTest, AWaitingSocketDoesNotHoldTheJumpUp) {
  const auto play = []() -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    auto accepting = spawn(listener->accept());
    test_clock::pause();
    const TimePoint start = now();
    co_await sleep_for(24h);
    EXPECT_EQ(since(start), 24h);
    accepting.abort();
    const auto accepted = co_await std::move(accepting).result();
    EXPECT_TRUE(accepted.cancelled());
    co_await sleep_for(24h);
    EXPECT_EQ(since(start), 48h);
  };
  for (const SocketEngine engine : {SocketEngine::kReadiness, SocketEngine::kCompletion}) {
    for (const int workers : {1, 2, 4}) {
      Runtime runtime({.worker_threads = workers, .socket_engine = engine});
      runtime.block_on(play());
    }
  }
}

// Goal: time does not overtake what a socket has. Method: its reader waits under a timeout, and is written to by a
// worker that falls asleep at once, perhaps before the one that sleeps in the kernel has come out. While the blocking
// job is under way the workers fall asleep, and the clock may not move yet.
TEST(TestClockSocketTest, AnEventThatNobodyHasFetchedYetIsNotOvertakenByTime) {
  const auto read_late = [](UnixStream* stream) -> Task<bool> {
    const auto read = [](UnixStream* from) -> Task<bool> {
      std::array<std::byte, 1> byte{};
      const absl::StatusOr<std::size_t> count = co_await from->read(byte);
      co_return count.value_or(0) == 1;
    };
    const absl::StatusOr<bool> in_time = co_await timeout(1s, read(stream));
    co_return in_time.value_or(false);
  };
  const auto play = [](auto reads) -> Task<> {
    auto pair = UnixStream::pair();
    test_clock::pause();
    for (int i = 0; i < 500; ++i) {
      JoinHandle<bool> reader = spawn(reads(&pair->first));
      JoinHandle<void> job = spawn_blocking([] {});
      co_await std::move(job);
      const std::array<std::byte, 1> one{};
      const absl::Status written = co_await pair->second.write_all(one);
      EXPECT_TRUE(written.ok()) << written;
      const bool read = co_await std::move(reader);
      EXPECT_TRUE(read) << i;
    }
    test_clock::resume();
  };
  for (const int workers : {1, 2, 3, 4}) {
    Runtime runtime({.worker_threads = workers, .socket_engine = SocketEngine::kReadiness});
    runtime.block_on(play(read_late));
  }
}

TEST_P(TestClockTest, SeveralMayAdvanceAndAnAbortedOneLeavesTheClockWhereItIs) {
  const auto advances = [](Journal* journal, TimePoint start, Milliseconds duration) -> Task<> {
    co_await test_clock::advance(duration);
    journal->note("advanced", start);
  };
  const auto play = [](auto advance, Journal* journal) -> Task<> {
    test_clock::pause();
    const TimePoint start = now();
    JoinHandle<void> a = spawn(advance(journal, start, 30s));
    JoinHandle<void> b = spawn(advance(journal, start, 10s));
    JoinHandle<void> c = spawn(advance(journal, start, 1h));
    co_await test_clock::advance(20s);
    c.abort();
    co_await std::move(a);
    co_await std::move(b);
    const JoinResult<void> result = co_await std::move(c).result();
    EXPECT_TRUE(result.cancelled());
    EXPECT_EQ(since(start), 30s);
  };
  Journal journal;
  runtime().block_on(play(advances, &journal));
  EXPECT_EQ(journal.lines(), (Lines{"advanced 10000", "advanced 30000"}));
}

TEST_P(TestClockTest, ARuntimeCanBeShutDownWhileItsClockStands) {
  const auto play = []() -> Task<> {
    test_clock::pause(AutoAdvance::kNo);
    static_cast<void>(spawn([]() -> Task<> { co_await sleep_for(1h); }()));
    co_return;
  };
  runtime().block_on(play());
  EXPECT_TRUE(runtime().shutdown(std::chrono::hours(1)));
}

SKUA_TEST_ALL_RUNTIMES(TestClockTest);

Task<> call(void (*function)()) {
  function();
  co_return;
}

TEST(TestClockDeathTest, MisuseEndsTheProcessWithAMessage) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const RuntimeOptions options{.flavor = Flavor::kCurrentThread};
  EXPECT_DEATH(run([]() -> Task<> { co_await test_clock::advance(1s); }(), options),
               "the clock is not paused");
  EXPECT_DEATH(run(call([] { test_clock::resume(); }), options), "the clock is not paused");
  EXPECT_DEATH(run(call([] {
                     test_clock::pause();
                     test_clock::pause();
                   }),
                   options),
               "paused already");
  EXPECT_DEATH(static_cast<void>(test_clock::advance(-1ms)), "does not go back");
  EXPECT_DEATH(test_clock::pause(), "outside a runtime");
}

}  // namespace
}  // namespace skua
