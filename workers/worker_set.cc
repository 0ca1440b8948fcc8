// SPDX-License-Identifier: Apache-2.0
#include "workers/worker_set.h"

#include <algorithm>
#include <cerrno>
#include <pthread.h>
#include <system_error>
#include <utility>

#include "base/futex.h"
#include "skua/internal/check.h"
#include "skua/status.h"
#include "time/clock.h"

namespace skua::internal {
namespace {

// In visitors_: the destructor waits for them.
constexpr std::uint32_t kAwaited = 1u << 31;

thread_local constinit Worker* worker_of_thread = nullptr;

SKUA_NOINLINE Worker* this_worker() noexcept {
  asm volatile("");  // Else the compiler merges two calls around a suspension.
  return worker_of_thread;
}

}  // namespace

// --- Worker -----------------------------------------------------------------------------------

Worker::Worker(WorkerSet& set, int id)
    : set_(set), id_(id), timers_(now_ns(), &WorkerSet::earlier_deadline, &set) {}

void Worker::install() noexcept {
  SKUA_CHECK(worker_of_thread == nullptr);  // The runtime lets no worker block.
  worker_of_thread = this;
  outer_executor_ = current_executor();
  set_current_executor(&set_);
  set_runs_tasks(true);
  set_current_driver(set_.driver_.get());
  set_current_timer_queue(&timers_);
  set_.options_.on_thread(true);
}

void Worker::uninstall() noexcept {
  set_.options_.on_thread(false);
  set_current_timer_queue(nullptr);
  set_current_driver(nullptr);
  set_runs_tasks(false);
  set_current_executor(outer_executor_);
  worker_of_thread = nullptr;
}

void Worker::run(TaskHeader* task) noexcept {
  set_.unpark(set_.scheduler_.end_search(id_));
  WorkerCounters::add(set_.scheduler_.counters(id_).runs);
  if (SKUA_UNLIKELY(set_.phase() == WorkerSet::Phase::kDraining)) {
    task->run_draining();
  } else {
    task->run();
  }
  // *task may be gone.
}

// True if a task became ready.
bool Worker::look_at_events() noexcept {
  std::size_t woken = 0;
  if (set_.driver_->try_hold()) {
    woken = set_.driver_->poll();
    set_.driver_->release();
  } else {
    // The holder reaps; what this worker's tasks have asked for must not wait for it.
    set_.driver_->flush();
  }
  return set_.fire_timers(now_ns()) || woken > 0;
}

Turn Worker::turn(Source& source) noexcept {
  source = Source::kNone;
  Scheduler& scheduler = set_.scheduler_;
  const WorkerSet::Phase phase = set_.phase();
  if (SKUA_UNLIKELY(phase == WorkerSet::Phase::kStopping)) {
    set_.unpark(scheduler.end_search(id_));
    set_.arrive_at_drain();
    return Turn::kPolled;
  }
  if (SKUA_UNLIKELY(phase == WorkerSet::Phase::kStopped)) {
    set_.unpark(scheduler.end_search(id_));
    return Turn::kStopped;
  }
  if (scheduler.tick(id_) % static_cast<std::uint32_t>(set_.options_.event_interval) == 0) {
    look_at_events();
  }
  if (TaskHeader* const task = scheduler.next(id_, source)) {
    run(task);
    return Turn::kRan;
  }
  if (TaskHeader* const task = scheduler.steal(id_, source)) {
    run(task);
    return Turn::kRan;
  }
  if (look_at_events()) return Turn::kPolled;
  return park();
}

Turn Worker::park() noexcept {
  Scheduler& scheduler = set_.scheduler_;
  Driver& driver = *set_.driver_;
  if (!scheduler.announce_sleep(id_)) return Turn::kPolled;
  WorkerCounters& counters = scheduler.counters(id_);
  WorkerCounters::add(counters.parks);
  if (driver.try_hold()) {
    if (parker_.begin_driver()) {
      WorkerCounters::add(counters.driver_waits);
      const std::int64_t deadline_ns = set_.earliest_deadline();
      driver.announce_wait(deadline_ns);
      // [DRIVER-WAKE] Whoever has unparked this worker, added an earlier timer or asked for the end since
      // then, interrupts the wait; what came before is seen here.
      if (parker_.notified() || set_.earliest_deadline() < deadline_ns ||
          set_.phase() == WorkerSet::Phase::kStopping) {
        driver.cancel_wait();
        driver.poll();
      } else {
        driver.wait(id_, now_ns());
      }
      parker_.end();
    }
    driver.release();
    scheduler.wake_up(id_);
    set_.fire_timers(now_ns());
  } else {
    // Another worker holds the driver: it sleeps there, or will when it has run out of work.
    parker_.park_on_futex();
    scheduler.wake_up(id_);
  }
  return Turn::kParked;
}

// --- WorkerSet: life ----------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<WorkerSet>> WorkerSet::create(WorkerSetOptions options) {
  auto driver = Driver::create({.ring_entries = options.ring_entries, .workers = options.workers});
  if (!driver.ok()) return driver.status();
  return std::unique_ptr<WorkerSet>(new WorkerSet(std::move(options), *std::move(driver)));
}

