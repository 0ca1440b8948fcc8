// SPDX-License-Identifier: Apache-2.0
#include "time/timer_wheel.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace skua::internal {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kDay = 24 * 3600 * 1000 * kMs;
constexpr std::int64_t kTopSpanNs = (std::int64_t{1} << 36) * kMs;

// The deadlines of what `wheel` gives out at `now_ns`, in order.
std::vector<std::int64_t> expire(TimerWheel& wheel, std::int64_t now_ns) {
  TimerList due;
  const std::size_t count = wheel.expire(now_ns, due);
  std::vector<std::int64_t> deadlines;
  while (TimerNode* const node = due.pop_front()) {
    EXPECT_EQ(node->state, TimerNode::State::kFiring);
    deadlines.push_back(node->deadline_ns);
  }
  EXPECT_EQ(count, deadlines.size());
  return deadlines;
}

using Deadlines = std::vector<std::int64_t>;

TEST(TimerWheelTest, AnEmptyWheelHasNoDeadline) {
  TimerWheel wheel(12345 * kMs);
  EXPECT_EQ(wheel.next_deadline_ns(), kNeverNs);
  EXPECT_EQ(expire(wheel, kNeverNs), Deadlines{});
}

TEST(TimerWheelTest, ADeadlineIsRoundedUpToTheNextTickAndNeverFiresEarly) {
  TimerWheel wheel(0);
  TimerNode node(5 * kMs + 1);
  wheel.insert(&node);
  EXPECT_EQ(wheel.next_deadline_ns(), 6 * kMs);
  EXPECT_EQ(expire(wheel, 5 * kMs + 1), Deadlines{});
  EXPECT_EQ(expire(wheel, 6 * kMs - 1), Deadlines{});
  EXPECT_EQ(expire(wheel, 6 * kMs), Deadlines{5 * kMs + 1});
  EXPECT_EQ(wheel.next_deadline_ns(), kNeverNs);
}

TEST(TimerWheelTest, ADeadlineOnATickFiresAtThatTick) {
  TimerWheel wheel(0);
  TimerNode node(5 * kMs);
  wheel.insert(&node);
  EXPECT_EQ(expire(wheel, 5 * kMs - 1), Deadlines{});
  EXPECT_EQ(expire(wheel, 5 * kMs), Deadlines{5 * kMs});
}

TEST(TimerWheelTest, ADeadlineThatHasPassedFiresAtTheNextLook) {
  TimerWheel wheel(100 * kMs);
  TimerNode past(50 * kMs);
  TimerNode before_time(-7);
  wheel.insert(&past);
  EXPECT_LE(wheel.next_deadline_ns(), 100 * kMs);
  wheel.insert(&before_time);
  EXPECT_EQ(expire(wheel, 100 * kMs), (Deadlines{50 * kMs, -7}));
  EXPECT_EQ(wheel.size(), 0u);
}

TEST(TimerWheelTest, AnEarlierNowCountsAsTheLatestOneSeen) {
  TimerWheel wheel(0);
  EXPECT_EQ(expire(wheel, 1000 * kMs), Deadlines{});
  TimerNode node(900 * kMs);
  wheel.insert(&node);
  EXPECT_EQ(expire(wheel, 10 * kMs), Deadlines{900 * kMs});
}

TEST(TimerWheelTest, NextDeadlineIsExactOnEveryLevel) {
  for (int bit = 0; bit < 43; ++bit) {
    TimerWheel wheel(777 * kMs);
    const std::int64_t deadline_ns = (778 + (std::int64_t{1} << bit)) * kMs;
    TimerNode later(deadline_ns + kMs);
    TimerNode node(deadline_ns);
    wheel.insert(&later);
    wheel.insert(&node);
    EXPECT_EQ(wheel.next_deadline_ns(), deadline_ns) << bit;
    EXPECT_EQ(expire(wheel, deadline_ns - 1), Deadlines{}) << bit;
    EXPECT_EQ(wheel.next_deadline_ns(), deadline_ns) << bit;
    EXPECT_EQ(expire(wheel, deadline_ns), Deadlines{deadline_ns}) << bit;
    EXPECT_EQ(wheel.next_deadline_ns(), deadline_ns + kMs) << bit;
    wheel.remove(&later);
  }
}

