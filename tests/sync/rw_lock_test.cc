// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/rw_lock.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/executor.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "tests/support/abort_script.h"
#include "tests/support/manual_executor.h"
#include "tests/support/manual_fixture.h"

namespace skua {
namespace {

using test::ManualExecutor;
using Order = std::vector<std::string>;

class RwLockTest : public test::ManualTest {
 protected:
  RwLockTest() : ManualTest(3) {}
};

// Hold it until a permit of `turn` comes.
Task<> read_until(RwLock* lock, Semaphore* turn, std::string name, Order* order) {
  const RwLockReadGuard guard = co_await lock->read();
  order->push_back("+" + name);
  (co_await turn->acquire()).forget();
  order->push_back("-" + name);
}
Task<> write_until(RwLock* lock, Semaphore* turn, std::string name, Order* order) {
  const RwLockWriteGuard guard = co_await lock->write();
  order->push_back("+" + name);
  (co_await turn->acquire()).forget();
  order->push_back("-" + name);
}

TEST_F(RwLockTest, ReadersShareItAndAWriterHasItAlone) {
  RwLock lock;
  {
    std::optional<RwLockReadGuard> a = lock.try_read();
    std::optional<RwLockReadGuard> b = lock.try_read();
    EXPECT_TRUE(a.has_value() && b.has_value());
    EXPECT_FALSE(lock.try_write().has_value());
    RwLockReadGuard moved = *std::move(a);
    EXPECT_FALSE(*a);  // NOLINT(bugprone-use-after-move): it is specified.
    b.reset();
    moved.unlock();
    moved.unlock();
    RwLockWriteGuard writer = *lock.try_write();
    EXPECT_TRUE(writer);
    EXPECT_FALSE(lock.try_read().has_value());
    EXPECT_FALSE(lock.try_write().has_value());
    moved = RwLockReadGuard();
    writer = RwLockWriteGuard();
    moved = *lock.try_read();
  }
  EXPECT_TRUE(lock.try_write().has_value());
}

TEST_F(RwLockTest, TheQueueIsServedInOrderAndNeighbouringReadersTogether) {
  RwLock lock;
  Semaphore turn(0);
  Order order;
  std::vector<JoinHandle<void>> handles;
  handles.push_back(spawn(read_until(&lock, &turn, "r1", &order)));
  handles.push_back(spawn(write_until(&lock, &turn, "w1", &order)));
  handles.push_back(spawn(read_until(&lock, &turn, "r2", &order)));
  handles.push_back(spawn(read_until(&lock, &turn, "r3", &order)));
  handles.push_back(spawn(write_until(&lock, &turn, "w2", &order)));
  handles.push_back(spawn(read_until(&lock, &turn, "r4", &order)));
  executor_.drain();
  EXPECT_EQ(order, (Order{"+r1"}));  // r2 does not overtake the writer.
  EXPECT_FALSE(lock.try_read().has_value());
  for (int i = 0; i < 6; ++i) {
    turn.add_permits(1);
    executor_.drain();
  }
  EXPECT_EQ(order, (Order{"+r1", "-r1", "+w1", "-w1", "+r2", "+r3", "-r2", "-r3", "+w2", "-w2",
                          "+r4", "-r4"}));
  for (auto& handle : handles) EXPECT_TRUE(handle.is_finished());
  EXPECT_TRUE(lock.try_write().has_value());
}

TEST_F(RwLockTest, ReadersBehindAWriterThatIsAbortedJoinThoseThatRead) {
  RwLock lock;
  Semaphore turn(0);
  Order order;
  auto r1 = spawn(read_until(&lock, &turn, "r1", &order));
  auto w = spawn(write_until(&lock, &turn, "w", &order));
  auto r2 = spawn(read_until(&lock, &turn, "r2", &order));
  executor_.drain();
  w.abort();
  executor_.drain();
  EXPECT_EQ(order, (Order{"+r1", "+r2"}));
  EXPECT_TRUE(lock.try_read().has_value());  // Nobody waits any more.
  turn.add_permits(2);
  executor_.drain();
  EXPECT_TRUE(lock.try_write().has_value());
}

struct RwLockScript {
  static Task<> read(RwLock* lock, const int* value) {
    for (int i = 0; i < 2; ++i) {
      const RwLockReadGuard guard = co_await lock->read();
      const int before = *value;
      co_await yield_now();
      EXPECT_EQ(*value, before);
    }
  }
  static Task<> write(RwLock* lock, int* value) {
    const RwLockWriteGuard guard = co_await lock->write();
    const int before = *value;
    co_await yield_now();
    *value = before + 1;
  }
  std::vector<Task<>> tasks() {
    std::vector<Task<>> tasks;
    tasks.push_back(read(&lock, &value));
    tasks.push_back(write(&lock, &value));
    tasks.push_back(read(&lock, &value));
    tasks.push_back(write(&lock, &value));
    tasks.push_back(read(&lock, &value));
    return tasks;
  }
  void check(std::size_t /*victim*/, bool cancelled) {
    EXPECT_GE(value, cancelled ? 1 : 2);
    EXPECT_TRUE(lock.try_write().has_value());
  }
  RwLock lock;
  int value = 0;
};

TEST_F(RwLockTest, AnAbortAtAnyMomentLeavesTheLockToTheOthers) {
  EXPECT_GT(test::abort_everywhere<RwLockScript>(), 20u);
  EXPECT_GT(test::abort_everywhere<RwLockScript>(1), 20u);
}

// Goal: writers exclude everybody, and readers see what they wrote. Method: two plain numbers that writers keep
// equal; tasks on two threads, one thread that blocks to read and one that blocks to write, and aborts meanwhile.
TEST_F(RwLockTest, ThreadsAndTasksNeverSeeAWriteHalfDone) {
  constexpr int kRounds = 400;
  constexpr std::size_t kTasks = 8;
  struct Shared {
    RwLock lock;
    std::int64_t a = 0;
    std::int64_t b = 0;
  } shared;
  const auto work = [](Shared* s, std::size_t kind) -> Task<> {
    for (int i = 0; i < kRounds; ++i) {
      if (kind % 4 == 0) {
        const RwLockWriteGuard guard = co_await s->lock.write();
        ++s->a;
        if (i % 8 == 0) co_await yield_now();
        ++s->b;
      } else {
        const RwLockReadGuard guard = co_await s->lock.read();
        EXPECT_EQ(s->a, s->b);
        if (i % 8 == 0) co_await yield_now();
      }
    }
  };
  std::vector<JoinHandle<void>> handles;
  for (std::size_t i = 0; i < kTasks; ++i) handles.push_back(spawn(work(&shared, i)));
  const auto run_tasks = [&](int worker) {
    while (executor_.ended() < kTasks) {
      if (!executor_.run_one(worker)) std::this_thread::yield();
    }
  };
  std::thread other([&] { run_tasks(1); });
  std::thread reader([&] {
    for (int i = 0; i < kRounds; ++i) {
      const RwLockReadGuard guard = shared.lock.blocking_read();
      EXPECT_EQ(shared.a, shared.b);
      if (i == kRounds / 2) handles[1].abort();  // A reader.
    }
  });
  std::thread writer([&] {
    for (int i = 0; i < kRounds; ++i) {
      const RwLockWriteGuard guard = shared.lock.blocking_write();
      ++shared.a;
      ++shared.b;
    }
  });
  run_tasks(0);
  other.join();
  reader.join();
  writer.join();
  EXPECT_EQ(shared.a, 3 * kRounds);
  EXPECT_EQ(shared.b, 3 * kRounds);
  EXPECT_TRUE(shared.lock.try_write().has_value());
}

// Goal: who locks next may destroy the lock, though the one before has not returned from its unlock, whoever is aborted
// meanwhile. Method: a lock for each round; the unlock races the aborts of all that wait.
TEST_F(RwLockTest, WhoLocksNextMayDestroyIt) {
  constexpr std::size_t kRounds = 1'000;
  constexpr std::size_t kWaiters = 3;
  const auto read_once = [](RwLock* l) -> Task<> { const auto guard = co_await l->read(); };
  const auto write_once = [](RwLock* l) -> Task<> { const auto guard = co_await l->write(); };
  for (std::size_t round = 1; round <= kRounds; ++round) {
    auto lock = std::make_unique<RwLock>();
    std::optional<RwLockReadGuard> reads;
    std::optional<RwLockWriteGuard> writes;
    if (round % 2 == 0) {
      reads = lock->try_read();
    } else {
      writes = lock->try_write();
    }
    std::vector<JoinHandle<void>> handles;
    for (std::size_t i = 0; i < kWaiters; ++i) {
      handles.push_back(spawn(i == 1 ? read_once(lock.get()) : write_once(lock.get())));
    }
    for (std::size_t i = 0; i < round % (kWaiters + 1); ++i) executor_.run_one();
    std::atomic<int> gate{0};
    const auto pass_gate = [&gate] {
      gate.fetch_add(1, std::memory_order_acq_rel);
      while (gate.load(std::memory_order_acquire) < 2) std::this_thread::yield();
    };
    std::thread unlocker([&] {
      pass_gate();
      reads.reset();
      writes.reset();
    });
    std::thread aborter([&] {
      pass_gate();
      for (JoinHandle<void>& handle : handles) handle.abort();
    });
    while (executor_.ended() < round * kWaiters) {
      if (!executor_.run_one()) std::this_thread::yield();
    }
    while (!lock->try_write().has_value()) std::this_thread::yield();
    lock.reset();
    unlocker.join();
    aborter.join();
  }
}

TEST(RwLockDeathTest, MisuseEndsTheProcessWithAMessage) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto lock = std::make_unique<RwLock>();
        std::optional<RwLockReadGuard> guard = lock->try_read();
        lock.reset();
      },
      "while it was locked");
  EXPECT_DEATH(
      {
        RwLock lock;
        internal::set_runs_tasks(true);
        const RwLockWriteGuard guard = lock.blocking_write();
      },
      "skua::RwLock::blocking_write was called on a worker");
}

}  // namespace
}  // namespace skua
