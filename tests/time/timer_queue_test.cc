// SPDX-License-Identifier: Apache-2.0
#include "time/timer_queue.h"

#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <ratio>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/executor.h"
#include "skua/internal/task_header.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/time.h"
#include "tests/support/manual_executor.h"
#include "time/clock.h"

namespace skua::internal {
namespace {

constexpr std::int64_t kMs = 1'000'000;

using test::ManualExecutor;

// A sleeping task without a coroutine: suspended by hand, never resumed.
struct Sleeper : Waiter {
  Sleeper(ManualExecutor* executor, TimerQueue* timer_queue, std::int64_t deadline_ns)
      : Waiter(&cancel_sleep), queue(timer_queue), node(deadline_ns) {
    header.executor = executor;
    header.worker = &executor->worker(0);
    node.task = &header;
  }

  // What commit_suspend() says.
  bool sleep() {
    header.prepare_suspend(std::noop_coroutine(), this);
    queue->add(&node);
    return header.commit_suspend();
  }

  static CancelOutcome cancel_sleep(Waiter* waiter) noexcept {
    auto* const self = static_cast<Sleeper*>(waiter);
    if (!self->queue->remove(&self->node)) return CancelOutcome::kPending;
    self->removed = true;
    return CancelOutcome::kUnlinked;
  }

