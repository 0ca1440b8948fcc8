// SPDX-License-Identifier: Apache-2.0
//
// Decides which task a worker runs next. Owns no thread and makes no system call: workers/ brings both, so
// everything here also runs on one thread, step by step, under a test.
//
//     outside threads                worker 0                              worker 1
//       spawn, wake                 spawn, wake                              idle
//            |                     |           |                              ^
//            v                     v           v                              |
//     +-------------+  1 in 61  +------+  +-------------+  half, stolen       |
//     | InjectQueue | --------> | slot |  | RunQueue x3 | --------------------+
//     |     x3      | <-------- +------+  |   256 each  |
//     +-------------+  half, when         +-------------+
//            | x3: one for   a ring is    | homed: x3   | <-- inbox -- other threads
//              each level    full         +-------------+
//
// The order of a worker's look, the bounds that follow from it and the policies: scheduler/README.md. What follows if
// all queues are empty (the driver, parking) is in workers/worker.h.
//
// Why 61: Go's and Tokio's constant; a prime, so that it does not beat with patterns of the load.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "scheduler/idle_set.h"
#include "scheduler/local_queues.h"
#include "skua/internal/config.h"
#include "skua/internal/fork.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

// Where a task was found.
enum class Source : std::uint8_t {
  kNone,
  kInjectorTick,  // An injector, because it was its turn.
  kSlot,
  kRing,
  kHomed,     // The queue of tasks that must stay on this worker.
  kFork,      // The next child of a fork of this worker.
  kInjector,  // An injector, because the worker's own queues of the level were empty.
  kPeer,
};

// What a look has found.
struct Found {
  TaskHeader* task = nullptr;
  Source source = Source::kNone;
  Level level = kNormalLevel;  // Of the run: that of the queue.

  explicit operator bool() const noexcept { return task != nullptr; }
};

enum class QueuePolicy : std::uint8_t {
  kWorkStealing,
  kWorkStealingNoSlot,
  kGlobalQueue,    // The injectors are the only queues, but for homed tasks.
  kThreadPerCore,  // Every task is homed. The slot is in use, for nobody steals.
};

