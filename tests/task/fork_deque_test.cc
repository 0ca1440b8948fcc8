// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/fork_deque.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/membarrier.h"
#include "skua/internal/atomic.h"
#include "skua/internal/fork.h"

namespace skua::internal {
namespace {

// Stands for a ForkRecord, of which the deque knows the address alone.
struct alignas(ForkRecord) Record {
  // Plain: [FORK-PUSH] and the claim hand it over.
  std::uint32_t pushed = 0;
  std::uint32_t taken = 0;
};

ForkRecord* fork_of(Record* record) { return reinterpret_cast<ForkRecord*>(record); }
Record* record_of(ForkRecord* fork) { return reinterpret_cast<Record*>(fork); }

constexpr std::int64_t kSmall = 2;

class ForkDequeTest : public testing::Test {
 protected:
  void push(int i) { deque_.push(at(i)); }
  bool pop_if(int i) { return deque_.pop_if(at(i)); }
  // Numbers of records; kNone: there was none.
  static constexpr int kNone = -1;
  int pop() { return number(deque_.pop()); }
  int steal() {
    const ForkGate::Visit visit(gate_);
    return number(deque_.steal());
  }

  ForkGate gate_{membarrier_available() ? &membarrier : nullptr};
  ForkDeque deque_{gate_, kSmall};

 private:
  ForkRecord* at(int i) { return fork_of(&records_[static_cast<std::size_t>(i)]); }
  int number(ForkRecord* fork) {
    return fork == nullptr ? kNone : static_cast<int>(record_of(fork) - records_.data());
  }