TEST(TimerWheelTest, EqualDeadlinesFireInTheOrderOfInsertionWhateverLevelTheyCameFrom) {
  TimerWheel wheel(0);
  TimerNode far(100'000 * kMs);
  TimerNode middle(100'000 * kMs - 1);  // The same tick, told apart by the ns.
  TimerNode near(100'000 * kMs - 2);
  wheel.insert(&far);
  EXPECT_EQ(expire(wheel, 90'000 * kMs), Deadlines{});
  wheel.insert(&middle);
  EXPECT_EQ(expire(wheel, 99'999 * kMs), Deadlines{});
  wheel.insert(&near);
  EXPECT_EQ(expire(wheel, 100'000 * kMs),
            (Deadlines{100'000 * kMs, 100'000 * kMs - 1, 100'000 * kMs - 2}));
}

TEST(TimerWheelTest, DeadlinesBeyondTheTopLevelAreKeptAndComeDown) {
  TimerWheel wheel(3 * kMs);
  TimerNode next_span(kTopSpanNs + 5 * kMs);
  TimerNode second_span(2 * kTopSpanNs);
  TimerNode never(kNeverNs);
  wheel.insert(&never);
  wheel.insert(&second_span);
  wheel.insert(&next_span);
  EXPECT_EQ(wheel.next_deadline_ns(), kTopSpanNs + 5 * kMs);
  EXPECT_EQ(expire(wheel, kTopSpanNs + 5 * kMs - 1), Deadlines{});
  EXPECT_EQ(expire(wheel, kTopSpanNs + 5 * kMs), Deadlines{kTopSpanNs + 5 * kMs});
  EXPECT_EQ(wheel.next_deadline_ns(), 2 * kTopSpanNs);
  EXPECT_EQ(expire(wheel, kTopSpanNs + kDay), Deadlines{});
  EXPECT_EQ(expire(wheel, 5 * kTopSpanNs), Deadlines{2 * kTopSpanNs});
  EXPECT_EQ(wheel.next_deadline_ns(), kNeverNs);
  EXPECT_EQ(expire(wheel, kNeverNs), Deadlines{});
  EXPECT_EQ(wheel.size(), 1u);
  wheel.remove(&never);
}

TEST(TimerWheelTest, AJumpOverEverythingFiresEverythingByDeadline) {
  TimerWheel wheel(0);
  std::deque<TimerNode> nodes;
  Deadlines wanted;
  for (std::int64_t deadline_ns = kMs; deadline_ns < kNeverNs / 3; deadline_ns *= 3) {
    wanted.push_back(deadline_ns);
    nodes.emplace_back(deadline_ns);
  }
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) wheel.insert(&*node);
  EXPECT_EQ(expire(wheel, kNeverNs - 1), wanted);
}

TEST(TimerWheelTest, AnEarlyHintAfterARemovalIsCorrectedByTheNextLook) {
  TimerWheel wheel(0);
  TimerNode early(200 * kMs);
  TimerNode late(210 * kMs);  // In the same slot of level 1: 192 to 255 ms.
  wheel.insert(&early);
  wheel.insert(&late);
  wheel.remove(&early);
  EXPECT_EQ(early.state, TimerNode::State::kIdle);
  const std::int64_t hint_ns = wheel.next_deadline_ns();
  EXPECT_LE(hint_ns, 210 * kMs);
  EXPECT_EQ(expire(wheel, hint_ns), Deadlines{});
  EXPECT_EQ(wheel.next_deadline_ns(), 210 * kMs);
  wheel.remove(&late);
  EXPECT_EQ(wheel.next_deadline_ns(), kNeverNs);
}

// Goal: the wheel does what a sorted map does. Method: random inserts, removals and advances, of
// which some are within a tick, some cross every level, and some start near a boundary at which all
// digits roll over. Each look compares what fires, in which order, and the next deadline.
class TimerWheelModelTest : public testing::TestWithParam<std::int64_t> {};

TEST_P(TimerWheelModelTest, BehavesAsASortedMap) {
  const char* const seed_text = std::getenv("SKUA_SEED");
  const std::uint64_t seed =
      seed_text != nullptr ? std::strtoull(seed_text, nullptr, 0) : std::random_device{}();
  SCOPED_TRACE("reproduce with SKUA_SEED=" + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t bound) {
    return static_cast<std::int64_t>(random() % bound);
  };
  // A distance in ns with a uniformly drawn magnitude, from 1 ns to 2^top_bit ns.
  const auto distance_ns = [&](unsigned top_bit) {
    return below(std::uint64_t{1} << below(top_bit + 1)) + below(2);
  };
  const auto tick_of = [](std::int64_t deadline_ns) {
    return deadline_ns <= 0 ? 0 : deadline_ns / kMs + (deadline_ns % kMs != 0 ? 1 : 0);
  };

  std::int64_t now_ns = GetParam();
  TimerWheel wheel(now_ns);
  std::multimap<std::int64_t, std::unique_ptr<TimerNode>> model;  // By tick; equal ones in order.
  std::size_t removed_since_look = 0;

  for (int step = 0; step < 20'000; ++step) {
    const std::int64_t action = below(10);
    if (action < 5 || model.empty()) {
      const std::int64_t ahead_ns = distance_ns(58);
      const std::int64_t deadline_ns = now_ns > kNeverNs - ahead_ns ? kNeverNs : now_ns + ahead_ns;
      auto node =
          std::make_unique<TimerNode>(below(20) == 0 ? now_ns - below(5 * kMs) : deadline_ns);
      wheel.insert(node.get());
      // Overdue ones fire in the order of their insertion, before all others.
      const std::int64_t tick = std::max(tick_of(node->deadline_ns), now_ns / kMs);
      model.emplace(tick, std::move(node));
    } else if (action < 7) {
      auto victim = std::next(model.begin(), below(std::min<std::size_t>(model.size(), 50)));
      wheel.remove(victim->second.get());
      model.erase(victim);
      ++removed_since_look;
    } else {
      if (below(3) == 0 && !model.empty() && model.begin()->first <= kNeverNs / kMs) {
        now_ns = std::max(now_ns, model.begin()->first * kMs - below(2));
      } else {
        const std::int64_t ahead_ns = distance_ns(below(8) == 0 ? 56 : 32);
        if (now_ns < kNeverNs - ahead_ns) now_ns += ahead_ns;
      }
      TimerList due;
      const std::size_t count = wheel.expire(now_ns, due);
      std::size_t seen = 0;
      while (TimerNode* const node = due.pop_front()) {
        ASSERT_FALSE(model.empty());
        ASSERT_EQ(node, model.begin()->second.get()) << "step " << step;
        ASSERT_LE(node->deadline_ns, now_ns) << "fired early";
        model.erase(model.begin());
        ++seen;
      }
      ASSERT_EQ(count, seen);
      ASSERT_TRUE(model.empty() || model.begin()->first > now_ns / kMs) << "fired late";
      removed_since_look = 0;
    }
    ASSERT_EQ(wheel.size(), model.size());
    std::int64_t next_ns = kNeverNs;
    if (!model.empty() && model.begin()->first <= kNeverNs / kMs) {
      next_ns = model.begin()->first * kMs;
    }
    if (removed_since_look == 0 && next_ns > now_ns) {
      // Exact for what no removal has blurred; an earlier removal may have left a hint on any slot.
      ASSERT_LE(wheel.next_deadline_ns(), next_ns);
      ASSERT_GT(wheel.next_deadline_ns(), now_ns / kMs * kMs)
          << "a hint that would be busy waiting";
    } else {
      ASSERT_LE(wheel.next_deadline_ns(), std::max(next_ns, now_ns));
    }
  }
  for (const auto& [tick, node] : model) wheel.remove(node.get());
  EXPECT_EQ(wheel.size(), 0u);
  EXPECT_EQ(wheel.next_deadline_ns(), kNeverNs);
}

INSTANTIATE_TEST_SUITE_P(Starts, TimerWheelModelTest,
                         testing::Values(0, 1, 64 * kMs - 1, 4096 * kMs - 3, kTopSpanNs - 1,
                                         kTopSpanNs - 40 * kDay, 7 * kTopSpanNs + 12345,
                                         kNeverNs - 400 * kDay));

}  // namespace
}  // namespace skua::internal
