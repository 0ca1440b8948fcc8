// SPDX-License-Identifier: Apache-2.0
#include "scheduler/scheduler.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "skua/internal/check.h"

namespace skua::internal {
namespace {

bool steals(QueuePolicy policy) noexcept {
  return policy == QueuePolicy::kWorkStealing || policy == QueuePolicy::kWorkStealingNoSlot;
}

}  // namespace

Scheduler::Scheduler(const SchedulerTuning& tuning)
    : tuning_(tuning),
      has_slots_(tuning.policy == QueuePolicy::kWorkStealing),
      steals_(steals(tuning.policy)),
      steals_forks_(tuning.policy != QueuePolicy::kThreadPerCore),
      gate_(tuning.barrier),
      idle_(tuning.workers),
      fork_gate_(tuning.barrier),
      last_ticks_(static_cast<std::size_t>(tuning.workers)) {
  SKUA_REQUIRE(tuning.global_queue_interval >= 1, tuning.global_queue_interval);
  for (int i = 0; i < tuning.workers; ++i) {
    const std::uint64_t seed = tuning.seed + static_cast<std::uint64_t>(i);
    locals_.push_back(std::make_unique<LocalQueues>(i, injectors_, spill_, fork_gate_,
                                                    tuning.ring_capacity, seed));
    locals_.back()->injector_tick = static_cast<std::uint32_t>(tuning.global_queue_interval);
  }
}

void Scheduler::attach(int worker, WorkerCore& core) noexcept {
  LocalQueues& self = queues(worker);
  self.core = &core;
  core.forks = &self.forks[kNormalLevel];
  core.idle_word = idle_.word();
  // Without the process-wide barrier, who forks has to pass one itself, and so to call fork_pushed() each time.
  core.all_awake = fork_gate_.has_barrier() ? idle_.all_awake() : IdleSet::kImpossible;
}

// --- Publishing -------------------------------------------------------------------------------

// An injector has a turn in 61 ticks: if that opened a tree at its top each time, the more of it would overflow.
void Scheduler::overflow(LocalQueues& self, Level level, std::span<TaskHeader*> batch,
                         QueueOrder order) noexcept {
  WorkerCounters::add(self.counters.overflows);
  if (order == QueueOrder::kNewestFirst && level == kNormalLevel) {
    spill_.push_batch(self.spill_access, batch);
    return;
  }
  injectors_[level].push_batch(self.access[level], batch);
}

int Scheduler::push_by_policy(LocalQueues& self, TaskHeader* task, Level level) noexcept {
  if (task->root->home >= 0) {
    if (task->root->home != self.worker) return push_home(task, level);
    if (tuning_.policy == QueuePolicy::kThreadPerCore) {
      fill_slot(self, SlotEntry(task, level, QueueOrder::kInTurn));
    } else {
      self.fill_homed(task, level);
    }
    return IdleSet::kNobody;
  }
  if (steals_) return push_ring(self, task, level);  // kWorkStealingNoSlot.
  injectors_[level].push_batch(self.access[level], std::span(&task, 1));
  return idle_.take_sleeper();
}

int Scheduler::push_yielded_by_policy(LocalQueues& self, TaskHeader* task, Level level) noexcept {
  if (task->root->home < 0) return push_by_policy(self, task, level);
  self.fill_homed(task, level);  // It runs at home, so this is home.
  return IdleSet::kNobody;
}

// Into its home's inbox, from another thread.
int Scheduler::push_home(TaskHeader* task, Level level) noexcept {
  const int home = task->root->home;
  queues(home).inbox.push(task, level);
  // *task may be gone.
  return idle_.take(home) ? home : IdleSet::kNobody;
}

int Scheduler::fork_pushed(const LocalQueues& self) noexcept {
  const ForkDeque* const deque = self.core->forks;
  const bool stolen_from =
      steals_forks_ && deque >= self.forks.data() && deque < self.forks.data() + self.forks.size();
  return stolen_from ? idle_.take_sleeper() : IdleSet::kNobody;
}

int Scheduler::push_injector(TaskHeader* task, Level level) noexcept {
  if (SKUA_UNLIKELY(task->root->home >= 0)) return push_home(task, level);
  injectors_[level].push(task);
  return idle_.take_sleeper();
}

// --- Looking: the injectors -------------------------------------------------------------------

Found Scheduler::one_from(InjectQueue& injector, InjectQueue::Access& access, LocalQueues& self,
                          Level level, Source source) noexcept {
  TaskHeader* task = nullptr;
  if (injector.size_hint() == 0) return {};
  if (injector.pop_batch(access, std::span(&task, 1)) == 0) return {};
  WorkerCounters::add(self.counters.injector_takes);
  return {task, source, level};
}

// A fair share, so that the other workers find something too. One runs at once, the others need room.
Found Scheduler::batch_from(InjectQueue& injector, InjectQueue::Access& access, LocalQueues& self,
                            Level level, QueueOrder order) noexcept {
  const std::size_t depth = injector.size_hint();
  if (depth == 0) return {};
  const std::size_t share =
      std::min(depth / static_cast<std::size_t>(tuning_.workers) + 1,
               std::min<std::size_t>(self.rings[level].room(), kInjectorBatchMax));
  std::array<TaskHeader*, kInjectorBatchMax> batch;
  const std::size_t count =
      injector.take_batch(access, std::span(batch).first(std::max<std::size_t>(share, 1)));
  if (count == 0) return {};
  WorkerCounters::add(self.counters.injector_takes, count);
  for (std::size_t i = 1; i < count; ++i) append(self, batch[i], level, order);
  injector.settle(count);
  return {batch[0], Source::kInjector, level};
}

// kHigh tasks are taken one at a time: the others stay where any worker finds them, and wait for no batch. What has
// overflowed and what comes from outside take turns.
Found Scheduler::from_injector(LocalQueues& self, Level level) noexcept {
  if (level == kHighLevel || !steals_) return one_from_injector(self, level, Source::kInjector);
  if (level != kNormalLevel || SKUA_LIKELY(spill_.size_hint() == 0)) {
    return batch_from(injectors_[level], self.access[level], self, level, QueueOrder::kInTurn);
  }
  self.spill_first = !self.spill_first;
  for (const bool from_spill : {self.spill_first, !self.spill_first}) {
    const Found found =
        from_spill
            ? batch_from(spill_, self.spill_access, self, level, QueueOrder::kNewestFirst)
            : batch_from(injectors_[level], self.access[level], self, level, QueueOrder::kInTurn);
    if (found) return found;
  }
  return {};
}

// The injectors of kNormal and kLow come before the own queues in turn; kHigh has a turn in every look. A level that
// the tick is owed to comes first, or gets what it is owed from its own queues.
Found Scheduler::from_injectors_in_turn(LocalQueues& self, Level owed) noexcept {
  self.injector_tick = self.tick.load(std::memory_order_relaxed) +
                       static_cast<std::uint32_t>(tuning_.global_queue_interval);
  const Level first = owed != kNoLevel ? owed : self.injector_turn;
  const Level second = first == kNormalLevel ? kLowLevel : kNormalLevel;
  Found found = one_from_injector(self, first, Source::kInjectorTick);
  if (!found && owed == kNoLevel) found = one_from_injector(self, second, Source::kInjectorTick);
  if (found) self.injector_turn = found.level == kNormalLevel ? kLowLevel : kNormalLevel;
  return found;
}

// --- Looking: level by level --------------------------------------------------------------------

// The two take turns.
Found Scheduler::from_ring_or_homed(LocalQueues& self, Level level) noexcept {
  RunQueue<>& ring = self.rings[level];
  if (SKUA_UNLIKELY(!self.serves_homed)) {
    if (TaskHeader* const task = ring.pop()) return {task, Source::kRing, level};
    self.busy &= ~LocalQueues::shared_bit(level);
    return from_own_forks_in_turn(self, level);
  }
  if (self.take_turns(level)) {
    if (TaskHeader* const task = ring.pop()) return {task, Source::kRing, level};
  }
  if (TaskHeader* const task = self.homed[level].pop()) return {task, Source::kHomed, level};
  if (TaskHeader* const task = ring.pop()) return {task, Source::kRing, level};
  // Cleared first: see from_own().
  self.busy &= ~(LocalQueues::homed_bit(level) | LocalQueues::shared_bit(level));
  return from_own_forks_in_turn(self, level);
}

// The worker's own queues of a level, and its injector.
Found Scheduler::from_level(LocalQueues& self, Level level, std::int32_t budget_left) noexcept {
  // kHigh tasks from outside take turns with the own ones: they wait for no backlog, and for no tick of an injector.
  if (level == kHighLevel) {
    self.injector_before_high = !self.injector_before_high;
    if (self.injector_before_high) {
      if (const Found found = from_injector(self, level)) return found;
    }
  }
  const std::uint32_t bits = LocalQueues::shared_bit(level) | LocalQueues::homed_bit(level);
  if ((self.busy & bits) != 0) {
    if (const Found found = from_own(self, level, budget_left)) return found;
  }
  return from_injector(self, level);
}

// Whoever the tick is owed to has nothing, as far as kNormal tasks that may run anywhere are concerned.
bool Scheduler::is_plain_after_all(LocalQueues& self) noexcept {
  const std::uint32_t tick = self.tick.load(std::memory_order_relaxed);
  const int to_injector = ticks_until(self.injector_tick, tick);
  if (to_injector <= 0 || self.spill_turn || !self.forks[kNormalLevel].looks_empty() ||
      injectors_[kLowLevel].size_hint() != 0) {
    self.plain_ticks = 0;  // Asked again in the next tick, and each, while that lasts.
    return false;
  }
  self.plain_ticks = std::min(ticks_to_turn(tick), to_injector);
  return true;
}

Found Scheduler::next_by_level(LocalQueues& self, std::int32_t budget_left) noexcept {
  const std::uint32_t tick = self.tick.load(std::memory_order_relaxed);
  const Level owed = owed_level(tick);
  if (self.inbox.maybe()) self.drain_inbox();
  if (SKUA_UNLIKELY(is_oldest_fork_due(self))) {
    if (const Found found = oldest_own_fork(self)) return found;
  }
  if (SKUA_UNLIKELY(self.spill_turn)) {
    self.spill_turn = false;
    if (const Found found =
            one_from(spill_, self.spill_access, self, kNormalLevel, Source::kInjectorTick)) {
      return found;
    }
  }
  const bool injectors_turn = ticks_until(self.injector_tick, tick) <= 0;
  if (injectors_turn) {
    // The tick after the injectors' is the spill's where the own queues may never be empty: trees are opened anyway.
    if (SKUA_UNLIKELY(spill_.size_hint() != 0) && waits_in_turn(self, kNormalLevel)) {
      self.spill_turn = true;
      self.plain_ticks = 0;
    }
    if (const Found found = from_injectors_in_turn(self, owed)) return found;
  }
  if (owed != kNoLevel) {
    if (const Found found = from_level(self, owed, budget_left)) return found;
    if (injectors_turn) {  // Who is owed the tick has nothing.
      const Level other = owed == kNormalLevel ? kLowLevel : kNormalLevel;
      if (const Found found = one_from_injector(self, other, Source::kInjectorTick)) return found;
    }
  }
  for (Level level = 0; level < kLevels; ++level) {
    if (level == owed) continue;
    if (const Found found = from_level(self, level, budget_left)) return found;
  }
  return {};
}

// --- Looking: forks -------------------------------------------------------------------------------

// The newest fork of the worker's own, or the oldest. Who runs what is found sets the level's busy bit again, for there
// may be more.
Found Scheduler::from_own_forks(LocalQueues& self, Level level, bool oldest) noexcept {
  for (auto* deques : {&self.forks, &self.homed_forks}) {
    if (deques == &self.homed_forks && !self.serves_homed) continue;
    ForkDeque& deque = (*deques)[level];
    while (ForkRecord* const fork = oldest ? deque.steal() : deque.pop()) {
      if (const Found found = take_fork(self, fork, deque, level, Source::kFork)) return found;
    }
  }
  return {};
}

Found Scheduler::from_own_forks_in_turn(LocalQueues& self, Level level) noexcept {
  return from_own_forks(self, level,
                        is_oldest_forks_turn(self.tick.load(std::memory_order_relaxed)));
}

Found Scheduler::oldest_own_fork(LocalQueues& self) noexcept {
  self.oldest_fork_tick = self.tick.load(std::memory_order_relaxed) + kOldestForkInterval;
  self.call_oldest();
  for (Level level = 0; level < kLevels; ++level) {
    if (const Found found = from_own_forks(self, level, /*oldest=*/true)) return found;
  }
  return {};
}

// Makes the next child of a fork that was taken from a deque; the others stay to be taken from `deque`. Nothing, if
// the fork was cut short. Runs a function of the user's, as a part of the run that it makes.
Found Scheduler::take_fork(LocalQueues& self, ForkRecord* fork, ForkDeque& deque, Level level,
                           Source source) noexcept {
  WorkerCore& core = *self.core;
  core.forks = &deque;
  core.level = level;
  core.own_level = fork->root().level;
  core.running = &fork->root();
  TaskHeader* const child = fork->take(core);
  self.end_runs();
  return {child, source, level};
}

// The oldest fork of a peer: the largest piece of work. The gate costs an interrupt on every worker that runs, so it
// is opened only if there seems to be something.
Found Scheduler::from_peers_forks(LocalQueues& self, int start, Level level) noexcept {
  const int workers = tuning_.workers;
  int victim = start;
  for (int i = 0; i < workers; ++i, victim = victim + 1 == workers ? 0 : victim + 1) {
    ForkDeque& deque = queues(victim).forks[level];
    if (victim == self.worker || deque.looks_empty()) continue;
    WorkerCounters::add(self.counters.steal_attempts);
    ForkRecord* fork = nullptr;
    {
      const ForkGate::Visit visit(fork_gate_);
      fork = deque.steal();
    }
    if (fork == nullptr) continue;
    WorkerCounters::add(self.counters.steals);
    WorkerCounters::add(self.counters.stolen);
    const Found found = take_fork(self, fork, self.forks[level], level, Source::kPeer);
    if (found) return found;
  }
  return {};
}

bool Scheduler::may_go_on(LocalQueues& self) noexcept {
  self.last_pause = self.tick.load(std::memory_order_relaxed);
  self.plain_ticks = 0;  // The next look computes it anew.
  if (self.slot.filled() || self.inbox.maybe() || spill_.size_hint() != 0 ||
      is_oldest_fork_due(self)) {
    return false;
  }
  for (Level level = 0; level < kLevels; ++level) {
    if (!self.rings[level].empty() || !self.homed[level].empty() ||
        injectors_[level].size_hint() != 0) {
      return false;
    }
  }
  // Not before: next() would see the ticks of one parity alone if something else waits each time.
  self.last_pause = self.count_tick();
  return true;
}

// --- Looking: the peers -------------------------------------------------------------------------

// The highest level first, over all peers.
Found Scheduler::from_peers(LocalQueues& self) noexcept {
  const int workers = tuning_.workers;
  const int start = self.victims.start(workers);
  WorkerCounters::add(self.counters.searches);
  for (Level level = 0; level < kLevels; ++level) {
    int victim = start;
    for (int i = 0; i < workers && steals_; ++i, victim = victim + 1 == workers ? 0 : victim + 1) {
      if (victim == self.worker) continue;
      WorkerCounters::add(self.counters.steal_attempts);
      std::uint32_t moved = 0;
      TaskHeader* const task = queues(victim).rings[level].steal_into(self.rings[level], moved);
      if (task == nullptr) continue;
      WorkerCounters::add(self.counters.steals);
      WorkerCounters::add(self.counters.stolen, moved);
      self.busy |= LocalQueues::shared_bit(level);
      return {task, Source::kPeer, level};
    }
    if (const Found found = from_peers_forks(self, start, level)) return found;
  }
  return {};
}

Found Scheduler::steal(LocalQueues& self) noexcept {
  if (steals_forks_ && tuning_.workers > 1) {
    if (!self.searching && !idle_.start_search()) return {};
    self.searching = true;
    if (const Found found = from_peers(self)) return found;
  }
  for (Level level = 0; level < kLevels; ++level) {
    if (const Found found = from_injector(self, level)) return found;
  }
  return {};
}

int Scheduler::stop_search(LocalQueues& self) noexcept {
  self.searching = false;
  return idle_.stop_search() ? idle_.take_sleeper() : IdleSet::kNobody;
}

LateLook Scheduler::look_late(LocalQueues& self, std::int64_t now_ns) noexcept {
  SKUA_DCHECK(has_watch(self), self.worker);
  LateLook look;
  WorkerCounters::add(self.counters.watch_looks);
  for (const auto& peer : locals_) {
    if (peer.get() == &self) continue;
    LastTick& last = last_ticks_[static_cast<std::size_t>(peer->worker)];
    // Relaxed: an old value is seen a look later.
    const std::uint32_t tick = peer->tick.load(std::memory_order_relaxed);
    const bool ticked = tick != last.tick;
    if (ticked) last = {tick, now_ns};
    look.peers_ran |= ticked;
    if (!steals_ || !peer->slot.filled()) continue;
    look.slot_waits = true;
    if (now_ns - last.since_ns < tuning_.stuck_after_ns) continue;
    const SlotEntry entry = peer->slot.steal(gate_);
    if (entry.task() == nullptr) continue;
    WorkerCounters::add(self.counters.late_steals);
    look.found = {entry.task(), Source::kPeersSlot, entry.level()};
    return look;
  }
  return look;
}

// --- Sleeping -----------------------------------------------------------------------------------

// The counts of the injectors before the rings: see InjectQueue::settle().
bool Scheduler::any_work(const LocalQueues& self) const noexcept {
  if (self.slot.filled()) return true;
  const auto pending = [](const InjectQueue& injector) { return injector.pending() != 0; };
  const auto waits = [](const RunQueue<>& ring) { return !ring.empty(); };
  const auto homed = [](const TaskFifo& fifo) { return !fifo.empty(); };
  const auto forks = [](const ForkDeque& deque) { return !deque.looks_empty(); };
  if (self.serves_homed &&
      (self.inbox.pending() != 0 || std::any_of(self.homed.begin(), self.homed.end(), homed) ||
       std::any_of(self.homed_forks.begin(), self.homed_forks.end(), forks))) {
    return true;
  }
  if (pending(spill_) || std::any_of(injectors_.begin(), injectors_.end(), pending)) return true;
  if (!steals_forks_) return std::any_of(self.forks.begin(), self.forks.end(), forks);
  return std::any_of(locals_.begin(), locals_.end(), [&](const auto& peer) {
    return std::any_of(peer->rings.begin(), peer->rings.end(), waits) ||
           std::any_of(peer->forks.begin(), peer->forks.end(), forks);
  });
}

bool Scheduler::announce_sleep(LocalQueues& self, bool linger) noexcept {
  idle_.sleep(self.worker, std::exchange(self.searching, false), linger);
  fork_gate_.before_last_look();  // [FORK-SLEEP]
  if (!any_work(self)) return true;
  wake_up(self);
  // Whoever published what was seen here has woken nobody, because somebody searched, perhaps this worker: so it has to
  // find it. Nor does it leave it to another that searches, which may be kept from running by the kernel between its
  // search and its first task: this one would come back here again and again until then.
  if (!self.searching) {
    idle_.resume_search();
    self.searching = true;
  }
  return false;
}

void Scheduler::wake_up(LocalQueues& self) noexcept {
  if (idle_.wake_up(self.worker)) self.searching = true;
}

}  // namespace skua::internal
