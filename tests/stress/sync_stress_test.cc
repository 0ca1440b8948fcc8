// SPDX-License-Identifier: Apache-2.0
//
// Channels and locks between tasks of a real runtime, under aborts. A lost wake-up shows as a test that never ends,
// a lost or doubled value in a count.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/barrier.h"
#include "skua/sync/channel.h"
#include "skua/sync/condition.h"
#include "skua/sync/latch.h"
#include "skua/sync/mutex.h"
#include "skua/sync/notify.h"
#include "skua/sync/rw_lock.h"
#include "skua/task.h"
#include "tests/support/runtime_fixture.h"
#include "tests/support/tally.h"
#include "tests/support/tracked.h"

namespace skua {
namespace {

using test::Tally;
using test::Tracked;

#if SKUA_TSAN || SKUA_ASAN
constexpr int kScale = 1;
#else
constexpr int kScale = 8;
#endif

class SyncStressTest : public test::RuntimeTest {};

Task<> produce(Sender<Tracked> tx, int first, int count, std::atomic<int>* live) {
  for (int i = 0; i < count; ++i) EXPECT_TRUE(co_await tx.send(Tracked(first + i, live)));
}
Task<> consume(Receiver<Tracked> rx, Tally* tally) {
  while (const std::optional<Tracked> value = co_await rx.recv()) tally->count(value->value());
}
Task<> consume_shared(const Receiver<Tracked>* rx, Tally* tally) {
  while (const std::optional<Tracked> value = co_await rx->recv()) tally->count(value->value());
}

struct Shape {
  int producers;
  int consumers;
  std::size_t capacity;  // 0: unbounded.
};

// Goal: every value arrives once, at one of the receivers, for all shapes and capacities. Method: a tally.
TEST_P(SyncStressTest, EveryValueArrivesOnce) {
  const int count = 2'000 * kScale;
  for (const Shape shape : {Shape{1, 1, 1024}, Shape{4, 1, 100}, Shape{4, 4, 3}, Shape{1, 4, 0}}) {
    std::atomic<int> live{0};
    Tally tally(static_cast<std::size_t>(shape.producers * count));
    const auto play = [](Shape s, int n, Tally* t, std::atomic<int>* l) -> Task<> {
      auto [tx, rx] = s.capacity == 0 ? unbounded_channel<Tracked>() : channel<Tracked>(s.capacity);
      std::vector<JoinHandle<void>> handles;
      for (int i = 0; i < s.producers; ++i) handles.push_back(spawn(produce(tx, i * n, n, l)));
      for (int i = 1; i < s.consumers; ++i) handles.push_back(spawn(consume(rx, t)));
      handles.push_back(spawn(consume(std::move(rx), t)));
      {
        const Sender<Tracked> dropped = std::move(tx);
      }
      for (auto& handle : handles) co_await std::move(handle);
    };
    runtime().block_on(play(shape, count, &tally, &live));
    EXPECT_EQ(tally.once(), static_cast<std::size_t>(shape.producers * count));
    EXPECT_EQ(live, 0);
  }
}

// Goal: the claim of an only receiver is revoked without a value lost or doubled, wherever its owner stands. Method:
// a receiver that has just claimed is shared with a second task, in many channels one after the other.
TEST_P(SyncStressTest, AClaimMayBeRevokedAtAnyMoment) {
  constexpr int kValues = 300;
  for (int round = 0; round < 40 * kScale; ++round) {
    std::atomic<int> live{0};
    Tally tally(kValues);
    const auto play = [](Tally* t, std::atomic<int>* l) -> Task<> {
      auto [tx, rx] = channel<Tracked>(1024);
      auto producer = spawn(produce(std::move(tx), 0, kValues, l));
      auto first = spawn(consume_shared(&rx, t));
      co_await yield_now();
      auto second = spawn(consume_shared(&rx, t));
      co_await std::move(first);
      co_await std::move(second);
      co_await std::move(producer);
    };
    runtime().block_on(play(&tally, &live));
    ASSERT_EQ(tally.once(), static_cast<std::size_t>(kValues)) << "round " << round;
    ASSERT_EQ(live, 0);
  }
}

Task<> produce_counted(Sender<Tracked> tx, int first, int count, std::atomic<int>* live,
                       std::atomic<int>* sent) {
  for (int i = 0; i < count; ++i) {
    if (!co_await tx.send(Tracked(first + i, live))) co_return;
    sent->fetch_add(1, std::memory_order_relaxed);
  }
}

// Goal: an abort of a sender or a receiver, at any moment, loses no value that was sent and doubles none. Method:
// half of the tasks are aborted while they run; what was noted as sent has arrived, and at most one more of each
// aborted sender.
TEST_P(SyncStressTest, AbortsLoseNoValueThatWasSent) {
  constexpr int kEach = 200;
  constexpr int kSenders = 4;
  for (int round = 0; round < 20 * kScale; ++round) {
    std::atomic<int> live{0};
    std::atomic<int> sent{0};
    Tally tally(kSenders * kEach);
    const auto play = [](int r, Tally* t, std::atomic<int>* l, std::atomic<int>* s) -> Task<> {
      auto [tx, rx] = channel<Tracked>(r % 2 == 0 ? 2 : 64);
      std::vector<JoinHandle<void>> senders;
      std::vector<JoinHandle<void>> receivers;
      for (int i = 0; i < kSenders; ++i) {
        senders.push_back(spawn(produce_counted(tx, i * kEach, kEach, l, s)));
        receivers.push_back(spawn(consume(rx, t)));
      }
      {
        const Sender<Tracked> dropped = std::move(tx);
      }
      for (int i = 0; i < r % 7; ++i) co_await yield_now();
      for (std::size_t i = 0; i < kSenders; i += 2) {
        senders[i].abort();
        receivers[i].abort();
      }
      for (auto& handle : senders) static_cast<void>(co_await std::move(handle).result());
      for (auto& handle : receivers) static_cast<void>(co_await std::move(handle).result());
      while (const std::optional<Tracked> left = rx.try_recv()) t->count(left->value());
      EXPECT_TRUE(rx.is_closed());
    };
    runtime().block_on(play(round, &tally, &live, &sent));
    const auto arrived = static_cast<int>(tally.once());
    ASSERT_GE(arrived, sent.load()) << "round " << round;
    ASSERT_LE(arrived, sent.load() + kSenders / 2) << "round " << round;
    ASSERT_GE(arrived, kSenders / 2 * kEach) << "round " << round;
    ASSERT_EQ(live, 0);
  }
}

struct Locked {
  Mutex mutex;
  RwLock rw_lock;
  Condition changed;
  Barrier barrier{4};
  Notify notify;
  std::int64_t counter = 0;  // Under mutex.
  std::int64_t value = 0;    // Under rw_lock.
  int turn = 0;              // Under mutex.
};

// Goal: the locks exclude and hand over between workers, under aborts. Method: plain counters that are exact at the
// end.
TEST_P(SyncStressTest, LocksKeepPlainDataWhole) {
  const int rounds = 300 * kScale;
  Locked shared;
  const auto work = [](Locked* s, int n, int self) -> Task<> {
    for (int i = 0; i < n; ++i) {
      {
        const MutexGuard guard = co_await s->mutex.lock();
        ++s->counter;
        if (i % 16 == 0) co_await yield_now();
      }
      if (i % 4 == self % 4) {
        const RwLockWriteGuard guard = co_await s->rw_lock.write();
        const std::int64_t before = s->value;
        if (i % 32 == 0) co_await yield_now();
        s->value = before + 1;
      } else {
        const RwLockReadGuard guard = co_await s->rw_lock.read();
        const std::int64_t before = s->value;
        if (i % 32 == 0) co_await yield_now();
        EXPECT_EQ(s->value, before);
      }
      if (i % 8 == 0) co_await s->barrier.arrive_and_wait();
      if (i % 8 == 4) {  // In turn, by the condition.
        MutexGuard guard = co_await s->mutex.lock();
        while (s->turn % 4 != self) co_await s->changed.wait(guard);
        ++s->turn;
        s->changed.notify_all();
      }
    }
  };
  const auto wait_for_lock = [](Locked* s) -> Task<> {
    for (;;) {
      {
        const MutexGuard guard = co_await s->mutex.lock();
      }
      {
        const RwLockWriteGuard guard = co_await s->rw_lock.write();
      }
      co_await yield_now();
    }
  };
  const auto play = [](Locked* s, int n, decltype(work) w, decltype(wait_for_lock) v) -> Task<> {
    std::vector<JoinHandle<void>> handles;
    for (int self = 0; self < 4; ++self) handles.push_back(spawn(w(s, n, self)));
    for (int i = 0; i < n / 4; ++i) {  // Victims come and go meanwhile.
      auto victim = spawn(v(s));
      for (int j = 0; j < i % 5; ++j) co_await yield_now();
      victim.abort();
      static_cast<void>(co_await std::move(victim).result());
    }
    for (auto& handle : handles) co_await std::move(handle);
  };
  runtime().block_on(play(&shared, rounds, work, wait_for_lock));
  EXPECT_EQ(shared.counter, 4 * rounds);
  EXPECT_EQ(shared.value, rounds);
  EXPECT_FALSE(shared.mutex.is_locked());
  EXPECT_TRUE(shared.rw_lock.try_write().has_value());
}

// Goal: wake-ups from threads outside reach the tasks. Method: threads that block to send and to receive, tasks
// between.
TEST_P(SyncStressTest, PlainThreadsTakePart) {
  const int count = 500 * kScale;
  std::atomic<int> live{0};
  Tally tally(static_cast<std::size_t>(count));
  auto [in, task_in] = channel<Tracked>(4);
  auto [task_out, out] = channel<Tracked>(100);
  const auto relay = [](Receiver<Tracked> from, Sender<Tracked> to) -> Task<> {
    while (std::optional<Tracked> value = co_await from.recv()) {
      EXPECT_TRUE(co_await to.send(*std::move(value)));
    }
  };
  std::vector<JoinHandle<void>> relays;
  for (int i = 0; i < 3; ++i) relays.push_back(runtime().spawn(relay(task_in, task_out)));
  {
    const auto dropped = std::pair(std::move(task_in), std::move(task_out));
  }
  std::thread sender([&live, end = std::move(in)] {
    for (int i = 0; i < count; ++i) EXPECT_TRUE(end.blocking_send(Tracked(i, &live)));
  });
  std::thread receiver([&tally, end = std::move(out)] {
    while (const std::optional<Tracked> value = end.blocking_recv()) tally.count(value->value());
  });
  if (!multi_thread()) {
    const auto join = [](std::vector<JoinHandle<void>>* handles) -> Task<> {
      for (auto& handle : *handles) co_await std::move(handle);
    };
    runtime().block_on(join(&relays));
  }
  sender.join();
  receiver.join();
  EXPECT_EQ(tally.once(), static_cast<std::size_t>(count));
  stop();
  EXPECT_EQ(live, 0);
}

SKUA_TEST_ALL_RUNTIMES(SyncStressTest);

}  // namespace
}  // namespace skua
