// SPDX-License-Identifier: Apache-2.0
//
// Everything at once, with run queues of four places, so that overflows, thefts and empty queues are common. What is
// lost shows as a test that never ends, what is run twice as a crash or a wrong count.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <semaphore>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/run_queue.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "skua/join.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "skua/this_task.h"
#include "skua/time.h"
#include "tests/support/leak_check.h"
#include "workers/worker_set.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using internal::QueuePolicy;
using internal::WorkerSet;
using internal::WorkerSetOptions;

struct Setting {
  std::string name;
  QueuePolicy policy;
  bool use_membarrier;
};

class SchedulerStressTest : public testing::TestWithParam<Setting> {
 protected:
  static constexpr int kWorkers = 3;

  SchedulerStressTest() {
    WorkerSetOptions options;
    options.workers = kWorkers;
    options.policy = GetParam().policy;
    options.ring_capacity = 4;
    options.global_queue_interval = 7;
    options.event_interval = 5;
    options.use_membarrier = GetParam().use_membarrier;
    auto set = WorkerSet::create(std::move(options));
    EXPECT_TRUE(set.ok()) << set.status();
    set_ = *std::move(set);
    EXPECT_TRUE(set_->start().ok());
  }
  ~SchedulerStressTest() override {
    set_->request_shutdown();
    set_->join();
    set_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }
  void spawn_outside(Task<> task, SpawnOptions options, int home = -1) {
    internal::spawn_on(*set_, std::move(task), options, home);
  }
  bool wait_until_all_have_ended() {
    return test::eventually([this] { return set_->live_tasks() == 0; });
  }

 private:
  const test::LeakCheck leaks_;
  std::unique_ptr<WorkerSet> set_;
};

INSTANTIATE_TEST_SUITE_P(
    Settings, SchedulerStressTest,
    testing::Values(Setting{"work_stealing", QueuePolicy::kWorkStealing, true},
                    Setting{"without_membarrier", QueuePolicy::kWorkStealing, false},
                    Setting{"no_slot", QueuePolicy::kWorkStealingNoSlot, true},
                    Setting{"global_queue", QueuePolicy::kGlobalQueue, true},
                    Setting{"thread_per_core", QueuePolicy::kThreadPerCore, true}),
    [](const auto& info) { return info.param.name; });

SpawnOptions any_priority(std::mt19937& random) {
  SpawnOptions options;
  const auto choice = random() % 4;
  if (choice < 3) options.priority = static_cast<Priority>(choice);
  return options;
}

struct Shared {
  explicit Shared(QueuePolicy policy) : stuck_max(policy == QueuePolicy::kThreadPerCore ? 0 : 2) {}

  const int stuck_max;  // One worker at least has to be free.
  std::atomic<int> stuck{0};
  std::atomic<std::int64_t> begun{0};
  std::atomic<std::int64_t> ended{0};
  Semaphore semaphore{3};
};

Task<> releases(std::binary_semaphore* semaphore) {
  semaphore->release();
  co_return;
}

Task<> yields_at_home() {
  const int home = this_task::worker_index();
  for (int i = 0; i < 3; ++i) {
    co_await yield_now();
    EXPECT_EQ(this_task::worker_index(), home);
  }
}

// Blocks its worker until what it has spawned runs elsewhere.
Task<> gets_stuck(Shared* shared) {
  if (shared->stuck.fetch_add(1) < shared->stuck_max) {
    std::binary_semaphore done(0);
    JoinHandle<void> elsewhere = spawn(releases(&done));
    done.acquire();
    shared->stuck.fetch_sub(1);
    co_await std::move(elsewhere);
  } else {
    shared->stuck.fetch_sub(1);
  }
}

// Does a few things of all that a task can do, in an order of its own.
Task<> busy(Shared* shared, std::uint32_t seed, int depth) {
  std::mt19937 random(seed);
  shared->begun.fetch_add(1);
  for (auto steps = random() % 8; steps > 0; --steps) {
    const auto choice = random() % 16;
    if (choice < 4) {
      co_await yield_now();
    } else if (choice < 7) {
      [[maybe_unused]] const auto permit = co_await shared->semaphore.acquire();
      if (random() % 2 == 0) co_await yield_now();
    } else if (choice < 10 && depth > 0) {
      JoinHandle<void> child = spawn(busy(shared, static_cast<std::uint32_t>(random()), depth - 1),
                                     any_priority(random));
      if (random() % 2 == 0) co_await std::move(child);
    } else if (choice < 12 && depth > 0) {
      co_await when_all(busy(shared, static_cast<std::uint32_t>(random()), depth - 1),
                        busy(shared, static_cast<std::uint32_t>(random()), depth - 1));
    } else if (choice < 14) {
      JoinHandle<void> local = spawn_local(yields_at_home(), any_priority(random));
      if (random() % 2 == 0) co_await std::move(local);
    } else if (choice < 15) {
      co_await sleep_for(std::chrono::microseconds(random() % 200));
    } else if (random() % 32 == 0) {
      co_await gets_stuck(shared);
    }
  }
  shared->ended.fetch_add(1);
}

