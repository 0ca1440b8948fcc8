// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/select.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "skua/cancellation.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/broadcast.h"
#include "skua/sync/channel.h"
#include "skua/sync/event.h"
#include "skua/sync/latch.h"
#include "skua/sync/mutex.h"
#include "skua/sync/notify.h"
#include "skua/sync/oneshot.h"
#include "skua/sync/semaphore.h"
#include "skua/sync/watch.h"
#include "skua/task.h"
#include "skua/time.h"
#include "tests/support/abort_script.h"
#include "tests/support/leak_check.h"
#include "tests/support/manual_executor.h"
#include "tests/support/runtime_fixture.h"
#include "tests/support/tally.h"
#include "tests/support/tracked.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using test::ManualExecutor;
using test::Tally;
using test::Tracked;

#if SKUA_TSAN || SKUA_ASAN
constexpr int kScale = 1;
#else
constexpr int kScale = 8;
#endif

class SelectTest : public testing::Test {
 protected:
  ~SelectTest() override { EXPECT_EQ(leaks_.report(), ""); }

  JoinHandle<void> start(Task<> task) {
    JoinHandle<void> handle = internal::spawn_on(executor_, std::move(task), {});
    executor_.drain();
    return handle;
  }
  void run(Task<> task) { EXPECT_TRUE(start(std::move(task)).is_finished()); }

  const test::LeakCheck leaks_;
  ManualExecutor executor_;
};

using Got = std::variant<std::optional<int>, std::optional<int>>;

Task<> select_two(const Receiver<int>* a, const Receiver<int>* b, std::vector<std::string>* log) {
  const Got got = co_await select(a->recv(), b->recv());
  const std::optional<int> value = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
  log->push_back((got.index() == 0 ? "a" : "b") + (value ? std::to_string(*value) : "closed"));
}

TEST_F(SelectTest, WhatIsThereIsTakenAndNothingElse) {
  auto [tx_a, a] = channel<int>(4);
  auto [tx_b, b] = channel<int>(4);
  std::vector<std::string> log;
  EXPECT_TRUE(tx_b.try_send(7));
  run(select_two(&a, &b, &log));
  EXPECT_EQ(log, std::vector<std::string>{"b7"});
  EXPECT_TRUE(tx_a.try_send(1));
  EXPECT_TRUE(tx_b.try_send(1));
  run(select_two(&a, &b, &log));
  EXPECT_EQ(a.try_recv().has_value(), log[1] == "b1");
  EXPECT_EQ(b.try_recv().has_value(), log[1] == "a1");
}

TEST_F(SelectTest, ItWaitsInEachLineAndLeavesTheOthersWhenOneHasCome) {
  auto [tx_a, a] = channel<int>(4);
  auto [tx_b, b] = channel<int>(4);
  std::vector<std::string> log;
  JoinHandle<void> first = start(select_two(&a, &b, &log));
  JoinHandle<void> second = start(select_two(&a, &b, &log));
  EXPECT_FALSE(first.is_finished());
  // Both before anybody runs: the first branch of the first to wait has won, so the value of b is the second's.
  EXPECT_TRUE(tx_a.try_send(1));
  EXPECT_TRUE(tx_b.try_send(2));
  executor_.drain();
  EXPECT_TRUE(first.is_finished());
  EXPECT_TRUE(second.is_finished());
  EXPECT_EQ(log, (std::vector<std::string>{"a1", "b2"}));
  // Nobody waits any more.
  EXPECT_TRUE(tx_a.try_send(3));
  EXPECT_TRUE(tx_b.try_send(4));
  EXPECT_EQ(a.try_recv(), 3);
  EXPECT_EQ(b.try_recv(), 4);
}

