// SPDX-License-Identifier: Apache-2.0
#include "workers/worker_set.h"

#include <algorithm>
#include <cerrno>
#include <pthread.h>
#include <sched.h>
#include <system_error>
#include <utility>

#include "base/futex.h"
#include "base/membarrier.h"
#include "skua/internal/check.h"
#include "skua/internal/promise_base.h"
#include "skua/status.h"
#include "task/context.h"
#include "time/clock.h"

namespace skua::internal {
namespace {

// In visitors_: the destructor waits for them.
constexpr std::uint32_t kAwaited = 1u << 31;

}  // namespace

// --- WorkerSet: life ----------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<WorkerSet>> WorkerSet::create(WorkerSetOptions options) {
  auto driver = Driver::create(options.driver);
  if (!driver.ok()) return driver.status();
  return std::unique_ptr<WorkerSet>(new WorkerSet(std::move(options), *std::move(driver)));
}

WorkerSet::WorkerSet(WorkerSetOptions options, std::unique_ptr<Driver> driver)
    : options_(std::move(options)),
      driver_(std::move(driver)),
      clock_(&WorkerSet::nearer_deadlines, this),
      scheduler_(
          {.workers = options_.workers,
           .policy = options_.policy,
           .global_queue_interval = options_.global_queue_interval,
           .ring_capacity = options_.ring_capacity,
           .barrier = options_.use_membarrier && membarrier_available() ? &membarrier : nullptr,
           .seed = static_cast<std::uint64_t>(now_ns())}) {
  SKUA_REQUIRE(options_.event_interval >= 1, options_.event_interval);
  for (int i = 0; i < options_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(*this, i));
    scheduler_.attach(i, *workers_.back());
  }
}

WorkerSet::~WorkerSet() {
  wait_for_visitors();
  SKUA_CHECK(threads_.empty());
  const std::int64_t left = live_tasks();
  SKUA_CHECK(left == 0, left);
}

absl::Status WorkerSet::start() {
  lends_ = options_.policy != QueuePolicy::kThreadPerCore;
  for (auto& worker : workers_) {
    try {
      threads_.emplace_back([this, w = worker.get()] { thread_main(*w); });
    } catch (const std::system_error& error) {
      return give_up_start(errno_to_status(error.code().value(), "creating a worker thread"));
    }
    if (const int error = bind_to_cpu(threads_.back().native_handle(), threads_.size() - 1);
        error != 0) {
      return give_up_start(errno_to_status(error, "binding a worker to its CPU"));
    }
  }
  return absl::OkStatus();
}

// 0, or what pthread_setaffinity_np(3) says.
int WorkerSet::bind_to_cpu(pthread_t thread, std::size_t index) const noexcept {
  if (options_.cpus.empty()) return 0;
  const int cpu = options_.cpus[index % options_.cpus.size()];
  // The macros of one set end at CPU 1023.
  std::vector<cpu_set_t> mask(static_cast<std::size_t>(cpu) / CPU_SETSIZE + 1);
  const std::size_t bytes = mask.size() * sizeof(cpu_set_t);
  CPU_SET_S(static_cast<std::size_t>(cpu), bytes, mask.data());
  return pthread_setaffinity_np(thread, bytes, mask.data());
}

// Ends the workers that have started.
absl::Status WorkerSet::give_up_start(absl::Status status) noexcept {
  // Those that never started have arrived, as far as the drain goes.
  {
    MutexLock lock(&drain_mu_);
    arrived_ += options_.workers - static_cast<int>(threads_.size());
    if (threads_.empty()) drained_ = true;
  }
  request_shutdown();
  join();
  return status;
}

void WorkerSet::thread_main(Worker& worker) noexcept {
  // The kernel's limit is 15 characters.
  const std::string name = options_.thread_name.substr(0, 11) + "-" + std::to_string(worker.index);
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  worker.install();
  while (worker.run_until(nullptr) == Turn::kWanted) worker.pass_on();
  worker.uninstall();
}