  TimerQueue* const queue;
  SpawnedTask header;  // An abort looks at more than the TaskHeader of a root.
  TimerNode node;
  bool removed = false;
};

TEST(TimerQueueTest, FireWakesWhatIsDueByDeadlineAndLeavesTheRest) {
  ManualExecutor executor;
  TimerQueue queue(0, nullptr, nullptr);
  Sleeper late(&executor, &queue, 30 * kMs);
  Sleeper second(&executor, &queue, 20 * kMs);
  Sleeper first(&executor, &queue, 10 * kMs);
  EXPECT_TRUE(late.sleep());
  EXPECT_TRUE(second.sleep());
  EXPECT_TRUE(first.sleep());
  EXPECT_EQ(queue.next_deadline_ns(), 10 * kMs);

  EXPECT_EQ(queue.fire(10 * kMs - 1), 0u);
  EXPECT_EQ(queue.fire(20 * kMs), 2u);
  EXPECT_EQ(executor.pop(), &first.header);
  EXPECT_EQ(executor.pop(), &second.header);
  EXPECT_EQ(executor.pop(), nullptr);
  EXPECT_EQ(queue.next_deadline_ns(), 30 * kMs);
  EXPECT_TRUE(queue.remove(&late.node));
  EXPECT_EQ(queue.next_deadline_ns(), kNeverNs);
}

TEST(TimerQueueTest, ANodeThatHasFiredCannotBeRemoved) {
  ManualExecutor executor;
  TimerQueue queue(0, nullptr, nullptr);
  Sleeper sleeper(&executor, &queue, kMs);
  EXPECT_TRUE(sleeper.sleep());
  EXPECT_EQ(queue.fire(kMs), 1u);
  EXPECT_FALSE(queue.remove(&sleeper.node));
}

TEST(TimerQueueTest, OnlyAnEarlierDeadlineIsAnnounced) {
  ManualExecutor executor;
  std::vector<std::int64_t> announced;
  TimerQueue queue(
      0,
      [](void* arg, std::int64_t deadline_ns) {
        static_cast<std::vector<std::int64_t>*>(arg)->push_back(deadline_ns);
      },
      &announced);
  Sleeper first(&executor, &queue, 10 * kMs);
  Sleeper later(&executor, &queue, 20 * kMs);
  Sleeper same_tick(&executor, &queue, 10 * kMs - 1);
  Sleeper earlier(&executor, &queue, 5 * kMs - 1);
  for (Sleeper* sleeper : {&first, &later, &same_tick, &earlier}) EXPECT_TRUE(sleeper->sleep());
  EXPECT_EQ(announced, (std::vector<std::int64_t>{10 * kMs, 5 * kMs}));
  EXPECT_EQ(queue.fire(100 * kMs), 4u);
}

TEST(TimerQueueTest, FiringBetweenAddAndCommitLetsTheTaskGoOnAtOnce) {
  ManualExecutor executor;
  TimerQueue queue(0, nullptr, nullptr);
  Sleeper sleeper(&executor, &queue, kMs);
  sleeper.header.prepare_suspend(std::noop_coroutine(), &sleeper);
  queue.add(&sleeper.node);
  EXPECT_EQ(queue.fire(kMs), 1u);
  EXPECT_FALSE(sleeper.header.commit_suspend());
  EXPECT_EQ(executor.ready(), 0u);
}

TEST(TimerQueueTest, AnAbortRemovesTheNode) {
  ManualExecutor executor;
  TimerQueue queue(0, nullptr, nullptr);
  Sleeper sleeper(&executor, &queue, kMs);
  EXPECT_TRUE(sleeper.sleep());
  sleeper.header.abort();
  EXPECT_TRUE(sleeper.removed);
  EXPECT_EQ(queue.next_deadline_ns(), kNeverNs);
  EXPECT_EQ(queue.fire(kMs), 0u);
  EXPECT_EQ(executor.ready(), 1u);  // To be destroyed.
}

// Goal: whatever races, a node fires once or is removed once, its task is made ready exactly once,
// and next_deadline_ns() is never too late. Method: one thread adds, one aborts what was added, two
// fire.
TEST(TimerQueueTest, ConcurrentlyEachNodeFiresOnceOrIsRemovedOnce) {
  constexpr std::size_t kSleepers = 20'000;
  ManualExecutor executor;
  TimerQueue queue(0, nullptr, nullptr);
  std::deque<Sleeper> sleepers;
  for (std::size_t i = 0; i < kSleepers; ++i) {
    const auto offset_ms = static_cast<std::int64_t>(i * 7919 % 200);
    sleepers.emplace_back(&executor, &queue, (static_cast<std::int64_t>(i) / 16 + offset_ms) * kMs);
  }

  std::atomic<std::int64_t> clock_ns{0};
  std::atomic<std::size_t> added{0};
  std::atomic<std::size_t> fired{0};
  std::size_t went_on = 0;  // Woken before the commit.
  std::atomic<bool> done{false};

  std::thread adder([&] {
    for (std::size_t i = 0; i < kSleepers; ++i) {
      const std::int64_t deadline_ns = sleepers[i].node.deadline_ns;
      if (!sleepers[i].sleep()) ++went_on;
      // Neither due nor aborted yet, so it is still in the queue.
      if (deadline_ns > clock_ns.load(std::memory_order_relaxed)) {
        EXPECT_LE(queue.next_deadline_ns(), deadline_ns);
      }
      added.store(i + 1, std::memory_order_release);
      clock_ns.store(static_cast<std::int64_t>(i) / 16 * kMs, std::memory_order_release);
    }
  });
  std::thread aborter([&] {
    for (std::size_t i = 0; i < kSleepers; i += 3) {
      while (added.load(std::memory_order_acquire) <= i) std::this_thread::yield();
      sleepers[i].header.abort();
    }
  });
  const auto fire = [&] {
    while (!done.load(std::memory_order_acquire)) {
      fired.fetch_add(queue.fire(clock_ns.load(std::memory_order_acquire)),
                      std::memory_order_relaxed);
      std::this_thread::yield();
    }
  };
  std::thread firer_a(fire);
  std::thread firer_b(fire);
  adder.join();
  aborter.join();
  done.store(true, std::memory_order_release);
  firer_a.join();
  firer_b.join();
  fired.fetch_add(queue.fire(kNeverNs - 1), std::memory_order_relaxed);

  std::size_t removed = 0;
  for (const Sleeper& sleeper : sleepers) removed += sleeper.removed ? 1 : 0;
  EXPECT_EQ(fired.load(std::memory_order_relaxed) + removed, kSleepers);
  EXPECT_EQ(queue.next_deadline_ns(), kNeverNs);

  std::size_t ready = 0;
  while (TaskHeader* const task = executor.pop()) {
    ++ready;
    ASSERT_FALSE(task->killed);  // Marks what was seen.
    task->killed = true;
  }
  EXPECT_EQ(ready + went_on, kSleepers);
  RecordProperty("removed", static_cast<int>(removed));
}

// --- sleep_for, sleep_until ---------------------------------------------------------------------

class SleepTest : public testing::Test {
 protected:
  SleepTest() { set_current_timer_queue(&queue_); }
  ~SleepTest() override { set_current_timer_queue(nullptr); }

