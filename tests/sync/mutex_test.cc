// SPDX-License-Identifier: Apache-2.0
//
// Mutex, and what is made of it: Condition, OnceCell.
#include "skua/sync/mutex.h"

#include <atomic>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/executor.h"
#include "skua/internal/selection.h"
#include "skua/spawn.h"
#include "skua/sync/channel.h"
#include "skua/sync/condition.h"
#include "skua/sync/once_cell.h"
#include "skua/sync/select.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "tests/support/abort_script.h"
#include "tests/support/manual_executor.h"
#include "tests/support/manual_fixture.h"
#include "tests/support/rounds.h"

namespace skua {
namespace {

using test::ManualExecutor;
using Order = std::vector<std::string>;

class MutexTest : public test::ManualTest {
 protected:
  MutexTest() : ManualTest(3) {}
};
using ConditionTest = MutexTest;
using OnceCellTest = MutexTest;

// Locks, notes it, and leaves the lock in `kept`.
Task<> lock_and_keep(Mutex* mutex, std::string name, Order* order, MutexGuard* kept) {
  MutexGuard guard = co_await mutex->lock();
  order->push_back(std::move(name));
  *kept = std::move(guard);
}

TEST_F(MutexTest, AGuardLocksUntilTheEndOfItsScope) {
  Mutex mutex;
  EXPECT_FALSE(mutex.is_locked());
  {
    std::optional<MutexGuard> guard = mutex.try_lock();
    ASSERT_TRUE(guard.has_value());
    EXPECT_EQ(guard->mutex(), &mutex);
    EXPECT_TRUE(mutex.is_locked());
    EXPECT_FALSE(mutex.try_lock().has_value());
    MutexGuard moved = *std::move(guard);
    EXPECT_FALSE(*guard);  // NOLINT(bugprone-use-after-move): it is specified.
    EXPECT_TRUE(moved);
    moved.unlock();
    EXPECT_FALSE(mutex.is_locked());
    moved.unlock();
    moved = *mutex.try_lock();
  }
  EXPECT_FALSE(mutex.is_locked());
}

TEST_F(MutexTest, WaitersAreServedInTheOrderOfTheirArrivalAndNobodyOvertakesThem) {
  Mutex mutex;
  std::optional<MutexGuard> held = mutex.try_lock();
  Order order;
  MutexGuard kept[3];
  auto a = spawn(lock_and_keep(&mutex, "a", &order, &kept[0]));
  auto b = spawn(lock_and_keep(&mutex, "b", &order, &kept[1]));
  executor_.drain();
  EXPECT_TRUE(order.empty());
  auto late = spawn(lock_and_keep(&mutex, "late", &order, &kept[2]));
  held.reset();  // The lock is a's from here on, though it has not run yet.
  EXPECT_FALSE(mutex.try_lock().has_value());
  executor_.drain();
  EXPECT_EQ(order, (Order{"a"}));
  kept[0].unlock();
  executor_.drain();
  EXPECT_EQ(order, (Order{"a", "b"}));
  kept[1].unlock();
  executor_.drain();
  EXPECT_EQ(order, (Order{"a", "b", "late"}));
  kept[2].unlock();
  EXPECT_FALSE(mutex.is_locked());
}

TEST_F(MutexTest, AnAbortedWaiterGivesUpItsPlaceAndOneThatHasTheLockKeepsIt) {
  Mutex mutex;
  std::optional<MutexGuard> held = mutex.try_lock();
  Order order;
  MutexGuard kept[3];
  auto a = spawn(lock_and_keep(&mutex, "a", &order, &kept[0]));
  auto b = spawn(lock_and_keep(&mutex, "b", &order, &kept[1]));
  executor_.drain();
  a.abort();
  held.reset();
  b.abort();  // Too late: the result wins.
  executor_.drain();
  EXPECT_EQ(order, (Order{"b"}));
  kept[1].unlock();
  EXPECT_FALSE(mutex.is_locked());
}

TEST_F(MutexTest, TheLastWaitersAbortOpensTheFastPathAgain) {
  Mutex mutex;
  std::optional<MutexGuard> held = mutex.try_lock();
  Order order;
  MutexGuard kept;
  auto a = spawn(lock_and_keep(&mutex, "a", &order, &kept));
  executor_.drain();
  a.abort();
  executor_.drain();
  held.reset();
  EXPECT_TRUE(mutex.try_lock().has_value());
}

struct MutexScript {
  static Task<> work(Mutex* mutex, int* counter) {
    for (int i = 0; i < 2; ++i) {
      MutexGuard guard = co_await mutex->lock();
      const int before = *counter;
      co_await yield_now();
      *counter = before + 1;
    }
  }
  std::vector<Task<>> tasks() {
    std::vector<Task<>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(work(&mutex, &counter));
    return tasks;
  }
  void check(std::size_t /*victim*/, bool cancelled) {
    EXPECT_GE(counter, cancelled ? 4 : 6);
    EXPECT_FALSE(mutex.is_locked());
  }
  Mutex mutex;
  int counter = 0;
};

TEST_F(MutexTest, AnAbortAtAnyMomentLeavesTheLockToTheOthers) {
  EXPECT_GT(test::abort_everywhere<MutexScript>(), 20u);
  EXPECT_GT(test::abort_everywhere<MutexScript>(1), 20u);  // Each lock yields with it in its hands.
}

// Goal: threads that block and tasks that wait share one queue; the lock excludes, and publishes what was done under
// it. Method: a plain counter, incremented by three threads and by tasks that two of them run in between.
TEST_F(MutexTest, ThreadsAndTasksExcludeEachOther) {
  constexpr int kRounds = 500;
  constexpr std::size_t kTasks = 6;
  Mutex mutex;
  std::int64_t counter = 0;  // Plain: [MUTEX].
  const auto work = [](Mutex* m, std::int64_t* c) -> Task<> {
    for (int i = 0; i < kRounds; ++i) {
      MutexGuard guard = co_await m->lock();
      ++*c;
      if (i % 8 == 0) co_await yield_now();
    }
  };
  std::vector<JoinHandle<void>> handles;
  for (std::size_t i = 0; i < kTasks; ++i) handles.push_back(spawn(work(&mutex, &counter)));
  const auto run_tasks = [&](int worker) {
    while (executor_.ended() < kTasks) {
      if (!executor_.run_one(worker)) std::this_thread::yield();
    }
  };
  std::thread other([&] { run_tasks(1); });
  std::thread blocking([&] {
    for (int i = 0; i < kRounds; ++i) {
      const MutexGuard guard = mutex.blocking_lock();
      ++counter;
    }
  });
  run_tasks(0);
  other.join();
  blocking.join();
  EXPECT_EQ(counter, static_cast<std::int64_t>(kTasks + 1) * kRounds);
  EXPECT_FALSE(mutex.is_locked());
}

// Goal: an abort that races the unlock loses no lock and makes none; and who locks next may destroy the mutex, though
// the unlocker has not returned. Method: as for Semaphore, with a mutex for each round.
TEST_F(MutexTest, AnAbortThatRacesAnUnlockKeepsTheLockWhole) {
  constexpr std::size_t kWaiters = 3;
  const auto lock_once = [](Mutex* m) -> Task<> { const MutexGuard guard = co_await m->lock(); };
  test::Rounds rounds(2'000);
  while (rounds.another()) {
    const auto round = static_cast<std::size_t>(rounds.made());
    auto mutex = std::make_unique<Mutex>();
    std::optional<MutexGuard> held = mutex->try_lock();
    std::vector<JoinHandle<void>> handles;
    for (std::size_t i = 0; i < kWaiters; ++i) handles.push_back(spawn(lock_once(mutex.get())));
    for (std::size_t i = 0; i < round % (kWaiters + 1); ++i) executor_.run_one();
    std::atomic<int> gate{0};
    const auto pass_gate = [&gate] {
      gate.fetch_add(1, std::memory_order_acq_rel);
      while (gate.load(std::memory_order_acquire) < 2) std::this_thread::yield();
    };
    std::thread unlocker([&] {
      pass_gate();
      held.reset();
    });
    std::thread aborter([&] {
      pass_gate();
      for (std::size_t i = 0; i < kWaiters; i += 1 + round % 2) handles[i].abort();
    });
    while (executor_.ended() < round * kWaiters) {
      if (!executor_.run_one()) std::this_thread::yield();
    }
    while (!mutex->try_lock().has_value()) std::this_thread::yield();
    mutex.reset();
    unlocker.join();
    aborter.join();
  }
}

TEST(MutexDeathTest, MisuseEndsTheProcessWithAMessage) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto mutex = std::make_unique<Mutex>();
        std::optional<MutexGuard> guard = mutex->try_lock();
        mutex.reset();
      },
      "while it was locked");
  EXPECT_DEATH(
      {
        Mutex mutex;
        internal::set_runs_tasks(true);
        const MutexGuard guard = mutex.blocking_lock();
      },
      "skua::Mutex::blocking_lock was called on a worker");
}

