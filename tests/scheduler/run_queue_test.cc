// SPDX-License-Identifier: Apache-2.0
#include "scheduler/run_queue.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "tests/support/task_id.h"

namespace skua::internal {
namespace {

using Small = RunQueue<4>;
using Full = RunQueue<256>;

// The positions of a queue, so that a test can begin just below 2^16 or 2^32, or stop a thief or the owner between two
// steps. An explicit instantiation may name private members.
std::atomic<std::uint64_t>& head_of(Small& queue);
std::atomic<std::uint32_t>& tail_of(Small& queue);
std::atomic<std::uint32_t>& turns_end_of(Small& queue);

template <std::atomic<std::uint64_t> Small::* kHead, std::atomic<std::uint32_t> Small::* kTail,
          std::atomic<std::uint32_t> Small::* kTurnsEnd>
struct Positions {
  friend std::atomic<std::uint64_t>& head_of(Small& queue) { return queue.*kHead; }
  friend std::atomic<std::uint32_t>& tail_of(Small& queue) { return queue.*kTail; }
  friend std::atomic<std::uint32_t>& turns_end_of(Small& queue) { return queue.*kTurnsEnd; }
};
template struct Positions<&Small::head_, &Small::tail_, &Small::turns_end_>;

// As if that were one more change; 16 bits of each position count.
void set_head(Small& queue, std::uint32_t steal, std::uint32_t real) {
  const std::uint64_t changes = (head_of(queue).load(std::memory_order_relaxed) >> 32) + 1;
  const std::uint64_t positions = ((steal & 0xffff) << 16) | (real & 0xffff);
  head_of(queue).store(changes << 32 | positions, std::memory_order_release);
}

// An empty queue begins at `position`.
void start_at(Small& queue, std::uint32_t position) {
  set_head(queue, position, position);
  turns_end_of(queue).store(position, std::memory_order_relaxed);
  tail_of(queue).store(position, std::memory_order_release);
}

constexpr QueueOrder kInTurn = QueueOrder::kInTurn;
constexpr QueueOrder kNewestFirst = QueueOrder::kNewestFirst;

using Ids = std::vector<std::uint64_t>;

// Tasks with the ids 0, 1, 2, ...; never run.
class Tasks {
 public:
  TaskHeader* make() {
    SpawnedTask& task = tasks_.emplace_back();
    task.id = tasks_.size() - 1;
    return &task;
  }

