// SPDX-License-Identifier: Apache-2.0
//
// One worker: a thread that runs tasks, and what it does when there are none.
//
// A turn: run the next task, or, if there is none, look at the driver, or steal, or sleep. Each 61 ticks, and each 200
// us, it also looks at the driver and the timers without waiting. States, protocol and what could go wrong:
// workers/README.md.
#pragma once

#include <atomic>
#include <cstdint>

#include "scheduler/scheduler.h"
#include "skua/internal/executor.h"
#include "skua/internal/worker_core.h"
#include "skua/metrics.h"
#include "time/timer_queue.h"
#include "workers/lending.h"
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
  kWanted,   // Nothing: another thread wants to be the worker (lending.h).
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
  // Turn after turn, until `joiner` is notified, if there is one, or the last one was kWanted or kStopped, which it
  // returns; kPolled: `joiner` was notified.
  Turn run_until(const ThreadJoiner* joiner) noexcept;

  // This thread is the worker from here on, or no longer.
  void install() noexcept;
  void uninstall() noexcept;

  // This thread blocks in a task, and a stand-in is the worker meanwhile. False: there is none, and nothing has
  // changed.
  [[nodiscard]] bool lend() noexcept;
  // Waits until this thread is the worker again, which it has lent.
  void claim_lent() noexcept;
  // Gives the worker to the thread that wants it, if there still is one. The worker's own thread waits until it is the
  // worker again; a stand-in is the worker no more if this returns true.
  bool pass_on() noexcept;

  // This thread is one of the StandIns; their `number`.
  static void become_stand_in(int number) noexcept;

  // For the metrics. Any thread.
  DurationHistogram run_time() const noexcept { return sampler_.run_time.snapshot(); }
  DurationHistogram scheduling_delay() const noexcept { return sampler_.delay.snapshot(); }

 private:
  friend WorkerSet;
  friend void schedule_spawned_here(WorkerCore& worker, SpawnedTask* task) noexcept;

  // Bits of `signal_`: what other threads want of the worker.
  static constexpr std::uint32_t kPhaseMask = 3;  // WorkerSet::Phase.
  static constexpr std::uint32_t kWantedBit = 4;

  Turn step(Source* source) noexcept;
  Turn heed_signal(std::uint32_t signal, Source* source) noexcept;
  void enter() noexcept;
  void leave() noexcept;
  void await_claim(Lending::Claim& claim) noexcept;
  void want() noexcept;
  void run(WorkerSet& set, LocalQueues& queues, const Found& found, bool draining) noexcept;
  void run_specially(TaskHeader* task, bool timed, bool draining) noexcept;
  int events_max() noexcept;
  bool has_enough_to_share() const noexcept;
  bool look_at_events() noexcept;
  bool look_before_parking() noexcept;
  bool look_is_due() noexcept;
  Turn turn_without_task(Source* source) noexcept;
  Found look_late() noexcept;
  void leave_sleep() noexcept;
  std::int64_t note_time() noexcept;
  Turn park() noexcept;

  // Constant after construction.
  WorkerSet& set_;
  LocalQueues& queues_;
  // Owner only.
  int turns_to_clock_ = 1;        // Until the next look at the clock,
  int turns_between_ = 1;         // from the last one on.
  int turns_since_look_ = 0;      // At the driver and the timers, as of the last look at the clock.
  int looks_without_events_ = 0;  // In a row.
  std::int64_t last_look_ns_ = 0;
  std::int64_t last_oldest_ns_ = 0;  // When who waits longest had its turn by the clock.
  std::int64_t last_clock_ns_ = 0;
  bool has_slept_ = false;     // Or was about to, since the last run.
  int linger_ = 0;             // Looks for which the watch stays though no peer is awake.
  std::int64_t watch_ns_ = 0;  // Between two looks of the watch.
  Sampler sampler_{*this};     // Its histograms: any thread.
  Registry::Local registry_;
  // What the thread was before: a blocking job may run a current-thread runtime.
  Executor* outer_executor_ = nullptr;
  // Any thread.
  std::atomic<std::uint32_t> signal_{0};  // Read in each turn.
  Lending lending_;
  TimerQueue timers_;
  Parker parker_;
};

// The worker that this thread is, or nullptr.
Worker* this_worker() noexcept;

}  // namespace skua::internal