WorkerSet::WorkerSet(WorkerSetOptions options, std::unique_ptr<Driver> driver)
    : options_(std::move(options)),
      driver_(std::move(driver)),
      scheduler_({.workers = options_.workers,
                  .global_queue_interval = options_.global_queue_interval,
                  .seed = static_cast<std::uint64_t>(now_ns())}) {
  SKUA_REQUIRE(options_.event_interval >= 1, options_.event_interval);
  for (int i = 0; i < options_.workers; ++i) {
    workers_.push_back(std::make_unique<Worker>(*this, i));
  }
}

WorkerSet::~WorkerSet() {
  wait_for_visitors();
  SKUA_CHECK(threads_.empty());
  const std::int64_t left = live_tasks();
  SKUA_CHECK(left == 0, left);
}

absl::Status WorkerSet::start() {
  for (auto& worker : workers_) {
    try {
      threads_.emplace_back([this, w = worker.get()] { thread_main(*w); });
    } catch (const std::system_error& error) {
      // Those that never started have arrived, as far as the drain goes.
      {
        MutexLock lock(&drain_mu_);
        arrived_ = options_.workers - static_cast<int>(threads_.size());
        if (threads_.empty()) drained_ = true;
      }
      const absl::Status status = errno_to_status(error.code().value(), "creating a worker thread");
      request_shutdown();
      join();
      return status;
    }
  }
  return absl::OkStatus();
}

void WorkerSet::thread_main(Worker& worker) noexcept {
  // The kernel's limit is 15 characters.
  const std::string name = options_.thread_name.substr(0, 11) + "-" + std::to_string(worker.id_);
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  worker.install();
  Source source;
  while (worker.turn(source) != Turn::kStopped) {
  }
  worker.uninstall();
}

void WorkerSet::run_here(const ThreadJoiner& joiner) noexcept {
  Worker& worker = *workers_.front();
  worker.install();
  Source source;
  while (!joiner.notified() && worker.turn(source) != Turn::kStopped) {
  }
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
}

// --- WorkerSet: shutdown --------------------------------------------------------------------------