TEST_F(SelectTest, AClosedChannelIsAResultToo) {
  auto [tx_a, a] = channel<int>(4);
  auto [tx_b, b] = channel<int>(4);
  std::vector<std::string> log;
  JoinHandle<void> waits = start(select_two(&a, &b, &log));
  tx_b.close();
  executor_.drain();
  EXPECT_TRUE(waits.is_finished());
  EXPECT_EQ(log, std::vector<std::string>{"bclosed"});
}

TEST_F(SelectTest, OfSeveralThatAreReadyNoneStarves) {
  std::array<int, 3> wins{};
  const auto play = [](std::array<int, 3>* won) -> Task<> {
    Event a;
    Event b;
    Event c;
    a.set();
    b.set();
    c.set();
    for (int i = 0; i < 3'000; ++i) {
      const auto got = co_await select(a.wait(), b.wait(), c.wait());
      ++(*won)[got.index()];
    }
  };
  run(play(&wins));
  for (const int count : wins) EXPECT_GT(count, 500);
}

// Two that send and receive by selects alone: neither may claim the other and then find itself too late.
TEST_F(SelectTest, SelectsSendToSelects) {
  auto [tx, rx] = channel<int>(1);
  int received = 0;
  int sent = 0;
  const auto sends = [](Sender<int> to, Event* stop, int* count) -> Task<> {
    for (int i = 0; i < 100; ++i) {
      const auto got = co_await select(to.send(1), stop->wait());
      if (got.index() == 0) *count += std::get<0>(got) ? 1 : 0;
    }
  };
  const auto receives = [](Receiver<int> from, Event* stop, int* count) -> Task<> {
    for (;;) {
      const auto got = co_await select(stop->wait(), from.recv());
      if (got.index() == 0 || !std::get<1>(got).has_value()) co_return;
      *count += *std::get<1>(got);
    }
  };
  Event never;
  JoinHandle<void> receiver = start(receives(std::move(rx), &never, &received));
  JoinHandle<void> a = start(sends(tx, &never, &sent));
  JoinHandle<void> b = start(sends(std::move(tx), &never, &sent));
  executor_.drain();
  EXPECT_TRUE(receiver.is_finished());
  EXPECT_EQ(sent, 200);
  EXPECT_EQ(received, 200);
}

TEST_F(SelectTest, AValueThatWasNotSentCanBeKept) {
  auto [tx, rx] = channel<std::string>(1);
  EXPECT_TRUE(tx.try_send("first"));
  const auto play = [](Sender<std::string> to) -> Task<> {
    Event event;
    event.set();
    auto sending = to.send("a text that is too long for the small string optimization");
    const auto got = co_await select(sending, event.wait());
    EXPECT_EQ(got.index(), 1u);
    EXPECT_EQ(sending.take_value().substr(0, 6), "a text");
  };
  run(play(std::move(tx)));
  EXPECT_EQ(rx.try_recv(), "first");
  EXPECT_EQ(rx.try_recv(), std::nullopt);
}

// --- Every kind of operation ------------------------------------------------------------------------

struct Kinds {
  Kinds() { EXPECT_TRUE(full_tx.try_send(0)); }

  ChannelPair<int> values = channel<int>(1);
  ChannelPair<int> full = channel<int>(1);
  Sender<int>& full_tx = full.sender;
  OneshotPair<int> once = oneshot<int>();
  BroadcastPair<int> all = broadcast<int>(4);
  WatchPair<int> latest = watch<int>(0);
  Notify notify;
  Event event;
  Latch latch{1};
  Mutex mutex;
  Semaphore semaphore{0};
  CancellationSource stop;
};
constexpr std::size_t kKinds = 11;

Task<> select_all(Kinds* k, std::optional<std::size_t>* winner) {
  const auto got = co_await select(
      k->values.receiver.recv(), k->full.sender.send(1), k->once.receiver.recv(),
      k->all.receiver.recv(), k->latest.receiver.changed(), k->notify.notified(), k->event.wait(),
      k->latch.wait(), k->mutex.lock(), k->semaphore.acquire(), k->stop.token().cancelled());
  *winner = got.index();
}