  std::vector<Record> records_{1000};
};

// --- One thread ---------------------------------------------------------------------------------

TEST_F(ForkDequeTest, HasNothingBeforeTheFirstPush) {
  EXPECT_EQ(pop(), kNone);
  EXPECT_EQ(steal(), kNone);
  EXPECT_FALSE(pop_if(0));
  EXPECT_TRUE(deque_.looks_empty());
  EXPECT_EQ(deque_.size(), 0u);
}

TEST_F(ForkDequeTest, TheOwnerTakesTheNewestAndAThiefTheOldest) {
  for (int i = 0; i < 6; ++i) push(i);
  EXPECT_EQ(deque_.size(), 6u);
  EXPECT_EQ(pop(), 5);
  EXPECT_EQ(steal(), 0);
  EXPECT_EQ(steal(), 1);
  EXPECT_EQ(pop(), 4);
  push(6);
  EXPECT_EQ(pop(), 6);
  EXPECT_EQ(steal(), 2);
  EXPECT_EQ(pop(), 3);
  EXPECT_EQ(pop(), kNone);
  EXPECT_EQ(steal(), kNone);
}

TEST_F(ForkDequeTest, PopIfTakesTheNewestOnly) {
  push(0);
  push(1);
  EXPECT_FALSE(pop_if(0));
  EXPECT_FALSE(pop_if(2));
  EXPECT_EQ(deque_.size(), 2u);
  EXPECT_TRUE(pop_if(1));
  EXPECT_FALSE(pop_if(1));
  EXPECT_TRUE(pop_if(0));
  EXPECT_FALSE(pop_if(0));
  EXPECT_TRUE(deque_.looks_empty());
}

TEST_F(ForkDequeTest, TheOwnerMayTakeTheOldestToo) {
  for (int i = 0; i < 3; ++i) push(i);
  EXPECT_EQ(record_of(deque_.steal())->taken, 0u);  // Without a visit.
  EXPECT_TRUE(pop_if(2));
  EXPECT_TRUE(pop_if(1));
  EXPECT_EQ(deque_.steal(), nullptr);
}

TEST_F(ForkDequeTest, WhatAStolenRecordHasLeftInItsSlotIsNotTakenAgain) {
  push(0);
  EXPECT_EQ(steal(), 0);
  EXPECT_FALSE(pop_if(0));
  EXPECT_EQ(pop(), kNone);
  EXPECT_EQ(deque_.size(), 0u);
  // The failed claim has left the deque as it was.
  push(1);
  push(2);
  EXPECT_EQ(steal(), 1);
  EXPECT_TRUE(pop_if(2));
}

// A frame that is made where another one was gives a record with its address.
TEST_F(ForkDequeTest, ARecordMayComeBackToASlotThatStillNamesIt) {
  for (int round = 0; round < 20; ++round) {
    push(0);
    EXPECT_EQ(steal(), 0) << round;
    EXPECT_FALSE(pop_if(0)) << round;
    push(0);
    EXPECT_TRUE(pop_if(0)) << round;
    EXPECT_FALSE(pop_if(0)) << round;
  }
}

TEST_F(ForkDequeTest, ManyLapsOfTheRingKeepTheOrder) {
  int oldest = 0;
  push(0);
  for (int i = 1; i < 500; ++i) {  // One or two records in a ring of two slots.
    push(i);
    EXPECT_EQ(steal(), oldest++);
  }
  EXPECT_TRUE(pop_if(499));
}

TEST_F(ForkDequeTest, GrowsInTheMiddleOfARingAndKeepsTheOrder) {
  for (int start = 0; start < 8; ++start) {  // Where in its ring the deque begins.
    ForkDeque deque(gate_, kSmall);
    std::vector<Record> records(200);
    const auto at = [&](std::size_t i) { return fork_of(&records[i]); };
    for (int i = 0; i < start; ++i) {
      deque.push(at(0));
      ASSERT_EQ(deque.steal(), at(0));
    }
    for (std::size_t i = 0; i < 200; ++i) {
      deque.push(at(i));
      if (i % 20 == 19) {
        ASSERT_EQ(deque.steal(), at(i / 20)) << start;
      }
    }
    for (std::size_t i = 199; i >= 10; --i) ASSERT_TRUE(deque.pop_if(at(i))) << start << ' ' << i;
    EXPECT_TRUE(deque.looks_empty());
  }
}

TEST_F(ForkDequeTest, HoldsMoreThanItsUsualFirstCapacity) {
  ForkDeque deque(gate_);
  std::vector<Record> records(3 * static_cast<std::size_t>(ForkDeque::kFirstCapacity));
  for (Record& record : records) deque.push(fork_of(&record));
  EXPECT_EQ(deque.size(), records.size());
  for (std::size_t i = records.size(); i > 0; --i) ASSERT_EQ(deque.pop(), fork_of(&records[i - 1]));
}

using ForkDequeDeathTest = ForkDequeTest;

TEST_F(ForkDequeDeathTest, MustBeEmptyAtItsEnd) {
  Record record;
  EXPECT_DEATH(
      {
        ForkDeque deque(gate_);
        deque.push(fork_of(&record));
      },
      "size\\(\\) == 0");
}

TEST_F(ForkDequeDeathTest, TheFirstCapacityIsAPowerOfTwo) {
  EXPECT_DEATH(ForkDeque(gate_, 3), "first_capacity");
  EXPECT_DEATH(ForkDeque(gate_, 1), "first_capacity");
}

// --- The gate -----------------------------------------------------------------------------------

int barriers = 0;
void count_barrier() noexcept { ++barriers; }

TEST(ForkGateTest, IsOpenWhileSomebodyStealsAndEachVisitBeginsWithABarrier) {
  ForkGate gate(&count_barrier);
  barriers = 0;
  EXPECT_TRUE(gate.has_barrier());
  EXPECT_FALSE(gate.open());
  {
    const ForkGate::Visit one(gate);
    EXPECT_TRUE(gate.open());
    {
      const ForkGate::Visit two(gate);
      EXPECT_TRUE(gate.open());
    }
    EXPECT_TRUE(gate.open());
  }
  EXPECT_FALSE(gate.open());
  EXPECT_EQ(barriers, 2);
}

TEST(ForkGateTest, WithoutABarrierItIsAlwaysOpen) {
  ForkGate gate(nullptr);
  EXPECT_FALSE(gate.has_barrier());
  EXPECT_TRUE(gate.open());
  {
    const ForkGate::Visit visit(gate);
  }
  EXPECT_TRUE(gate.open());
  gate.before_last_look();  // Has nothing to call.
}

TEST(ForkGateTest, WhoGoesToSleepPassesABarrierOnlyOnceSomebodyHasForked) {
  ForkGate gate(&count_barrier);
  barriers = 0;
  ForkDeque deque(gate);
  gate.before_last_look();
  EXPECT_EQ(deque.pop(), nullptr);
  gate.before_last_look();
  EXPECT_EQ(barriers, 0);
  Record record;
  deque.push(fork_of(&record));
  EXPECT_TRUE(deque.pop_if(fork_of(&record)));
  gate.before_last_look();
  EXPECT_EQ(barriers, 1);
}

// --- The races ----------------------------------------------------------------------------------

// True: with the process-wide barrier. False: without, as where the kernel refuses it.
class ForkDequeRaceTest : public testing::TestWithParam<bool> {
 protected:
  // Steals until stop(). Each record that it gets is counted in the record itself.
  void start_thieves(int count) {
    for (int i = 0; i < count; ++i) {
      thieves_.emplace_back([this, i] {
        std::minstd_rand random(static_cast<unsigned>(i + 1));
        while (!stop_.load(std::memory_order_acquire)) {
          steal_some(1 + random() % 3);
          // Between the visits the gate closes, so that the owner meets it in both states.
          for (auto pause = random() % 512; pause > 0; --pause) cpu_relax();
        }
      });
    }
  }
  void stop_thieves() {
    stop_.store(true, std::memory_order_release);
    for (std::thread& thief : thieves_) thief.join();
    thieves_.clear();
  }
  std::int64_t stolen() const { return stolen_.load(std::memory_order_acquire); }

