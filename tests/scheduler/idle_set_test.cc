// SPDX-License-Identifier: Apache-2.0
#include "scheduler/idle_set.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/atomic.h"
#include "skua/internal/config.h"
#include "tests/support/rounds.h"

namespace skua::internal {
namespace {

TEST(IdleSetTest, InTheBeginningAllAreAwakeAndNobodySearches) {
  IdleSet idle(4);
  EXPECT_EQ(idle.awake(), 4);
  EXPECT_EQ(idle.searching(), 0);
  EXPECT_EQ(idle.take_sleeper(), IdleSet::kNobody);
}

TEST(IdleSetTest, AtMostHalfOfTheWorkersRoundedUpSearch) {
  for (const int workers : {1, 2, 3, 4, 5, 8}) {
    IdleSet idle(workers);
    const int limit = (workers + 1) / 2;
    for (int i = 0; i < limit; ++i) EXPECT_TRUE(idle.start_search()) << workers;
    EXPECT_FALSE(idle.start_search()) << workers;
    EXPECT_EQ(idle.searching(), limit);
    EXPECT_EQ(idle.awake(), workers);
    EXPECT_EQ(idle.stop_search(), limit == 1);
    EXPECT_TRUE(idle.start_search()) << workers;
  }
}

TEST(IdleSetTest, TheLastSearcherIsToldSo) {
  IdleSet idle(6);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(idle.start_search());
  EXPECT_FALSE(idle.stop_search());
  EXPECT_FALSE(idle.stop_search());
  EXPECT_TRUE(idle.stop_search());
  EXPECT_EQ(idle.searching(), 0);
}

TEST(IdleSetTest, TheLastToSleepIsTheFirstToBeWoken) {
  IdleSet idle(4);
  for (const int worker : {2, 0, 3}) idle.sleep(worker, false);
  EXPECT_EQ(idle.awake(), 1);
  for (const int worker : {3, 0, 2}) {
    EXPECT_EQ(idle.take_sleeper(), worker);
    EXPECT_TRUE(idle.wake_up(worker));
    EXPECT_TRUE(idle.stop_search());
  }
  EXPECT_EQ(idle.take_sleeper(), IdleSet::kNobody);
  EXPECT_EQ(idle.awake(), 4);
}

TEST(IdleSetTest, ASleeperIsTakenOnlyIfNobodySearches) {
  IdleSet idle(4);
  idle.sleep(0, false);
  idle.sleep(1, false);
  ASSERT_TRUE(idle.start_search());
  EXPECT_EQ(idle.take_sleeper(), IdleSet::kNobody);
  EXPECT_TRUE(idle.stop_search());
  EXPECT_EQ(idle.take_sleeper(), 1);
  EXPECT_EQ(idle.take_sleeper(), IdleSet::kNobody);  // Worker 1 searches now.
}

TEST(IdleSetTest, WhoIsTakenCountsAsAwakeAndSearchingBeforeItHasWokenUp) {
  IdleSet idle(2);
  idle.sleep(1, false);
  EXPECT_EQ(idle.awake(), 1);
  EXPECT_EQ(idle.take_sleeper(), 1);
  EXPECT_EQ(idle.awake(), 2);
  EXPECT_EQ(idle.searching(), 1);
  EXPECT_TRUE(idle.wake_up(1));
  EXPECT_EQ(idle.awake(), 2);
  EXPECT_EQ(idle.searching(), 1);
}

TEST(IdleSetTest, WhoWakesByItselfIsAwakeAndDoesNotSearch) {
  IdleSet idle(3);
  for (const int worker : {0, 1, 2}) idle.sleep(worker, false);
  EXPECT_EQ(idle.awake(), 0);
  EXPECT_FALSE(idle.wake_up(1));
  EXPECT_EQ(idle.awake(), 1);
  EXPECT_EQ(idle.searching(), 0);
  EXPECT_EQ(idle.take_sleeper(), 2);  // The others kept their places.
  EXPECT_TRUE(idle.wake_up(2));
  EXPECT_TRUE(idle.stop_search());
  EXPECT_EQ(idle.take_sleeper(), 0);
}

TEST(IdleSetTest, ASearcherThatSleepsEndsItsSearch) {
  IdleSet idle(4);
  ASSERT_TRUE(idle.start_search());
  ASSERT_TRUE(idle.start_search());
  idle.sleep(0, true);
  EXPECT_EQ(idle.searching(), 1);
  EXPECT_EQ(idle.awake(), 3);
  idle.sleep(1, true);
  EXPECT_EQ(idle.searching(), 0);
  EXPECT_EQ(idle.awake(), 2);
  EXPECT_EQ(idle.take_sleeper(), 1);
}

// --- A sleeper of one's own choice --------------------------------------------------------------

TEST(IdleSetTest, AGivenSleeperIsTakenAndDoesNotSearch) {
  IdleSet idle(3);
  EXPECT_FALSE(idle.take(0));  // Awake.
  for (const int worker : {0, 1, 2}) idle.sleep(worker, false);
  EXPECT_TRUE(idle.take(1));
  EXPECT_FALSE(idle.take(1));  // On its way.
  EXPECT_EQ(idle.awake(), 1);
  EXPECT_EQ(idle.searching(), 0);
  EXPECT_FALSE(idle.wake_up(1));
  EXPECT_EQ(idle.take_sleeper(), 2);  // The others kept their places.
  EXPECT_FALSE(idle.take(2));
  EXPECT_TRUE(idle.wake_up(2));  // Was woken to search, whatever take() was asked for meanwhile.
  EXPECT_TRUE(idle.stop_search());
  idle.sleep(1, false);
  EXPECT_TRUE(idle.take(1));
  EXPECT_FALSE(idle.wake_up(1));
}

TEST(IdleSetTest, AYieldTakesASleeperByTheSameRule) {
  IdleSet idle(2);
  EXPECT_EQ(idle.take_sleeper_unordered(), IdleSet::kNobody);
  idle.sleep(1, false);
  EXPECT_EQ(idle.take_sleeper_unordered(), 1);
  EXPECT_EQ(idle.take_sleeper_unordered(), IdleSet::kNobody);
}

// --- The watch ----------------------------------------------------------------------------------

TEST(IdleSetTest, TheFirstSleeperHasTheWatchWhileAPeerIsAwake) {
  IdleSet idle(3);
  idle.sleep(0, false);
  EXPECT_TRUE(idle.has_watch(0));
  idle.sleep(1, false);
  EXPECT_TRUE(idle.has_watch(0));
  EXPECT_FALSE(idle.has_watch(1));
}

TEST(IdleSetTest, WithNobodyAwakeThereIsNoWatch) {
  IdleSet idle(2);
  idle.sleep(0, false);
  idle.sleep(1, false);
  // It finds out when it comes back from its short sleep.
  EXPECT_FALSE(idle.wake_up(0));
  EXPECT_TRUE(idle.has_watch(0));
  idle.sleep(0, false, /*linger=*/true);
  EXPECT_TRUE(idle.has_watch(0));
  EXPECT_FALSE(idle.wake_up(0));
  idle.sleep(0, false);
  EXPECT_FALSE(idle.has_watch(0));
  EXPECT_FALSE(idle.has_watch(1));
}

TEST(IdleSetTest, TheLastToSleepNeedsNoWatch) {
  IdleSet idle(1);
  idle.sleep(0, false);
  EXPECT_FALSE(idle.has_watch(0));
}

TEST(IdleSetTest, WhoGoesFromSleepToWorkSeesToTheWatch) {
  IdleSet idle(3);
  for (const int worker : {0, 1, 2}) idle.sleep(worker, false);
  EXPECT_FALSE(idle.wake_up(0));  // The watch, at its end.
  idle.sleep(0, false);
  ASSERT_FALSE(idle.has_watch(0));
  EXPECT_FALSE(idle.wake_up(1));  // An event.
  const int watch = idle.begin_run(1);
  EXPECT_EQ(watch, 0);  // The last to sleep.
  EXPECT_TRUE(idle.has_watch(0));
  EXPECT_FALSE(idle.wake_up(0));
  EXPECT_EQ(idle.awake(), 2);
  // There is one now, so whoever is next wakes nobody.
  EXPECT_FALSE(idle.wake_up(2));
  EXPECT_EQ(idle.begin_run(2), IdleSet::kNobody);
  // It has found work itself, and nobody is left to take over.
  EXPECT_EQ(idle.begin_run(0), IdleSet::kNobody);
  EXPECT_FALSE(idle.has_watch(0));
  idle.sleep(2, false);
  EXPECT_TRUE(idle.has_watch(2));
}

TEST(IdleSetTest, TheWatchIsPassedOnByWhoHasItAndFindsWork) {
  IdleSet idle(3);
  idle.sleep(0, false);
  idle.sleep(1, false);
  ASSERT_TRUE(idle.has_watch(0));
  EXPECT_FALSE(idle.wake_up(0));
  EXPECT_EQ(idle.begin_run(0), 1);
  EXPECT_TRUE(idle.has_watch(1));
}

TEST(IdleSetTest, APublisherWakesWhoHasTheWatchLast) {
  IdleSet idle(4);
  for (const int worker : {0, 1, 2}) idle.sleep(worker, false);
  EXPECT_FALSE(idle.wake_up(0));
  idle.sleep(0, false);  // Now the last to sleep, and still with the watch.
  ASSERT_TRUE(idle.has_watch(0));
  for (const int worker : {2, 1, 0}) {
    EXPECT_EQ(idle.take_sleeper(), worker);
    EXPECT_TRUE(idle.wake_up(worker));
    EXPECT_TRUE(idle.stop_search());
  }
}

TEST(IdleSetDeathTest, ASetNeedsAWorker) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(IdleSet idle(0), "workers");
}

// A worker sleeps on it. A token that came before is not lost.
class Parker {
 public:
  void park() {
    token_.wait(0, std::memory_order_acquire);
    // Reads the token that it takes away, and so sees what was written before unpark().
    token_.exchange(0, std::memory_order_acquire);
  }
  void unpark() {
    token_.store(1, std::memory_order_release);
    token_.notify_one();
  }