// --- Condition ------------------------------------------------------------------------------------

struct Box {
  Mutex mutex;
  Condition changed;
  std::deque<int> values;
};

Task<> take_from(Box* box, std::vector<int>* taken) {
  MutexGuard guard = co_await box->mutex.lock();
  while (box->values.empty()) co_await box->changed.wait(guard);
  EXPECT_TRUE(guard);
  EXPECT_TRUE(box->mutex.is_locked());
  taken->push_back(box->values.front());
  box->values.pop_front();
}

Task<> put_into(Box* box, int value, bool all) {
  const MutexGuard guard = co_await box->mutex.lock();
  box->values.push_back(value);
  all ? box->changed.notify_all() : box->changed.notify_one();
}

TEST_F(ConditionTest, WaitersGoOnOneByOneWithTheLock) {
  Box box;
  std::vector<int> taken;
  auto a = spawn(take_from(&box, &taken));
  auto b = spawn(take_from(&box, &taken));
  auto c = spawn(take_from(&box, &taken));
  executor_.drain();
  EXPECT_FALSE(box.mutex.is_locked());
  auto put = spawn(put_into(&box, 1, false));
  executor_.drain();
  EXPECT_EQ(taken, (std::vector<int>{1}));
  EXPECT_TRUE(a.is_finished());
  EXPECT_FALSE(b.is_finished());
  box.changed.notify_all();  // For nothing: they look, and wait again.
  executor_.drain();
  auto put_more = spawn(put_into(&box, 2, true));
  auto put_last = spawn(put_into(&box, 3, true));
  executor_.drain();
  EXPECT_EQ(taken, (std::vector<int>{1, 2, 3}));
  EXPECT_TRUE(b.is_finished());
  EXPECT_TRUE(c.is_finished());
  box.changed.notify_one();  // Nobody waits.
}