 private:
  std::deque<SpawnedTask> tasks_;
};

// Pushes `task` and returns what overflows. Their order must be `overflows_in`.
template <typename Queue>
Ids push(Queue& queue, TaskHeader* task, QueueOrder order = kInTurn,
         QueueOrder overflows_in = kInTurn) {
  Ids overflow;
  int calls = 0;
  queue.push(task, order, [&](std::span<TaskHeader*> batch, QueueOrder batch_order) {
    ++calls;
    EXPECT_EQ(batch_order, overflows_in);
    for (const TaskHeader* lost : batch) overflow.push_back(test::id_of(lost));
  });
  EXPECT_LE(calls, 1);
  return overflow;
}

template <typename Queue>
Ids drain(Queue& queue) {
  Ids ids;
  while (const TaskHeader* task = queue.pop()) ids.push_back(test::id_of(task));
  return ids;
}

template <typename Queue>
Ids drain_newest(Queue& queue) {
  Ids ids;
  while (const TaskHeader* task = queue.pop_newest()) ids.push_back(test::id_of(task));
  return ids;
}

Ids range(std::uint64_t first, std::uint64_t end) {
  Ids ids;
  for (; first < end; ++first) ids.push_back(first);
  return ids;
}

// The id of the task to run, and the number moved, are checked by the caller.
template <typename Queue>
TaskHeader* steal(Queue& victim, Queue& thief, std::uint32_t& moved) {
  moved = 99;
  return victim.steal_into(thief, moved);
}

template <typename Queue>
class RunQueueTest : public testing::Test {};
using Sizes = testing::Types<Small, Full>;
TYPED_TEST_SUITE(RunQueueTest, Sizes);

TYPED_TEST(RunQueueTest, ANewQueueIsEmpty) {
  auto queue = std::make_unique<TypeParam>();
  EXPECT_TRUE(queue->empty());
  EXPECT_EQ(queue->size(), 0u);
  EXPECT_EQ(queue->room(), 2 * TypeParam::kHalf);
  EXPECT_EQ(queue->pop(), nullptr);
}

TYPED_TEST(RunQueueTest, TasksComeOutInTheOrderTheyWentIn) {
  auto queue = std::make_unique<TypeParam>();
  constexpr std::uint64_t kCapacity = 2 * TypeParam::kHalf;
  Tasks tasks;
  for (std::uint64_t i = 0; i < kCapacity; ++i) {
    EXPECT_EQ(push(*queue, tasks.make()), Ids());
    EXPECT_EQ(queue->size(), i + 1);
    EXPECT_EQ(queue->room(), kCapacity - i - 1);
  }
  EXPECT_EQ(drain(*queue), range(0, kCapacity));
  EXPECT_TRUE(queue->empty());
}

TYPED_TEST(RunQueueTest, AFullQueueGivesUpItsOlderHalfAndTheNewTask) {
  auto queue = std::make_unique<TypeParam>();
  constexpr std::uint64_t kHalf = TypeParam::kHalf;
  constexpr std::uint64_t kCapacity = 2 * kHalf;
  Tasks tasks;
  for (std::uint64_t i = 0; i < kCapacity; ++i) EXPECT_EQ(push(*queue, tasks.make()), Ids());
  Ids given = range(0, kHalf);
  given.push_back(kCapacity);
  EXPECT_EQ(push(*queue, tasks.make()), given);
  EXPECT_EQ(queue->size(), kHalf);
  EXPECT_EQ(push(*queue, tasks.make()), Ids());
  Ids left = range(kHalf, kCapacity);
  left.push_back(kCapacity + 1);
  EXPECT_EQ(drain(*queue), left);
}

TYPED_TEST(RunQueueTest, AThiefTakesTheOlderHalfRoundedUpAndRunsTheYoungestOfIt) {
  constexpr std::uint64_t kCapacity = 2 * TypeParam::kHalf;
  for (std::uint64_t ready = 1; ready <= kCapacity; ++ready) {
    auto victim = std::make_unique<TypeParam>();
    auto thief = std::make_unique<TypeParam>();
    Tasks tasks;
    for (std::uint64_t i = 0; i < ready; ++i) EXPECT_EQ(push(*victim, tasks.make()), Ids());
    const std::uint64_t half = (ready + 1) / 2;
    std::uint32_t moved = 0;
    const TaskHeader* const run_now = steal(*victim, *thief, moved);
    ASSERT_NE(run_now, nullptr) << ready;
    EXPECT_EQ(moved, half);
    EXPECT_EQ(test::id_of(run_now), half - 1);
    EXPECT_EQ(thief->size(), half - 1);
    EXPECT_EQ(drain(*thief), range(0, half - 1));
    EXPECT_EQ(drain(*victim), range(half, ready));
  }
}

TYPED_TEST(RunQueueTest, AnEmptyQueueGivesAThiefNothing) {
  TypeParam victim;
  TypeParam thief;
  std::uint32_t moved = 0;
  EXPECT_EQ(steal(victim, thief, moved), nullptr);
  EXPECT_EQ(moved, 0u);
}

TYPED_TEST(RunQueueTest, AThiefThatIsMoreThanHalfFullGetsNothing) {
  constexpr std::uint64_t kHalf = TypeParam::kHalf;
  constexpr std::uint64_t kCapacity = 2 * kHalf;
  auto victim = std::make_unique<TypeParam>();
  auto thief = std::make_unique<TypeParam>();
  Tasks tasks;
  for (std::uint64_t i = 0; i < kCapacity; ++i) EXPECT_EQ(push(*victim, tasks.make()), Ids());
  for (std::uint64_t i = 0; i < kHalf + 1; ++i) EXPECT_EQ(push(*thief, tasks.make()), Ids());
  std::uint32_t moved = 0;
  EXPECT_EQ(steal(*victim, *thief, moved), nullptr);
  EXPECT_EQ(moved, 0u);
  EXPECT_EQ(victim->size(), kCapacity);

  EXPECT_EQ(test::id_of(thief->pop()),
            kCapacity);  // Half full: now there is room for half a queue.
  const TaskHeader* const run_now = steal(*victim, *thief, moved);
  ASSERT_NE(run_now, nullptr);
  EXPECT_EQ(moved, kHalf);
  EXPECT_EQ(test::id_of(run_now), kHalf - 1);
  EXPECT_EQ(thief->size(), kCapacity - 1);
  Ids expected = range(kCapacity + 1, kCapacity + kHalf + 1);
  for (const std::uint64_t id : range(0, kHalf - 1)) expected.push_back(id);
  EXPECT_EQ(drain(*thief), expected);
}

// --- Both ends, and both orders -----------------------------------------------------------------

TYPED_TEST(RunQueueTest, TheNewestComeOutInTheReverseOfTheOrderTheyWentIn) {
  auto queue = std::make_unique<TypeParam>();
  constexpr std::uint64_t kCapacity = 2 * TypeParam::kHalf;
  Tasks tasks;
  EXPECT_EQ(queue->pop_newest(), nullptr);
  for (std::uint64_t i = 0; i < kCapacity; ++i) {
    EXPECT_EQ(push(*queue, tasks.make(), kNewestFirst), Ids());
  }
  Ids newest_first = range(0, kCapacity);
  std::reverse(newest_first.begin(), newest_first.end());
  EXPECT_EQ(drain_newest(*queue), newest_first);
  EXPECT_TRUE(queue->empty());
  EXPECT_EQ(queue->room(), kCapacity);
  EXPECT_EQ(push(*queue, tasks.make()), Ids());
  EXPECT_EQ(drain(*queue), Ids{kCapacity});
}

TYPED_TEST(RunQueueTest, TheOwnerTakesFromEitherEnd) {
  auto queue = std::make_unique<TypeParam>();
  Tasks tasks;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(push(*queue, tasks.make(), kNewestFirst), Ids());
  EXPECT_EQ(test::id_of(queue->pop_newest()), 3u);
  EXPECT_EQ(test::id_of(queue->pop()), 0u);
  EXPECT_EQ(push(*queue, tasks.make(), kNewestFirst), Ids());
  EXPECT_EQ(test::id_of(queue->pop_newest()), 4u);
  EXPECT_EQ(test::id_of(queue->pop()), 1u);
  EXPECT_EQ(test::id_of(queue->pop()), 2u);
  EXPECT_EQ(queue->pop_newest(), nullptr);
  EXPECT_EQ(queue->pop(), nullptr);
}

TYPED_TEST(RunQueueTest, ItIsInTurnUntilTheLastTaskThatIsHasGone) {
  auto queue = std::make_unique<TypeParam>();
  Tasks tasks;
  EXPECT_FALSE(queue->has_in_turn());
  EXPECT_TRUE(queue->newest_is_in_turn());  // There is none.
  EXPECT_EQ(push(*queue, tasks.make(), kNewestFirst), Ids());
  EXPECT_FALSE(queue->has_in_turn());
  EXPECT_FALSE(queue->newest_is_in_turn());
  EXPECT_EQ(push(*queue, tasks.make(), kInTurn), Ids());
  EXPECT_TRUE(queue->has_in_turn());
  EXPECT_TRUE(queue->newest_is_in_turn());
  EXPECT_EQ(push(*queue, tasks.make(), kNewestFirst), Ids());
  EXPECT_TRUE(queue->has_in_turn());
  EXPECT_FALSE(queue->newest_is_in_turn());
  EXPECT_EQ(test::id_of(queue->pop()), 0u);
  EXPECT_TRUE(queue->has_in_turn());
  EXPECT_EQ(test::id_of(queue->pop_newest()), 2u);
  EXPECT_TRUE(queue->newest_is_in_turn());
  EXPECT_EQ(test::id_of(queue->pop()), 1u);
  EXPECT_FALSE(queue->has_in_turn());
  EXPECT_EQ(push(*queue, tasks.make(), kNewestFirst), Ids());
  EXPECT_FALSE(queue->has_in_turn());
  EXPECT_FALSE(queue->newest_is_in_turn());
}

TYPED_TEST(RunQueueTest, WhatOverflowsIsInTurnIfAnyOfItMayBe) {
  constexpr std::uint64_t kHalf = TypeParam::kHalf;
  constexpr std::uint64_t kCapacity = 2 * kHalf;
  // Where the one that is in turn stands; kCapacity is the new one, kCapacity + 1 is nowhere.
  for (std::uint64_t in_turn = 0; in_turn <= kCapacity + 1; ++in_turn) {
    auto queue = std::make_unique<TypeParam>();
    Tasks tasks;
    const auto order = [&](std::uint64_t i) { return i == in_turn ? kInTurn : kNewestFirst; };
    for (std::uint64_t i = 0; i < kCapacity; ++i) {
      EXPECT_EQ(push(*queue, tasks.make(), order(i)), Ids());
    }
    Ids given = range(0, kHalf);
    given.push_back(kCapacity);
    EXPECT_EQ(
        push(*queue, tasks.make(), order(kCapacity), in_turn <= kCapacity ? kInTurn : kNewestFirst),
        given);
    EXPECT_EQ(queue->has_in_turn(), in_turn >= kHalf && in_turn < kCapacity) << in_turn;
  }
}

TYPED_TEST(RunQueueTest, AThiefGetsTheOrderWithTheTasks) {
  for (const bool in_turn : {false, true}) {
    auto victim = std::make_unique<TypeParam>();
    auto thief = std::make_unique<TypeParam>();
    Tasks tasks;
    for (int i = 0; i < 4; ++i) {
      const QueueOrder order = in_turn && i == 0 ? kInTurn : kNewestFirst;
      EXPECT_EQ(push(*victim, tasks.make(), order), Ids());
    }
    std::uint32_t moved = 0;
    EXPECT_EQ(test::id_of(steal(*victim, *thief, moved)), 1u);
    EXPECT_EQ(thief->has_in_turn(), in_turn);
    EXPECT_FALSE(victim->has_in_turn());
    // What the thief pushes after that has an order of its own.
    EXPECT_EQ(push(*thief, tasks.make(), kNewestFirst), Ids());
    EXPECT_EQ(thief->has_in_turn(), in_turn);
    EXPECT_FALSE(thief->newest_is_in_turn());
    EXPECT_EQ(test::id_of(thief->pop_newest()), 4u);
    EXPECT_EQ(drain(*thief), Ids{0});
    EXPECT_EQ(drain(*victim), (Ids{2, 3}));
  }
}

// The positions go once around, and none is ever in turn. Half around, the end of the turns would be ahead of them.
TEST(RunQueueTurnsTest, AQueueThatKeepsUpNeverTakesAnOldTurnForOneToCome) {
  constexpr std::uint32_t kStep = 1u << 30;
  Small queue;
  Tasks tasks;
  EXPECT_EQ(push(queue, tasks.make(), kInTurn), Ids());
  EXPECT_EQ(drain(queue), Ids{0});
  for (std::uint32_t steps = 1; steps <= 4; ++steps) {
    const std::uint32_t position = steps * kStep;
    set_head(queue, position, position);
    tail_of(queue).store(position, std::memory_order_release);
    EXPECT_FALSE(queue.has_in_turn()) << steps;
    queue.keep_up();
    EXPECT_EQ(push(queue, tasks.make(), kNewestFirst), Ids());
    EXPECT_FALSE(queue.has_in_turn()) << steps;
    EXPECT_FALSE(queue.newest_is_in_turn()) << steps;
    EXPECT_EQ(drain(queue).size(), 1u);
  }
  EXPECT_EQ(push(queue, tasks.make(), kInTurn), Ids());
  queue.keep_up();  // Forgets nobody.
  EXPECT_TRUE(queue.has_in_turn());
}

// --- A thief, or the owner, half way --------------------------------------------------------------

// A queue of four with the tasks 0 to 3, of which a thief has claimed 0 and 1 and not yet finished.
class HalfStolenQueueTest : public testing::TestWithParam<std::uint32_t> {
 protected:
  HalfStolenQueueTest() {
    start_at(queue_, first_);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(push(queue_, tasks_.make()), Ids());
    set_head(queue_, first_, first_ + 2);
  }

