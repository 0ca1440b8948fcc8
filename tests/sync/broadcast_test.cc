// SPDX-License-Identifier: Apache-2.0
//
// What goes to all: broadcast, and watch.
#include "skua/sync/broadcast.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/spawn.h"
#include "skua/sync/watch.h"
#include "skua/task.h"
#include "tests/support/abort_script.h"
#include "tests/support/manual_executor.h"
#include "tests/support/manual_fixture.h"

namespace skua {
namespace {

using test::ManualExecutor;
using Values = std::vector<int>;

class BroadcastTest : public test::ManualTest {};
using WatchTest = BroadcastTest;

// Notes values, and -n for n that were missed.
Task<> receive_all(BroadcastReceiver<int> rx, Values* received) {
  while (const BroadcastResult<int> value = co_await rx.recv()) {
    if (value.missed() > 0) received->push_back(-static_cast<int>(value.missed()));
    received->push_back(*value);
  }
  received->push_back(0);
}

TEST_F(BroadcastTest, EveryReceiverGetsEveryValueFromItsSubscriptionOn) {
  auto [tx, rx] = broadcast<int>(8);
  Values a;
  Values b;
  Values c;
  EXPECT_EQ(tx.send(1), 1u);
  BroadcastReceiver<int> copy = rx;
  EXPECT_EQ(tx.send(2), 2u);
  auto of_a = spawn(receive_all(std::move(rx), &a));
  auto of_b = spawn(receive_all(std::move(copy), &b));
  auto of_c = spawn(receive_all(tx.subscribe(), &c));
  executor_.drain();
  EXPECT_EQ(tx.send(3), 3u);
  executor_.drain();
  const BroadcastSender<int> other = tx;
  tx = other;
  EXPECT_EQ(other.send(4), 3u);
  {
    const auto dropped = std::pair(std::move(tx), other);
  }
  executor_.drain();
  EXPECT_FALSE(of_a.is_finished());
  of_c.abort();
  executor_.drain();
  EXPECT_EQ(other.send(5), 2u);
  executor_.drain();
  EXPECT_EQ(a, (Values{1, 2, 3, 4, 5}));
  EXPECT_EQ(b, (Values{1, 2, 3, 4, 5}));
  EXPECT_EQ(c, (Values{3, 4}));
  of_a.abort();
  of_b.abort();
  executor_.drain();
  EXPECT_EQ(other.send(6), 0u);
}

TEST_F(BroadcastTest, ASlowReceiverIsToldHowManyItHasMissed) {
  auto [tx, rx] = broadcast<int>(2);
  for (int i = 1; i <= 5; ++i) tx.send(i);
  BroadcastResult<int> first = rx.try_recv();
  EXPECT_EQ(*first, 4);
  EXPECT_EQ(first.missed(), 3u);
  const BroadcastResult<int> second = rx.try_recv();
  EXPECT_EQ(*second, 5);
  EXPECT_EQ(second.missed(), 0u);
  EXPECT_FALSE(rx.try_recv().has_value());
  EXPECT_FALSE(rx.is_closed());
  // A task that was woken and has not run yet may miss values, too.
  Values received;
  auto task = spawn(receive_all(rx, &received));
  executor_.drain();
  for (int i = 6; i <= 9; ++i) tx.send(i);
  {
    const BroadcastSender<int> dropped = std::move(tx);
  }
  executor_.drain();
  EXPECT_EQ(received, (Values{-2, 8, 9, 0}));
  EXPECT_FALSE(rx.is_closed());  // Its own position is before 6.
  EXPECT_EQ(*rx.try_recv(), 8);
  EXPECT_EQ(rx.try_recv().missed(), 0u);
  EXPECT_TRUE(rx.is_closed());
}

struct ThrowingCopy {
  ThrowingCopy() = default;
  ThrowingCopy(ThrowingCopy&&) noexcept = default;
  ThrowingCopy(const ThrowingCopy& other) : fails(other.fails) {
    if (fails != nullptr && *fails) throw std::runtime_error("no copy");
  }
  ThrowingCopy& operator=(ThrowingCopy&&) noexcept = default;
  const bool* fails = nullptr;
};

TEST_F(BroadcastTest, AValueWhoseCopyThrowsCanBeReceivedAgain) {
  auto [tx, rx] = broadcast<ThrowingCopy>(2);
  bool fails = true;
  ThrowingCopy value;
  value.fails = &fails;
  tx.send(std::move(value));
  EXPECT_THROW(static_cast<void>(rx.try_recv()), std::runtime_error);
  fails = false;
  EXPECT_TRUE(rx.try_recv().has_value());
  EXPECT_FALSE(rx.try_recv().has_value());
}

struct BroadcastScript {
  std::vector<Task<>> tasks() {
    auto [tx, rx] = broadcast<int>(16);
    const auto send = [](BroadcastSender<int> to, int first) -> Task<> {
      for (int i = 0; i < 3; ++i) {
        to.send(first + i);
        co_await yield_now();
      }
    };
    std::vector<Task<>> tasks;
    tasks.push_back(receive_all(rx, &received[0]));
    tasks.push_back(send(tx, 1));
    tasks.push_back(receive_all(rx, &received[1]));
    tasks.push_back(send(tx, 11));
    return tasks;
  }
  void check(std::size_t victim, bool cancelled) {
    if (cancelled && victim == 0) {
      EXPECT_EQ(received[1].size(), 7u);
    } else if (cancelled && victim == 2) {
      EXPECT_EQ(received[0].size(), 7u);
    } else {
      EXPECT_EQ(received[0], received[1]);
      EXPECT_GE(received[0].size(), 4u);
    }
  }
  Values received[2];
};

TEST_F(BroadcastTest, AnAbortAtAnyMomentTakesNothingFromTheOthers) {
  EXPECT_GT(test::abort_everywhere<BroadcastScript>(), 10u);
  EXPECT_GT(test::abort_everywhere<BroadcastScript>(1), 10u);
}

// Goal: the ring does what a std::deque does that drops its front. Method: random sends, receives and subscriptions.
TEST_F(BroadcastTest, ABroadcastDoesWhatADequeWouldDo) {
  constexpr std::size_t kCapacity = 5;
  std::mt19937 random(1);
  auto [tx, first] = broadcast<int>(kCapacity);
  std::vector<BroadcastReceiver<int>> receivers{first};
  std::vector<std::size_t> positions{0};
  std::deque<int> model;
  std::size_t dropped = 0;
  for (int step = 0; step < 5'000; ++step) {
    const std::size_t i = random() % receivers.size();
    switch (random() % 8) {
      case 0:
        if (receivers.size() < 6) {
          receivers.push_back(step % 2 == 0 ? tx.subscribe() : receivers[i]);
          positions.push_back(step % 2 == 0 ? dropped + model.size() : positions[i]);
        }
        break;
      case 1:
      case 2:
      case 3:
        tx.send(step);
        model.push_back(step);
        if (model.size() > kCapacity) {
          model.pop_front();
          ++dropped;
        }
        break;
      default: {
        const BroadcastResult<int> got = receivers[i].try_recv();
        const std::size_t number = std::max(positions[i], dropped);
        if (number == dropped + model.size()) {
          EXPECT_FALSE(got.has_value());
          break;
        }
        ASSERT_TRUE(got.has_value());
        EXPECT_EQ(got.missed(), number - positions[i]);
        EXPECT_EQ(*got, model[number - dropped]);
        positions[i] = number + 1;
      }
    }
  }
}

// Goal: between threads, each receiver sees the values in order, and counts right what it missed. Method: the sum of
// what was received and missed is what was sent.
TEST_F(BroadcastTest, ReceivedAndMissedAddUpBetweenThreads) {
  constexpr int kValues = 5'000;
  auto [tx, rx] = broadcast<int>(4);
  const auto count = [](BroadcastReceiver<int> from, std::uint64_t* total) -> Task<> {
    int last = 0;
    while (const BroadcastResult<int> value = co_await from.recv()) {
      EXPECT_EQ(*value, last + static_cast<int>(value.missed()) + 1);
      last = *value;
      *total += value.missed() + 1;
    }
  };
  std::uint64_t of_task = 0;
  std::uint64_t of_thread = 0;
  auto task = spawn(count(rx, &of_task));
  std::thread receiver([&of_thread, end = std::move(rx)]() mutable {
    while (const BroadcastResult<int> value = end.blocking_recv()) of_thread += value.missed() + 1;
  });
  std::thread sender([end = std::move(tx)] {
    for (int i = 1; i <= kValues; ++i) end.send(i);
  });
  while (executor_.ended() < 1) {
    if (!executor_.run_one()) std::this_thread::yield();
  }
  sender.join();
  receiver.join();
  EXPECT_EQ(of_task, static_cast<std::uint64_t>(kValues));
  EXPECT_EQ(of_thread, static_cast<std::uint64_t>(kValues));
}

// --- Watch ----------------------------------------------------------------------------------------

Task<> follow(WatchReceiver<std::string> rx, std::vector<std::string>* seen) {
  while (co_await rx.changed()) {
    std::string value = rx.get();  // GCC 12 needs a local variable: docs/compilers.md.
    seen->push_back(std::move(value));
  }
  seen->push_back("end");
}

TEST_F(WatchTest, AReceiverSeesTheLatestValueAndOnce) {
  auto [tx, rx] = watch<std::string>("a");
  EXPECT_EQ(rx.get(), "a");
  EXPECT_FALSE(rx.has_changed());
  std::vector<std::string> seen;
  auto task = spawn(follow(rx, &seen));
  executor_.drain();
  EXPECT_TRUE(seen.empty());
  EXPECT_TRUE(tx.send("b"));
  EXPECT_TRUE(tx.send("c"));
  executor_.drain();
  EXPECT_EQ(seen, (std::vector<std::string>{"c"}));
  EXPECT_TRUE(rx.has_changed());
  EXPECT_EQ(tx.get(), "c");
  WatchReceiver<std::string> late = tx.subscribe();
  EXPECT_FALSE(late.has_changed());
  late = rx;
  EXPECT_TRUE(late.has_changed());
  EXPECT_EQ(late.get(), "c");
  EXPECT_FALSE(late.has_changed());
  tx.send("d");
  const WatchSender<std::string> other = tx;
  {
    const auto dropped = std::move(tx);
  }
  executor_.drain();
  EXPECT_FALSE(task.is_finished());
  task.abort();
  executor_.drain();
  EXPECT_TRUE(task.is_finished());
  EXPECT_FALSE(other.is_closed());
  {
    const auto dropped = std::pair(std::move(rx), std::move(late));
  }
  EXPECT_TRUE(other.is_closed());
  EXPECT_FALSE(other.send("e"));
  EXPECT_EQ(other.get(), "e");
}

TEST_F(WatchTest, TheLastSendersDropIsHeardAfterItsLastValue) {
  auto [tx, rx] = watch<std::string>("a");
  std::vector<std::string> seen;
  auto task = spawn(follow(std::move(rx), &seen));
  executor_.drain();
  tx.send("b");
  {
    const auto dropped = std::move(tx);
  }
  executor_.drain();
  EXPECT_EQ(seen, (std::vector<std::string>{"b", "end"}));
}

struct WatchScript {
  static Task<> follow_to_end(WatchReceiver<int> rx, int* last) {
    while (co_await rx.changed()) {
      const int value = rx.get();
      EXPECT_GT(value, *last);
      *last = value;
    }
  }
  std::vector<Task<>> tasks() {
    auto [tx, rx] = watch<int>(0);
    tx.send(1);
    std::vector<Task<>> tasks;
    tasks.push_back(follow_to_end(rx, &last[0]));
    tasks.push_back([](WatchSender<int> to) -> Task<> {
      for (int i = 2; i < 5; ++i) {
        to.send(i);
        co_await yield_now();
      }
    }(std::move(tx)));
    tasks.push_back(follow_to_end(rx, &last[1]));
    return tasks;
  }
  void check(std::size_t victim, bool cancelled) {
    const int least = cancelled && victim == 1 ? 1 : 4;
    EXPECT_GE(last[0], cancelled && victim == 0 ? 0 : least);
    EXPECT_GE(last[1], cancelled && victim == 2 ? 0 : least);
  }
  int last[2] = {};
};

TEST_F(WatchTest, AnAbortAtAnyMomentTakesNothingFromTheOthers) {
  EXPECT_GT(test::abort_everywhere<WatchScript>(), 5u);
  EXPECT_GT(test::abort_everywhere<WatchScript>(1), 5u);
}

// Goal: a thread and a task that follow see the last value. Method: as it says.
TEST_F(WatchTest, TheLastValueIsSeenByTasksAndThreads) {
  constexpr int kValues = 5'000;
  auto [tx, rx] = watch<int>(0);
  int of_task = 0;
  int of_thread = 0;
  auto task = spawn(WatchScript::follow_to_end(rx, &of_task));
  std::thread follower([&of_thread, end = std::move(rx)]() mutable {
    while (end.blocking_changed()) of_thread = end.get();
  });
  std::thread sender([end = std::move(tx)] {
    for (int i = 1; i <= kValues; ++i) end.send(i);
  });
  while (executor_.ended() < 1) {
    if (!executor_.run_one()) std::this_thread::yield();
  }
  sender.join();
  follower.join();
  EXPECT_EQ(of_task, kValues);
  EXPECT_EQ(of_thread, kValues);
}

// A value with an address to answer to, which is copied under the lock of what it is an end of.
struct Asking {
  std::optional<BroadcastSender<Asking>> broadcast;
  std::optional<WatchSender<Asking>> watch;
  std::optional<BroadcastReceiver<Asking>> answers;
};

TEST(BroadcastCycleTest, AValueMayHoldEndsOfItsOwn) {
  auto [tx, rx] = broadcast<Asking>(2);
  Asking asking;
  asking.broadcast = tx;
  asking.answers = rx;
  EXPECT_EQ(tx.send(asking), 3u);  // Two are in the values themselves.
  EXPECT_TRUE(rx.try_recv()->broadcast.has_value());
  tx.send(Asking());  // Both out of the ring: else they would keep each other.
  tx.send(Asking());

  auto [watch_tx, watch_rx] = watch<Asking>(Asking());
  Asking second;
  second.watch = watch_tx;
  EXPECT_TRUE(watch_tx.send(std::move(second)));
  EXPECT_TRUE(watch_rx.get().watch.has_value());
  watch_tx.send(Asking());
}

}  // namespace
}  // namespace skua