struct ConditionScript {
  std::vector<Task<>> tasks() {
    std::vector<Task<>> tasks;
    tasks.push_back(take_from(&box, &taken));
    tasks.push_back(put_into(&box, 1, false));
    tasks.push_back(take_from(&box, &taken));
    tasks.push_back(put_into(&box, 2, true));
    tasks.push_back(put_into(&box, 3, false));
    return tasks;
  }
  void check(std::size_t /*victim*/, bool /*cancelled*/) {
    EXPECT_FALSE(box.mutex.is_locked());
    EXPECT_GE(taken.size(), 1u);
    EXPECT_GE(taken.size() + box.values.size(), 2u);
  }
  Box box;
  std::vector<int> taken;
};

TEST_F(ConditionTest, AnAbortAtAnyMomentLosesNeitherTheLockNorANotification) {
  EXPECT_GT(test::abort_everywhere<ConditionScript>(), 20u);
  EXPECT_GT(test::abort_everywhere<ConditionScript>(1), 20u);
}

TEST_F(ConditionTest, AnAbortedWaiterIsFoundInTheQueueOfTheMutexToo) {
  Box box;
  std::vector<int> taken;
  auto a = spawn(take_from(&box, &taken));
  auto b = spawn(take_from(&box, &taken));
  executor_.drain();
  std::optional<MutexGuard> held = box.mutex.try_lock();
  box.values = {1, 2};
  box.changed.notify_all();  // Both wait for the mutex now.
  a.abort();
  executor_.drain();
  EXPECT_TRUE(a.is_finished());
  held.reset();
  executor_.drain();
  EXPECT_TRUE(b.is_finished());
  EXPECT_EQ(taken, (std::vector<int>{1}));
}

