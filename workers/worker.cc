// SPDX-License-Identifier: Apache-2.0
#include "workers/worker.h"

#include <string>

#include "io_driver/driver.h"
#include "skua/internal/check.h"
#include "time/clock.h"
#include "workers/worker_set.h"

namespace skua::internal {
namespace {

thread_local constinit Worker* worker_of_thread = nullptr;

}  // namespace

SKUA_NOINLINE Worker* this_worker() noexcept {
  asm volatile("");  // Else the compiler merges two calls around a suspension.
  return worker_of_thread;
}

WorkerCore* current_worker_core() noexcept { return this_worker(); }

WorkerCore& require_worker_core(const char* operation) noexcept {
  WorkerCore* const core = current_worker_core();
  if (SKUA_UNLIKELY(core == nullptr)) {
    fatal(std::string(operation) + " was called outside a task: only a task can ask for it");
  }
  return *core;
}

Worker::Worker(WorkerSet& set, int id)
    : set_(set), id_(id), timers_(now_ns(), &WorkerSet::earlier_deadline, &set) {
  index = static_cast<std::int16_t>(id);
  executor = &set;
}

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

void Worker::run(const Found& found) noexcept {
  TaskHeader* const task = found.task;
  set_.unpark(set_.scheduler_.end_search(id_));
  WorkerCounters::add(set_.scheduler_.counters(id_).runs);
  // A task in the slot inherits the time slice of the one that has put it there.
  if (found.source != Source::kSlot) budget = kRunBudget;
  level = found.level;
  own_level = task->root->level;
  set_.scheduler_.begin_run(id_, found);
  task->worker = this;
  if (SKUA_UNLIKELY(set_.phase() == WorkerSet::Phase::kDraining)) {
    task->run_draining();
  } else {
    task->run();
  }
  // *task may be gone.
  level = kLowLevel;
  own_level = kNormalLevel;
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
  if (--turns_to_events_ <= 0) {
    turns_to_events_ = set_.options_.event_interval;
    look_at_events();
  }
  Found found = scheduler.next(id_, budget);
  if (!found) found = scheduler.steal(id_);
  if (found) {
    source = found.source;
    run(found);
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

}  // namespace skua::internal