// Makes an operation ready. `held` is the lock that keeps the mutex.
void make_ready(Kinds* k, std::size_t kind, std::optional<MutexGuard>* held) {
  switch (kind) {
    case 0:
      EXPECT_TRUE(k->values.sender.try_send(1));
      break;
    case 1:
      EXPECT_EQ(k->full.receiver.try_recv(), 0);
      break;
    case 2:
      EXPECT_TRUE(k->once.sender.send(1));
      break;
    case 3:
      EXPECT_EQ(k->all.sender.send(1), 1u);
      break;
    case 4:
      EXPECT_TRUE(k->latest.sender.send(1));
      break;
    case 5:
      k->notify.notify_one();
      break;
    case 6:
      k->event.set();
      break;
    case 7:
      k->latch.count_down();
      break;
    case 8:
      held->reset();
      break;
    case 9:
      k->semaphore.add_permits(1);
      break;
    default:
      k->stop.cancel();
      break;
  }
}

// Whether what was made ready is still there for whoever comes next.
void expect_untouched(Kinds* k, std::size_t kind) {
  switch (kind) {
    case 0:
      EXPECT_EQ(k->values.receiver.try_recv(), 1);
      break;
    case 1:
      EXPECT_TRUE(k->full.sender.try_send(5));
      break;
    case 2:
      EXPECT_EQ(k->once.receiver.try_recv(), 1);
      break;
    case 3:
      EXPECT_TRUE(k->all.receiver.try_recv().has_value());
      break;
    case 4:
      EXPECT_TRUE(k->latest.receiver.has_changed());
      break;
    case 8:
      EXPECT_TRUE(k->mutex.try_lock().has_value());
      break;
    case 9:
      EXPECT_EQ(k->semaphore.available(), 1u);
      break;
    default:
      break;
  }
}

// Goal: each kind can win, before the select begins and while it waits, and takes nothing if it loses to any other.
// Method: all pairs, made ready one after the other before the task runs again.
TEST_F(SelectTest, EachKindOfOperationCanWinAndLeavesNoTraceIfItLoses) {
  for (std::size_t first = 0; first < kKinds; ++first) {
    for (std::size_t second = 0; second < kKinds; ++second) {
      SCOPED_TRACE(std::to_string(first) + " before " + std::to_string(second));
      Kinds kinds;
      std::optional<MutexGuard> held = kinds.mutex.try_lock();
      std::optional<std::size_t> winner;
      JoinHandle<void> waits = start(select_all(&kinds, &winner));
      EXPECT_EQ(winner, std::nullopt);
      make_ready(&kinds, first, &held);
      if (second != first) make_ready(&kinds, second, &held);
      executor_.drain();
      ASSERT_TRUE(waits.is_finished());
      EXPECT_EQ(winner, first);
      if (second != first) expect_untouched(&kinds, second);
      if (second != first && second == 5) {
        bool notified = false;
        const auto takes = [](Notify* notify, bool* done) -> Task<> {
          co_await notify->notified();
          *done = true;
        };
        run(takes(&kinds.notify, &notified));
        EXPECT_TRUE(notified);
      }
    }
    Kinds kinds;
    std::optional<MutexGuard> held = kinds.mutex.try_lock();
    std::optional<std::size_t> winner;
    make_ready(&kinds, first, &held);
    run(select_all(&kinds, &winner));
    EXPECT_EQ(winner, first);
  }
}

TEST_F(SelectTest, AnAbortedSelectLeavesEveryLine) {
  Kinds kinds;
  std::optional<MutexGuard> held = kinds.mutex.try_lock();
  std::optional<std::size_t> winner;
  JoinHandle<void> waits = start(select_all(&kinds, &winner));
  waits.abort();
  executor_.drain();
  EXPECT_TRUE(waits.is_finished());
  EXPECT_EQ(winner, std::nullopt);
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    make_ready(&kinds, kind, &held);
    expect_untouched(&kinds, kind);
  }
}