void WorkerSet::request_shutdown() noexcept {
  Phase expected = Phase::kRunning;
  // seq_cst: unpark_all() follows; see [PARK] and [DRIVER-WAKE] for how a sleeper cannot miss it.
  if (!phase_.compare_exchange_strong(expected, Phase::kStopping, std::memory_order_seq_cst))
    return;
  unpark_all();
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
    const WorkerCounters& counters = scheduler_.counters(i);
    left += static_cast<std::int64_t>(counters.spawned.load(std::memory_order_relaxed)) -
            static_cast<std::int64_t>(counters.ended.load(std::memory_order_relaxed));
  }
  remaining_.store(left, std::memory_order_relaxed);  // Published by drain_mu_ and phase_.
  phase_.store(Phase::kDraining, std::memory_order_release);
  registry_.for_each([](TaskHeader* task) { task->abort(); });
  if (left == 0) {
    phase_.store(Phase::kStopped, std::memory_order_release);
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
    live += static_cast<std::int64_t>(counters.spawned.load(std::memory_order_relaxed)) -
            static_cast<std::int64_t>(counters.ended.load(std::memory_order_relaxed));
  }
  return live;
}

// --- WorkerSet: making tasks runnable -------------------------------------------------------------

Worker* WorkerSet::current_worker() const noexcept {
  Worker* const worker = this_worker();
  return worker != nullptr && &worker->set_ == this ? worker : nullptr;
}

void WorkerSet::unpark(int worker) noexcept {
  if (SKUA_LIKELY(worker == IdleSet::kNobody)) return;
  if (Worker* const self = current_worker()) {
    WorkerCounters::add(scheduler_.counters(self->id_).wakes);
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
  unpark(scheduler_.push_injector(task));
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

void WorkerSet::schedule(TaskHeader* task) noexcept {
  if (Worker* const worker = current_worker()) {
    unpark(scheduler_.push_slot(worker->id_, task));
  } else {
    push_from_outside(task);
  }
}

void WorkerSet::schedule_yielded(TaskHeader* task) noexcept {
  unpark(scheduler_.push_ring(current_worker()->id_, task));
}

void WorkerSet::schedule_forked(TaskHeader* task) noexcept {
  unpark(scheduler_.push_ring(current_worker()->id_, task));
}

bool WorkerSet::schedule_spawned(TaskHeader* task) noexcept {
  if (Worker* const worker = current_worker()) {
    if (phase() >= Phase::kDraining) return false;
    WorkerCounters::add(scheduler_.counters(worker->id_).spawned);
    unpark(scheduler_.push_slot(worker->id_, task));
    return true;
  }
  if ((outside_spawns_.fetch_add(2, std::memory_order_acq_rel) & 1) != 0) {
    outside_spawns_.fetch_sub(2, std::memory_order_relaxed);  // Not taken, so not counted.
    return false;
  }
  push_from_outside(task);
  return true;
}

void WorkerSet::enrol(TaskHeader* task) noexcept {
  current_worker()->registry_.enrol(registry_, task);
}

void WorkerSet::retire(TaskHeader* task) noexcept {
  current_worker()->registry_.retire(registry_, task);
}

bool WorkerSet::task_ended() noexcept {
  WorkerCounters::add(scheduler_.counters(current_worker()->id_).ended);
  return phase() == Phase::kDraining;
}

void WorkerSet::task_drained() noexcept {
  if (remaining_.fetch_sub(1, std::memory_order_acq_rel) == 1) finish_drain();
}

// --- WorkerSet: timers ------------------------------------------------------------------------------

void WorkerSet::earlier_deadline(void* set, std::int64_t deadline_ns) noexcept {
  static_cast<WorkerSet*>(set)->driver_->wake_before(deadline_ns);
}

std::int64_t WorkerSet::earliest_deadline() const noexcept {
  std::int64_t earliest = sleep_limit_ns_;
  for (const auto& worker : workers_) {
    earliest = std::min(earliest, worker->timers_.next_deadline_ns());
  }
  return earliest;
}

// Everybody's: a worker that is stuck in a task must not hold up the timers it has taken on.
bool WorkerSet::fire_timers(std::int64_t now) noexcept {
  std::size_t fired = 0;
  for (auto& worker : workers_) {
    if (worker->timers_.next_deadline_ns() <= now) fired += worker->timers_.fire(now);
  }
  return fired > 0;
}

}  // namespace skua::internal