  const std::uint32_t first_ = GetParam();
  Tasks tasks_;
  Small queue_;
};

TEST_P(HalfStolenQueueTest, APushIntoTheFullQueueGivesUpTheNewTaskAlone) {
  EXPECT_EQ(queue_.room(), 0u);
  EXPECT_EQ(push(queue_, tasks_.make()), Ids{4});
  EXPECT_EQ(push(queue_, tasks_.make()), Ids{5});
  EXPECT_EQ(drain(queue_), (Ids{2, 3}));
  // The slots are free only when the thief has copied them, whatever was popped.
  EXPECT_EQ(push(queue_, tasks_.make()), Ids{6});
  set_head(queue_, first_ + 4, first_ + 4);
  EXPECT_EQ(push(queue_, tasks_.make()), Ids());
  EXPECT_EQ(drain(queue_), Ids{7});
}

TEST_P(HalfStolenQueueTest, TheOwnerPopsWhatIsNotClaimed) {
  EXPECT_EQ(queue_.size(), 2u);
  EXPECT_EQ(drain(queue_), (Ids{2, 3}));
  EXPECT_TRUE(queue_.empty());
}

TEST_P(HalfStolenQueueTest, TheOwnerTakesTheNewestThatIsNotClaimed) {
  EXPECT_EQ(drain_newest(queue_), (Ids{3, 2}));
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.room(), 2u);  // The thief has not copied its own yet.
  EXPECT_EQ(push(queue_, tasks_.make(), kNewestFirst), Ids());
  EXPECT_EQ(push(queue_, tasks_.make(), kNewestFirst), Ids());
  EXPECT_EQ(push(queue_, tasks_.make(), kNewestFirst, kNewestFirst), Ids{6});
  EXPECT_EQ(drain_newest(queue_), (Ids{5, 4}));
}

// The owner has lowered the tail to take 3, but not yet told so by the head: a thief may see three tasks or four.
TEST_P(HalfStolenQueueTest, WhoeverLooksWhileTheOwnerTakesTheNewestCountsOneLess) {
  set_head(queue_, first_ + 3, first_ + 3);
  EXPECT_EQ(queue_.size(), 1u);
  tail_of(queue_).store(first_ + 3, std::memory_order_release);
  EXPECT_TRUE(queue_.empty());
  Small thief;
  std::uint32_t moved = 0;
  EXPECT_EQ(steal(queue_, thief, moved), nullptr);
  // Another thief saw the tail before that, and has claimed 3: the tail is one too low until the owner sees it.
  set_head(queue_, first_ + 4, first_ + 4);
  EXPECT_EQ(queue_.size(), 0u);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(steal(queue_, thief, moved), nullptr);
  EXPECT_EQ(moved, 0u);
}

// The thief's claim comes second: it rests on a tail from before.
TEST_P(HalfStolenQueueTest, WhatTheOwnerTakesMeanwhileIsNotStolen) {
  for (const std::uint32_t left : {1u, 2u}) {
    Small queue;
    start_at(queue, first_);
    Ids ids;
    for (std::uint32_t i = 0; i < left; ++i) {
      TaskHeader* const task = tasks_.make();
      ids.push_back(test::id_of(task));
      EXPECT_EQ(push(queue, task, kNewestFirst), Ids());
    }
    Small thief;
    std::uint32_t moved = 0;
    Ids taken;
    const TaskHeader* const stolen = queue.steal_into(thief, moved, [&] {
      if (const TaskHeader* const task = queue.pop_newest()) taken.push_back(test::id_of(task));
      if (const TaskHeader* const task = queue.pop_newest()) taken.push_back(test::id_of(task));
    });
    EXPECT_EQ(stolen, nullptr);
    std::reverse(ids.begin(), ids.end());
    EXPECT_EQ(taken, ids);
  }
}

// The owner's change comes second.
TEST_P(HalfStolenQueueTest, TheOwnerLeavesTheNewestToAThiefThatHasClaimedItMeanwhile) {
  set_head(queue_, first_ + 3, first_ + 3);
  EXPECT_EQ(queue_.pop_newest([this] { set_head(queue_, first_ + 3, first_ + 4); }), nullptr);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.pop(), nullptr);
  EXPECT_EQ(queue_.room(), 3u);
  // A claim of what is older does not matter, nor its end.
  set_head(queue_, first_ + 4, first_ + 4);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(push(queue_, tasks_.make(), kNewestFirst), Ids());
  EXPECT_EQ(test::id_of(queue_.pop_newest([this] { set_head(queue_, first_ + 4, first_ + 6); })),
            6u);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.room(), 2u);
}