 private:
  std::atomic<int> token_{0};
};

// Publishers that announce work by a release store, as RunQueue does, so that take_sleeper()'s barrier alone
// orders it before the look at the sleepers; and workers that take it and sleep by the rules of IdleSet.
class Workshop {
 public:
  Workshop(std::size_t publishers, std::size_t workers, int items_each)
      : items_each_(items_each),
        publishing_(publishers),
        stations_(publishers),
        parkers_(workers),
        idle_(static_cast<int>(workers)) {}

  enum class Pace {
    kHandOver,  // Each item waits until the one before was taken: the workers fall asleep between.
    kRandomPauses,
  };

  void publish(std::size_t self, Pace pace) {
    Station& station = stations_[self];
    std::minstd_rand random(static_cast<std::uint32_t>(self + 1));
    for (test::Rounds items(items_each_); items.another();) {
      const auto i = static_cast<std::uint32_t>(items.made());
      if (pace == Pace::kHandOver) {
        for (int spins = 0; station.taken.load(std::memory_order_acquire) + 1 < i; ++spins) {
          if (spins < 1'000) {
            cpu_relax();
          } else {
            std::this_thread::yield();
          }
        }
        // About as long as the worker needs to fall asleep.
        for (auto pause = random() % 64; pause > 0; --pause) cpu_relax();
      } else if (random() % 16 == 0) {
        for (auto pause = random() % 256; pause > 0; --pause) cpu_relax();
      }
      station.published.store(i, std::memory_order_release);
      wake(idle_.take_sleeper());
    }
    publishing_.fetch_sub(1, std::memory_order_seq_cst);
    end_if_all_is_done();
  }