void WorkerSet::stand_in_main(Worker& worker, int number) noexcept {
  const std::string name = options_.thread_name.substr(0, 10) + "-s" + std::to_string(number);
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  // Where this is refused the stand-in runs on any CPU: that is no reason to let the worker's tasks wait.
  static_cast<void>(bind_to_cpu(pthread_self(), static_cast<std::size_t>(worker.index)));
  Worker::become_stand_in(number);
  worker.install();
  do {
    [[maybe_unused]] const Turn turn = worker.run_until(nullptr);
    SKUA_DCHECK(turn == Turn::kWanted,
                static_cast<int>(turn));  // No worker stops while it is lent.
  } while (!worker.pass_on());
}

void WorkerSet::run_here(const ThreadJoiner& joiner) noexcept {
  Worker& worker = *workers_.front();
  worker.install();
  worker.run_until(&joiner);
  worker.uninstall();
}

bool WorkerSet::run_here_until_stopped(std::int64_t deadline_ns) noexcept {
  Worker& worker = *workers_.front();
  worker.install();
  sleep_limit_ns_ = deadline_ns;
  Source source;
  bool stopped = false;
  do {
    stopped = worker.turn(source) == Turn::kStopped;
  } while (!stopped && (deadline_ns == INT64_MAX || now_ns() < deadline_ns));
  sleep_limit_ns_ = INT64_MAX;
  worker.uninstall();
  return stopped;
}

void WorkerSet::join() noexcept {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  stand_ins_.stop();
}

// --- WorkerSet: shutdown --------------------------------------------------------------------------

void WorkerSet::request_shutdown() noexcept {
  Phase expected = Phase::kRunning;
  // seq_cst: unpark_all() follows; see [PARK] and [DRIVER-WAKE] for how a sleeper cannot miss it.
  if (!phase_.compare_exchange_strong(expected, Phase::kStopping, std::memory_order_seq_cst))
    return;
  tell_phase(Phase::kRunning, Phase::kStopping);
  unpark_all();
}

void WorkerSet::tell_phase(Phase from, Phase to) noexcept {
  const auto change = static_cast<std::uint32_t>(from) ^ static_cast<std::uint32_t>(to);
  for (auto& worker : workers_) worker->signal_.fetch_xor(change, std::memory_order_seq_cst);
}

void WorkerSet::arrive_at_drain() noexcept {
  MutexLock lock(&drain_mu_);
  if (++arrived_ == options_.workers) {
    begin_drain();
    drain_changed_.notify_all();
    return;
  }
  while (phase() < Phase::kDraining) drain_changed_.wait(&drain_mu_);
}

// No worker runs a task, so nothing enrols, retires or ends.
void WorkerSet::begin_drain() noexcept {
  const std::uint64_t outside = outside_spawns_.fetch_or(1, std::memory_order_acq_rel) >> 1;
  std::int64_t left = static_cast<std::int64_t>(outside);
  for (int i = 0; i < options_.workers; ++i) {
    Worker& worker = *workers_[static_cast<std::size_t>(i)];
    const WorkerCounters& counters = scheduler_.counters(i);
    worker.draining = true;
    left += static_cast<std::int64_t>(counters.spawned.load(std::memory_order_relaxed)) -
            static_cast<std::int64_t>(worker.ended.load(std::memory_order_relaxed));
  }
  remaining_.store(left, std::memory_order_relaxed);  // Published by drain_mu_ and phase_.
  phase_.store(Phase::kDraining, std::memory_order_release);
  tell_phase(Phase::kStopping, Phase::kDraining);
  registry_.for_each([](TaskHeader* task) { task->abort(); });
  if (left == 0) {
    phase_.store(Phase::kStopped, std::memory_order_release);
    tell_phase(Phase::kDraining, Phase::kStopped);
    drained_ = true;
  }
}

void WorkerSet::finish_drain() noexcept {
  {
    MutexLock lock(&drain_mu_);
    drained_ = true;
    drain_changed_.notify_all();
  }
  phase_.store(Phase::kStopped, std::memory_order_seq_cst);
  tell_phase(Phase::kDraining, Phase::kStopped);
  unpark_all();
}