TEST_F(SelectTest, AnAbortThatComesTooLateLeavesTheWinnerItsResult) {
  Kinds kinds;
  std::optional<MutexGuard> held = kinds.mutex.try_lock();
  std::optional<std::size_t> winner;
  JoinHandle<void> waits = start(select_all(&kinds, &winner));
  make_ready(&kinds, 0, &held);
  waits.abort();
  make_ready(&kinds, 9, &held);
  executor_.drain();
  EXPECT_TRUE(waits.is_finished());
  EXPECT_EQ(winner, 0u);
  expect_untouched(&kinds, 9);
}

// Selects on both sides of two channels; what is not received is still there.
struct TwoChannels {
  static constexpr int kEach = 3;
  std::vector<Task<>> tasks() {
    std::vector<Task<>> all;
    all.push_back(send(this, 0));
    all.push_back(send(this, 1));
    all.push_back(receive(this));
    all.push_back(receive(this));
    return all;
  }
  void check(std::size_t, bool) {
    while (const std::optional<int> value = a.receiver.try_recv()) ++seen[Index(*value)];
    while (const std::optional<int> value = b.receiver.try_recv()) ++seen[Index(*value)];
    int sent = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      EXPECT_LE(seen[i], 1) << i;
      EXPECT_GE(seen[i], noted[i]) << i << " was sent and has not arrived";
      sent += noted[i];
    }
    EXPECT_GE(sent, kEach);
  }
  static std::size_t Index(int value) { return static_cast<std::size_t>(value); }
  static Task<> send(TwoChannels* self, int who) {
    for (int i = 0; i < kEach; ++i) {
      const int value = who * kEach + i;
      const auto got = co_await select(self->a.sender.send(value), self->b.sender.send(value));
      const bool sent = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
      if (sent) self->noted[Index(value)] = 1;
    }
    if (++self->done == 2) {
      self->a.sender.close();
      self->b.sender.close();
    }
  }
  static Task<> receive(TwoChannels* self) {
    for (;;) {
      const Got got = co_await select(self->a.receiver.recv(), self->b.receiver.recv());
      const std::optional<int> value = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
      if (!value.has_value()) {
        self->a.sender.close();
        self->b.sender.close();
        co_return;
      }
      ++self->seen[Index(*value)];
      // The sender that was aborted closes nothing.
      if (self->received.fetch_add(1) + 1 >= kEach) {
        self->a.sender.close();
        self->b.sender.close();
      }
    }
  }

  ChannelPair<int> a = channel<int>(1);
  ChannelPair<int> b = channel<int>(1);
  std::array<int, std::size_t{2} * kEach> seen{};
  std::array<int, std::size_t{2} * kEach> noted{};
  std::atomic<int> received{0};
  int done = 0;
};

TEST_F(SelectTest, AnAbortAtAnyMomentLosesNoValueAndDoublesNone) {
  EXPECT_GT(test::abort_everywhere<TwoChannels>(), 20u);
  EXPECT_GT(test::abort_everywhere<TwoChannels>(2), 20u);
}

// --- On a runtime -----------------------------------------------------------------------------------

class SelectOnRuntimeTest : public test::RuntimeTest {};

TEST_P(SelectOnRuntimeTest, ASleepIsABranchAndLeavesNoTimerBehind) {
  const auto play = []() -> Task<> {
    test_clock::pause();
    const auto start = now();
    auto [tx, rx] = channel<int>(1);
    Interval interval(start + 2h, 1h);
    auto got = co_await select(rx.recv(), sleep_for(1h), interval.tick());
    EXPECT_EQ(got.index(), 1u);
    EXPECT_EQ(now() - start, 1h);
    JoinHandle<void> sends = spawn([](Sender<int> to) -> Task<> {
      co_await sleep_for(10min);
      const bool sent = co_await to.send(5);
      EXPECT_TRUE(sent);
    }(tx));
    got = co_await select(rx.recv(), sleep_for(5h), interval.tick());
    EXPECT_EQ(got.index(), 0u);
    EXPECT_EQ(now() - start, 70min);
    co_await std::move(sends);
    got = co_await select(rx.recv(), sleep_until(start + 3h), interval.tick());
    EXPECT_EQ(got.index(), 2u);
    EXPECT_EQ(std::get<2>(got), start + 2h);
    co_await sleep_for(1h);
    EXPECT_EQ(now() - start, 3h);
  };
  runtime().block_on(play());
}

