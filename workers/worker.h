// SPDX-License-Identifier: Apache-2.0
//
// One worker: a thread that runs tasks, and what it does when there are none.
//
// A turn: run the next task, or, if there is none, look at the driver, or steal, or sleep. Each 61 ticks it also looks
// at the driver and the timers without waiting. States, protocol and what could go wrong: workers/README.md.
#pragma once

#include <cstdint>

#include "scheduler/scheduler.h"
#include "skua/internal/executor.h"
#include "skua/internal/worker_core.h"
#include "skua/metrics.h"
#include "time/timer_queue.h"
#include "workers/parker.h"
#include "workers/registry.h"
#include "workers/sampler.h"

namespace skua::internal {

class WorkerSet;

// What a worker did in a turn.
enum class Turn : std::uint8_t {
  kRan,      // A task.
  kPolled,   // Nothing to run; the driver, the timers or a second look at the queues had something.
  kParked,   // Slept.
  kStopped,  // Nothing will ever come again.
};

// Its functions are called by its own thread, unpark() by any.
class Worker : public WorkerCore {
 public:
  Worker(WorkerSet& set, int id);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Does one thing. `source` says where the task came from, if it ran one.
  Turn turn(Source& source) noexcept;
  // Turn after turn, until `joiner` is notified, if there is one, or nothing will ever come again.
  void run_until(const ThreadJoiner* joiner) noexcept;

  // This thread is the worker from here on, or no longer.
  void install() noexcept;
  void uninstall() noexcept;

  // For the metrics. Any thread.
  DurationHistogram run_time() const noexcept { return sampler_.run_time.snapshot(); }
  DurationHistogram scheduling_delay() const noexcept { return sampler_.delay.snapshot(); }

 private:
  friend WorkerSet;

  Turn step(Source& source) noexcept;
  void run(const Found& found, bool draining) noexcept;
  void run_specially(TaskHeader* task, bool timed, bool draining) noexcept;
  bool look_at_events() noexcept;
  Turn turn_without_task(Source& source) noexcept;
  Found look_late() noexcept;
  void leave_sleep() noexcept;
  Turn park() noexcept;

  // Constant after construction.
  WorkerSet& set_;
  LocalQueues& queues_;
  // Owner only.
  int turns_to_events_ = 1;    // Until the next look at the driver and the timers.
  bool has_slept_ = false;     // Or was about to, since the last run.
  int linger_ = 0;             // Looks for which the watch stays though no peer is awake.
  std::int64_t watch_ns_ = 0;  // Between two looks of the watch.
  Sampler sampler_{*this};     // Its histograms: any thread.
  Registry::Local registry_;
  // What the thread was before: a blocking job may run a current-thread runtime.
  Executor* outer_executor_ = nullptr;
  // Any thread.
  TimerQueue timers_;
  Parker parker_;
};

// The worker that this thread is, or nullptr.
Worker* this_worker() noexcept;

}  // namespace skua::internal