TEST_F(ConditionTest, TheNotificationOfOneThatIsAbortedBeforeItHasTheLockGoesToTheNext) {
  Box box;
  std::vector<int> taken;
  auto a = spawn(take_from(&box, &taken));
  auto b = spawn(take_from(&box, &taken));
  executor_.drain();
  std::optional<MutexGuard> held = box.mutex.try_lock();
  box.values = {1};
  box.changed.notify_one();  // a waits for the mutex now.
  a.abort();
  held.reset();
  executor_.drain();
  EXPECT_TRUE(a.is_finished());
  EXPECT_TRUE(b.is_finished());
  EXPECT_EQ(taken, (std::vector<int>{1}));
  b.abort();  // Should it wait.
  executor_.drain();
}

// Goal: no notification is lost between a look at the values and the wait, with threads that block on both sides and
// tasks. Method: each value is notified once; if one were lost, a taker would wait for ever.
TEST_F(ConditionTest, NoNotificationIsLostBetweenThreads) {
  constexpr int kValues = 1'000;
  Box box;
  std::vector<int> taken;  // Guarded by the mutex.
  const auto take_all = [](Box* from, std::vector<int>* to) -> Task<> {
    for (int i = 0; i < kValues; ++i) co_await take_from(from, to);
  };
  auto taker = spawn(take_all(&box, &taken));
  std::thread blocking_taker([&] {
    for (int i = 0; i < kValues; ++i) {
      MutexGuard guard = box.mutex.blocking_lock();
      while (box.values.empty()) box.changed.blocking_wait(guard);
      taken.push_back(box.values.front());
      box.values.pop_front();
    }
  });
  std::thread giver([&] {
    for (int i = 0; i < 2 * kValues; ++i) {
      const MutexGuard guard = box.mutex.blocking_lock();
      box.values.push_back(i);
      box.changed.notify_one();
    }
  });
  while (executor_.ended() < 1) {
    if (!executor_.run_one()) std::this_thread::yield();
  }
  giver.join();
  blocking_taker.join();
  ASSERT_EQ(taken.size(), 2u * kValues);
  for (int i = 0; i < 2 * kValues; ++i) ASSERT_EQ(taken[static_cast<std::size_t>(i)], i);
}

TEST(ConditionDeathTest, AGuardThatHoldsNothingIsACallersBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Condition condition;
        MutexGuard guard;
        condition.blocking_wait(guard);
      },
      "holds nothing");
}

// --- OnceCell -------------------------------------------------------------------------------------

// Waits for the turn it is given, then makes a value or throws.
struct Maker {
  Semaphore turn{0};
  int calls = 0;
  bool fails = false;
};

Task<std::unique_ptr<int>> make_value(Maker* maker) {
  const int call = ++maker->calls;
  (co_await maker->turn.acquire()).forget();
  if (std::exchange(maker->fails, false)) throw std::runtime_error("no value");
  co_return std::make_unique<int>(call);
}

Task<> use(OnceCell<std::unique_ptr<int>>* cell, Maker* maker, std::vector<int>* seen) {
  auto make = [maker] { return make_value(maker); };
  try {
    seen->push_back(*co_await cell->get_or_init(make));
  } catch (const std::runtime_error&) {
    seen->push_back(-1);
  }
}