TEST_P(SelectOnRuntimeTest, TimedFormsTellTimeFromTheEndAndGiveTheValueBack) {
  const auto play = []() -> Task<> {
    test_clock::pause();
    const auto start = now();
    auto [tx, rx] = channel<std::string>(1);
    auto received = co_await rx.recv_for(1h);
    EXPECT_TRUE(received.timed_out());
    EXPECT_FALSE(received.closed());
    EXPECT_EQ(now() - start, 1h);
    auto sent = co_await tx.send_for("one", 1h);
    EXPECT_TRUE(sent.sent());
    sent = co_await tx.send_until("two", start + 3h);
    EXPECT_TRUE(sent.timed_out());
    EXPECT_EQ(sent.take_value(), "two");
    EXPECT_EQ(now() - start, 3h);
    received = co_await rx.recv_until(start);  // What is there is received, however late.
    EXPECT_TRUE(received.has_value());
    EXPECT_EQ(*received, "one");
    sent = co_await tx.send_for("three", 0ms);
    EXPECT_TRUE(static_cast<bool>(sent));
    tx.close();
    sent = co_await tx.send_for("four", 1h);
    EXPECT_TRUE(sent.closed());
    EXPECT_EQ(sent.take_value(), "four");
    received = co_await rx.recv_for(1h);
    EXPECT_EQ(received->size(), 5u);
    received = co_await rx.recv_for(1h);
    EXPECT_TRUE(received.closed());
    EXPECT_EQ(now() - start, 3h);
  };
  runtime().block_on(play());
}

Task<> select_sends(Sender<Tracked> a, Sender<Tracked> b, int first, int count,
                    std::atomic<int>* live, std::atomic<int>* sent) {
  for (int i = 0; i < count; ++i) {
    auto to_a = a.send(Tracked(first + i, live));
    auto to_b = b.send(Tracked(first + i, live));
    const auto got = co_await select(to_a, to_b);
    const bool was_sent = got.index() == 0 ? std::get<0>(got) : std::get<1>(got);
    if (was_sent) sent->fetch_add(1, std::memory_order_relaxed);
  }
}

Task<> select_receives(Receiver<Tracked> a, Receiver<Tracked> b, Tally* tally) {
  bool a_open = true;
  bool b_open = true;
  while (a_open && b_open) {
    auto got = co_await select(a.recv(), b.recv(), sleep_for(1ms));
    if (got.index() == 0) {
      a_open = std::get<0>(got).has_value();
      if (a_open) tally->count(std::get<0>(got)->value());
    } else if (got.index() == 1) {
      b_open = std::get<1>(got).has_value();
      if (b_open) tally->count(std::get<1>(got)->value());
    }
  }
  Receiver<Tracked>& last = a_open ? a : b;
  for (;;) {
    auto left = co_await last.recv_for(1ms);
    if (left.has_value()) tally->count((*left).value());
    if (left.closed()) co_return;
  }
}