  std::int64_t start_ns_ = now_ns();
  ManualExecutor executor_;
  TimerQueue queue_{start_ns_, nullptr, nullptr};
};

Task<> sleep_then_set(std::chrono::nanoseconds duration, bool* woke) {
  co_await sleep_for(duration);
  *woke = true;
}

TEST_F(SleepTest, SleepForSuspendsUntilTheDeadline) {
  bool woke = false;
  auto handle = spawn_on(executor_, sleep_then_set(std::chrono::seconds(100), &woke), {});
  executor_.drain();
  EXPECT_FALSE(woke);
  EXPECT_GE(queue_.next_deadline_ns(), start_ns_ + 100'000 * kMs);
  EXPECT_EQ(queue_.fire(start_ns_ + 99'999 * kMs), 0u);
  EXPECT_EQ(queue_.fire(queue_.next_deadline_ns()), 1u);
  executor_.drain();
  EXPECT_TRUE(woke);
  EXPECT_TRUE(handle.is_finished());
}

TEST_F(SleepTest, NothingToSleepCompletesWithoutSuspending) {
  bool woke = false;
  auto zero = spawn_on(executor_, sleep_then_set(std::chrono::nanoseconds(0), &woke), {});
  EXPECT_TRUE(executor_.run_one());
  EXPECT_TRUE(woke);
  woke = false;
  auto negative = spawn_on(executor_, sleep_then_set(std::chrono::nanoseconds::min(), &woke), {});
  EXPECT_TRUE(executor_.run_one());
  EXPECT_TRUE(woke);
  EXPECT_EQ(queue_.next_deadline_ns(), kNeverNs);
}

Task<> sleep_for_ever() { co_await sleep_for(std::chrono::hours::max()); }

TEST_F(SleepTest, AnAbortEndsASleepForEver) {
  auto handle = spawn_on(executor_, sleep_for_ever(), {});
  executor_.drain();
  EXPECT_EQ(queue_.next_deadline_ns(), kNeverNs);
  handle.abort();
  executor_.drain();
  EXPECT_TRUE(handle.is_finished());
}

Task<> sleep_until_then_set(std::chrono::steady_clock::time_point deadline, bool* woke) {
  co_await sleep_until(deadline);
  *woke = true;
}

TEST_F(SleepTest, SleepUntilTakesTheSteadyClocksTime) {
  const auto deadline =
      std::chrono::steady_clock::time_point(std::chrono::nanoseconds(start_ns_ + 50'000 * kMs));
  bool woke = false;
  auto handle = spawn_on(executor_, sleep_until_then_set(deadline, &woke), {});
  executor_.drain();
  EXPECT_EQ(queue_.fire(start_ns_ + 50'000 * kMs - 1), 0u);
  EXPECT_EQ(queue_.fire(start_ns_ + 50'001 * kMs), 1u);
  executor_.drain();
  EXPECT_TRUE(woke);

  bool past_woke = false;
  auto past = spawn_on(executor_, sleep_until_then_set({}, &past_woke), {});
  EXPECT_TRUE(executor_.run_one());
  EXPECT_TRUE(past_woke);
}

TEST(SleepClockTest, TheClockIsThatOfSteadyClock) {
  const auto read = [] { return std::chrono::steady_clock::now().time_since_epoch(); };
  const std::int64_t before_ns = std::chrono::nanoseconds(read()).count();
  const std::int64_t ours_ns = now_ns();
  EXPECT_LE(before_ns, ours_ns);
  EXPECT_LE(ours_ns, std::chrono::nanoseconds(read()).count());
}

TEST(SleepDurationTest, AnyUnitIsRoundedUpAndSaturates) {
  using std::chrono::duration;
  EXPECT_EQ(saturated_ns(std::chrono::milliseconds(3)), 3 * kMs);
  EXPECT_EQ(saturated_ns(std::chrono::nanoseconds::max()), kNeverNs);
  EXPECT_EQ(saturated_ns(std::chrono::nanoseconds(kNeverNs - 1)), kNeverNs - 1);
  EXPECT_EQ(saturated_ns(std::chrono::hours::max()), kNeverNs);
  EXPECT_EQ(saturated_ns(std::chrono::hours::min()), 0);
  EXPECT_EQ(saturated_ns(duration<double>(0.25)), 250 * kMs);
  EXPECT_EQ(saturated_ns(duration<float, std::pico>(1.0F)), 1);
  EXPECT_EQ(saturated_ns(duration<std::int64_t, std::pico>(2001)), 3);
  EXPECT_EQ(saturated_ns(duration<std::uint64_t, std::nano>(1ull << 63)), kNeverNs);
  EXPECT_EQ(saturated_ns(duration<double>(std::numeric_limits<double>::infinity())), kNeverNs);
  EXPECT_EQ(saturated_ns(duration<double>(std::numeric_limits<double>::quiet_NaN())), 0);
  EXPECT_EQ(deadline_after_ns(kNeverNs), kNeverNs);
}

TEST(SleepDeathTest, SleepingOutsideARuntimeSaysSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ManualExecutor executor;
  EXPECT_DEATH(
      {
        auto handle = spawn_on(executor, sleep_for_ever(), {});
        executor.drain();
      },
      "outside a runtime");
}

}  // namespace
}  // namespace skua::internal
