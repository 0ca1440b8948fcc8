// SPDX-License-Identifier: Apache-2.0
//
// The workers of a runtime: the only place where the scheduler, the driver and the timers meet.
//
// Shutdown:  kRunning --request_shutdown()--> kStopping --every worker has arrived--> kDraining --no task is
// left--> kStopped. The last worker to arrive has the world to itself: it counts what is left and aborts every
// task that waits. From then on a task that is taken from a queue is destroyed, or, if what it waited for is
// there, runs to its next suspension and is destroyed there.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <pthread.h>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/statusor.h>

#include "io_driver/driver.h"
#include "scheduler/scheduler.h"
#include "skua/internal/executor.h"
#include "skua/internal/mutex.h"
#include "time/runtime_clock.h"
#include "workers/registry.h"
#include "workers/stand_ins.h"
#include "workers/worker.h"

namespace skua::internal {

struct WorkerSetOptions {
  int workers = 1;
  QueuePolicy policy = QueuePolicy::kWorkStealing;
  int global_queue_interval = 61;
  int event_interval = 61;            // Turns between two looks at the driver and the timers.
  std::uint32_t ring_capacity = 256;  // Of the run queues; tests shrink it.
  bool use_membarrier = true;         // If the kernel has it; tests do without.
  // A worker that leaves the driver with work wakes another one to take it.
  bool eager_handover = false;
  DriverOptions driver = {};
  std::string thread_name = "skua";
  std::vector<int> cpus = {};  // To which the workers are bound, in turn; empty: to none.
  // Whether something outside the workers is under way that takes real time: a paused clock does not jump then.
  std::function<bool()> busy_elsewhere = [] { return false; };
  // Runs on a thread that becomes a worker (true) or ceases to be one (false).
  std::function<void(bool)> on_thread = [](bool) {};
};

class WorkerSet final : public Executor {
 public:
  // Errors: those of Driver::create.
  static absl::StatusOr<std::unique_ptr<WorkerSet>> create(WorkerSetOptions options);
  // Requires: stopped, or never started and empty.
  ~WorkerSet();
  WorkerSet(const WorkerSet&) = delete;
  WorkerSet& operator=(const WorkerSet&) = delete;

  // Starts one thread for each worker. Once. Errors: kResourceExhausted if a thread cannot be created; those
  // that were are gone again then.
  absl::Status start();
  // Instead of start(): the calling thread is the only worker until `joiner` is notified or the runtime has
  // stopped. One thread at a time.
  void run_here(const ThreadJoiner& joiner) noexcept;
  // The same until the runtime has stopped. False: `deadline_ns` (CLOCK_MONOTONIC) came first.
  bool run_here_until_stopped(std::int64_t deadline_ns) noexcept;

  // Begins the shutdown; returns at once. Any thread.
  void request_shutdown() noexcept;
  // Waits until no task is left. False: `deadline_ns` (CLOCK_MONOTONIC) came first. Any thread but a worker.
  bool wait_stopped(std::int64_t deadline_ns) noexcept;
  // Joins the threads. After request_shutdown().
  void join() noexcept;

  // Executor.
  void schedule(TaskHeader* task) noexcept override;
  void schedule_joiner(TaskHeader* task) noexcept override;
  void schedule_batch(std::span<TaskHeader* const> tasks) noexcept override;
  void schedule_yielded(TaskHeader* task) noexcept override;
  void fork_pushed(WorkerCore& worker) noexcept override;
  [[nodiscard]] bool may_go_on(WorkerCore& worker) noexcept override;
  void schedule_spawned(SpawnedTask* task, WorkerCore* spawner) noexcept override;
  void enrol(TaskHeader* task, WorkerCore& worker) noexcept override;
  void retire(TaskHeader* task, WorkerCore& worker) noexcept override;
  void task_drained() noexcept override;

  Scheduler& scheduler() noexcept { return scheduler_; }
  const Scheduler& scheduler() const noexcept { return scheduler_; }
  Driver& driver() noexcept { return *driver_; }
  const Driver& driver() const noexcept { return *driver_; }
  Worker& worker(int id) noexcept { return *workers_[static_cast<std::size_t>(id)]; }
  const Worker& worker(int id) const noexcept { return *workers_[static_cast<std::size_t>(id)]; }
  // Tasks spawned and not ended; exact only while nothing runs.
  std::int64_t live_tasks() const noexcept;

 private:
  friend Worker;
  enum class Phase : std::uint8_t { kRunning, kStopping, kDraining, kStopped };