  ForkGate gate_{GetParam() && membarrier_available() ? &membarrier : nullptr};
  ForkDeque deque_{gate_, kSmall};

 private:
  void steal_some(std::uint64_t count) {
    const ForkGate::Visit visit(gate_);
    for (; count > 0; --count) {
      ForkRecord* const fork = deque_.steal();
      if (fork == nullptr) continue;
      ++record_of(fork)->taken;
      stolen_.fetch_add(1, std::memory_order_release);
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<std::int64_t> stolen_{0};
  std::vector<std::thread> thieves_;
};

// Goal: each record is taken as often as it was pushed, by the owner or by one thief, and a thief sees what was written
// before the push. Method: the owner nests like a tree of forks: it goes down by a push and up by a pop_if of the same
// record, to random depths, so that the ring of two slots grows and wraps; three thieves take from the old end. What is
// stolen is never pushed again; what the owner takes back, it pushes again.
TEST_P(ForkDequeRaceTest, EachRecordIsTakenOnce) {
  constexpr std::size_t kRecordsMax = 200'000;
  constexpr int kSteps = 400'000;
  constexpr std::int64_t kStolenMin = 100;
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::deque<Record> records;  // Grows without moving what is in it.
  std::vector<Record*> free;
  std::vector<Record*> open;  // On the deque, unless they were stolen; the newest last.
  start_thieves(3);
  std::size_t depth = 0;
  // On a busy machine the thieves may come late.
  for (int step = 0; step < kSteps || stolen() < kStolenMin; ++step) {
    if (random() % 64 == 0) depth = random() % (1u << (random() % 8));
    if (open.size() < depth && (!free.empty() || records.size() < kRecordsMax)) {
      if (free.empty()) {
        free.push_back(&records.emplace_back());
      }
      open.push_back(free.back());
      free.pop_back();
      ++open.back()->pushed;
      deque_.push(fork_of(open.back()));
      continue;
    }
    if (open.empty()) {
      EXPECT_TRUE(deque_.looks_empty());
      continue;
    }
    Record* const newest = open.back();
    const bool won =
        random() % 8 != 0 ? deque_.pop_if(fork_of(newest)) : deque_.pop() == fork_of(newest);
    if (won) {
      open.pop_back();
      ++newest->taken;
      free.push_back(newest);
    } else {
      // Thieves take the older ones first.
      EXPECT_TRUE(deque_.looks_empty());
      for (Record* const record : open) EXPECT_FALSE(deque_.pop_if(fork_of(record)));
      open.clear();
    }
  }
  while (deque_.pop() != nullptr) {
    ++open.back()->taken;
    open.pop_back();
  }
  stop_thieves();
  EXPECT_TRUE(deque_.looks_empty());
  for (const Record& record : records) {
    ASSERT_EQ(record.taken, record.pushed) << "record " << (&record - &records.front());
  }
}

// Goal: the last record goes to one of the two who want it. Method: one record at a time, which the owner wants back
// after a random while.
TEST_P(ForkDequeRaceTest, TheLastRecordGoesToOneOfTwo) {
  constexpr int kRounds = 100'000;
  constexpr std::int64_t kEachMin = 50;
  std::minstd_rand random(1);
  std::deque<Record> records(1);
  start_thieves(1);
  std::int64_t popped = 0;
  for (int round = 0; round < kRounds || popped < kEachMin || stolen() < kEachMin; ++round) {
    Record* const record = &records.back();
    ++record->pushed;
    deque_.push(fork_of(record));
    for (auto pause = random() % 256; pause > 0; --pause) cpu_relax();
    if (deque_.pop_if(fork_of(record))) {
      ++record->taken;
      ++popped;
    } else {
      EXPECT_TRUE(deque_.looks_empty());
      records.emplace_back();
    }
  }
  stop_thieves();
  std::int64_t taken = 0;
  for (const Record& record : records) {
    ASSERT_EQ(record.taken, record.pushed);
    taken += record.taken;
  }
  EXPECT_EQ(taken, popped + stolen());
}

INSTANTIATE_TEST_SUITE_P(Barrier, ForkDequeRaceTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return info.param ? "process_wide" : "none";
                         });

}  // namespace
}  // namespace skua::internal