bool WorkerSet::wait_stopped(std::int64_t deadline_ns) noexcept {
  MutexLock lock(&drain_mu_);
  while (!drained_) {
    if (deadline_ns == INT64_MAX) {
      drain_changed_.wait(&drain_mu_);
    } else {
      if (now_ns() >= deadline_ns) break;
      drain_changed_.wait_until(&drain_mu_, deadline_ns);
    }
  }
  return drained_;
}

std::int64_t WorkerSet::live_tasks() const noexcept {
  auto live = static_cast<std::int64_t>(outside_spawns_.load(std::memory_order_relaxed) >> 1);
  for (int i = 0; i < options_.workers; ++i) {
    const WorkerCounters& counters = scheduler_.counters(i);
    const Worker& worker = *workers_[static_cast<std::size_t>(i)];
    live += static_cast<std::int64_t>(counters.spawned.load(std::memory_order_relaxed)) -
            static_cast<std::int64_t>(worker.ended.load(std::memory_order_relaxed));
  }
  return live;
}

// --- WorkerSet: making tasks runnable -------------------------------------------------------------

Worker* WorkerSet::current_worker() const noexcept { return own(this_worker()); }

void WorkerSet::unpark_worker(int worker) noexcept {
  if (Worker* const self = current_worker()) {
    WorkerCounters::add(self->queues_.counters.wakes);
  }
  workers_[static_cast<std::size_t>(worker)]->parker_.unpark(*driver_);
}

void WorkerSet::unpark_all() noexcept {
  for (auto& worker : workers_) worker->parker_.unpark(*driver_);
}

// Once the task is queued, a worker may run it to its end, and it may be the last one: *this stays until the visitor
// has left.
void WorkerSet::push_from_outside(TaskHeader* task) noexcept {
  visitors_.fetch_add(1, std::memory_order_relaxed);  // Published with the task.
  unpark(scheduler_.push_injector(task, task->root->level));
  // [VISIT] Whoever finds kAwaited set was the last: the futex call uses the address alone.
  if (visitors_.fetch_sub(1, std::memory_order_acq_rel) == (kAwaited | 1)) {
    futex_wake_one(&visitors_);
  }
}

void WorkerSet::wait_for_visitors() noexcept {
  visitors_.fetch_or(kAwaited, std::memory_order_acq_rel);
  for (;;) {
    const std::uint32_t seen = visitors_.load(std::memory_order_acquire);  // [VISIT]
    if (seen == kAwaited) return;
    futex_wait(&visitors_, seen);
  }
}

// A task that a running task wakes inherits that one's level for the run to come, and passes it on to whom it wakes:
// what a kHigh task waits for must not wait behind a backlog of kNormal.
SKUA_ALWAYS_INLINE void WorkerSet::schedule_woken(TaskHeader* task, QueueOrder order) noexcept {
  SKUA_DCHECK(task->root->level < kLevels, task->root->level);
  if (Worker* const worker = current_worker()) {
    worker->sampler_.queued(task);
    const Level level = std::min(task->root->level, worker->level);
    unpark(scheduler_.push_slot(worker->queues_, task, level, order));
  } else {
    push_from_outside(task);
  }
}

void WorkerSet::schedule(TaskHeader* task) noexcept { schedule_woken(task, QueueOrder::kInTurn); }

void WorkerSet::schedule_joiner(TaskHeader* task) noexcept {
  schedule_woken(task, QueueOrder::kNewestFirst);
}

// To the rings, not to the slot: they are equals, and a peer may take its share.
void WorkerSet::schedule_batch(std::span<TaskHeader* const> tasks) noexcept {
  Worker* const worker = current_worker();
  if (worker == nullptr || tasks.size() == 1) {
    for (TaskHeader* const task : tasks) schedule(task);
    return;
  }
  for (TaskHeader* const task : tasks) {
    worker->sampler_.queued(task);
    const Level level = std::min(task->root->level, worker->level);
    unpark(scheduler_.push_one_of_many(worker->queues_, task, level));
  }
  if (worker->has_enough_to_share()) unpark(scheduler_.pushed_many());
}