// Goal: among workers, and under aborts, a select loses no value that was sent and doubles none. Method: as many
// senders as receivers, each with a branch in two channels, half of them aborted while they run; a tally.
TEST_P(SelectOnRuntimeTest, AbortsLoseNoValueThatWasSent) {
  constexpr int kEach = 100;
  constexpr int kSenders = 4;
  for (int round = 0; round < 6 * kScale; ++round) {
    std::atomic<int> live{0};
    std::atomic<int> sent{0};
    Tally tally(kSenders * kEach);
    const auto play = [](int r, Tally* t, std::atomic<int>* l, std::atomic<int>* s) -> Task<> {
      auto [tx_a, a] = channel<Tracked>(r % 2 == 0 ? 1 : 64);
      auto [tx_b, b] = channel<Tracked>(2);
      std::vector<JoinHandle<void>> senders;
      std::vector<JoinHandle<void>> receivers;
      for (int i = 0; i < kSenders; ++i) {
        senders.push_back(spawn(select_sends(tx_a, tx_b, i * kEach, kEach, l, s)));
        receivers.push_back(spawn(select_receives(a, b, t)));
      }
      {
        const Sender<Tracked> dropped_a = std::move(tx_a);
        const Sender<Tracked> dropped_b = std::move(tx_b);
      }
      for (int i = 0; i < r % 7; ++i) co_await yield_now();
      for (std::size_t i = 0; i < kSenders; i += 2) {
        senders[i].abort();
        receivers[i].abort();
      }
      for (auto& handle : senders) static_cast<void>(co_await std::move(handle).result());
      for (auto& handle : receivers) static_cast<void>(co_await std::move(handle).result());
      while (const std::optional<Tracked> left = a.try_recv()) t->count(left->value());
      while (const std::optional<Tracked> left = b.try_recv()) t->count(left->value());
    };
    runtime().block_on(play(round, &tally, &live, &sent));
    const auto arrived = static_cast<int>(tally.once());
    ASSERT_GE(arrived, sent.load()) << "round " << round;
    ASSERT_LE(arrived, sent.load() + kSenders / 2) << "round " << round;
    ASSERT_GE(arrived, kSenders / 2 * kEach) << "round " << round;
    ASSERT_EQ(live, 0);
  }
}

// Goal: a oneshot's sender, which has no lock, may come at any moment of a select that another branch decides. Method:
// a plain thread sends while a task notifies; the value is received afterwards in any case.
TEST_P(SelectOnRuntimeTest, AOneshotMayBeSentWhileAnotherBranchWins) {
  const int rounds = 200 * kScale;
  std::vector<OneshotSender<int>> senders;
  std::vector<OneshotReceiver<int>> receivers;
  for (int i = 0; i < rounds; ++i) {
    auto [tx, rx] = oneshot<int>();
    senders.push_back(std::move(tx));
    receivers.push_back(std::move(rx));
  }
  std::atomic<int> turn{-1};
  std::thread sends([&] {
    for (int i = 0; i < rounds; ++i) {
      while (turn.load(std::memory_order_acquire) < i) std::this_thread::yield();
      EXPECT_TRUE(senders[static_cast<std::size_t>(i)].send(i));
    }
  });
  const auto play = [](std::vector<OneshotReceiver<int>>* from, std::atomic<int>* at) -> Task<> {
    for (int i = 0; i < static_cast<int>(from->size()); ++i) {
      OneshotReceiver<int>& rx = (*from)[static_cast<std::size_t>(i)];
      Notify notify;
      const auto notifies = [](Notify* n, std::atomic<int>* t, int round) -> Task<> {
        t->store(round, std::memory_order_release);
        n->notify_one();
        co_return;
      };
      JoinHandle<void> other = spawn(notifies(&notify, at, i));
      const auto got = co_await select(rx.recv(), notify.notified());
      if (got.index() == 0) {
        EXPECT_EQ(std::get<0>(got), i);
      } else {
        const std::optional<int> value = co_await rx.recv();
        EXPECT_EQ(value, i);
      }
      co_await std::move(other);
    }
  };
  runtime().block_on(play(&receivers, &turn));
  sends.join();
}

SKUA_TEST_ALL_RUNTIMES(SelectOnRuntimeTest);

}  // namespace
}  // namespace skua
