// SPDX-License-Identifier: Apache-2.0
//
// All queues of one worker, and what it remembers from look to look.
//
// `busy` says for each level where something may be found, so that with tasks of one level alone one queue is looked
// at. A bit is set by whoever fills the queue (the worker) and cleared when the queue turns out to be empty; a
// thief leaves it set.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>

#include "scheduler/home_queues.h"
#include "scheduler/inject_queue.h"
#include "scheduler/run_queue.h"
#include "scheduler/slot.h"
#include "scheduler/steal_order.h"
#include "scheduler/worker_counters.h"
#include "skua/internal/config.h"
#include "skua/internal/fork_deque.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

// A queue for each level.
using Injectors = std::array<InjectQueue, kLevels>;

struct alignas(kCacheLine) LocalQueues {
  LocalQueues(int id, Injectors& injectors, InjectQueue& spill, ForkGate& gate,
              std::uint32_t ring_capacity, std::uint64_t seed)
      : worker(id),
        access{InjectQueue::Access(injectors[0]), InjectQueue::Access(injectors[1]),
               InjectQueue::Access(injectors[2])},
        spill_access(spill),
        victims(seed),
        rings{RunQueue<>(ring_capacity), RunQueue<>(ring_capacity), RunQueue<>(ring_capacity)},
        forks{ForkDeque(gate), ForkDeque(gate), ForkDeque(gate)},
        homed_forks{ForkDeque(gate), ForkDeque(gate), ForkDeque(gate)} {}
  LocalQueues(const LocalQueues&) = delete;
  LocalQueues& operator=(const LocalQueues&) = delete;

  // Bits of `busy`.
  static constexpr std::uint32_t shared_bit(Level level) noexcept { return 1u << level; }
  static constexpr std::uint32_t homed_bit(Level level) noexcept { return 1u << (level + 8); }

  void fill_homed(TaskHeader* task, Level level) {
    homed[level].push(task);
    busy |= homed_bit(level);
  }
  // Takes what others have queued for this worker into its own queues.
  void drain_inbox() {
    inbox.drain([this](TaskHeader* task, Level level) { fill_homed(task, level); });
  }
  // The ring's turn, of the two?
  bool take_turns(Level level) noexcept {
    const auto bit = static_cast<std::uint8_t>(1u << level);
    homed_turn ^= bit;
    return (homed_turn & bit) == 0;
  }
  std::uint32_t count_tick() noexcept {
    const std::uint32_t next = tick.load(std::memory_order_relaxed) + 1;
    tick.store(next, std::memory_order_relaxed);
    return next;
  }

  // A task is about to run here: says what it may leave behind, and what it passes on.
  SKUA_ALWAYS_INLINE void begin_run(const TaskHeader& root, Level level) noexcept {
    // Nearly every run is as the one before it.
    if (SKUA_LIKELY(plain && level == kNormalLevel && root.level == kNormalLevel &&
                    root.home < 0)) {
      busy |= shared_bit(kNormalLevel);
      return;
    }
    begin_other_run(root, level);
  }
  // What is woken from here on, by the driver or a timer, is woken by no task.
  void end_runs() noexcept {
    plain = false;
    core->level = kLowLevel;
    core->own_level = kNormalLevel;
    core->running = nullptr;
  }

  // Whoever waits longest behind younger tasks is next.
  void call_oldest() noexcept {
    for (Level level = 0; level < kLevels; ++level) {
      rings[level].keep_up();
      if (rings[level].empty()) continue;
      streak[level] = std::numeric_limits<std::uint8_t>::max();
      streaks_left[level] = 0;
    }
    spill_turn = true;
    plain_ticks = 0;
  }

  // A run goes on after others have come between: whoever calls restores its levels and the place of its forks.
  void resume_run() noexcept {
    end_runs();
    busy = ~std::uint32_t{0};
  }

  static constexpr Level kNoLevel = kLevels;
  // Of three runs each: about as many ticks as between two turns of the oldest fork.
  static constexpr std::uint16_t kStreaksMax = 20'000;

 private:
  SKUA_NOINLINE void begin_other_run(const TaskHeader& root, Level level) noexcept {
    const bool is_homed = root.home >= 0;
    busy |= is_homed ? homed_bit(level) : shared_bit(level);
    core->forks = is_homed ? &homed_forks[level] : &forks[level];
    core->level = level;
    core->own_level = root.level;
    plain = !is_homed && level == kNormalLevel && root.level == kNormalLevel;
  }

 public:
  // Constant after construction.
  const int worker;
  // What the worker runs tasks with. Set by Scheduler::attach().
  WorkerCore* core = nullptr;
  // Owner only.
  std::uint32_t busy = 0;
  std::uint32_t last_pause = ~15U;          // The tick in which a tree of forks used up its budget.
  std::uint32_t oldest_fork_tick = 65'536;  // When the oldest fork comes before everything else.
  std::uint32_t injector_tick = 0;          // When an injector comes before the own queues.
  int plain_ticks = 0;          // Until a tick that is owed to somebody, or to an injector.
  bool plain = false;           // The last run was one of a kNormal task that may run anywhere.
  Level slot_level = kNoLevel;  // Of the task put into the slot; it may have been stolen.
  Level injector_turn = kNormalLevel;  // The level that is looked at first when that is so.
  std::uint8_t homed_turn = 0;         // By level: the homed tasks come before the ring.
  bool injector_before_high = false;   // The injector's kHigh tasks come before the own ones.
  bool spill_turn = false;             // One of the tasks that have overflowed is next.
  bool spill_first = false;            // A batch comes from there, and not from the injector.
  bool searching = false;
  bool serves_homed = true;  // No stand-in is the worker (workers/lending.h).
  // Runs in a row from the slot or of a ring's newest, and how often so many more may follow.
  std::array<std::uint8_t, kLevels> streak{};
  std::array<std::uint16_t, kLevels> streaks_left{kStreaksMax, kStreaksMax, kStreaksMax};
  // Owner writes, any thread reads.
  std::atomic<std::uint32_t> tick{0};
  // The owner, and a thief of the slot.
  Slot slot;
  // Owner only.
  std::array<InjectQueue::Access, kLevels> access;
  InjectQueue::Access spill_access;
  StealOrder victims;
  std::array<TaskFifo, kLevels> homed;
  // Any thread.
  std::array<RunQueue<>, kLevels> rings;
  HomeInbox inbox;
  std::array<ForkDeque, kLevels> forks;
  std::array<ForkDeque, kLevels> homed_forks;  // Of homed tasks: nobody steals from them.
  alignas(kCacheLine) WorkerCounters counters;
};

}  // namespace skua::internal
