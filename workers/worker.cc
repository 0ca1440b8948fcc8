// SPDX-License-Identifier: Apache-2.0
#include "workers/worker.h"

#include <algorithm>
#include <string>

#include "io_driver/driver.h"
#include "skua/internal/check.h"
#include "skua/internal/frame_cache.h"
#include "task/context.h"
#include "time/clock.h"
#include "workers/worker_set.h"

namespace skua::internal {
namespace {

// A worker looks at the driver and the timers when so long has passed since the last time, whatever the tasks do. The
// clock is read after so many turns, or fewer, if they are long: one reading costs as much as a short turn.
constexpr std::int64_t kLookAfterNs = 200'000;
constexpr int kTurnsToClockMax = 32;

// The oldest task of a ring waits for younger ones so long at most: shorter, and a tree of tasks is opened at its top
// again before its youngest branch has ended, so that more of it is alive. Measured: scheduler/README.md.
constexpr std::int64_t kOldestAfterNs = 5'000'000;

// How often the watch looks around: less often while there is nothing to do for it. With the time a worker may be stuck
// unnoticed (SchedulerTuning::stuck_after_ns) this keeps what waits for it below 5 ms.
constexpr std::int64_t kWatchMinNs = 1'000'000;
constexpr std::int64_t kWatchMaxNs = 4'000'000;
// Looks for which the watch goes on when no peer is awake any more: else each event that an idle runtime hears would
// have to wake a second worker, to watch the first.
constexpr int kLingerLooks = 3;

// A paused clock waits for something that takes real time, and whose end may wake nobody: so long between two looks.
constexpr std::int64_t kClockLookNs = 1'000'000;

// Runs have taken so long in the mean of a few turns. Less may be the kernel's doing, which gives the CPU to others for
// 4 ms at a time.
constexpr std::int64_t kLongTurnNs = 5'000'000;

constexpr int kOwnThread = -1;

thread_local constinit Worker* worker_of_thread = nullptr;
thread_local constinit int stand_in_of_thread = kOwnThread;  // Its number.

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
    : set_(set),
      queues_(set.scheduler_.queues(id)),
      watch_ns_(kWatchMinNs),
      timers_(now_ns(), &WorkerSet::earlier_deadline, &set, &set.clock_) {
  index = static_cast<std::int16_t>(id);
  executor = &set;
}

void Worker::install() noexcept {
  SKUA_CHECK(worker_of_thread == nullptr);  // The runtime lets no worker block.
  outer_executor_ = current_executor();
  set_current_executor(&set_);
  enter();
  set_.options_.on_thread(true);
}

void Worker::uninstall() noexcept {
  set_.options_.on_thread(false);
  Executor* const outer = outer_executor_;
  leave();
  set_current_executor(outer);
}

// What sets the thread that is the worker apart from one that has lent it.
void Worker::enter() noexcept {
  worker_of_thread = this;
  context = &this_context();
  context->worker = this;
  frames = &frame_cache_of_thread;
  queues_.serves_homed = stand_in_of_thread == kOwnThread;
  set_runs_tasks(true);
  set_current_driver(set_.driver_.get());
  set_current_timer_queue(&timers_);
}

void Worker::leave() noexcept {
  set_current_timer_queue(nullptr);
  set_current_driver(nullptr);
  set_runs_tasks(false);
  context->worker = nullptr;
  context = nullptr;
  frames = nullptr;
  worker_of_thread = nullptr;
}

// --- Lending --------------------------------------------------------------------------------------

bool lend_worker(WorkerCore& worker) noexcept { return static_cast<Worker&>(worker).lend(); }
void claim_lent_worker(WorkerCore& worker) noexcept { static_cast<Worker&>(worker).claim_lent(); }

bool Worker::lend() noexcept {
  if (!set_.lends_ || (signal_.load(std::memory_order_acquire) & kPhaseMask) != 0) return false;
  StandIns::StandIn* const stand_in = set_.stand_ins_.take();
  if (stand_in == nullptr) return false;
  WorkerCounters::add(queues_.counters.lends);
  lending_.lend();
  context->spawn_level = own_level;
  leave();
  set_.stand_ins_.assign(*stand_in, *this);
  return true;
}

void Worker::claim_lent() noexcept {
  Lending::Claim claim;
  lending_.claim(claim, true);
  want();
  await_claim(claim);
  enter();
  context->spawn_level = kNormalLevel;
  // The stand-in's last run is not the one that goes on here: the loan puts this one's levels back, and what this one
  // leaves behind may be in any queue, whatever the stand-in has found empty.
  queues_.resume_run();
  // The stand-in may have given the worker up out of its sleep.
  if (has_slept_) leave_sleep();
}

void Worker::want() noexcept {
  signal_.fetch_or(
      kWantedBit,
      std::memory_order_seq_cst);  // Ordered before the shaking, as request_shutdown()'s.
  parker_.unpark(*set_.driver_);
}

// Until this thread is the worker; if others want to be it, too, they are next.
void Worker::await_claim(Lending::Claim& claim) noexcept {
  lending_.await(claim);  // [LEND]
  if (lending_.wanted())
    signal_.fetch_or(kWantedBit, std::memory_order_relaxed);  // For this thread.
}

bool Worker::pass_on() noexcept {
  const bool own_thread = stand_in_of_thread == kOwnThread;
  // Before the look at the claims: a claim that comes after it sets the bit again.
  signal_.fetch_and(~kWantedBit, std::memory_order_seq_cst);
  Lending::Claim own;
  uninstall();
  if (!lending_.pass_on(own_thread ? &own : nullptr)) {
    install();
    return false;
  }
  if (!own_thread) return true;
  await_claim(own);
  install();
  return false;
}

void Worker::become_stand_in(int number) noexcept { stand_in_of_thread = number; }

SKUA_ALWAYS_INLINE void Worker::run(WorkerSet& set, LocalQueues& queues, const Found& found,
                                    bool draining) noexcept {
  TaskHeader* const task = found.task;
  set.unpark(set.scheduler_.end_search(queues));
  if (SKUA_UNLIKELY(has_slept_)) leave_sleep();
  WorkerCounters::add(queues.counters.runs);
  // A task in the slot inherits the time slice of the one that has put it there.
  if (found.source != Source::kSlot) budget = kRunBudget;
  TaskHeader* const root = task->root;
  running = root;
  queues.begin_run(*root, found.level);
  const bool timed = sampler_.begin_run(task);
  task->worker = this;
  if (SKUA_UNLIKELY(timed || draining || task->is_aborted())) {
    run_specially(task, timed, draining);
  } else {
    context->resume(*this, task->resume);
  }
  // *task may be gone.
}

SKUA_NOINLINE void Worker::run_specially(TaskHeader* task, bool timed, bool draining) noexcept {
  const std::int64_t begin_ns = timed ? now_ns() : 0;
  if (draining) {
    task->run_draining();
  } else {
    task->run();
  }
  if (timed) sampler_.end_run(now_ns() - begin_ns);
}

// No more events than the ring has room for, and some places are kept for what running tasks queue: a ring that
// overflows gives its oldest tasks to the injector, where they wait behind what comes later, while the kernel keeps its
// events in their order. But not for ever, for the ring may be full of tasks that yield.
int Worker::events_max() noexcept {
  constexpr int kEventsMin = 16;
  constexpr int kLooksWithoutEventsMax = 8;
  const RunQueue<>& ring = queues_.rings[kNormalLevel];
  const int kept = static_cast<int>(ring.capacity() / 8);
  const int room = static_cast<int>(ring.room()) - kept;
  if (room < kEventsMin && looks_without_events_ < kLooksWithoutEventsMax) {
    ++looks_without_events_;
    return 0;
  }
  looks_without_events_ = 0;
  return std::clamp(room, kEventsMin, Poller::kEventsMax);
}

// Whether a peer that is woken now would find some of the tasks that the driver or the timers have just made ready, or
// would come when they are done. To be wrong costs little: if the one that is run first takes long after all, the watch
// sees to the others.
bool Worker::has_enough_to_share() const noexcept {
  std::int64_t queued = 0;
  for (const RunQueue<>& ring : queues_.rings) queued += ring.size();
  return sampler_.are_worth_a_peer(queued - 1);
}

// True if a task became ready.
bool Worker::look_at_events() noexcept {
  std::size_t woken = 0;
  queues_.end_runs();
  if (set_.driver_->try_hold()) {
    woken = set_.driver_->poll(events_max());
    set_.driver_->release();
  } else {
    // The holder reaps; what this worker's tasks have asked for must not wait for it.
    set_.driver_->flush();
  }
  turns_since_look_ = 0;
  last_look_ns_ = now_ns();
  if (last_look_ns_ - last_oldest_ns_ >= kOldestAfterNs) {
    last_oldest_ns_ = last_look_ns_;
    queues_.call_oldest();
  }
  return set_.fire_timers(last_look_ns_) || woken > 0;
}

// As look_at_events(), by a worker that is about to park. It leaves the driver to park() if it is free: to wait there
// fetches what has come as well, and ends at once then. Not if operations are in flight: these are often complete
// already, which is seen without a system call.
bool Worker::look_before_parking() noexcept {
  const Driver& driver = *set_.driver_;
  if (driver.is_held() || driver.in_flight() > 0) return look_at_events();
  queues_.end_runs();
  return set_.earliest_timer() != kNeverNs && set_.fire_timers(now_ns());
}

// True if it is time to look at the driver and the timers. Decides when to look at the clock next.
SKUA_NOINLINE bool Worker::look_is_due() noexcept {
  const int interval = set_.options_.event_interval;
  const std::int64_t now = now_ns();
  const std::int64_t turn_ns = (now - last_clock_ns_) / turns_between_;
  last_clock_ns_ = now;
  if (turn_ns >= kLongTurnNs) sampler_.met_long_run();
  turns_since_look_ += turns_between_;
  const bool due = turns_since_look_ >= interval || now - last_look_ns_ >= kLookAfterNs;
  // As many turns as the time allows, going by the last ones; but at most twice as many, for a short one may have come
  // between long ones.
  const std::int64_t in_time = kLookAfterNs / std::max<std::int64_t>(turn_ns, 1);
  const int left = due ? interval : interval - turns_since_look_;
  turns_between_ = static_cast<int>(
      std::clamp<std::int64_t>(in_time, 1, std::min({left, kTurnsToClockMax, 2 * turns_between_})));
  turns_to_clock_ = turns_between_;
  return due;
}

// `source` may be nullptr. References in locals: the compiler loads a member anew after each store.
SKUA_ALWAYS_INLINE Turn Worker::step(Source* source) noexcept {
  WorkerSet& set = set_;
  LocalQueues& queues = queues_;
  // The drain begins when no worker is within a turn, so this holds until the end of it.
  const std::uint32_t signal = signal_.load(std::memory_order_acquire);
  constexpr auto kDraining = static_cast<std::uint32_t>(WorkerSet::Phase::kDraining);
  if (SKUA_UNLIKELY((signal & ~kDraining) != 0)) return heed_signal(signal, source);
  if (SKUA_UNLIKELY(--turns_to_clock_ <= 0) && look_is_due()) look_at_events();
  const Found found = set.scheduler_.next(queues, budget);
  if (SKUA_UNLIKELY(!found)) return turn_without_task(source);
  if (source != nullptr) *source = found.source;
  run(set, queues, found, signal == kDraining);
  return Turn::kRan;
}

Turn Worker::turn(Source& source) noexcept { return step(&source); }

Turn Worker::run_until(const ThreadJoiner* joiner) noexcept {
  while (joiner == nullptr || !joiner->notified()) {
    const Turn turn = step(nullptr);
    if (SKUA_UNLIKELY(turn >= Turn::kWanted)) return turn;
  }
  return Turn::kPolled;
}

SKUA_NOINLINE Turn Worker::heed_signal(std::uint32_t signal, Source* source) noexcept {
  if (source != nullptr) *source = Source::kNone;
  set_.unpark(set_.scheduler_.end_search(queues_));
  if ((signal & kWantedBit) != 0) return Turn::kWanted;
  if (static_cast<WorkerSet::Phase>(signal & kPhaseMask) == WorkerSet::Phase::kStopped) {
    return Turn::kStopped;
  }
  queues_.end_runs();
  // A task that blocks in this worker is within a turn, which comes to its end first.
  if (lending_.wait_for_claim()) return Turn::kWanted;
  set_.arrive_at_drain();
  return Turn::kPolled;
}

SKUA_NOINLINE Turn Worker::turn_without_task(Source* source) noexcept {
  Scheduler& scheduler = set_.scheduler_;
  Found found = scheduler.steal(queues_);
  if (!found) {
    if (source != nullptr) *source = Source::kNone;
    if (look_before_parking()) return Turn::kPolled;
    if (has_slept_ && scheduler.has_watch(queues_)) found = look_late();
  }
  if (!found) return park();
  if (source != nullptr) *source = found.source;
  run(set_, queues_, found, set_.phase() == WorkerSet::Phase::kDraining);
  return Turn::kRan;
}

// --- Sleeping -----------------------------------------------------------------------------------

Found Worker::look_late() noexcept {
  const LateLook look = set_.scheduler_.look_late(queues_, now_ns());
  linger_ = look.peers_ran ? kLingerLooks : linger_ - 1;
  watch_ns_ = look.slot_waits ? kWatchMinNs : std::min(2 * watch_ns_, kWatchMaxNs);
  return look.found;
}

// From sleep to work: this worker may get stuck in what it runs now, so somebody has to have the watch.
SKUA_NOINLINE void Worker::leave_sleep() noexcept {
  has_slept_ = false;
  linger_ = 0;
  watch_ns_ = kWatchMinNs;
  set_.unpark(set_.scheduler_.begin_run(queues_));
}

// Up again: what the next turns take does not include the sleep.
std::int64_t Worker::note_time() noexcept {
  last_clock_ns_ = now_ns();
  return last_clock_ns_;
}

Turn Worker::park() noexcept {
  Scheduler& scheduler = set_.scheduler_;
  Driver& driver = *set_.driver_;
  // Even if nothing comes of it: it may have the watch from here on.
  has_slept_ = true;
  queues_.end_runs();
  if (!scheduler.announce_sleep(queues_, linger_ > 0)) return Turn::kPolled;
  WorkerCounters& counters = queues_.counters;
  WorkerCounters::add(counters.parks);
  std::int64_t limit_ns = scheduler.has_watch(queues_) ? now_ns() + watch_ns_ : INT64_MAX;
  if (set_.clock_.is_paused()) {
    const WorkerSet::ClockMove move = set_.move_clock(queues_);
    if (move == WorkerSet::ClockMove::kMoved) return Turn::kPolled;
    if (move == WorkerSet::ClockMove::kLater)
      limit_ns = std::min(limit_ns, now_ns() + kClockLookNs);
  }
  if (driver.try_hold()) {
    std::size_t woken = 0;
    const bool looked = parker_.begin_driver();
    if (looked) {
      WorkerCounters::add(counters.driver_waits);
      const std::int64_t deadline_ns = std::min(set_.earliest_deadline(), limit_ns);
      driver.announce_wait(deadline_ns);
      // [DRIVER-WAKE] Whoever has unparked this worker, added an earlier timer or asked for the end since
      // then, interrupts the wait; what came before is seen here.
      if (parker_.notified() || set_.earliest_deadline() < deadline_ns ||
          set_.phase() == WorkerSet::Phase::kStopping) {
        driver.cancel_wait();
        woken = driver.poll();
      } else {
        woken = driver.wait(now_ns());
      }
      parker_.end();
    }
    // Before the driver is free: who finds it so, finds this worker awake, too (WorkerSet::move_clock).
    scheduler.wake_up(queues_);
    driver.release();
    const std::int64_t now = note_time();
    if (looked) {
      turns_since_look_ = 0;
      last_look_ns_ = now;
    }
    set_.fire_timers(now);
    if (woken > 0 && set_.options_.eager_handover) set_.unpark(scheduler.hand_over_driver());
  } else {
    // Another worker holds the driver: it sleeps there, or will when it has run out of work. If it gets stuck
    // before, the one that has the watch takes the driver.
    parker_.park_on_futex_until(limit_ns);
    scheduler.wake_up(queues_);
    note_time();
  }
  return Turn::kParked;
}

}  // namespace skua::internal