TEST_P(HalfStolenQueueTest, ASecondThiefGetsNothing) {
  Small thief;
  std::uint32_t moved = 0;
  EXPECT_EQ(steal(queue_, thief, moved), nullptr);
  EXPECT_EQ(moved, 0u);
  EXPECT_EQ(drain(queue_), (Ids{2, 3}));
}

TEST_P(HalfStolenQueueTest, ItsOwnerCannotStealOverWhatIsBeingCopied) {
  Small victim;
  EXPECT_EQ(push(victim, tasks_.make()), Ids());
  std::uint32_t moved = 0;
  EXPECT_EQ(drain(queue_), (Ids{2, 3}));
  EXPECT_EQ(steal(victim, queue_, moved), nullptr);  // Empty, and yet no place is free.
  set_head(queue_, first_ + 4, first_ + 4);
  const TaskHeader* const run_now = steal(victim, queue_, moved);
  ASSERT_NE(run_now, nullptr);
  EXPECT_EQ(test::id_of(run_now), 4u);
}

INSTANTIATE_TEST_SUITE_P(Starts, HalfStolenQueueTest,
                         testing::Values(0u, 5u, 0xfffcu, 0xfffeu, 0xffffu, 0xffff'fffcu,
                                         0xffff'fffeu, 0xffff'ffffu));