void WorkerSet::schedule_yielded(TaskHeader* task) noexcept {
  auto& worker = static_cast<Worker&>(*task->worker);
  worker.sampler_.queued(task);
  unpark(scheduler_.push_yielded(worker.queues_, task, task->root->level));
}

void WorkerSet::fork_pushed(WorkerCore& worker) noexcept {
  unpark(scheduler_.fork_pushed(static_cast<Worker&>(worker).queues_));
}

bool WorkerSet::may_go_on(WorkerCore& core) noexcept {
  auto& worker = static_cast<Worker&>(core);
  if (!scheduler_.may_go_on(worker.queues_) || phase() != Phase::kRunning) return false;
  if (--worker.turns_to_clock_ <= 0 && worker.look_is_due()) {
    worker.turns_to_clock_ = 0;  // The driver and the timers have their turn, at the next one.
    return false;
  }
  WorkerCounters::add(worker.queues_.counters.runs);
  return true;
}

Worker* WorkerSet::own(WorkerCore* worker) const noexcept {
  return worker != nullptr && worker->executor == this ? static_cast<Worker*>(worker) : nullptr;
}

// Where a task must stay that was given a home, or gets one by the policy.
void WorkerSet::settle_home(TaskHeader* task, const Worker* spawner) noexcept {
  SKUA_REQUIRE(task->home < options_.workers, task->home, options_.workers);
  if (task->home >= 0 || options_.policy != QueuePolicy::kThreadPerCore) return;
  // Relaxed: any order of turns will do.
  const int home = spawner != nullptr
                       ? static_cast<int>(spawner->index)
                       : static_cast<int>(next_home_.fetch_add(1, std::memory_order_relaxed) %
                                          static_cast<unsigned>(options_.workers));
  task->home = static_cast<std::int16_t>(home);
}

void WorkerSet::schedule_spawned(SpawnedTask* task, WorkerCore* spawner) noexcept {
  Worker* const worker = own(spawner);
  if (worker == nullptr) return schedule_spawned_outside(task);
  if (task->level == kInheritLevel) task->level = worker->own_level;
  schedule_spawned_here(*worker, task);
}

SKUA_ALWAYS_INLINE void WorkerSet::schedule_spawned_by(Worker& worker, SpawnedTask* task) noexcept {
  if (SKUA_UNLIKELY(phase() >= Phase::kDraining)) return refuse_task(task);
  LocalQueues& queues = worker.queues_;
  WorkerCounters::add(queues.counters.spawned);
  worker.sampler_.queued(task);
  int sleeper;
  if (SKUA_LIKELY(task->home < 0 && scheduler_.has_slots())) {
    sleeper = scheduler_.push_free_slot(queues, task, task->level, QueueOrder::kNewestFirst);
  } else {
    settle_home(task, &worker);
    sleeper = scheduler_.push_slot(queues, task, task->level, QueueOrder::kNewestFirst);
  }
  unpark(sleeper);
}

void schedule_spawned_here(WorkerCore& core, SpawnedTask* task) noexcept {
  auto& worker = static_cast<Worker&>(core);
  worker.set_.schedule_spawned_by(worker, task);
}

void WorkerSet::schedule_spawned_outside(SpawnedTask* task) noexcept {
  if (task->level == kInheritLevel) task->level = this_context().spawn_level;
  settle_home(task, nullptr);
  if ((outside_spawns_.fetch_add(2, std::memory_order_acq_rel) & 1) != 0) {
    outside_spawns_.fetch_sub(2, std::memory_order_relaxed);  // Not taken, so not counted.
    refuse_task(task);
  } else {
    push_from_outside(task);
  }
}

void WorkerSet::enrol(TaskHeader* task, WorkerCore& worker) noexcept {
  static_cast<Worker&>(worker).registry_.enrol(registry_, task);
}

void WorkerSet::retire(TaskHeader* task, WorkerCore& worker) noexcept {
  static_cast<Worker&>(worker).registry_.retire(registry_, task);
}

void WorkerSet::task_drained() noexcept {
  if (remaining_.fetch_sub(1, std::memory_order_acq_rel) == 1) finish_drain();
}