TEST_P(SchedulerStressTest, EverythingRunsOnce) {
  constexpr int kFromEach = 1'500;
  Shared shared(GetParam().policy);
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  const auto spawn_many = [&](std::uint32_t thread_seed) {
    std::mt19937 random(thread_seed);
    for (int i = 0; i < kFromEach; ++i) {
      const int home = random() % 3 == 0 ? static_cast<int>(random() % kWorkers) : -1;
      spawn_outside(busy(&shared, static_cast<std::uint32_t>(random()), 4), any_priority(random),
                    home);
      // Now and then the workers run dry, and park.
      if (random() % 64 == 0) {
        EXPECT_TRUE(test::eventually([&] { return shared.begun.load() == shared.ended.load(); }));
      }
    }
  };
  std::thread other(spawn_many, seed + 1);
  spawn_many(seed);
  other.join();
  EXPECT_TRUE(wait_until_all_have_ended());
  EXPECT_EQ(shared.begun.load(), shared.ended.load());
  EXPECT_GE(shared.begun.load(), 2 * kFromEach);
}

// --- The ring alone -------------------------------------------------------------------------------

using internal::QueueOrder;
using Ring = internal::RunQueue<4>;

// `written` is plain: pushing a task publishes it. So is `taken`: two threads that take the same task are
// a data race as well as a wrong count.
struct CountedTask : internal::TaskHeader {
  CountedTask() : TaskHeader(internal::TaskKind::kRoot) {}
  std::uint64_t written = 0;
  int taken = 0;
};

// Goal: every task is taken exactly once, by its owner, by a thief, by a thief of that thief, or by the
// overflow. Method: one owner pushes bursts that often overflow a queue of four, and pops; three thieves
// steal from it and from each other and drain their own queues. Who pops does so at either end.
TEST(RunQueueStressTest, EveryTaskIsTakenExactlyOnce) {
  constexpr std::size_t kTasks = 60'000;
  constexpr std::size_t kThieves = 3;
  std::vector<std::unique_ptr<CountedTask>> tasks;
  for (std::size_t i = 0; i < kTasks; ++i) tasks.push_back(std::make_unique<CountedTask>());
  Ring queues[1 + kThieves];
  std::atomic<std::size_t> taken{0};
  std::atomic<std::size_t> stolen{0};

  const auto take = [&](internal::TaskHeader* header) {
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
        internal::TaskHeader* const task =
            victim == self ? nullptr : queues[victim].steal_into(queues[self], moved);
        if (task == nullptr) {
          std::this_thread::yield();
        } else {
          stolen.fetch_add(moved, std::memory_order_relaxed);
          take(task);
        }
        // Leaves something for the other thieves, at times.
        for (std::size_t pops = random() % 4; pops > 0; --pops) {
          internal::TaskHeader* const own =
              random() % 2 == 0 ? queues[self].pop_newest() : queues[self].pop();
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
      queues[0].push(tasks[next].get(), QueueOrder::kInTurn,
                     [&](std::span<internal::TaskHeader*> batch, QueueOrder) {
                       EXPECT_TRUE(batch.size() == 1 || batch.size() == Ring::kHalf + 1)
                           << batch.size();
                       for (internal::TaskHeader* task : batch) take(task);
                     });
    }
    for (std::size_t pops = random() % 4; pops > 0; --pops) {
      internal::TaskHeader* const task =
          random() % 4 == 0 ? queues[0].pop() : queues[0].pop_newest();
      if (task != nullptr) take(task);
    }
    if (random() % 8 == 0) std::this_thread::yield();
  }
  for (std::thread& thief : thieves) thief.join();

  EXPECT_EQ(taken.load(std::memory_order_relaxed), kTasks);
  EXPECT_GT(stolen.load(std::memory_order_relaxed), 0u);
  for (const auto& task : tasks) ASSERT_EQ(task->taken, 1);
  for (Ring& queue : queues) EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace skua
