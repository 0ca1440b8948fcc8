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

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "scheduler/idle_set.h"
#include "scheduler/local_queues.h"
#include "scheduler/slot.h"
#include "skua/internal/config.h"
#include "skua/internal/fork.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

// Where a task was found.
enum class Source : std::uint8_t {
  kNone,
  kInjectorTick,  // An injector, because it was its turn.
  kSlot,          // The run goes on with the budget of the one that has filled it.
  kSlotNewRun,    // A step in a tree of tasks, with a budget of its own.
  kRing,
  kHomed,     // The queue of tasks that must stay on this worker.
  kFork,      // The next child of a fork of this worker.
  kInjector,  // An injector, because the worker's own queues of the level were empty.
  kPeer,
  kPeersSlot,  // The slot of a peer that is stuck in a task.
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
  // A worker that has not ticked for so long is stuck in a task, and what stands in its slot may be stolen.
  std::int64_t stuck_after_ns = 1'000'000;
  // Makes every running thread of the process pass a full barrier; nullptr: there is no such means.
  SlotGate::Barrier barrier = nullptr;
  std::uint64_t seed = 0;  // Of the choice of victims.
};

// What the look of the watch has found.
struct LateLook {
  Found found;
  bool peers_ran = false;   // Some peer has ticked since the last look.
  bool slot_waits = false;  // A task stands in the slot of a peer that may be stuck.
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerTuning& tuning);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // What a worker passes to the functions below that are its own.
  LocalQueues& queues(int worker) noexcept { return *locals_[static_cast<std::size_t>(worker)]; }
  const LocalQueues& queues(int worker) const noexcept {
    return *locals_[static_cast<std::size_t>(worker)];
  }

  // `core` is what the worker runs tasks with. Once for each worker, before it looks for tasks.
  void attach(int worker, WorkerCore& core) noexcept;

  // --- Publishing. Each returns the worker that the caller must unpark, or IdleSet::kNobody. ---
  //
  // `level` is that of the run to come. A homed task goes to its home, whatever the function.

  // A task that was spawned or woken on a worker: into its slot; what stood there goes to its ring. The worker itself.
  [[nodiscard]] SKUA_ALWAYS_INLINE int push_slot(LocalQueues& self, TaskHeader* task, Level level,
                                                 QueueOrder order) noexcept {
    if (SKUA_UNLIKELY(task->root->home >= 0 || !has_slots_)) {
      return push_by_policy(self, task, level);
    }
    return push_free_slot(self, task, level, order);
  }
  // The same for a task without a home. Requires: has_slots().
  [[nodiscard]] SKUA_ALWAYS_INLINE int push_free_slot(LocalQueues& self, TaskHeader* task,
                                                      Level level, QueueOrder order) noexcept {
    // Wakes nobody for a task in an empty slot: this worker is about to run it, and waking for each would cost
    // more than it gains (tokio#8065).
    return fill_slot(self, SlotEntry(task, level, order)) ? idle_.take_sleeper() : IdleSet::kNobody;
  }
  // To the end of the worker's ring. The worker itself.
  [[nodiscard]] int push_ring(LocalQueues& self, TaskHeader* task, Level level) noexcept {
    if (SKUA_UNLIKELY(task->root->home >= 0 || !steals_)) return push_by_policy(self, task, level);
    append(self, task, level);
    return idle_.take_sleeper();
  }
  // The same for one of several, after the last of which pushed_many() wakes one sleeper for all. The worker itself.
  [[nodiscard]] int push_one_of_many(LocalQueues& self, TaskHeader* task, Level level) noexcept {
    if (SKUA_UNLIKELY(task->root->home >= 0 || !steals_)) return push_by_policy(self, task, level);
    append(self, task, level);
    return IdleSet::kNobody;
  }
  [[nodiscard]] int pushed_many() noexcept { return idle_.take_sleeper(); }
  // The same for a task that has yielded: wakes a peer only if others wait in the ring, and may miss one that is
  // falling asleep; the next yield, or the watch, makes that good. The worker itself.
  [[nodiscard]] int push_yielded(LocalQueues& self, TaskHeader* task, Level level) noexcept {
    WorkerCounters::add(self.counters.yields);
    if (SKUA_UNLIKELY(task->root->home >= 0 || !steals_))
      return push_yielded_by_policy(self, task, level);
    const bool alone = self.rings[level].empty();
    append(self, task, level);
    return alone ? IdleSet::kNobody : idle_.take_sleeper_unordered();
  }
  // A fork was put on the worker's deque while the idle word said that not all are at work. The worker itself.
  [[nodiscard]] int fork_pushed(const LocalQueues& self) noexcept;
  // On the way of threads that are no workers. Any thread.
  [[nodiscard]] int push_injector(TaskHeader* task, Level level) noexcept;

  // --- Looking. The worker itself. ---

  // The next task from the worker's own queues or the injectors. Counts a tick. `budget_left` is what the last run
  // has left of its coop budget.
  [[nodiscard]] SKUA_ALWAYS_INLINE Found next(LocalQueues& self,
                                              const std::int32_t& budget_left) noexcept {
    self.count_tick();
    // With kNormal tasks alone, in a tick that is owed to nobody, there is one slot and one ring to look at.
    if (SKUA_LIKELY((--self.plain_ticks > 0 || is_plain_after_all(self)) &&
                    self.busy == LocalQueues::shared_bit(kNormalLevel) &&
                    injectors_[kHighLevel].size_hint() == 0 && !self.inbox.maybe())) {
      if (self.slot_level == kNormalLevel) {
        if (const Found found = from_slot(self, kNormalLevel, budget_left)) return found;
      }
      if (const Found found = from_ring(self, kNormalLevel)) return found;
    }
    return next_by_level(self, budget_left);
  }
  // For a tree of forks that has used up its budget. True if nothing else waits for the worker: it may go on, and a
  // tick has been counted.
  [[nodiscard]] bool may_go_on(LocalQueues& self) noexcept;
  // A task from a peer, or from an injector once more. Searches, if the limit of searchers allows or the
  // worker was woken to. Whoever calls must end the search (end_search) or sleep.
  [[nodiscard]] Found steal(LocalQueues& self) noexcept;
  // The worker has found a task. If it searched and was the last one, returns a worker to unpark.
  [[nodiscard]] int end_search(LocalQueues& self) noexcept {
    return SKUA_LIKELY(!self.searching) ? IdleSet::kNobody : stop_search(self);
  }

  // --- Sleeping. The worker itself. ---

  // Announces sleep. False: there is work after all, and the worker is awake and may look again. `linger`: see
  // IdleSet::sleep().
  [[nodiscard]] bool announce_sleep(LocalQueues& self, bool linger = false) noexcept;
  // Up again, after announce_sleep() returned true.
  void wake_up(LocalQueues& self) noexcept;

  // The worker has the watch: it sleeps for a short time only, then looks late if it finds nothing else.
  bool has_watch(const LocalQueues& self) const noexcept { return idle_.has_watch(self.worker); }
  // Looks for peers that are stuck in a task, and for what they have in their slots. Requires: has_watch().
  [[nodiscard]] LateLook look_late(LocalQueues& self, std::int64_t now_ns) noexcept;
  // The worker has left the driver to run tasks. Returns a worker to unpark, which will take the driver if it finds no
  // task; kNobody if one searches anyway.
  [[nodiscard]] int hand_over_driver() noexcept { return idle_.take_sleeper_unordered(); }
  // The worker was asleep and is about to run a task. Returns a worker to unpark, so that somebody has the watch.
  [[nodiscard]] int begin_run(LocalQueues& self) noexcept { return idle_.begin_run(self.worker); }

  // --- Any thread. ---

  QueuePolicy policy() const noexcept { return tuning_.policy; }
  // A task without a home that is spawned or woken on a worker goes to its slot.
  bool has_slots() const noexcept { return has_slots_; }
  int workers() const noexcept { return tuning_.workers; }
  WorkerCounters& counters(int worker) noexcept { return queues(worker).counters; }
  const WorkerCounters& counters(int worker) const noexcept { return queues(worker).counters; }
  std::size_t injector_depth(Level level) const noexcept {
    return injectors_[level].size_hint() + (level == kNormalLevel ? spill_.size_hint() : 0);
  }
  std::uint32_t ring_depth(int worker, Level level) const noexcept {
    return queues(worker).rings[level].size();
  }
  const IdleSet& idle() const noexcept { return idle_; }

 private:
  static constexpr std::size_t kInjectorBatchMax = 128;
  static constexpr Level kNoLevel = LocalQueues::kNoLevel;

  // When the watch saw a worker tick for the last time.
  struct LastTick {
    std::uint32_t tick = 0;
    std::int64_t since_ns = 0;
  };

  // The level that a tick is owed to: it comes first then, whatever the others have. 1 tick in 8 goes to kNormal, 1
  // in 32 to kLow, never the same one.
  static constexpr bool is_owed_to_low(std::uint32_t tick) noexcept { return tick % 32 == 7; }
  static constexpr Level owed_level(std::uint32_t tick) noexcept {
    if (tick % 8 == 3) return kNormalLevel;
    return is_owed_to_low(tick) ? kLowLevel : kNoLevel;
  }

  // Forks wait behind the ring, where a tree that has used up its budget stands too, so that it goes on depth first.
  // But not for ever: the newest one comes first once in 16 ticks, and each 64th of these turns goes to the oldest.
  static constexpr bool is_forks_turn(std::uint32_t tick) noexcept { return tick % 16 == 9; }
  static constexpr bool is_oldest_forks_turn(std::uint32_t tick) noexcept {
    return tick % 1024 == 9;
  }
  // Ticks from `tick` to the next one that is kLow's or the forks' turn; kNormal's matters only if there is kHigh.
  static int ticks_to_turn(std::uint32_t tick) noexcept {
    static constexpr auto kTicks = [] {
      std::array<std::uint8_t, 32> ticks{};
      for (std::uint32_t from = 0; from < ticks.size(); ++from) {
        std::uint32_t to = from + 1;
        while (!is_owed_to_low(to) && !is_forks_turn(to)) ++to;
        ticks[from] = static_cast<std::uint8_t>(to - from);
      }
      return ticks;
    }();
    return kTicks[tick % 32];
  }
  static constexpr int ticks_until(std::uint32_t when, std::uint32_t tick) noexcept {
    return static_cast<int>(when - tick);
  }

  // A tree that has paused goes on from the ring, so its forks need no turn: it would start one more strand of the tree
  // each time, and none of them ends before the tree does.
  static bool are_forks_due(const LocalQueues& self) noexcept {
    const std::uint32_t tick = self.tick.load(std::memory_order_relaxed);
    return is_forks_turn(tick) && tick - self.last_pause >= 16;
  }
  // But the oldest fork may be another tree's: it has a turn now and then all the same.
  static constexpr std::uint32_t kOldestForkInterval = 65'536;
  static bool is_oldest_fork_due(const LocalQueues& self) noexcept {
    return ticks_until(self.oldest_fork_tick, self.tick.load(std::memory_order_relaxed)) <= 0;
  }

  // To the end of the worker's own queue for it.
  SKUA_ALWAYS_INLINE void append(LocalQueues& self, TaskHeader* task, Level level,
                                 QueueOrder order = QueueOrder::kInTurn) noexcept {
    if (SKUA_UNLIKELY(task->root->home >= 0)) {
      self.fill_homed(task, level);
      return;
    }
    self.busy |= LocalQueues::shared_bit(level);
    self.rings[level].push(task, order,
                           [&](std::span<TaskHeader*> batch, QueueOrder batch_order) noexcept {
                             overflow(self, level, batch, batch_order);
                           });
  }
  // Returns true if a task was displaced from the slot, and is in its ring now.
  SKUA_ALWAYS_INLINE bool fill_slot(LocalQueues& self, SlotEntry entry) noexcept {
    const SlotEntry displaced = self.slot.exchange(entry, gate_);
    self.slot_level = entry.level();
    self.busy |= LocalQueues::shared_bit(entry.level());
    if (displaced.task() == nullptr) return false;
    append(self, displaced.task(), displaced.level(), displaced.order());
    return true;
  }
  // Nothing: it was stolen.
  SKUA_ALWAYS_INLINE SlotEntry empty_slot(LocalQueues& self) noexcept {
    self.slot_level = kNoLevel;
    return self.slot.exchange(SlotEntry(), gate_);
  }

  // The worker's own queues of a level.
  SKUA_ALWAYS_INLINE Found from_own(LocalQueues& self, Level level,
                                    std::int32_t budget_left) noexcept {
    // Before the slot: its streaks repeat every 4 ticks, and would hide the forks' turn for ever.
    if (SKUA_UNLIKELY(are_forks_due(self))) {
      if (const Found found = from_own_forks_in_turn(self, level)) return found;
    }
    if (self.slot_level == level) {
      if (const Found found = from_slot(self, level, budget_left)) return found;
    }
    if (SKUA_UNLIKELY((self.busy & LocalQueues::homed_bit(level)) != 0)) {
      end_streaks(self, level);
      return from_ring_or_homed(self, level);
    }
    if (const Found found = from_ring(self, level)) return found;
    // Cleared first: a fork that was cut short gives no child, but may have queued its parent here.
    self.busy &= ~LocalQueues::shared_bit(level);
    return from_own_forks_in_turn(self, level);
  }
  // A task of the level is in turn, or may be.
  static bool waits_in_turn(const LocalQueues& self, Level level) noexcept {
    return self.rings[level].has_in_turn() || (self.busy & LocalQueues::homed_bit(level)) != 0;
  }
  // After slot_runs_max tasks that have come before others: may as many more? Not before one that is in turn, and not
  // for ever.
  SKUA_ALWAYS_INLINE bool begin_streak(LocalQueues& self, Level level) const noexcept {
    if (waits_in_turn(self, level) || self.streaks_left[level] == 0) return false;
    --self.streaks_left[level];
    self.streak[level] = 0;
    return true;
  }
  SKUA_ALWAYS_INLINE void end_streaks(LocalQueues& self, Level level) const noexcept {
    self.streak[level] = 0;
    self.streaks_left[level] = LocalQueues::kStreaksMax;
  }
  SKUA_ALWAYS_INLINE Found from_slot(LocalQueues& self, Level level,
                                     const std::int32_t& budget_left) noexcept {
    const SlotEntry entry = empty_slot(self);
    TaskHeader* const task = entry.task();
    if (SKUA_UNLIKELY(task == nullptr)) return {};
    const bool in_turn = entry.order() == QueueOrder::kInTurn;
    const bool few = self.streak[level] < tuning_.slot_runs_max;
    if (SKUA_LIKELY(in_turn ? few && budget_left > 0 : few || begin_streak(self, level))) {
      ++self.streak[level];
      WorkerCounters::add(self.counters.slot_runs);
      return {task, in_turn ? Source::kSlot : Source::kSlotNewRun, level};
    }
    // Two tasks that wake each other must not keep the others waiting: the slot goes to the end of the line, if there
    // is one.
    if (self.rings[level].empty() && (self.busy & LocalQueues::homed_bit(level)) == 0) {
      end_streaks(self, level);
      return {task, Source::kRing, level};
    }
    append(self, task, level, entry.order());
    return {};
  }
  // The youngest if that is its order, and not too many have come before the oldest; else that.
  SKUA_ALWAYS_INLINE Found from_ring(LocalQueues& self, Level level) noexcept {
    RunQueue<>& ring = self.rings[level];
    if (!ring.newest_is_in_turn() &&
        (self.streak[level] < tuning_.slot_runs_max || begin_streak(self, level))) {
      if (TaskHeader* const task = ring.pop_newest()) {
        ++self.streak[level];
        return {task, Source::kRing, level};
      }
    }
    end_streaks(self, level);
    if (TaskHeader* const task = ring.pop()) return {task, Source::kRing, level};
    return {};
  }

  Found from_own_forks(LocalQueues& self, Level level, bool oldest) noexcept;
  Found from_own_forks_in_turn(LocalQueues& self, Level level) noexcept;
  Found oldest_own_fork(LocalQueues& self) noexcept;
  Found from_peers_forks(LocalQueues& self, int start, Level level) noexcept;
  Found take_fork(LocalQueues& self, ForkRecord* fork, ForkDeque& deque, Level level,
                  Source source) noexcept;
  int push_by_policy(LocalQueues& self, TaskHeader* task, Level level) noexcept;
  int push_yielded_by_policy(LocalQueues& self, TaskHeader* task, Level level) noexcept;
  int push_home(TaskHeader* task, Level level) noexcept;
  void overflow(LocalQueues& self, Level level, std::span<TaskHeader*> batch,
                QueueOrder order) noexcept;
  SKUA_NOINLINE bool is_plain_after_all(LocalQueues& self) noexcept;
  SKUA_NOINLINE Found next_by_level(LocalQueues& self, std::int32_t budget_left) noexcept;
  Found from_level(LocalQueues& self, Level level, std::int32_t budget_left) noexcept;
  Found from_ring_or_homed(LocalQueues& self, Level level) noexcept;
  Found from_injectors_in_turn(LocalQueues& self, Level owed) noexcept;
  Found from_injector(LocalQueues& self, Level level) noexcept;
  Found one_from(InjectQueue& injector, InjectQueue::Access& access, LocalQueues& self, Level level,
                 Source source) noexcept;
  Found one_from_injector(LocalQueues& self, Level level, Source source) noexcept {
    return one_from(injectors_[level], self.access[level], self, level, source);
  }
  Found batch_from(InjectQueue& injector, InjectQueue::Access& access, LocalQueues& self,
                   Level level, QueueOrder order) noexcept;
  Found from_peers(LocalQueues& self) noexcept;
  int stop_search(LocalQueues& self) noexcept;
  bool any_work(const LocalQueues& self) const noexcept;

  // Constant after construction.
  const SchedulerTuning tuning_;
  const bool has_slots_;     // For tasks without a home.
  const bool steals_;        // Rings are in use, and are stolen from.
  const bool steals_forks_;  // Forks are.
  // Any thread.
  SlotGate gate_;
  Injectors injectors_;
  InjectQueue spill_;  // What overflows from rings of kNormal in which no task is in turn.
  IdleSet idle_;
  ForkGate fork_gate_;
  std::vector<std::unique_ptr<LocalQueues>> locals_;
  // By worker. Whoever has the watch, which is passed on under IdleSet's lock.
  std::vector<LastTick> last_ticks_;
};

}  // namespace skua::internal