// --- WorkerSet: timers ------------------------------------------------------------------------------

void WorkerSet::earlier_deadline(void* set, std::int64_t deadline_ns) noexcept {
  auto* const self = static_cast<WorkerSet*>(set);
  self->driver_->wake_before(self->clock_.steady_deadline_ns(deadline_ns));
}

// A clock that stood still goes on: who sleeps in the driver did not count on the timers.
void WorkerSet::nearer_deadlines(void* set) noexcept {
  auto* const self = static_cast<WorkerSet*>(set);
  self->driver_->wake_before(self->earliest_deadline());
}

std::int64_t WorkerSet::earliest_timer() const noexcept {
  std::int64_t earliest = kNeverNs;
  for (const auto& worker : workers_) {
    earliest = std::min(earliest, worker->timers_.next_deadline_ns());
  }
  return earliest;
}

std::int64_t WorkerSet::earliest_deadline() const noexcept {
  if (clock_asked_.load(std::memory_order_seq_cst) && clock_.is_paused()) return 0;
  return std::min(sleep_limit_ns_, clock_.steady_deadline_ns(earliest_timer()));
}

// Everybody's: a worker that is stuck in a task must not hold up the timers it has taken on.
bool WorkerSet::fire_timers(std::int64_t steady_ns) noexcept {
  const std::int64_t now = clock_.at(steady_ns);
  std::size_t fired = 0;
  for (auto& worker : workers_) {
    if (worker->timers_.next_deadline_ns() <= now) fired += worker->timers_.fire(now);
  }
  return fired > 0;
}

// Each worker comes here after its announcement, so the last one to fall asleep finds that all are. It holds the driver
// while it decides, and has looked for what the kernel has: an event may be there that nobody has fetched.
//
// Who finds the driver held by another sleeper leaves the decision to that one: [CLOCK-ASKED] it sets clock_asked_, and
// wake() passes a full barrier and reads the announcement of the holder's wait; the holder announces, passes a full
// barrier, and reads earliest_deadline(), which is "now" then. So it does not sleep, or is woken, and comes here.
WorkerSet::ClockMove WorkerSet::move_clock(LocalQueues& queues) noexcept {
  // It decides now, or whoever is awake when it comes here. Sequentially consistent: before the look at who is awake.
  clock_asked_.store(false, std::memory_order_seq_cst);
  const ClockMove before = clock_may_move();
  if (before != ClockMove::kMoved) return before;
  if (!driver_->try_hold()) {
    clock_asked_.store(true, std::memory_order_seq_cst);
    driver_->wake();
    return ClockMove::kNone;
  }
  const std::size_t woken = driver_->poll();
  // Once more: who was awake meanwhile has begun an operation, perhaps, or written to a socket.
  const ClockMove after = woken > 0 ? ClockMove::kMoved : clock_may_move();
  if (after == ClockMove::kMoved) {
    // Before the driver is free: who finds it so, finds this worker awake, too.
    scheduler_.wake_up(queues);
    if (woken == 0) {
      clock_.step(earliest_timer());
      fire_timers(now_ns());
    }
  }
  driver_->release();
  return after;
}

// kMoved: it may. First and last it looks who is awake: such a worker may add a timer or begin an operation before it
// comes to move_clock() itself; and what is not under way any more has woken its task.
WorkerSet::ClockMove WorkerSet::clock_may_move() noexcept {
  if (scheduler_.idle().awake() > 0) return ClockMove::kNone;
  const RuntimeClock::Goal goal = clock_.goal(earliest_timer());
  if (goal == RuntimeClock::Goal::kNone) return ClockMove::kNone;
  if (goal == RuntimeClock::Goal::kDeadline && takes_real_time()) return ClockMove::kLater;
  return scheduler_.idle().awake() > 0 ? ClockMove::kNone : ClockMove::kMoved;
}

bool WorkerSet::takes_real_time() noexcept {
  if (driver_->takes_real_time() > 0 || options_.busy_elsewhere()) return true;
  for (auto& worker : workers_) {
    if (worker->lending_.is_lent()) return true;
  }
  return false;
}

}  // namespace skua::internal
