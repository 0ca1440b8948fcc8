// SPDX-License-Identifier: Apache-2.0
#include "skua/interval.h"

#include <chrono>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/test_clock.h"
#include "skua/time.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using Milliseconds = std::chrono::milliseconds;
using Times = std::vector<std::chrono::nanoseconds>;

class IntervalTest : public test::RuntimeTest {};

struct Tick {
  bool operator==(const Tick&) const = default;
  Milliseconds due;
  Milliseconds taken;
};
std::ostream& operator<<(std::ostream& out, const Tick& tick) {
  return out << tick.due.count() << " at " << tick.taken.count();
}

Milliseconds since(Interval::TimePoint start, Interval::TimePoint time) {
  return std::chrono::duration_cast<Milliseconds>(time - start);
}

// Takes as many ticks as there are delays, and is busy for so long after each.
Task<std::vector<Tick>> take_ticks(Interval interval, Interval::TimePoint start,
                                   std::vector<Milliseconds> delays) {
  std::vector<Tick> ticks;
  for (const Milliseconds delay : delays) {
    const Interval::TimePoint due = co_await interval.tick();
    ticks.push_back({since(start, due), since(start, now())});
    co_await sleep_for(delay);
  }
  co_return ticks;
}

Task<std::vector<Tick>> paused_ticks(MissedTicks missed, std::vector<Milliseconds> delays) {
  test_clock::pause();
  const Interval::TimePoint start = now();
  co_return co_await take_ticks(Interval(100ms, missed), start, std::move(delays));
}

TEST_P(IntervalTest, TheFirstTickComesAtOnceAndTheOthersAPeriodApart) {
  const auto ticks = runtime().block_on(paused_ticks(MissedTicks::kBurst, {0ms, 30ms, 99ms, 0ms}));
  const std::vector<Tick> expected = {{0ms, 0ms}, {100ms, 100ms}, {200ms, 200ms}, {300ms, 300ms}};
  EXPECT_EQ(ticks, expected);
}

TEST_P(IntervalTest, ABurstMakesUpForWhatWasMissed) {
  const auto ticks =
      runtime().block_on(paused_ticks(MissedTicks::kBurst, {250ms, 0ms, 0ms, 0ms, 0ms}));
  const std::vector<Tick> expected = {
      {0ms, 0ms}, {100ms, 250ms}, {200ms, 250ms}, {300ms, 300ms}, {400ms, 400ms}};
  EXPECT_EQ(ticks, expected);
}

TEST_P(IntervalTest, ADelayMovesAllThatFollow) {
  const auto ticks =
      runtime().block_on(paused_ticks(MissedTicks::kDelay, {250ms, 0ms, 103ms, 0ms}));
  // The last one is late, but not by so much that it counts as missed.
  const std::vector<Tick> expected = {{0ms, 0ms}, {100ms, 250ms}, {350ms, 350ms}, {450ms, 453ms}};
  EXPECT_EQ(ticks, expected);
}

TEST_P(IntervalTest, ASkipKeepsTheTimesOfTheOthers) {
  const auto ticks = runtime().block_on(paused_ticks(MissedTicks::kSkip, {250ms, 0ms, 200ms, 0ms}));
  const std::vector<Tick> expected = {{0ms, 0ms}, {100ms, 250ms}, {300ms, 300ms}, {400ms, 500ms}};
  EXPECT_EQ(ticks, expected);
}

TEST_P(IntervalTest, ItBeginsWhenItIsToldAndCanBeReset) {
  const auto play = []() -> Task<> {
    test_clock::pause();
    const Interval::TimePoint start = now();
    Interval interval(start + 40ms, 100ms);
    EXPECT_EQ(interval.period(), 100ms);
    Interval::TimePoint due = co_await interval.tick();
    EXPECT_EQ(since(start, due), 40ms);
    EXPECT_EQ(since(start, now()), 40ms);
    co_await sleep_for(50ms);
    interval.reset();
    due = co_await interval.tick();
    EXPECT_EQ(since(start, due), 190ms);
    interval.reset_now();
    due = co_await interval.tick();
    EXPECT_EQ(since(start, due), 190ms);
    interval.reset_at(start + 1s);
    interval.set_missed_ticks(MissedTicks::kSkip);
    EXPECT_EQ(interval.missed_ticks(), MissedTicks::kSkip);
    due = co_await interval.tick();
    EXPECT_EQ(since(start, due), 1000ms);
    due = co_await interval.tick();
    EXPECT_EQ(since(start, due), 1100ms);
    // What comes after the end of time does not come; nothing overflows.
    Interval never(start, std::chrono::hours::max(), MissedTicks::kDelay);
    due = co_await never.tick();
    EXPECT_EQ(due, start);
  };
  runtime().block_on(play());
}

TEST_P(IntervalTest, AnAbortedWaitLeavesTheTickToTheNextOne) {
  const auto play = []() -> Task<> {
    test_clock::pause();
    const Interval::TimePoint start = now();
    Interval interval(start + 40ms, 100ms);
    const auto wait = [](Interval* of) -> Task<> { co_await of->tick(); };
    JoinHandle<void> waits = spawn(wait(&interval));
    co_await test_clock::advance(20ms);
    waits.abort();
    const JoinResult<void> result = co_await std::move(waits).result();
    EXPECT_TRUE(result.cancelled());
    const Interval::TimePoint due = co_await interval.tick();
    EXPECT_EQ(since(start, due), 40ms);
  };
  runtime().block_on(play());
}

TEST(IntervalDeathTest, APeriodOfZeroIsACallersBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Interval(0ms), "more than zero");
  EXPECT_DEATH(Interval(-1ms), "more than zero");
}

SKUA_TEST_ALL_RUNTIMES(IntervalTest);

}  // namespace
}  // namespace skua