TEST_F(OnceCellTest, OneTaskMakesTheValueAndTheOthersWaitForIt) {
  OnceCell<std::unique_ptr<int>> cell;
  EXPECT_EQ(cell.get(), nullptr);
  Maker maker;
  std::vector<int> seen;
  auto a = spawn(use(&cell, &maker, &seen));
  auto b = spawn(use(&cell, &maker, &seen));
  executor_.drain();
  EXPECT_FALSE(cell.set(std::make_unique<int>(7)));  // It is being made.
  maker.turn.add_permits(1);
  executor_.drain();
  auto c = spawn(use(&cell, &maker, &seen));
  executor_.drain();
  EXPECT_EQ(seen, (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(maker.calls, 1);
  EXPECT_EQ(**cell.get(), 1);
  EXPECT_FALSE(cell.set(std::make_unique<int>(7)));
}

TEST_F(OnceCellTest, TheNextOneMakesTheValueIfTheFirstThrowsOrIsAborted) {
  OnceCell<std::unique_ptr<int>> cell;
  Maker maker;
  maker.fails = true;
  std::vector<int> seen;
  auto fails = spawn(use(&cell, &maker, &seen));
  auto aborted = spawn(use(&cell, &maker, &seen));
  auto makes = spawn(use(&cell, &maker, &seen));
  executor_.drain();
  maker.turn.add_permits(1);
  executor_.drain();
  EXPECT_EQ(seen, (std::vector<int>{-1}));
  aborted.abort();
  executor_.drain();
  maker.turn.add_permits(1);
  executor_.drain();
  EXPECT_EQ(seen, (std::vector<int>{-1, 3}));
  EXPECT_EQ(maker.calls, 3);
}

TEST_F(OnceCellTest, AValueCanBeSetOnce) {
  OnceCell<std::string> cell;
  EXPECT_TRUE(cell.set("first"));
  EXPECT_FALSE(cell.set("second"));
  const OnceCell<std::string>& look = cell;
  EXPECT_EQ(*look.get(), "first");
}

// Another branch is decided, and the lock is free, just when the lock's branch is armed.
class LateLock {
 public:
  LateLock(internal::MutexAwaiter* lock, MutexGuard held, Sender<int> sender)
      : lock_(lock), held_(std::move(held)), sender_(std::move(sender)) {}
  LateLock(const LateLock&) = delete;
  LateLock& operator=(const LateLock&) = delete;

  bool select_take(internal::TaskHeader*) { return false; }
  bool select_arm(internal::SelectBranch* branch) {
    EXPECT_TRUE(sender_.try_send(7));
    held_.unlock();
    return lock_->select_arm(branch);
  }
  void select_disarm(internal::SelectBranch* branch) noexcept { lock_->select_disarm(branch); }
  void give_back() noexcept { lock_->give_back(); }
  MutexGuard await_resume() noexcept { return lock_->await_resume(); }

 private:
  internal::MutexAwaiter* const lock_;
  MutexGuard held_;
  Sender<int> sender_;
};

TEST_F(MutexTest, ALockThatCameTooLateIsNotKeptByItsAwaiter) {
  const auto play = [](int* received, int* locked) -> Task<> {
    auto [tx, rx] = channel<int>(1);
    Mutex mutex;
    MutexGuard held = co_await mutex.lock();
    internal::MutexAwaiter lock = mutex.lock();  // By name: it outlives the select.
    LateLock late(&lock, std::move(held), tx);
    const auto got = co_await select(rx.recv(), late);
    if (got.index() == 0) {
      ++*received;
      EXPECT_EQ(std::get<0>(got), 7);
      EXPECT_TRUE(mutex.try_lock().has_value());
    } else {
      ++*locked;
      EXPECT_FALSE(mutex.try_lock().has_value());
    }
  };
  int received = 0;
  int locked = 0;
  for (int i = 0; i < 64; ++i) {
    const JoinHandle<void> handle = spawn(play(&received, &locked));
    executor_.drain();
    EXPECT_TRUE(handle.is_finished());
  }
  EXPECT_GT(received, 0);  // By which of the branches is armed first.
  EXPECT_GT(locked, 0);
}

}  // namespace
}  // namespace skua
