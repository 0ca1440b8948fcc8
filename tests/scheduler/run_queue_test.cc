// SPDX-License-Identifier: Apache-2.0
#include "scheduler/run_queue.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/task_header.h"
#include "tests/support/task_id.h"

namespace skua::internal {
namespace {

using Small = RunQueue<4>;
using Full = RunQueue<256>;

// The positions of a queue, so that a test can begin just below 2^32, or stop a thief between its claim
// and its last step. An explicit instantiation may name private members.
std::atomic<std::uint64_t>& head_of(Small& queue);
std::atomic<std::uint32_t>& tail_of(Small& queue);

template <std::atomic<std::uint64_t> Small::* kHead, std::atomic<std::uint32_t> Small::* kTail>
struct Positions {
  friend std::atomic<std::uint64_t>& head_of(Small& queue) { return queue.*kHead; }
  friend std::atomic<std::uint32_t>& tail_of(Small& queue) { return queue.*kTail; }
};
template struct Positions<&Small::head_, &Small::tail_>;

void set_head(Small& queue, std::uint32_t steal, std::uint32_t real) {
  head_of(queue).store((std::uint64_t{steal} << 32) | real, std::memory_order_release);
}

// An empty queue begins at `position`.
void start_at(Small& queue, std::uint32_t position) {
  set_head(queue, position, position);
  tail_of(queue).store(position, std::memory_order_release);
}

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

// Pushes `task` and returns what overflows.
template <typename Queue>
Ids push(Queue& queue, TaskHeader* task) {
  Ids overflow;
  int calls = 0;
  queue.push(task, [&](std::span<TaskHeader*> batch) {
    ++calls;
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
  auto victim = std::make_unique<TypeParam>();
  auto thief = std::make_unique<TypeParam>();
  std::uint32_t moved = 0;
  EXPECT_EQ(steal(*victim, *thief, moved), nullptr);
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
                         testing::Values(0u, 5u, 0xffff'fffcu, 0xffff'fffeu, 0xffff'ffffu));

// Two queues of four and what should be in them. `start` is the position of their first task.
void compare_with_model(std::uint32_t start, std::uint32_t seed, int steps) {
  Tasks tasks;
  Small queues[2];
  std::deque<std::uint64_t> model[2];
  for (Small& queue : queues) start_at(queue, start);
  std::minstd_rand random(seed);
  for (int step = 0; step < steps; ++step) {
    const std::size_t self = random() % 2;
    Small& queue = queues[self];
    std::deque<std::uint64_t>& mine = model[self];
    std::deque<std::uint64_t>& theirs = model[1 - self];
    const auto action = random() % 8;
    if (action < 4) {
      TaskHeader* const task = tasks.make();
      Ids expected;
      if (mine.size() == 4) {
        expected = {mine[0], mine[1], test::id_of(task)};
        mine.erase(mine.begin(), mine.begin() + 2);
      } else {
        mine.push_back(test::id_of(task));
      }
      ASSERT_EQ(push(queue, task), expected) << "step " << step;
    } else if (action < 6) {
      const TaskHeader* const task = queue.pop();
      ASSERT_EQ(task == nullptr, mine.empty()) << "step " << step;
      if (task == nullptr) continue;
      ASSERT_EQ(test::id_of(task), mine.front()) << "step " << step;
      mine.pop_front();
    } else {
      const std::size_t expected = mine.size() > 2 ? 0 : (theirs.size() + 1) / 2;
      std::uint32_t moved = 0;
      const TaskHeader* const task = steal(queues[1 - self], queue, moved);
      ASSERT_EQ(moved, expected) << "step " << step;
      ASSERT_EQ(task == nullptr, expected == 0) << "step " << step;
      if (task == nullptr) continue;
      for (std::size_t i = 1; i < expected; ++i) {
        mine.push_back(theirs.front());
        theirs.pop_front();
      }
      ASSERT_EQ(test::id_of(task), theirs.front()) << "step " << step;
      theirs.pop_front();
    }
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(queues[i].size(), model[i].size()) << "step " << step;
      ASSERT_EQ(queues[i].room(), 4 - model[i].size()) << "step " << step;
    }
  }
}

TEST(RunQueueModelTest, AHundredThousandRandomStepsDoWhatTheModelDoes) {
  compare_with_model(0, 1, 100'000);
}

TEST(RunQueueModelTest, PositionsMayWrapAroundAtAnyStep) {
  for (std::uint32_t before = 0; before < 32; ++before) {
    compare_with_model(0u - before, before, 500);
    if (HasFatalFailure()) return;
  }
}

// `written` is plain: pushing a task publishes it. So is `taken`: two threads that take the same task are
// a data race as well as a wrong count.
struct CountedTask : TaskHeader {
  CountedTask() : TaskHeader(TaskKind::kRoot) {}
  std::uint64_t written = 0;
  int taken = 0;
};

// Goal: every task is taken exactly once, by its owner, by a thief, by a thief of that thief, or by the
// overflow. Method: one owner pushes bursts that often overflow a queue of four, and pops; three thieves
// steal from it and from each other and drain their own queues.
TEST(RunQueueStressTest, EveryTaskIsTakenExactlyOnce) {
  constexpr std::size_t kTasks = 60'000;
  constexpr std::size_t kThieves = 3;
  std::vector<std::unique_ptr<CountedTask>> tasks;
  for (std::size_t i = 0; i < kTasks; ++i) tasks.push_back(std::make_unique<CountedTask>());
  Small queues[1 + kThieves];
  std::atomic<std::size_t> taken{0};
  std::atomic<std::size_t> stolen{0};

  const auto take = [&](TaskHeader* header) {
    auto* const task = static_cast<CountedTask*>(header);
    EXPECT_EQ(task->written, 7u);
    ++task->taken;
    taken.fetch_add(1, std::memory_order_relaxed);  // A count; the joins publish the tasks.
  };
  std::vector<std::thread> thieves;
  for (std::size_t self = 1; self <= kThieves; ++self) {
    thieves.emplace_back([&, self] {
      std::minstd_rand random(static_cast<std::uint32_t>(self));
      while (taken.load(std::memory_order_relaxed) < kTasks) {
        const std::size_t victim = random() % (1 + kThieves);
        std::uint32_t moved = 0;
        TaskHeader* const task =
            victim == self ? nullptr : queues[victim].steal_into(queues[self], moved);
        if (task == nullptr) {
          std::this_thread::yield();
        } else {
          stolen.fetch_add(moved, std::memory_order_relaxed);
          take(task);
        }
        // Leaves something for the other thieves, at times.
        for (std::size_t pops = random() % 4; pops > 0; --pops) {
          TaskHeader* const own = queues[self].pop();
          if (own == nullptr) break;
          take(own);
        }
      }
    });
  }

  std::minstd_rand random(99);
  std::size_t next = 0;
  while (taken.load(std::memory_order_relaxed) < kTasks) {
    for (std::size_t burst = random() % 7; burst > 0 && next < kTasks; --burst, ++next) {
      tasks[next]->written = 7;
      queues[0].push(tasks[next].get(), [&](std::span<TaskHeader*> batch) {
        EXPECT_TRUE(batch.size() == 1 || batch.size() == Small::kHalf + 1) << batch.size();
        for (TaskHeader* task : batch) take(task);
      });
    }
    for (std::size_t pops = random() % 4; pops > 0; --pops) {
      if (TaskHeader* const task = queues[0].pop()) take(task);
    }
    if (random() % 8 == 0) std::this_thread::yield();
  }
  for (std::thread& thief : thieves) thief.join();

  EXPECT_EQ(taken.load(std::memory_order_relaxed), kTasks);
  EXPECT_GT(stolen.load(std::memory_order_relaxed), 0u);
  for (const auto& task : tasks) ASSERT_EQ(task->taken, 1);
  for (Small& queue : queues) EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace skua::internal
