// SPDX-License-Identifier: Apache-2.0
//
// Decides which task a worker runs next. Owns no thread and makes no system call: workers/ brings both, so
// everything here also runs on one thread, step by step, under a test.
//
//     outside threads                worker 0                       worker 1
//       spawn, wake                 spawn, wake                       idle
//            |                     |          |                         ^
//            v                     v          v                         |
//     +-------------+  1 in 61  +------+  +----------+   half, stolen   |
//     | InjectQueue | --------> | slot |  | RunQueue | -----------------+
//     |  unbounded  | <-------- +------+  |   256    |
//     +-------------+  half, when         +----------+
//                      the ring is full
//
// The order of a worker's look, each tick: the injector if the tick is a multiple of 61; the slot and the
// ring; a batch from the injector; half of a peer's ring, the peers from a random start. What follows if all
// that is empty (the driver, parking) is in workers/worker_set.h.
//
// Why 61: Go's and Tokio's constant; a prime, so that it does not beat with patterns of the load.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "scheduler/idle_set.h"
#include "scheduler/inject_queue.h"
#include "scheduler/run_queue.h"
#include "scheduler/steal_order.h"
#include "skua/internal/config.h"
#include "skua/internal/fork.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

// Where a task was found.
enum class Source : std::uint8_t {
  kNone,
  kInjectorTick,  // The injector, because it was its turn.
  kSlot,
  kRing,
  kFork,      // The next child of a fork of this worker.
  kInjector,  // The injector, because the worker's own queues were empty.
  kPeer,
};

struct SchedulerTuning {
  int workers = 1;
  int global_queue_interval = 61;  // Ticks between two looks at the injector before the own queues.
  int slot_runs_max = 3;           // Runs in a row from the slot while the ring waits. Tokio's cap.
  std::uint64_t seed = 0;          // Of the choice of victims.
  void (*barrier)() noexcept = nullptr;  // See ForkGate.
};

// Counters of one worker. Written by the worker, read by anyone.
struct WorkerCounters {
  using Counter = std::atomic<std::uint64_t>;
  Counter runs{0};
  Counter slot_runs{0};
  Counter injector_takes{0};  // Tasks.
  Counter steal_attempts{0};  // Looks at one peer.
  Counter steals{0};          // Successful ones.
  Counter stolen{0};          // Tasks.
  Counter overflows{0};       // Batches given to the injector.
  Counter parks{0};
  Counter driver_waits{0};
  Counter wakes{0};  // Other workers woken.
  Counter spawned{0};
  Counter ended{0};

  // Owner only, hence no read-modify-write.
  static void add(Counter& counter, std::uint64_t n = 1) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

class Scheduler {
 public:
  // `cores` are the workers' own, which the scheduler sets up.
  explicit Scheduler(const SchedulerTuning& tuning);
  void attach(int worker, WorkerCore& core) noexcept;
  [[nodiscard]] int fork_pushed() noexcept { return idle_.take_sleeper(); }

  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // --- Publishing. Each returns the worker that the caller must unpark, or IdleSet::kNobody. ---

  // A task that was spawned or woken on `worker`: into the slot; what stood there goes to the ring. The
  // worker itself.
  [[nodiscard]] int push_slot(int worker, TaskHeader* task) noexcept;
  // To the end of `worker`'s ring. The worker itself.
  [[nodiscard]] int push_ring(int worker, TaskHeader* task) noexcept;
  // Any thread.
  [[nodiscard]] int push_injector(TaskHeader* task) noexcept;

  // --- Looking. The worker itself. ---

  // The next task from the worker's own queues or the injector, nullptr if these are empty. Counts a tick.
  [[nodiscard]] TaskHeader* next(int worker, Source& source) noexcept;
  // A task from a peer, or from the injector once more. Searches, if the limit of searchers allows or the
  // worker was woken to. Whoever calls must end the search (end_search) or sleep.
  [[nodiscard]] TaskHeader* steal(int worker, Source& source) noexcept;
  // `worker` has found a task. If it searched and was the last one, returns a worker to unpark.
  [[nodiscard]] int end_search(int worker) noexcept;

  // A tick has passed without a look, in a tree of forks that goes on running. True if there is nothing else to do for
  // `worker`.
  [[nodiscard]] bool may_go_on(int worker) noexcept {
    Local& local = *locals_[index(worker)];
    ++local.tick;
    return local.slot == nullptr && local.ring.empty() && injector_.size_hint() == 0;
  }

  // --- Sleeping. The worker itself. ---

  // Announces sleep. False: there is work after all, and `worker` is awake and may look again.
  [[nodiscard]] bool announce_sleep(int worker) noexcept;
  // Up again, after announce_sleep() returned true.
  void wake_up(int worker) noexcept;

  std::uint32_t tick(int worker) const noexcept { return locals_[index(worker)]->tick; }
  WorkerCounters& counters(int worker) noexcept { return locals_[index(worker)]->counters; }
  const WorkerCounters& counters(int worker) const noexcept {
    return locals_[index(worker)]->counters;
  }
  int workers() const noexcept { return tuning_.workers; }
  std::size_t injector_depth() const noexcept { return injector_.size_hint(); }
  std::uint32_t ring_depth(int worker) const noexcept {
    return locals_[index(worker)]->ring.size();
  }
  const IdleSet& idle() const noexcept { return idle_; }

 private:
  static constexpr std::size_t kInjectorBatchMax = 128;
  static constexpr std::uint32_t kForkInterval = 16;
  static constexpr std::uint32_t kOldestForkInterval = 1024;

  struct alignas(kCacheLine) Local {
    Local(InjectQueue& injector, ForkGate& gate, std::uint64_t seed)
        : access(injector), victims(seed), forks(gate) {}
    WorkerCore* core = nullptr;
    // Owner only.
    TaskHeader* slot = nullptr;
    std::uint32_t tick = 0;
    int slot_streak = 0;
    bool searching = false;
    InjectQueue::Access access;
    StealOrder victims;
    // Any thread.
    RunQueue<> ring;
    ForkDeque forks;
    alignas(kCacheLine) WorkerCounters counters;
  };

  static std::size_t index(int worker) noexcept { return static_cast<std::size_t>(worker); }
  TaskHeader* from_injector(Local& local) noexcept;
  TaskHeader* from_forks(Local& local) noexcept;
  TaskHeader* from_own(Local& local, Source& source) noexcept;
  void append(Local& local, TaskHeader* task) noexcept;
  bool any_work(const Local& self) const noexcept;

  // Constant after construction.
  const SchedulerTuning tuning_;
  // Any thread.
  InjectQueue injector_;
  IdleSet idle_;
  ForkGate gate_;
  std::vector<std::unique_ptr<Local>> locals_;
};

}  // namespace skua::internal