  void work(std::size_t self) {
    const int worker = static_cast<int>(self);
    bool searching = false;
    while (!done_.load(std::memory_order_acquire)) {
      if (take_one()) {
        if (searching) {
          searching = false;
          if (idle_.stop_search()) wake(idle_.take_sleeper());
        }
        continue;
      }
      if (!searching && idle_.start_search()) {
        searching = true;
        continue;
      }
      idle_.sleep(worker, searching);
      searching = false;
      if (!work_left() && !done_.load(std::memory_order_acquire)) {
        parkers_[self].park();
        parks_.fetch_add(1, std::memory_order_relaxed);
      }
      searching = idle_.wake_up(worker);
    }
    if (searching && idle_.stop_search()) wake(idle_.take_sleeper());
  }

  std::uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }
  std::uint64_t published() const {
    std::uint64_t sum = 0;
    for (const Station& station : stations_) {
      sum += station.published.load(std::memory_order_acquire);
    }
    return sum;
  }
  std::uint64_t parks() const { return parks_.load(std::memory_order_relaxed); }
  const IdleSet& idle() const { return idle_; }

 private:
  struct Station {
    alignas(kCacheLine) std::atomic<std::uint32_t> published{0};
    alignas(kCacheLine) std::atomic<std::uint32_t> taken{0};
  };