  WorkerSet(WorkerSetOptions options, std::unique_ptr<Driver> driver);
  static void earlier_deadline(void* set, std::int64_t deadline_ns) noexcept;
  static void nearer_deadlines(void* set) noexcept;
  Worker* current_worker() const noexcept;
  // What the scheduler's functions return: a worker, or IdleSet::kNobody.
  void unpark(int worker) noexcept {
    if (SKUA_UNLIKELY(worker != IdleSet::kNobody)) unpark_worker(worker);
  }
  SKUA_NOINLINE void unpark_worker(int worker) noexcept;
  void push_from_outside(TaskHeader* task) noexcept;
  // Of a task that is spawned on one of these workers, or, in a foreign thread's hands, nullptr.
  Worker* own(WorkerCore* worker) const noexcept;
  void settle_home(TaskHeader* task, const Worker* spawner) noexcept;
  void schedule_woken(TaskHeader* task, QueueOrder order) noexcept;
  friend void schedule_spawned_here(WorkerCore& worker, SpawnedTask* task) noexcept;

  void schedule_spawned_by(Worker& worker, SpawnedTask* task) noexcept;
  void schedule_spawned_outside(SpawnedTask* task) noexcept;
  void wait_for_visitors() noexcept;
  void unpark_all() noexcept;
  // By the runtime's clock.
  std::int64_t earliest_timer() const noexcept;
  // By the steady clock: how long the last one awake may sleep.
  std::int64_t earliest_deadline() const noexcept;
  // `steady_ns`: what the steady clock has just read.
  bool fire_timers(std::int64_t steady_ns) noexcept;
  // A worker has announced its sleep while the clock is paused.
  // kMoved: the worker is awake again, for timers were fired or an event was found.
  enum class [[nodiscard]] ClockMove : std::uint8_t { kNone, kLater, kMoved };
  SKUA_COLD ClockMove move_clock(LocalQueues& queues) noexcept;
  ClockMove clock_may_move() noexcept;
  bool takes_real_time() noexcept;
  void thread_main(Worker& worker) noexcept;
  int bind_to_cpu(pthread_t thread, std::size_t index) const noexcept;
  absl::Status give_up_start(absl::Status status) noexcept SKUA_EXCLUDES(drain_mu_);
  void arrive_at_drain() noexcept SKUA_EXCLUDES(drain_mu_);
  void begin_drain() noexcept SKUA_REQUIRES(drain_mu_);
  void finish_drain() noexcept;

  Phase phase() const noexcept { return phase_.load(std::memory_order_acquire); }
  // The next phase, of which the workers hear by their own words.
  void tell_phase(Phase from, Phase to) noexcept;
  void stand_in_main(Worker& worker, int number) noexcept;

  // Constant after construction.
  const WorkerSetOptions options_;
  const std::unique_ptr<Driver> driver_;
  RuntimeClock clock_;
  // The holder of the driver is to come to move_clock() instead of sleeping. Any worker.
  std::atomic<bool> clock_asked_{false};
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;  // After start().
  bool lends_ = false;                // Tasks that block may lend their worker to a stand-in.
  // Any thread.
  Scheduler scheduler_;
  Registry registry_;
  StandIns stand_ins_{[this](Worker& worker, int number) { stand_in_main(worker, number); }};
  std::atomic<Phase> phase_{Phase::kRunning};
  // Tasks spawned from outside, times two, plus one once no more are taken: one word, so that the count at the
  // end is exact.
  alignas(kCacheLine) std::atomic<std::uint64_t> outside_spawns_{0};
  // kThreadPerCore: where the next task from outside goes.
  alignas(kCacheLine) std::atomic<unsigned> next_home_{0};
  // Nobody sleeps longer: the deadline of run_here_until_stopped(). The one worker.
  std::int64_t sleep_limit_ns_ = INT64_MAX;
  // Threads that are no workers and are inside schedule() or schedule_spawned(): what they have queued may be the
  // last task, so the set is not destroyed under their feet. See leave().
  alignas(kCacheLine) std::atomic<std::uint32_t> visitors_{0};
  // Tasks left while draining.
  alignas(kCacheLine) std::atomic<std::int64_t> remaining_{0};
  Mutex drain_mu_;
  CondVar drain_changed_;
  int arrived_ SKUA_GUARDED_BY(drain_mu_) = 0;
  bool drained_ SKUA_GUARDED_BY(drain_mu_) = false;
};

}  // namespace skua::internal
