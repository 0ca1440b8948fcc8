// SPDX-License-Identifier: Apache-2.0
#include "scheduler/inject_queue.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/task_header.h"
#include "tests/support/task_id.h"

namespace skua::internal {
namespace {

using Ids = std::vector<std::uint64_t>;

class InjectQueueTest : public testing::Test {
 protected:
  TaskHeader* make() {
    SpawnedTask& task = tasks_.emplace_back();
    task.id = tasks_.size() - 1;
    return &task;
  }

  std::vector<TaskHeader*> make(std::size_t count) {
    std::vector<TaskHeader*> batch;
    for (std::size_t i = 0; i < count; ++i) batch.push_back(make());
    return batch;
  }

  Ids pop(InjectQueue::Access& access, std::size_t max) {
    std::vector<TaskHeader*> out(max);
    const std::size_t count = queue_.pop_batch(access, out);
    EXPECT_LE(count, max);
    Ids ids;
    for (std::size_t i = 0; i < count; ++i) ids.push_back(test::id_of(out[i]));
    return ids;
  }

  std::deque<SpawnedTask> tasks_;
  InjectQueue queue_;
};

TEST_F(InjectQueueTest, ANewQueueGivesNothing) {
  InjectQueue::Access access(queue_);
  EXPECT_EQ(queue_.pending(), 0u);
  EXPECT_EQ(queue_.size_hint(), 0u);
  EXPECT_EQ(pop(access, 8), Ids());
  EXPECT_EQ(queue_.pending(), 0u);
}

TEST_F(InjectQueueTest, TasksOfOneProducerComeOutInTheirOrder) {
  InjectQueue::Access access(queue_);
  for (std::uint64_t i = 0; i < 5; ++i) {
    queue_.push(make());
    EXPECT_EQ(queue_.pending(), i + 1);
  }
  EXPECT_EQ(pop(access, 3), (Ids{0, 1, 2}));
  EXPECT_EQ(queue_.pending(), 2u);
  EXPECT_EQ(pop(access, 1), Ids{3});
  EXPECT_EQ(pop(access, 8), Ids{4});
  EXPECT_EQ(queue_.pending(), 0u);
}

TEST_F(InjectQueueTest, ABatchGoesInAtOnceAndComesOutInItsOrder) {
  InjectQueue::Access producer(queue_);
  InjectQueue::Access consumer(queue_);
  queue_.push_batch(producer, make(129));
  EXPECT_EQ(queue_.pending(), 129u);
  EXPECT_EQ(queue_.size_hint(), 129u);
  Ids all;
  for (const std::size_t max : {1u, 100u, 100u}) {
    for (const std::uint64_t id : pop(consumer, max)) all.push_back(id);
  }
  ASSERT_EQ(all.size(), 129u);
  for (std::uint64_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], i);
  EXPECT_EQ(queue_.pending(), 0u);
}

TEST_F(InjectQueueTest, AnEmptyBatchAddsNothing) {
  InjectQueue::Access access(queue_);
  queue_.push_batch(access, {});
  EXPECT_EQ(queue_.pending(), 0u);
  EXPECT_EQ(pop(access, 1), Ids());
}

TEST_F(InjectQueueTest, TasksOutliveTheAccessThatBroughtThem) {
  {
    InjectQueue::Access access(queue_);
    queue_.push_batch(access, make(3));
  }
  InjectQueue::Access access(queue_);
  EXPECT_EQ(pop(access, 8), (Ids{0, 1, 2}));
}

// Goal: pending() never says less than there is: that is what lets a worker sleep. Method: a producer
// counts each push after it has returned; the only consumer reads that count first and pending() second.
TEST_F(InjectQueueTest, PendingIsNeverLessThanWhatHasBeenPushedAndNotTaken) {
  constexpr std::size_t kTasks = 200'000;
  const std::vector<TaskHeader*> tasks = make(kTasks);
  std::atomic<std::size_t> pushed{0};
  std::thread producer([&] {
    InjectQueue::Access access(queue_);
    for (std::size_t i = 0; i < kTasks;) {
      const std::size_t count = std::min(1 + i % 3, kTasks - i);
      if (count == 1) {
        queue_.push(tasks[i]);
      } else {
        queue_.push_batch(access, std::span(tasks).subspan(i, count));
      }
      i += count;
      pushed.store(i, std::memory_order_release);
    }
  });

  InjectQueue::Access access(queue_);
  std::array<TaskHeader*, 16> out;
  std::size_t taken = 0;
  while (taken < kTasks) {
    const std::size_t before = pushed.load(std::memory_order_acquire);
    EXPECT_GE(queue_.pending() + taken, before);
    taken += queue_.pop_batch(access, out);
    // Counted too late, a task that is taken at once would bring the count below zero.
    EXPECT_LE(queue_.pending(), kTasks);
  }
  producer.join();
  EXPECT_EQ(queue_.pending(), 0u);
  EXPECT_EQ(queue_.pop_batch(access, out), 0u);
}

// Plain fields: the queue publishes them, and two takers of one task are a data race.
struct CountedTask : TaskHeader {
  CountedTask() : TaskHeader(TaskKind::kRoot) {}
  int written = 0;
  int taken = 0;
};

// Goal: each task is taken once, and whoever stops at pending() == 0 has missed nothing. Method: two
// producers push one by one, two push batches through an Access; three consumers, each with its own
// Access, try again after an empty pop while anything is pending, and end when the producers have ended
// and nothing is.
TEST(InjectQueueStressTest, EveryTaskIsTakenOnceAndPendingKeepsTheConsumers) {
  constexpr std::size_t kProducers = 4;
  constexpr std::size_t kTasksEach = 15'000;
  constexpr std::size_t kConsumers = 3;
  InjectQueue queue;
  std::vector<std::unique_ptr<CountedTask>> tasks;
  for (std::size_t i = 0; i < kProducers * kTasksEach; ++i) {
    tasks.push_back(std::make_unique<CountedTask>());
  }
  std::atomic<std::size_t> producing{kProducers};
  std::atomic<std::size_t> taken{0};

  std::vector<std::thread> threads;
  for (std::size_t self = 0; self < kProducers; ++self) {
    threads.emplace_back([&, self] {
      InjectQueue::Access access(queue);
      std::vector<TaskHeader*> batch;
      for (std::size_t i = 0; i < kTasksEach; ++i) {
        CountedTask* const task = tasks[self * kTasksEach + i].get();
        task->written = 7;
        if (self % 2 == 0) {
          queue.push(task);
          continue;
        }
        batch.push_back(task);
        if (batch.size() > i % 129 || i + 1 == kTasksEach) {
          queue.push_batch(access, batch);
          batch.clear();
        }
      }
      producing.fetch_sub(1, std::memory_order_release);
    });
  }
  for (std::size_t self = 0; self < kConsumers; ++self) {
    threads.emplace_back([&, self] {
      InjectQueue::Access access(queue);
      std::vector<TaskHeader*> out(1 + self * 16);
      for (;;) {
        // In this order: a producer that has ended is seen with all its pushes.
        const bool last_look = producing.load(std::memory_order_acquire) == 0;
        const std::size_t count = queue.pop_batch(access, out);
        for (std::size_t i = 0; i < count; ++i) {
          auto* const task = static_cast<CountedTask*>(out[i]);
          EXPECT_EQ(task->written, 7);
          ++task->taken;
        }
        taken.fetch_add(count, std::memory_order_relaxed);  // A count; the joins publish the tasks.
        if (count > 0) continue;
        if (last_look && queue.pending() == 0) return;
        std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(queue.pending(), 0u);
  EXPECT_EQ(taken.load(std::memory_order_relaxed), tasks.size());
  for (const auto& task : tasks) ASSERT_EQ(task->taken, 1);
}

}  // namespace
}  // namespace skua::internal