// What should be in a queue of four.
using Entry = std::pair<std::uint64_t, QueueOrder>;
struct Model {
  bool has_in_turn() const {
    return std::any_of(entries.begin(), entries.end(),
                       [](const Entry& entry) { return entry.second == kInTurn; });
  }
  // What a push has to give up, and in which order.
  Ids push(Entry entry, QueueOrder& overflows_in) {
    if (entries.size() < 4) {
      entries.push_back(entry);
      return {};
    }
    overflows_in = has_in_turn() ? kInTurn : entry.second;
    const Ids given{entries[0].first, entries[1].first, entry.first};
    entries.erase(entries.begin(), entries.begin() + 2);
    return given;
  }

  std::deque<Entry> entries;
};

// Two queues and what should be in them. `start` is the position of their first task. The newest is taken only if its
// order is kNewestFirst, as the scheduler does.
void compare_with_model(std::uint32_t start, std::uint32_t seed, int steps) {
  Tasks tasks;
  Small queues[2];
  Model models[2];
  for (Small& queue : queues) start_at(queue, start);
  std::minstd_rand random(seed);
  for (int step = 0; step < steps; ++step) {
    SCOPED_TRACE(step);
    const std::size_t self = random() % 2;
    Small& queue = queues[self];
    std::deque<Entry>& mine = models[self].entries;
    std::deque<Entry>& theirs = models[1 - self].entries;
    const auto action = random() % 10;
    if (action < 5) {
      TaskHeader* const task = tasks.make();
      const QueueOrder order = random() % 4 == 0 ? kInTurn : kNewestFirst;
      QueueOrder overflows_in = kInTurn;
      const Ids given = models[self].push(Entry(test::id_of(task), order), overflows_in);
      ASSERT_EQ(push(queue, task, order, overflows_in), given);
    } else if (action < 8) {
      const bool newest = action == 7 && !queue.newest_is_in_turn();
      const TaskHeader* const task = newest ? queue.pop_newest() : queue.pop();
      ASSERT_EQ(task == nullptr, mine.empty());
      if (task == nullptr) continue;
      const Entry expected = newest ? mine.back() : mine.front();
      ASSERT_EQ(test::id_of(task), expected.first);
      if (newest) {
        ASSERT_EQ(expected.second, kNewestFirst);
        mine.pop_back();
      } else {
        mine.pop_front();
      }
    } else {
      const std::size_t expected = mine.size() > 2 ? 0 : (theirs.size() + 1) / 2;
      const QueueOrder stolen = models[1 - self].has_in_turn() ? kInTurn : kNewestFirst;
      std::uint32_t moved = 0;
      const TaskHeader* const task = steal(queues[1 - self], queue, moved);
      ASSERT_EQ(moved, expected);
      ASSERT_EQ(task == nullptr, expected == 0);
      if (task == nullptr) continue;
      for (std::size_t i = 1; i < expected; ++i) {
        mine.emplace_back(theirs.front().first, stolen);
        theirs.pop_front();
      }
      // Where any is in turn, all that stands before it is as good as that.
      if (expected > 1 && stolen == kInTurn) {
        for (Entry& entry : mine) entry.second = kInTurn;
      }
      ASSERT_EQ(test::id_of(task), theirs.front().first);
      theirs.pop_front();
    }
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(queues[i].size(), models[i].entries.size());
      ASSERT_EQ(queues[i].room(), 4 - models[i].entries.size());
      ASSERT_EQ(queues[i].has_in_turn(), models[i].has_in_turn());
      if (!models[i].entries.empty()) {
        ASSERT_EQ(queues[i].newest_is_in_turn(), models[i].entries.back().second == kInTurn);
      }
    }
  }
}

TEST(RunQueueModelTest, AHundredThousandRandomStepsDoWhatTheModelDoes) {
  compare_with_model(0, 1, 100'000);
}

TEST(RunQueueModelTest, PositionsMayWrapAroundAtAnyStep) {
  for (std::uint32_t before = 0; before < 32; ++before) {
    for (const std::uint32_t wrap : {1u << 16, 0u}) {
      compare_with_model(wrap - before, before, 500);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace skua::internal
