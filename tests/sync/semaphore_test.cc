// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/semaphore.h"

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

#include "skua/internal/task_header.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "tests/support/manual_executor.h"
#include "tests/support/rounds.h"

namespace skua {
namespace {

using internal::TaskHeader;
using test::ManualExecutor;

class SemaphoreTest : public testing::Test {
 protected:
  template <typename T>
  JoinHandle<T> spawn(Task<T> task) {
    return internal::spawn_on(executor_, std::move(task), {});
  }

  ManualExecutor executor_{3};
};

// Takes a permit, notes it, and leaves it in `kept`.
Task<> acquire_and_keep(Semaphore* semaphore, std::string name, std::vector<std::string>* order,
                        SemaphorePermit* kept) {
  SemaphorePermit permit = co_await semaphore->acquire();
  order->push_back(std::move(name));
  *kept = std::move(permit);
}

TEST_F(SemaphoreTest, FreePermitsAreTakenWithoutWaitingAndGoBackAtTheEndOfTheScope) {
  Semaphore semaphore(2);
  EXPECT_EQ(semaphore.available(), 2u);
  {
    std::optional<SemaphorePermit> first = semaphore.try_acquire();
    std::optional<SemaphorePermit> second = semaphore.try_acquire();
    ASSERT_TRUE(first.has_value());
    ASSERT_TRUE(second.has_value());
    EXPECT_FALSE(semaphore.try_acquire().has_value());
    EXPECT_EQ(semaphore.available(), 0u);
  }
  EXPECT_EQ(semaphore.available(), 2u);
}

TEST_F(SemaphoreTest, APermitMovesAndIsGivenBackOnce) {
  Semaphore semaphore(2);
  SemaphorePermit permit = *semaphore.try_acquire();
  SemaphorePermit other = std::move(permit);
  EXPECT_FALSE(permit);  // NOLINT(bugprone-use-after-move): it is specified.
  EXPECT_TRUE(other);
  other.release_now();
  EXPECT_FALSE(other);
  EXPECT_EQ(semaphore.available(), 2u);
  other.release_now();
  EXPECT_EQ(semaphore.available(), 2u);
  permit = *semaphore.try_acquire();
  permit = *semaphore.try_acquire();  // Gives back the first.
  EXPECT_EQ(semaphore.available(), 1u);
}

TEST_F(SemaphoreTest, AForgottenPermitStaysAwayUntilItIsAddedAgain) {
  Semaphore semaphore(1);
  semaphore.try_acquire()->forget();
  EXPECT_EQ(semaphore.available(), 0u);
  semaphore.add_permits(3);
  EXPECT_EQ(semaphore.available(), 3u);
}

TEST_F(SemaphoreTest, AnAcquireWithAFreePermitDoesNotSuspend) {
  Semaphore semaphore(1);
  std::vector<std::string> order;
  SemaphorePermit kept;
  auto handle = spawn(acquire_and_keep(&semaphore, "a", &order, &kept));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_TRUE(handle.is_finished());
  EXPECT_TRUE(kept);
}

TEST_F(SemaphoreTest, WaitersAreServedInTheOrderOfTheirArrival) {
  Semaphore semaphore(0);
  std::vector<std::string> order;
  SemaphorePermit kept[4];
  auto a = spawn(acquire_and_keep(&semaphore, "a", &order, &kept[0]));
  auto b = spawn(acquire_and_keep(&semaphore, "b", &order, &kept[1]));
  auto c = spawn(acquire_and_keep(&semaphore, "c", &order, &kept[2]));
  auto d = spawn(acquire_and_keep(&semaphore, "d", &order, &kept[3]));
  executor_.drain();
  EXPECT_TRUE(order.empty());
  semaphore.add_permits(2);
  executor_.drain();
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b"}));
  kept[1].release_now();
  executor_.drain();
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b", "c"}));
  semaphore.add_permits(5);  // One is for d.
  EXPECT_EQ(semaphore.available(), 4u);
  executor_.drain();
  EXPECT_EQ(order.back(), "d");
}

TEST_F(SemaphoreTest, NobodyOvertakesAWaiterToWhomAPermitWasHandedOver) {
  Semaphore semaphore(1);
  std::optional<SemaphorePermit> held = semaphore.try_acquire();
  std::vector<std::string> order;
  SemaphorePermit kept[2];
  auto waiter = spawn(acquire_and_keep(&semaphore, "waiter", &order, &kept[0]));
  executor_.drain();
  auto late = spawn(acquire_and_keep(&semaphore, "late", &order, &kept[1]));
  held.reset();  // The permit is the waiter's from here on, though it has not run yet.
  EXPECT_EQ(semaphore.available(), 0u);
  EXPECT_FALSE(semaphore.try_acquire().has_value());
  executor_.drain();
  EXPECT_EQ(order, (std::vector<std::string>{"waiter"}));
  kept[0].release_now();
  executor_.drain();
  EXPECT_TRUE(kept[1]);
}

TEST_F(SemaphoreTest, AnAbortedWaiterGivesUpItsPlace) {
  Semaphore semaphore(0);
  std::vector<std::string> order;
  SemaphorePermit kept[3];
  auto a = spawn(acquire_and_keep(&semaphore, "a", &order, &kept[0]));
  auto b = spawn(acquire_and_keep(&semaphore, "b", &order, &kept[1]));
  auto c = spawn(acquire_and_keep(&semaphore, "c", &order, &kept[2]));
  executor_.drain();
  b.abort();
  executor_.drain();
  EXPECT_TRUE(b.is_finished());
  semaphore.add_permits(2);
  executor_.drain();
  EXPECT_EQ(order, (std::vector<std::string>{"a", "c"}));
}

TEST_F(SemaphoreTest, TheLastWaitersAbortOpensTheFastPathAgain) {
  Semaphore semaphore(0);
  std::vector<std::string> order;
  SemaphorePermit kept;
  auto waiter = spawn(acquire_and_keep(&semaphore, "a", &order, &kept));
  executor_.drain();
  waiter.abort();
  executor_.drain();
  semaphore.add_permits(1);
  EXPECT_EQ(semaphore.available(), 1u);
  EXPECT_TRUE(semaphore.try_acquire().has_value());
}

TEST_F(SemaphoreTest, AnAbortAfterTheHandOverLosesNoPermit) {
  Semaphore semaphore(0);
  std::vector<std::string> order;
  SemaphorePermit kept;
  auto waiter = spawn(acquire_and_keep(&semaphore, "a", &order, &kept));
  executor_.drain();
  semaphore.add_permits(1);
  waiter.abort();  // Too late: the result wins.
  executor_.drain();
  EXPECT_TRUE(waiter.is_finished());
  EXPECT_TRUE(kept);
  kept.release_now();
  EXPECT_EQ(semaphore.available(), 1u);
}

Task<> acquire_once(Semaphore* semaphore) {
  SemaphorePermit permit = co_await semaphore->acquire();
}

TEST_F(SemaphoreTest, AnAwaiterThatTookAPermitAndNeverResumedGivesItBack) {
  Semaphore semaphore(1);
  {
    internal::SemaphoreAwaiter awaiter(&semaphore);
    EXPECT_TRUE(awaiter.take_free());
    EXPECT_EQ(semaphore.available(), 0u);
  }
  EXPECT_EQ(semaphore.available(), 1u);
}

TEST_F(SemaphoreTest, AnAwaiterThatWasHandedAPermitAndNeverResumedGivesItBack) {
  Semaphore semaphore(0);
  TaskHeader header(internal::TaskKind::kRoot);
  header.executor = &executor_;
  header.worker = &executor_.enter(0);
  const auto frame = acquire_once(&semaphore).release_handle();  // A handle to wait with.
  frame.promise().task = &header;
  {
    internal::SemaphoreAwaiter awaiter(&semaphore);
    EXPECT_FALSE(awaiter.await_ready());
    EXPECT_TRUE(awaiter.await_suspend(frame));
    semaphore.add_permits(1);
    EXPECT_EQ(semaphore.available(), 0u);
  }
  EXPECT_EQ(semaphore.available(), 1u);
  frame.destroy();
}

Task<> acquire_from(std::unique_ptr<Semaphore> semaphore, SemaphorePermit** where) {
  SemaphorePermit permit = co_await semaphore->acquire();
  *where = &permit;
  permit.release_now();
}  // The semaphore goes with the frame.

TEST_F(SemaphoreTest, ASemaphoreInTheFrameOfItsWaiterMayGoRightAfterTheWakeUp) {
  auto owned = std::make_unique<Semaphore>(0);
  Semaphore* const semaphore = owned.get();
  SemaphorePermit* where = nullptr;
  auto handle = spawn(acquire_from(std::move(owned), &where));
  executor_.drain();
  semaphore->add_permits(1);
  executor_.drain();
  EXPECT_TRUE(handle.is_finished());
  EXPECT_NE(where, nullptr);
}

TEST_F(SemaphoreTest, APlainThreadMayReleaseAndItsWritesAreSeen) {
  Semaphore semaphore(0);
  int written = 0;
  std::vector<std::string> order;
  SemaphorePermit kept;
  auto waiter = spawn(acquire_and_keep(&semaphore, "a", &order, &kept));
  executor_.drain();
  std::thread releaser([&] {
    written = 1;  // Plain: published by the release.
    semaphore.add_permits(1);
  });
  while (!executor_.run_one()) std::this_thread::yield();
  EXPECT_EQ(written, 1);
  EXPECT_TRUE(waiter.is_finished());
  releaser.join();
}

Task<> work_with_permit(Semaphore* semaphore, std::atomic<int>* inside, int permits, int rounds,
                        std::uint64_t* counter) {
  for (int i = 0; i < rounds; ++i) {
    SemaphorePermit permit = co_await semaphore->acquire();
    const int others = inside->fetch_add(1, std::memory_order_relaxed);
    EXPECT_LT(others, permits);
    if (permits == 1) ++*counter;  // Plain: the permit is a lock.
    if (i % 8 == 0) co_await yield_now();
    inside->fetch_sub(1, std::memory_order_relaxed);
  }
}

class SemaphoreStressTest : public SemaphoreTest, public testing::WithParamInterface<int> {};

// Goal: never more holders than permits, no lost wake-up, and [PERMIT]: with one permit a plain
// counter is exact. Method: three threads run tasks that fight for the permits.
TEST_P(SemaphoreStressTest, ThereAreNeverMoreHoldersThanPermits) {
  constexpr std::size_t kTasks = 12;
  constexpr int kRounds = 1'000;
  const int permits = GetParam();
  Semaphore semaphore(static_cast<std::size_t>(permits));
  std::atomic<int> inside{0};
  std::uint64_t counter = 0;
  std::vector<JoinHandle<void>> handles;
  for (std::size_t i = 0; i < kTasks; ++i) {
    handles.push_back(spawn(work_with_permit(&semaphore, &inside, permits, kRounds, &counter)));
  }
  const auto work = [&](int worker) {
    while (executor_.ended() < kTasks) {
      if (!executor_.run_one(worker)) std::this_thread::yield();
    }
  };
  std::thread helper_a(work, 1);
  std::thread helper_b(work, 2);
  work(0);
  helper_a.join();
  helper_b.join();
  EXPECT_EQ(semaphore.available(), static_cast<std::size_t>(permits));
  if (permits == 1) {
    EXPECT_EQ(counter, kTasks * kRounds);
  }
}

INSTANTIATE_TEST_SUITE_P(Permits, SemaphoreStressTest, testing::Values(1, 2, 5));

// Goal: an abort that races a release neither loses a permit nor makes one. Method: each round, one
// thread aborts the waiters while another one releases, and a third runs whatever becomes ready;
// then all permits must be back.
TEST_F(SemaphoreTest, AnAbortThatRacesAReleaseKeepsTheCount) {
  constexpr std::size_t kWaiters = 4;
  constexpr std::size_t kPermits = 2;
  Semaphore semaphore(kPermits);
  test::Rounds rounds(2'000);
  while (rounds.another()) {
    const auto round = static_cast<std::size_t>(rounds.made());
    std::vector<SemaphorePermit> held;
    for (std::size_t i = 0; i < kPermits; ++i) held.push_back(*semaphore.try_acquire());
    std::vector<JoinHandle<void>> handles;
    for (std::size_t i = 0; i < kWaiters; ++i) handles.push_back(spawn(acquire_once(&semaphore)));
    // The last one is aborted before it suspends, while it does so, or afterwards.
    for (std::size_t i = 0; i + 1 < kWaiters; ++i) executor_.run_one();
    std::atomic<int> gate{0};
    const auto pass_gate = [&] {
      gate.fetch_add(1, std::memory_order_acq_rel);
      while (gate.load(std::memory_order_acquire) < 2) std::this_thread::yield();
    };
    std::thread releaser([&] {
      pass_gate();
      held.clear();
    });
    std::thread aborter([&] {
      pass_gate();
      for (std::size_t i = 0; i < kWaiters; i += 1 + round % 3) handles[i].abort();
    });
    while (executor_.ended() < round * kWaiters) {
      if (!executor_.run_one()) std::this_thread::yield();
    }
    releaser.join();
    aborter.join();
    ASSERT_EQ(semaphore.available(), kPermits) << "round " << round;
  }
}

TEST(SemaphoreDeathTest, DestroyingASemaphoreThatATaskWaitsForIsACallersBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ManualExecutor executor;
        auto semaphore = std::make_unique<Semaphore>(0);
        auto handle = internal::spawn_on(executor, acquire_once(semaphore.get()), {});
        executor.drain();
        semaphore.reset();
      },
      "a task waits for it");
}

TEST(SemaphoreDeathTest, MorePermitsThanTheMaximumAreACallersBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({ Semaphore semaphore(Semaphore::kPermitsMax + 1); }, "kPermitsMax");
  Semaphore semaphore(Semaphore::kPermitsMax);
  EXPECT_DEATH(semaphore.add_permits(1), "kPermitsMax");
  EXPECT_EQ(semaphore.available(), Semaphore::kPermitsMax);
}

}  // namespace
}  // namespace skua