  void wake(int worker) {
    if (worker == IdleSet::kNobody) return;
    parkers_[static_cast<std::size_t>(worker)].unpark();
  }

  bool work_left() const {
    for (const Station& station : stations_) {
      if (station.taken.load(std::memory_order_acquire) !=
          station.published.load(std::memory_order_acquire)) {
        return true;
      }
    }
    return false;
  }

  bool take_one() {
    for (Station& station : stations_) {
      std::uint32_t next = station.taken.load(std::memory_order_acquire);
      while (next != station.published.load(std::memory_order_acquire)) {
        if (!station.taken.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel,
                                                 std::memory_order_acquire)) {
          continue;
        }
        taken_.fetch_add(1, std::memory_order_seq_cst);
        end_if_all_is_done();
        return true;
      }
    }
    return false;
  }

  // After each item, and when a publisher has ended: each writes its count and then reads the other one.
  void end_if_all_is_done() {
    if (publishing_.load(std::memory_order_seq_cst) > 0) return;
    if (taken_.load(std::memory_order_seq_cst) != published()) return;
    done_.store(true, std::memory_order_release);
    for (Parker& parker : parkers_) parker.unpark();
  }

  // Constant after construction.
  const int items_each_;  // At most.
  // Any thread.
  std::atomic<std::size_t> publishing_;  // Publishers that have not ended.
  std::vector<Station> stations_;
  std::deque<Parker> parkers_;
  IdleSet idle_;
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> parks_{0};
  std::atomic<bool> done_{false};
};

struct Crowd {
  std::size_t publishers;
  std::size_t workers;
  int items_each;
  Workshop::Pace pace;
};

class IdleSetStressTest : public testing::TestWithParam<Crowd> {};

// Goal: [SLEEP], no published work lies about while all workers sleep. Method: publishers publish and then
// ask whom to wake; workers that find nothing announce their sleep, look once more, and sleep for good until
// they are woken. One lost wake-up, and the test never ends.
TEST_P(IdleSetStressTest, AllWorkIsTakenAndEverybodyEnds) {
  const Crowd crowd = GetParam();
  Workshop workshop(crowd.publishers, crowd.workers, crowd.items_each);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < crowd.workers; ++i) {
    threads.emplace_back([&workshop, i] { workshop.work(i); });
  }
  for (std::size_t i = 0; i < crowd.publishers; ++i) {
    threads.emplace_back([&workshop, &crowd, i] { workshop.publish(i, crowd.pace); });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(workshop.taken(), workshop.published());
  EXPECT_GT(workshop.parks(), 0u);
  EXPECT_EQ(workshop.idle().searching(), 0);
  EXPECT_EQ(workshop.idle().awake(), static_cast<int>(crowd.workers));
}

INSTANTIATE_TEST_SUITE_P(Crowds, IdleSetStressTest,
                         testing::Values(Crowd{1, 1, 20'000, Workshop::Pace::kHandOver},
                                         Crowd{1, 2, 20'000, Workshop::Pace::kHandOver},
                                         Crowd{2, 3, 10'000, Workshop::Pace::kHandOver},
                                         Crowd{2, 2, 50'000, Workshop::Pace::kRandomPauses},
                                         Crowd{3, 5, 20'000, Workshop::Pace::kRandomPauses}));

}  // namespace
}  // namespace skua::internal
