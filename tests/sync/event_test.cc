// SPDX-License-Identifier: Apache-2.0
//
// What says that something has happened: Event, Latch, Barrier, Notify.
#include "skua/sync/event.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/executor.h"
#include "skua/spawn.h"
#include "skua/sync/barrier.h"
#include "skua/sync/latch.h"
#include "skua/sync/notify.h"
#include "skua/task.h"
#include "tests/support/abort_script.h"
#include "tests/support/manual_executor.h"
#include "tests/support/manual_fixture.h"
#include "tests/support/rounds.h"

namespace skua {
namespace {

using test::ManualExecutor;
using Order = std::vector<std::string>;

class EventTest : public test::ManualTest {};
using LatchTest = EventTest;
using BarrierTest = EventTest;
using NotifyTest = EventTest;

// Awaits `what`->wait() and notes it.
template <typename What>
Task<> wait_and_note(What* what, std::string name, Order* order) {
  co_await what->wait();
  order->push_back(std::move(name));
}

// --- Event ----------------------------------------------------------------------------------------

TEST_F(EventTest, WhoWaitsGoesOnWhenItIsSetAndWhoComesLaterDoesNotWait) {
  Event event;
  Order order;
  auto a = spawn(wait_and_note(&event, "a", &order));
  auto b = spawn(wait_and_note(&event, "b", &order));
  executor_.drain();
  EXPECT_TRUE(order.empty());
  EXPECT_FALSE(event.is_set());
  event.set();
  event.set();
  EXPECT_TRUE(event.is_set());
  event.reset();  // Takes nothing back from a and b.
  executor_.drain();
  EXPECT_EQ(order, (Order{"a", "b"}));
  auto c = spawn(wait_and_note(&event, "c", &order));
  executor_.drain();
  EXPECT_FALSE(c.is_finished());
  event.set();
  executor_.drain();
  EXPECT_TRUE(c.is_finished());
  auto d = spawn(wait_and_note(&event, "d", &order));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_TRUE(d.is_finished());
}

struct EventScript {
  static Task<> set(Event* event) {
    co_await yield_now();
    event->set();
  }
  std::vector<Task<>> tasks() {
    std::vector<Task<>> tasks;
    tasks.push_back(wait_and_note(&event, "a", &order));
    tasks.push_back(set(&event));
    tasks.push_back(wait_and_note(&event, "b", &order));
    tasks.push_back(set(&event));
    return tasks;
  }
  void check(std::size_t victim, bool cancelled) {
    EXPECT_EQ(order.size(), cancelled && victim % 2 == 0 ? 1u : 2u);
  }
  Event event;
  Order order;
};

TEST_F(EventTest, AnAbortAtAnyMomentLeavesTheOthersTheirEvent) {
  EXPECT_GT(test::abort_everywhere<EventScript>(), 8u);
  EXPECT_GT(test::abort_everywhere<EventScript>(1), 8u);
}

// Goal: who comes back from a wait may end the event, though set() has not returned yet. Method: a thread and a task
// each wait for an event of their own on the heap and end it at once; another thread sets both.
TEST_F(EventTest, AnEventMayGoAsSoonAsItWasSeen) {
  const auto wait_and_end = [](std::unique_ptr<Event> event, const int* written) -> Task<> {
    co_await event->wait();
    EXPECT_EQ(*written, 1);
  };
  for (std::size_t round = 1; round <= 1'000; ++round) {
    auto of_task = std::make_unique<Event>();
    auto of_thread = std::make_unique<Event>();
    Event* const events[] = {of_task.get(), of_thread.get()};
    int written = 0;  // Plain: [EVENT].
    auto task = spawn(wait_and_end(std::move(of_task), &written));
    if (round % 2 == 0) executor_.drain();
    std::thread setter([&] {
      written = 1;
      for (Event* const event : events) event->set();
    });
    of_thread->blocking_wait();
    EXPECT_EQ(written, 1);
    of_thread.reset();
    while (executor_.ended() < round) {
      if (!executor_.run_one()) std::this_thread::yield();
    }
    setter.join();
  }
}

// --- Latch ----------------------------------------------------------------------------------------

TEST_F(LatchTest, WhoWaitsGoesOnWhenTheCountIsZero) {
  Latch latch(4);
  Order order;
  auto a = spawn(wait_and_note(&latch, "a", &order));
  const auto arrive = [](Latch* l, Order* o) -> Task<> {
    co_await l->arrive_and_wait(2);
    o->push_back("arrived");
  };
  auto b = spawn(arrive(&latch, &order));
  executor_.drain();
  latch.count_down();
  latch.count_down(0);
  EXPECT_FALSE(latch.try_wait());
  executor_.drain();
  EXPECT_TRUE(order.empty());
  latch.count_down();
  EXPECT_TRUE(latch.try_wait());
  executor_.drain();
  EXPECT_EQ(order, (Order{"a", "arrived"}));
  auto late = spawn(wait_and_note(&latch, "late", &order));
  executor_.drain();
  EXPECT_TRUE(late.is_finished());
  Latch none(0);
  none.count_down(0);
  none.blocking_wait();
}

// Goal: as for an event. Method: two threads count down, a task and a thread wait and end the latch.
TEST_F(LatchTest, ALatchMayGoAsSoonAsItsZeroWasSeen) {
  const auto wait_and_end = [](std::unique_ptr<Latch> latch, const int* a, const int* b) -> Task<> {
    co_await latch->wait();
    EXPECT_EQ(*a + *b, 2);
  };
  test::Rounds rounds(1'000);
  while (rounds.another()) {
    const auto round = static_cast<std::size_t>(rounds.made());
    auto of_task = std::make_unique<Latch>(2);
    auto of_thread = std::make_unique<Latch>(2);
    Latch* const latches[] = {of_task.get(), of_thread.get()};
    int a = 0;  // Plain: [LATCH].
    int b = 0;
    auto task = spawn(wait_and_end(std::move(of_task), &a, &b));
    if (round % 2 == 0) executor_.drain();
    std::thread first([&] {
      a = 1;
      for (Latch* const latch : latches) latch->count_down();
    });
    std::thread second([&] {
      b = 1;
      for (Latch* const latch : latches) latch->count_down();
    });
    of_thread->blocking_wait();
    EXPECT_EQ(a + b, 2);
    of_thread.reset();
    while (executor_.ended() < round) {
      if (!executor_.run_one()) std::this_thread::yield();
    }
    first.join();
    second.join();
  }
}

TEST_F(LatchTest, AnAbortedWaiterLeavesTheOthers) {
  Latch latch(1);
  Order order;
  auto a = spawn(wait_and_note(&latch, "a", &order));
  auto b = spawn(wait_and_note(&latch, "b", &order));
  executor_.drain();
  a.abort();
  executor_.drain();
  EXPECT_TRUE(a.is_finished());
  latch.count_down();
  b.abort();  // Too late.
  executor_.drain();
  EXPECT_EQ(order, (Order{"b"}));
}

TEST(LatchDeathTest, CountingBelowZeroIsACallersBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({ Latch latch(-1); }, "count >= 0");
  EXPECT_DEATH(
      {
        Latch latch(1);
        latch.count_down(2);
      },
      "n <= left");
}

// --- Barrier --------------------------------------------------------------------------------------

Task<> pass(Barrier* barrier, int rounds, std::vector<int>* lasts) {
  for (int i = 0; i < rounds; ++i) {
    if (co_await barrier->arrive_and_wait()) lasts->push_back(i);
  }
}

TEST_F(BarrierTest, EachRoundEndsWhenAllHaveArrivedAndHasOneLast) {
  Barrier barrier(3);
  std::vector<int> lasts;
  auto a = spawn(pass(&barrier, 3, &lasts));
  auto b = spawn(pass(&barrier, 3, &lasts));
  executor_.drain();
  EXPECT_TRUE(lasts.empty());
  auto c = spawn(pass(&barrier, 2, &lasts));
  executor_.drain();
  EXPECT_EQ(lasts, (std::vector<int>{0, 1}));
  EXPECT_TRUE(c.is_finished());
  EXPECT_FALSE(a.is_finished());
  barrier.arrive_and_drop();  // In place of c.
  executor_.drain();
  EXPECT_TRUE(a.is_finished());
  EXPECT_TRUE(b.is_finished());
  EXPECT_EQ(lasts, (std::vector<int>{0, 1, 2}));  // A round that ends by a leaver has its one, too.
  auto d = spawn(pass(&barrier, 1, &lasts));
  auto e = spawn(pass(&barrier, 1, &lasts));
  executor_.drain();
  EXPECT_TRUE(d.is_finished() && e.is_finished());
}

TEST_F(BarrierTest, AnAbortedTaskTakesItsArrivalBack) {
  Barrier barrier(2);
  std::vector<int> lasts;
  auto a = spawn(pass(&barrier, 1, &lasts));
  executor_.drain();
  a.abort();
  executor_.drain();
  EXPECT_TRUE(a.is_finished());
  auto b = spawn(pass(&barrier, 1, &lasts));
  executor_.drain();
  EXPECT_FALSE(b.is_finished());
  auto c = spawn(pass(&barrier, 1, &lasts));
  b.abort();  // Its arrival goes, before c comes.
  executor_.drain();
  EXPECT_FALSE(c.is_finished());
  auto d = spawn(pass(&barrier, 1, &lasts));
  EXPECT_TRUE(executor_.run_one());
  c.abort();  // Too late: all have arrived.
  executor_.drain();
  EXPECT_TRUE(c.is_finished() && d.is_finished());
  EXPECT_EQ(lasts, (std::vector<int>{0}));
}

// Goal: nobody begins a round before all have ended the one before. Method: plain numbers, one for each party, that
// the others read in the next round.
TEST_F(BarrierTest, WhatWasDoneBeforeARoundIsSeenAfterIt) {
  constexpr int kRounds = 300;
  Barrier barrier(3);
  int steps[3] = {};
  const auto look = [&steps](int round) {
    for (const int step : steps) EXPECT_EQ(step, round);
  };
  const auto work = [](Barrier* of, int* step, decltype(look) see) -> Task<> {
    for (int i = 1; i <= kRounds; ++i) {
      *step = i;
      co_await of->arrive_and_wait();
      see(i);
      co_await of->arrive_and_wait();
    }
  };
  auto task = spawn(work(&barrier, &steps[0], look));
  std::vector<std::thread> threads;
  for (int party = 1; party < 3; ++party) {
    threads.emplace_back([&, party] {
      for (int i = 1; i <= kRounds; ++i) {
        steps[party] = i;
        barrier.blocking_arrive_and_wait();
        look(i);
        barrier.blocking_arrive_and_wait();
      }
    });
  }
  while (executor_.ended() < 1) {
    if (!executor_.run_one()) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
}

// --- Notify ---------------------------------------------------------------------------------------

Task<> take_notification(Notify* notify, std::string name, Order* order) {
  co_await notify->notified();
  order->push_back(std::move(name));
}

TEST_F(NotifyTest, OneNotificationIsKeptAndGoesToOne) {
  Notify notify;
  notify.notify_one();
  notify.notify_one();
  Order order;
  auto a = spawn(take_notification(&notify, "a", &order));
  auto b = spawn(take_notification(&notify, "b", &order));
  auto c = spawn(take_notification(&notify, "c", &order));
  executor_.drain();
  EXPECT_EQ(order, (Order{"a"}));
  notify.notify_one();
  executor_.drain();
  EXPECT_EQ(order, (Order{"a", "b"}));
  notify.notify_one();
  executor_.drain();
  EXPECT_EQ(order, (Order{"a", "b", "c"}));
}

TEST_F(NotifyTest, NotifyAllIsForThoseWhoWaitNow) {
  Notify notify;
  notify.notify_all();  // For nobody, and not kept.
  Order order;
  auto a = spawn(take_notification(&notify, "a", &order));
  auto b = spawn(take_notification(&notify, "b", &order));
  executor_.drain();
  EXPECT_TRUE(order.empty());
  notify.notify_all();
  executor_.drain();
  EXPECT_EQ(order, (Order{"a", "b"}));
  auto c = spawn(take_notification(&notify, "c", &order));
  executor_.drain();
  EXPECT_FALSE(c.is_finished());
  c.abort();
  executor_.drain();
}

// Hands one notification on from task to task.
struct NotifyScript {
  static Task<> hand_on(Notify* notify, int* hands) {
    co_await notify->notified();
    ++*hands;
    notify->notify_one();
  }
  std::vector<Task<>> tasks() {
    std::vector<Task<>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(hand_on(&notify, &hands));
    tasks.push_back([](Notify* n) -> Task<> {
      co_await yield_now();
      n->notify_one();
    }(&notify));
    return tasks;
  }
  void check(std::size_t victim, bool cancelled) {
    EXPECT_EQ(hands, cancelled && victim < 4 ? 3 : 4);
  }
  Notify notify;
  int hands = 0;
};

struct StoredNotifyScript : NotifyScript {
  StoredNotifyScript() { notify.notify_one(); }
};

TEST_F(NotifyTest, AnAbortAtAnyMomentLosesNoNotification) {
  EXPECT_GT(test::abort_everywhere<StoredNotifyScript>(), 10u);
  EXPECT_GT(test::abort_everywhere<StoredNotifyScript>(1), 10u);
}

// Goal: between threads, each notification that finds a waiter, or nothing kept, is taken once. Method: ping and pong
// between a task and a thread that blocks.
TEST_F(NotifyTest, PingAndPongBetweenATaskAndAThread) {
  constexpr int kRounds = 1'000;
  Notify ping;
  Notify pong;
  int value = 0;  // Plain: [NOTIFY].
  const auto answer = [](Notify* in, Notify* out, int* number) -> Task<> {
    for (int i = 0; i < kRounds; ++i) {
      co_await in->notified();
      ++*number;
      out->notify_one();
    }
  };
  auto task = spawn(answer(&ping, &pong, &value));
  std::thread asker([&] {
    for (int i = 0; i < kRounds; ++i) {
      ++value;
      ping.notify_one();
      pong.blocking_notified();
      EXPECT_EQ(value, 2 * (i + 1));
    }
  });
  while (executor_.ended() < 1) {
    if (!executor_.run_one()) std::this_thread::yield();
  }
  asker.join();
}

TEST(EventDeathTest, MisuseEndsTheProcessWithAMessage) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto blocks = [](auto block) {
    internal::set_runs_tasks(true);
    block();
  };
  EXPECT_DEATH(blocks([] { Event().blocking_wait(); }), "skua::Event::blocking_wait was called on");
  EXPECT_DEATH(blocks([] { Latch(1).blocking_wait(); }), "skua::Latch::blocking_wait was called");
  EXPECT_DEATH(blocks([] { Barrier(2).blocking_arrive_and_wait(); }), "was called on a worker");
  EXPECT_DEATH(blocks([] { Notify().blocking_notified(); }), "was called on a worker");
  EXPECT_DEATH(
      {
        ManualExecutor executor;
        Order order;
        auto event = std::make_unique<Event>();
        auto handle = internal::spawn_on(executor, wait_and_note(event.get(), "a", &order), {});
        executor.drain();
        event.reset();
      },
      "while somebody waits");
}

}  // namespace
}  // namespace skua
