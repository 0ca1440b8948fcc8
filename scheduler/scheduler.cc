// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "skua/internal/check.h"

namespace skua::internal {
namespace {

constexpr Level kNoLevel = kLevels;

// The level that a tick is owed to: it comes first then, whatever the others have. 1 tick in 8 goes to kNormal, 1 in
// 32 to kLow, never the same one.
constexpr bool is_owed_to_low(std::uint32_t tick) noexcept { return tick % 32 == 7; }
// Forks wait behind the ring, where a tree that has used up its budget stands too, so that it goes on depth first. But
// not for ever: the newest one comes first once in 16 ticks, and each 64th of these turns goes to the oldest.
constexpr std::uint32_t kForkInterval = 16;
constexpr std::uint32_t kOldestForkInterval = 1024;
constexpr bool is_forks_turn(std::uint32_t tick) noexcept { return tick % kForkInterval == 9; }
constexpr bool is_oldest_forks_turn(std::uint32_t tick) noexcept {
  return tick % kOldestForkInterval == 9;
}

constexpr Level owed_level(std::uint32_t tick) noexcept {
  if (tick % 8 == 3) return kNormalLevel;
  return is_owed_to_low(tick) ? kLowLevel : kNoLevel;
}

bool steals(QueuePolicy policy) noexcept {
  return policy == QueuePolicy::kWorkStealing || policy == QueuePolicy::kWorkStealingNoSlot;
}

}  // namespace

Scheduler::Scheduler(const SchedulerTuning& tuning)
    : tuning_(tuning),
      steals_(steals(tuning.policy)),
      steals_forks_(tuning.policy != QueuePolicy::kThreadPerCore),
      idle_(tuning.workers),
      fork_gate_(tuning.process_barrier) {
  SKUA_REQUIRE(tuning.global_queue_interval >= 1, tuning.global_queue_interval);
  for (int i = 0; i < tuning.workers; ++i) {
    locals_.push_back(std::make_unique<LocalQueues>(injectors_, fork_gate_, tuning.ring_capacity,
                                                    tuning.seed + static_cast<std::uint64_t>(i)));
    locals_.back()->ticks_to_injector = tuning.global_queue_interval;
  }
}

void Scheduler::attach(int worker, WorkerCore& core) noexcept {
  LocalQueues& self = local(worker);
  self.core = &core;
  core.forks = &self.forks[kNormalLevel];
  core.idle_word = idle_.word();
  // Without the process-wide barrier, who forks has to pass one itself, and so to call fork_pushed() each time.
  core.all_awake = fork_gate_.has_barrier() ? idle_.all_awake() : IdleSet::kImpossible;
}

// --- Publishing -------------------------------------------------------------------------------

// To the end of the worker's own queue for it.
void Scheduler::append(LocalQueues& local, TaskHeader* task, Level level) noexcept {
  if (SKUA_UNLIKELY(task->root->home >= 0)) {
    local.fill_homed(task, level);
    return;
  }
  local.busy |= LocalQueues::shared_bit(level);
  local.rings[level].push(task, [&](std::span<TaskHeader*> batch) {
    WorkerCounters::add(local.counters.overflows);
    injectors_[level].push_batch(local.access[level], batch);
  });
}

// Returns the task that was displaced from the slot, now in its ring, or nullptr.
TaskHeader* Scheduler::fill_slot(LocalQueues& local, TaskHeader* task, Level level) noexcept {
  TaskHeader* const displaced = std::exchange(local.slot, task);
  const Level displaced_level = std::exchange(local.slot_level, level);
  local.busy |= LocalQueues::shared_bit(level);
  if (displaced != nullptr) append(local, displaced, displaced_level);
  return displaced;
}

int Scheduler::push_slot(int worker, TaskHeader* task, Level level) noexcept {
  if (SKUA_UNLIKELY(task->root->home >= 0 || tuning_.policy != QueuePolicy::kWorkStealing)) {
    return push_by_policy(worker, task, level);
  }
  // Wakes nobody for a task in an empty slot: this worker is about to run it, and waking for each would cost
  // more than it gains (tokio#8065).
  if (fill_slot(local(worker), task, level) == nullptr) return IdleSet::kNobody;
  return idle_.take_sleeper();
}

int Scheduler::push_by_policy(int worker, TaskHeader* task, Level level) noexcept {
  if (task->root->home < 0) return push_ring(worker, task, level);
  if (task->root->home == worker && tuning_.policy == QueuePolicy::kThreadPerCore) {
    fill_slot(local(worker), task, level);
    return IdleSet::kNobody;
  }
  return push_homed(worker, task, level);
}

int Scheduler::push_homed(int worker, TaskHeader* task, Level level) noexcept {
  const int home = task->root->home;
  if (home == worker) {
    local(worker).fill_homed(task, level);
    return IdleSet::kNobody;
  }
  local(home).inbox.push(task, level);
  // *task may be gone.
  return idle_.take(home) ? home : IdleSet::kNobody;
}

int Scheduler::push_ring(int worker, TaskHeader* task, Level level) noexcept {
  if (SKUA_UNLIKELY(task->root->home >= 0)) return push_homed(worker, task, level);
  LocalQueues& self = local(worker);
  if (SKUA_LIKELY(steals_)) {
    append(self, task, level);
  } else {
    injectors_[level].push_batch(self.access[level], std::span(&task, 1));
  }
  return idle_.take_sleeper();
}

int Scheduler::push_yielded(int worker, TaskHeader* task, Level level) noexcept {
  WorkerCounters::add(local(worker).counters.yields);
  if (SKUA_UNLIKELY(task->root->home >= 0 || !steals_)) return push_ring(worker, task, level);
  LocalQueues& self = local(worker);
  const bool alone = self.rings[level].empty();
  append(self, task, level);
  return alone ? IdleSet::kNobody : idle_.take_sleeper_unordered();
}

int Scheduler::fork_pushed(int worker) noexcept {
  const LocalQueues& self = local(worker);
  const ForkDeque* const deque = self.core->forks;
  const bool stolen_from =
      steals_forks_ && deque >= self.forks.data() && deque < self.forks.data() + self.forks.size();
  return stolen_from ? idle_.take_sleeper() : IdleSet::kNobody;
}

int Scheduler::push_injector(TaskHeader* task, Level level) noexcept {
  if (SKUA_UNLIKELY(task->root->home >= 0)) return push_homed(IdleSet::kNobody, task, level);
  injectors_[level].push(task);
  return idle_.take_sleeper();
}

// --- Looking: the injectors -------------------------------------------------------------------

Found Scheduler::one_from_injector(LocalQueues& local, Level level, Source source) noexcept {
  InjectQueue& injector = injectors_[level];
  TaskHeader* task = nullptr;
  if (injector.size_hint() == 0 ||
      injector.pop_batch(local.access[level], std::span(&task, 1)) == 0) {
    return {};
  }
  WorkerCounters::add(local.counters.injector_takes);
  return {task, source, level};
}

// A fair share, so that the other workers find something too. One runs at once, the others need room.
Found Scheduler::batch_from_injector(LocalQueues& local, Level level) noexcept {
  InjectQueue& injector = injectors_[level];
  const std::size_t depth = injector.size_hint();
  if (depth == 0) return {};
  const std::size_t share =
      std::min(depth / static_cast<std::size_t>(tuning_.workers) + 1,
               std::min<std::size_t>(local.rings[level].room(), kInjectorBatchMax));
  std::array<TaskHeader*, kInjectorBatchMax> batch;
  const std::size_t count = injector.take_batch(
      local.access[level], std::span(batch).first(std::max<std::size_t>(share, 1)));
  if (count == 0) return {};
  WorkerCounters::add(local.counters.injector_takes, count);
  for (std::size_t i = 1; i < count; ++i) append(local, batch[i], level);
  injector.settle(count);
  return {batch[0], Source::kInjector, level};
}

// The injectors of kNormal and kLow come before the own queues in turn; kHigh has a turn in every look. A level that
// the tick is owed to comes first, or gets what it is owed from its own queues.
Found Scheduler::injectors_turn(LocalQueues& local, Level owed) noexcept {
  local.ticks_to_injector = tuning_.global_queue_interval;
  const Level first = owed != kNoLevel ? owed : local.injector_turn;
  const Level second = first == kNormalLevel ? kLowLevel : kNormalLevel;
  Found found = one_from_injector(local, first, Source::kInjectorTick);
  if (!found && owed == kNoLevel) found = one_from_injector(local, second, Source::kInjectorTick);
  if (found) local.injector_turn = found.level == kNormalLevel ? kLowLevel : kNormalLevel;
  return found;
}

// --- Looking: the own queues ------------------------------------------------------------------

// The worker's own queues of a level.
Found Scheduler::from_own(LocalQueues& local, Level level, std::int32_t budget_left) noexcept {
  if (local.slot != nullptr && local.slot_level == level) {
    if (local.slot_streak[level] < tuning_.slot_runs_max && budget_left > 0) {
      ++local.slot_streak[level];
      WorkerCounters::add(local.counters.slot_runs);
      return {std::exchange(local.slot, nullptr), Source::kSlot, level};
    }
    // Two tasks that wake each other must not keep the others waiting: the slot goes to the end of the line.
    append(local, std::exchange(local.slot, nullptr), level);
  }
  local.slot_streak[level] = 0;
  if (SKUA_UNLIKELY(is_forks_turn(local.tick.load(std::memory_order_relaxed)))) {
    if (const Found found = from_own_forks(local, level)) return found;
  }
  RunQueue<>& ring = local.rings[level];
  const bool homed = (local.busy & LocalQueues::homed_bit(level)) != 0;
  // Homed tasks and the ring take turns.
  const bool ring_first = SKUA_LIKELY(!homed) || local.take_turns(level);
  if (ring_first) {
    if (TaskHeader* const task = ring.pop()) return {task, Source::kRing, level};
  }
  if (SKUA_UNLIKELY(homed)) {
    if (TaskHeader* const task = local.homed[level].pop()) return {task, Source::kHomed, level};
    if (!ring_first) {
      if (TaskHeader* const task = ring.pop()) return {task, Source::kRing, level};
    }
  }
  if (const Found found = from_own_forks(local, level)) return found;
  local.busy &= ~(LocalQueues::shared_bit(level) | LocalQueues::homed_bit(level));
  return {};
}

// The newest fork of the worker's own, or the oldest, if it is its turn.
Found Scheduler::from_own_forks(LocalQueues& local, Level level) noexcept {
  const bool oldest = is_oldest_forks_turn(local.tick.load(std::memory_order_relaxed));
  for (auto* deques : {&local.forks, &local.homed_forks}) {
    ForkDeque& deque = (*deques)[level];
    while (ForkRecord* const fork = oldest ? deque.steal() : deque.pop()) {
      if (const Found found = take_fork(local, fork, deque, level, Source::kFork)) return found;
    }
  }
  return {};
}

// Makes the next child of a fork that was taken from a deque; the others stay to be taken from `deque`. Nothing, if the
// fork was cut short. Runs a function of the user's, as a part of the run that it makes.
Found Scheduler::take_fork(LocalQueues& local, ForkRecord* fork, ForkDeque& deque, Level level,
                           Source source) noexcept {
  WorkerCore& core = *local.core;
  core.forks = &deque;
  core.level = level;
  core.own_level = fork->root().level;
  TaskHeader* const child = fork->take(core);
  core.level = kLowLevel;
  core.own_level = kNormalLevel;
  return {child, source, level};
}

bool Scheduler::may_go_on(int worker) noexcept {
  LocalQueues& self = local(worker);
  self.count_tick();
  --self.ticks_to_injector;
  if (self.slot != nullptr || self.inbox.maybe()) return false;
  for (Level level = 0; level < kLevels; ++level) {
    if (!self.rings[level].empty() || !self.homed[level].empty() ||
        injectors_[level].size_hint() != 0) {
      return false;
    }
  }
  return true;
}

// The worker's own queues of a level, and its injector.
Found Scheduler::from_level(LocalQueues& local, Level level, std::int32_t budget_left) noexcept {
  constexpr Source kSource = Source::kInjector;
  // A kHigh task from outside waits for no batch and no backlog. Turns with the own kHigh tasks, and one at a time:
  // the others stay where any worker finds them.
  if (level == kHighLevel) {
    local.injector_before_high = !local.injector_before_high;
    if (local.injector_before_high) {
      if (const Found found = one_from_injector(local, level, kSource)) return found;
    }
  }
  const std::uint32_t bits = LocalQueues::shared_bit(level) | LocalQueues::homed_bit(level);
  if ((local.busy & bits) != 0) {
    if (const Found found = from_own(local, level, budget_left)) return found;
  }
  if (level == kHighLevel || !steals_) return one_from_injector(local, level, kSource);
  return batch_from_injector(local, level);
}

// --- Looking ------------------------------------------------------------------------------------

Found Scheduler::next(int worker, std::int32_t budget_left) noexcept {
  LocalQueues& self = local(worker);
  const std::uint32_t tick = self.count_tick();
  --self.ticks_to_injector;
  // With kNormal tasks alone there is one slot and one ring to look at.
  if (SKUA_LIKELY(self.busy == LocalQueues::shared_bit(kNormalLevel) &&
                  self.ticks_to_injector > 0 && !is_owed_to_low(tick) &&
                  injectors_[kHighLevel].size_hint() == 0 && !self.inbox.maybe())) {
    if (const Found found = from_own(self, kNormalLevel, budget_left)) return found;
  }
  return next_by_level(self, budget_left);
}

Found Scheduler::next_by_level(LocalQueues& local, std::int32_t budget_left) noexcept {
  const Level owed = owed_level(local.tick.load(std::memory_order_relaxed));
  if (local.inbox.maybe()) local.drain_inbox();
  if (local.ticks_to_injector <= 0) {
    if (const Found found = injectors_turn(local, owed)) return found;
  }
  if (owed != kNoLevel) {
    if (const Found found = from_level(local, owed, budget_left)) return found;
  }
  for (Level level = 0; level < kLevels; ++level) {
    if (level == owed) continue;
    if (const Found found = from_level(local, level, budget_left)) return found;
  }
  return {};
}

// The highest level first, over all peers.
Found Scheduler::from_peers(LocalQueues& local, int worker) noexcept {
  const int workers = tuning_.workers;
  const int start = local.victims.start(workers);
  WorkerCounters::add(local.counters.searches);
  for (Level level = 0; level < kLevels; ++level) {
    int victim = start;
    for (int i = 0; i < workers && steals_; ++i, victim = victim + 1 == workers ? 0 : victim + 1) {
      if (victim == worker) continue;
      WorkerCounters::add(local.counters.steal_attempts);
      std::uint32_t moved = 0;
      RunQueue<>& ring = local.rings[level];
      TaskHeader* const task = this->local(victim).rings[level].steal_into(ring, moved);
      if (task == nullptr) continue;
      WorkerCounters::add(local.counters.steals);
      WorkerCounters::add(local.counters.stolen, moved);
      local.busy |= LocalQueues::shared_bit(level);
      return {task, Source::kPeer, level};
    }
    if (const Found found = from_peers_forks(local, worker, start, level)) return found;
  }
  return {};
}

// The oldest fork of a peer: the largest piece of work. The gate costs an interrupt on every worker that runs, so it is
// opened only if there seems to be something.
Found Scheduler::from_peers_forks(LocalQueues& local, int worker, int start, Level level) noexcept {
  const int workers = tuning_.workers;
  int victim = start;
  for (int i = 0; i < workers; ++i, victim = victim + 1 == workers ? 0 : victim + 1) {
    ForkDeque& deque = this->local(victim).forks[level];
    if (victim == worker || deque.looks_empty()) continue;
    WorkerCounters::add(local.counters.steal_attempts);
    ForkRecord* fork = nullptr;
    {
      const ForkGate::Visit visit(fork_gate_);
      fork = deque.steal();
    }
    if (fork == nullptr) continue;
    WorkerCounters::add(local.counters.steals);
    WorkerCounters::add(local.counters.stolen);
    const Found found = take_fork(local, fork, local.forks[level], level, Source::kPeer);
    if (found) return found;
  }
  return {};
}

Found Scheduler::steal(int worker) noexcept {
  LocalQueues& self = local(worker);
  if (steals_forks_ && tuning_.workers > 1) {
    if (!self.searching && !idle_.start_search()) return {};
    self.searching = true;
    if (const Found found = from_peers(self, worker)) return found;
  }
  for (Level level = 0; level < kLevels; ++level) {
    const bool batch = steals_ && level != kHighLevel;
    const Found found = batch ? batch_from_injector(self, level)
                              : one_from_injector(self, level, Source::kInjector);
    if (found) return found;
  }
  return {};
}

int Scheduler::end_search(int worker) noexcept {
  LocalQueues& self = local(worker);
  if (!self.searching) return IdleSet::kNobody;
  self.searching = false;
  return idle_.stop_search() ? idle_.take_sleeper() : IdleSet::kNobody;
}

// --- Sleeping -----------------------------------------------------------------------------------

// The counts of the injectors before the rings: see InjectQueue::settle().
bool Scheduler::any_work(const LocalQueues& self) const noexcept {
  if (self.slot != nullptr || self.inbox.pending() != 0) return true;
  const auto pending = [](const InjectQueue& injector) { return injector.pending() != 0; };
  const auto waits = [](const RunQueue<>& ring) { return !ring.empty(); };
  const auto homed = [](const TaskFifo& fifo) { return !fifo.empty(); };
  const auto forks = [](const ForkDeque& deque) { return !deque.looks_empty(); };
  if (std::any_of(self.homed.begin(), self.homed.end(), homed)) return true;
  if (std::any_of(self.homed_forks.begin(), self.homed_forks.end(), forks)) return true;
  if (std::any_of(injectors_.begin(), injectors_.end(), pending)) return true;
  if (!steals_forks_) return std::any_of(self.forks.begin(), self.forks.end(), forks);
  return std::any_of(locals_.begin(), locals_.end(), [&](const auto& peer) {
    return std::any_of(peer->rings.begin(), peer->rings.end(), waits) ||
           std::any_of(peer->forks.begin(), peer->forks.end(), forks);
  });
}

bool Scheduler::announce_sleep(int worker) noexcept {
  LocalQueues& self = local(worker);
  const bool searched = std::exchange(self.searching, false);
  idle_.sleep(worker, searched);
  fork_gate_.before_last_look();  // [FORK-SLEEP]
  if (!any_work(self)) return true;
  wake_up(worker);
  // Whoever published what was seen here has woken nobody, because somebody searched. So that one goes on searching:
  // at the end of its search it wakes the next for what else there is.
  if (searched && !self.searching) {
    idle_.resume_search();
    self.searching = true;
  }
  return false;
}

void Scheduler::wake_up(int worker) noexcept {
  if (idle_.wake_up(worker)) local(worker).searching = true;
}

}  // namespace skua::internal