struct SchedulerTuning {
  int workers = 1;
  QueuePolicy policy = QueuePolicy::kWorkStealing;
  int global_queue_interval =
      61;                 // Ticks between two looks at the injectors before the own queues.
  int slot_runs_max = 3;  // Runs in a row from the slot while a ring waits. Tokio's cap.
  std::uint32_t ring_capacity = 256;  // A power of two, 2 to 256.
  std::uint64_t seed = 0;             // Of the choice of victims.
  // A full barrier on all threads of the process, nullptr if there is none; see ForkGate.
  void (*process_barrier)() noexcept = nullptr;
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerTuning& tuning);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // `core` belongs to the worker, and is what it runs tasks with. Once for each worker, before it looks for tasks.
  void attach(int worker, WorkerCore& core) noexcept;

  // --- Publishing. Each returns the worker that the caller must unpark, or IdleSet::kNobody. ---
  //
  // `level` is that of the run to come. A homed task goes to its home, whatever the function.

  // A task that was spawned or woken on `worker`: into the slot; what stood there goes to its ring. The worker
  // itself.
  [[nodiscard]] int push_slot(int worker, TaskHeader* task, Level level) noexcept;
  // To the end of `worker`'s ring. The worker itself.
  [[nodiscard]] int push_ring(int worker, TaskHeader* task, Level level) noexcept;
  // The same for a task that has yielded: wakes a peer only if others wait in the ring, and may miss one that is
  // falling asleep; the next yield, or the watch, makes that good. The worker itself.
  [[nodiscard]] int push_yielded(int worker, TaskHeader* task, Level level) noexcept;
  // A fork was put on the worker's deque while the idle word said that not all are at work. The worker itself.
  [[nodiscard]] int fork_pushed(int worker) noexcept;
  // Any thread, on the way of threads that are no workers.
  [[nodiscard]] int push_injector(TaskHeader* task, Level level) noexcept;

  // --- Looking. The worker itself. ---

  // The next task from the worker's own queues or the injectors. Counts a tick. `budget_left` is what the last run
  // has left of its coop budget.
  [[nodiscard]] Found next(int worker, std::int32_t budget_left) noexcept;
  // `worker` is about to run what was found. Forks go to its deque of that level.
  void begin_run(int worker, const Found& found) noexcept {
    local(worker).begin_run(found.task->root->home >= 0, found.level);
  }
  // Counts a tick without a look, for a tree of forks that has used up its budget. True if nothing else waits for
  // `worker`: it may go on.
  [[nodiscard]] bool may_go_on(int worker) noexcept;
  // A task from a peer, or from an injector once more. Searches, if the limit of searchers allows or the
  // worker was woken to. Whoever calls must end the search (end_search) or sleep.
  [[nodiscard]] Found steal(int worker) noexcept;
  // `worker` has found a task. If it searched and was the last one, returns a worker to unpark.
  [[nodiscard]] int end_search(int worker) noexcept;

  // --- Sleeping. The worker itself. ---

  // Announces sleep. False: there is work after all, and `worker` is awake and may look again.
  [[nodiscard]] bool announce_sleep(int worker) noexcept;
  // Up again, after announce_sleep() returned true.
  void wake_up(int worker) noexcept;

  // --- Any thread. ---

  QueuePolicy policy() const noexcept { return tuning_.policy; }
  int workers() const noexcept { return tuning_.workers; }
  std::uint32_t tick(int worker) const noexcept {
    return local(worker).tick.load(std::memory_order_relaxed);
  }
  WorkerCounters& counters(int worker) noexcept { return local(worker).counters; }
  const WorkerCounters& counters(int worker) const noexcept { return local(worker).counters; }
  std::size_t injector_depth(Level level) const noexcept { return injectors_[level].size_hint(); }
  std::uint32_t ring_depth(int worker, Level level) const noexcept {
    return local(worker).rings[level].size();
  }
  const IdleSet& idle() const noexcept { return idle_; }

 private:
  static constexpr std::size_t kInjectorBatchMax = 128;

  LocalQueues& local(int worker) noexcept { return *locals_[static_cast<std::size_t>(worker)]; }
  const LocalQueues& local(int worker) const noexcept {
    return *locals_[static_cast<std::size_t>(worker)];
  }
  int push_by_policy(int worker, TaskHeader* task, Level level) noexcept;
  int push_homed(int worker, TaskHeader* task, Level level) noexcept;
  TaskHeader* fill_slot(LocalQueues& local, TaskHeader* task, Level level) noexcept;
  void append(LocalQueues& local, TaskHeader* task, Level level) noexcept;
  Found next_by_level(LocalQueues& local, std::int32_t budget_left) noexcept;
  Found from_level(LocalQueues& local, Level level, std::int32_t budget_left) noexcept;
  Found from_own(LocalQueues& local, Level level, std::int32_t budget_left) noexcept;
  Found injectors_turn(LocalQueues& local, Level owed) noexcept;
  Found one_from_injector(LocalQueues& local, Level level, Source source) noexcept;
  Found batch_from_injector(LocalQueues& local, Level level) noexcept;
  Found from_peers(LocalQueues& local, int worker) noexcept;
  Found from_own_forks(LocalQueues& local, Level level) noexcept;
  Found from_peers_forks(LocalQueues& local, int worker, int start, Level level) noexcept;
  Found take_fork(LocalQueues& local, ForkRecord* fork, ForkDeque& deque, Level level,
                  Source source) noexcept;
  bool any_work(const LocalQueues& self) const noexcept;

  // Constant after construction.
  const SchedulerTuning tuning_;
  const bool steals_;        // Rings are in use, and are stolen from.
  const bool steals_forks_;  // Forks are.
  // Any thread.
  Injectors injectors_;
  IdleSet idle_;
  ForkGate fork_gate_;
  std::vector<std::unique_ptr<LocalQueues>> locals_;
};

}  // namespace skua::internal
