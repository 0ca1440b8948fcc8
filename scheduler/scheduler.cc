// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <algorithm>
#include <span>
#include <utility>

#include "skua/internal/check.h"

namespace skua::internal {

Scheduler::Scheduler(const SchedulerTuning& tuning)
    : tuning_(tuning), idle_(tuning.workers), gate_(tuning.barrier) {
  SKUA_REQUIRE(tuning.global_queue_interval >= 1, tuning.global_queue_interval);
  for (int i = 0; i < tuning.workers; ++i) {
    locals_.push_back(
        std::make_unique<Local>(injector_, gate_, tuning.seed + static_cast<std::uint64_t>(i)));
  }
}

void Scheduler::attach(int worker, WorkerCore& core) noexcept {
  Local& local = *locals_[index(worker)];
  local.core = &core;
  core.forks = &local.forks;
  core.idle_word = idle_.word();
  core.all_awake = gate_.has_barrier() ? idle_.all_awake() : ~0u;
}

void Scheduler::append(Local& local, TaskHeader* task) noexcept {
  local.ring.push(task, [&](std::span<TaskHeader*> batch) {
    WorkerCounters::add(local.counters.overflows);
    injector_.push_batch(local.access, batch);
  });
}

int Scheduler::push_slot(int worker, TaskHeader* task) noexcept {
  Local& local = *locals_[index(worker)];
  TaskHeader* const displaced = std::exchange(local.slot, task);
  // Wakes nobody for a task in an empty slot: this worker is about to run it, and waking for each would cost
  // more than it gains (tokio#8065).
  if (displaced == nullptr) return IdleSet::kNobody;
  append(local, displaced);
  return idle_.take_sleeper();
}

int Scheduler::push_ring(int worker, TaskHeader* task) noexcept {
  append(*locals_[index(worker)], task);
  return idle_.take_sleeper();
}

int Scheduler::push_injector(TaskHeader* task) noexcept {
  injector_.push(task);
  return idle_.take_sleeper();
}

TaskHeader* Scheduler::from_injector(Local& local) noexcept {
  const std::size_t depth = injector_.size_hint();
  if (depth == 0) return nullptr;
  // A fair share, so that the other workers find something too. One runs at once, the others need room.
  const std::size_t share = std::min(depth / static_cast<std::size_t>(tuning_.workers) + 1,
                                     std::min<std::size_t>(local.ring.room(), kInjectorBatchMax));
  std::array<TaskHeader*, kInjectorBatchMax> batch;
  const std::size_t count =
      injector_.take_batch(local.access, std::span(batch).first(std::max<std::size_t>(share, 1)));
  if (count == 0) return nullptr;
  WorkerCounters::add(local.counters.injector_takes, count);
  for (std::size_t i = 1; i < count; ++i) append(local, batch[i]);
  injector_.settle(count);
  return batch[0];
}

// Forks wait behind the ring, where a tree that has used up its budget stands, too: so it goes on depth first. But not
// for ever: the newest has its turn in the midst of each 16 ticks, the oldest in that of each 1024.
TaskHeader* Scheduler::from_forks(Local& local) noexcept {
  ForkRecord* const fork = local.tick % kOldestForkInterval == kOldestForkInterval / 2
                               ? local.forks.steal()
                               : local.forks.pop();
  return fork != nullptr ? fork->take(*local.core) : nullptr;
}

TaskHeader* Scheduler::from_own(Local& local, Source& source) noexcept {
  if (local.tick % kForkInterval == kForkInterval / 2) {
    if (TaskHeader* const task = from_forks(local)) {
      source = Source::kFork;
      return task;
    }
  }
  if (local.slot != nullptr) {
    if (local.slot_streak < tuning_.slot_runs_max) {
      ++local.slot_streak;
      source = Source::kSlot;
      WorkerCounters::add(local.counters.slot_runs);
      return std::exchange(local.slot, nullptr);
    }
    // Two tasks that wake each other must not keep the ring waiting: the slot goes to its end.
    append(local, std::exchange(local.slot, nullptr));
  }
  local.slot_streak = 0;
  source = Source::kRing;
  if (TaskHeader* const task = local.ring.pop()) return task;
  source = Source::kFork;
  return from_forks(local);
}

TaskHeader* Scheduler::next(int worker, Source& source) noexcept {
  Local& local = *locals_[index(worker)];
  ++local.tick;
  if (local.tick % static_cast<std::uint32_t>(tuning_.global_queue_interval) == 0) {
    TaskHeader* task = nullptr;
    if (injector_.size_hint() != 0 && injector_.pop_batch(local.access, std::span(&task, 1)) == 1) {
      WorkerCounters::add(local.counters.injector_takes);
      source = Source::kInjectorTick;
      return task;
    }
  }
  if (TaskHeader* const task = from_own(local, source)) return task;
  if (TaskHeader* const task = from_injector(local)) {
    source = Source::kInjector;
    return task;
  }
  source = Source::kNone;
  return nullptr;
}

TaskHeader* Scheduler::steal(int worker, Source& source) noexcept {
  Local& local = *locals_[index(worker)];
  source = Source::kNone;
  if (tuning_.workers > 1) {
    if (!local.searching && !idle_.start_search()) return nullptr;
    local.searching = true;
    int victim = local.victims.start(tuning_.workers);
    for (int i = 0; i < tuning_.workers; ++i, victim = (victim + 1) % tuning_.workers) {
      if (victim == worker) continue;
      WorkerCounters::add(local.counters.steal_attempts);
      std::uint32_t moved = 0;
      TaskHeader* const task = locals_[index(victim)]->ring.steal_into(local.ring, moved);
      if (task == nullptr) {
        if (locals_[index(victim)]->forks.looks_empty()) continue;
        ForkRecord* fork;
        {
          ForkGate::Visit visit(gate_);
          fork = locals_[index(victim)]->forks.steal();
        }
        if (fork == nullptr) continue;
        WorkerCounters::add(local.counters.steals);
        if (TaskHeader* const child = fork->take(*local.core)) return child;
        continue;
      }
      WorkerCounters::add(local.counters.steals);
      WorkerCounters::add(local.counters.stolen, moved);
      source = Source::kPeer;
      return task;
    }
  }
  TaskHeader* const task = from_injector(local);
  if (task != nullptr) source = Source::kInjector;
  return task;
}

int Scheduler::end_search(int worker) noexcept {
  Local& local = *locals_[index(worker)];
  if (!local.searching) return IdleSet::kNobody;
  local.searching = false;
  return idle_.stop_search() ? idle_.take_sleeper() : IdleSet::kNobody;
}

bool Scheduler::any_work(const Local& self) const noexcept {
  if (self.slot != nullptr || injector_.pending() != 0) return true;
  return std::any_of(locals_.begin(), locals_.end(), [](const auto& local) {
    return !local->ring.empty() || !local->forks.looks_empty();
  });
}

bool Scheduler::announce_sleep(int worker) noexcept {
  Local& local = *locals_[index(worker)];
  const bool searched = std::exchange(local.searching, false);
  idle_.sleep(worker, searched);
  gate_.before_last_look();
  if (!any_work(local)) return true;
  wake_up(worker);
  // Whoever published what was seen here has woken nobody, because somebody searched. So that one goes on searching:
  // at the end of its search it wakes the next for what else there is.
  if (searched && !local.searching) {
    idle_.resume_search();
    local.searching = true;
  }
  return false;
}

void Scheduler::wake_up(int worker) noexcept {
  if (idle_.wake_up(worker)) locals_[index(worker)]->searching = true;
}

}  // namespace skua::internal
