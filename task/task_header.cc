// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/task_header.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "base/futex.h"
#include "skua/internal/check.h"
#include "skua/internal/child_group.h"
#include "skua/internal/executor.h"
#include "skua/internal/fork.h"
#include "skua/internal/mutex.h"
#include "skua/internal/promise_base.h"
#include "skua/join_handle.h"
#include "task/context.h"

namespace skua::internal {

static_assert(sizeof(void*) == 8, "Skua packs tags into 64-bit pointers");

// --- ThreadJoiner -----------------------------------------------------------------------------

void ThreadJoiner::wait() noexcept {
  for (;;) {
    const std::uint32_t seen = word_.load(std::memory_order_acquire);
    if ((seen & kDone) != 0) return;
    futex_wait(&word_, seen);
  }
}

void ThreadJoiner::wait_for_turn(std::int64_t deadline_ns) noexcept {
  while (word_.load(std::memory_order_acquire) == 0) {
    if (deadline_ns == INT64_MAX) {
      futex_wait(&word_, 0);
    } else if (!futex_wait_until(&word_, 0, deadline_ns)) {
      return;
    }
  }
}

void ThreadJoiner::notify() noexcept {
  // Once the bit is set, the owner may return and *this be gone. The futex call then works on an address
  // alone, where the kernel is free to find nobody waiting.
  std::atomic<std::uint32_t>* const word = &word_;
  word->fetch_or(kDone, std::memory_order_release);
  futex_wake_one(word);
}

void ThreadJoiner::give_turn() noexcept {
  word_.fetch_or(kTurn, std::memory_order_release);
  futex_wake_one(&word_);
}

// --- JoinState --------------------------------------------------------------------------------

// Nobody is left to take the exception of a detached task.
SKUA_COLD static void fail_detached(const JoinState& state) {
  fatal("a detached task ended with an exception: task " + std::to_string(state.id) + " \"" +
        (state.name() != nullptr ? state.name() : "") + "\"");
}

void JoinState::complete(bool threw) noexcept {
  std::uintptr_t joiner = join.load(std::memory_order_acquire);  // [JOIN]
  // A handle that was dropped stays so; a joiner may be taken back.
  if (joiner != kDetached) joiner = join.exchange(kComplete, std::memory_order_acq_rel);  // [JOIN]
  if (joiner == kEmpty) return;
  if (joiner == kDetached) {
    if (SKUA_UNLIKELY(threw && !abandoned)) fail_detached(*this);
    vtable->release(this);
    return;
  }
  if (SKUA_UNLIKELY((joiner & kChildTag) == kChildTag)) {
    reinterpret_cast<ChildNode*>(joiner & ~kChildTag)->ended();
  } else if ((joiner & kThreadTag) != 0) {
    reinterpret_cast<ThreadJoiner*>(joiner & ~kThreadTag)->notify();
  } else if ((joiner & kCancelledTag) != 0) {
    reinterpret_cast<TaskHeader*>(joiner & ~kCancelledTag)->wake_cancelled();
  } else {
    reinterpret_cast<TaskHeader*>(joiner)->wake_joiner();
  }
  // *this may be gone.
}

void JoinState::drop_handle() noexcept {
  if (SKUA_LIKELY(is_complete())) {
    vtable->release(this);
    return;
  }
  // Dropped because its owner was aborted or is failing already: what the task throws must not end the process.
  if (this_context().unwinds()) abandoned = true;
  if (join.exchange(kDetached, std::memory_order_acq_rel) == kComplete) vtable->release(this);
}

bool JoinState::set_joiner(std::uintptr_t joiner) noexcept {
  std::uintptr_t expected = kEmpty;
  if (join.compare_exchange_strong(expected, joiner, std::memory_order_acq_rel,
                                   std::memory_order_acquire)) {
    return true;
  }
  SKUA_CHECK(expected == kComplete, expected);
  return false;
}

bool JoinState::clear_joiner(std::uintptr_t joiner) noexcept {
  return join.compare_exchange_strong(joiner, kEmpty, std::memory_order_acq_rel,
                                      std::memory_order_acquire);
}

bool JoinState::cancel_joiner(std::uintptr_t joiner) noexcept {
  return join.compare_exchange_strong(joiner, joiner | kCancelledTag, std::memory_order_acq_rel,
                                      std::memory_order_acquire);
}

void JoinState::set_name(const char* text, std::size_t size) {
  if (size == 0) return;
  TaskExtras& own = make_extras();
  char* copy = new char[size + 1];
  std::memcpy(copy, text, size);
  copy[size] = '\0';
  delete[] own.name;
  own.name = copy;
}

TaskExtras& JoinState::make_extras() {
  if (extras == nullptr) {
    extras = new TaskExtras();
    extras->embedded = false;
  }
  return *extras;
}

void JoinState::free_extras_slow() noexcept {
  TaskExtras* const own = std::exchange(extras, nullptr);
  delete[] std::exchange(own->name, nullptr);
  if (own->listener != nullptr) std::exchange(own->listener, nullptr)->drop();
  if (!own->embedded) delete own;
}

// --- TaskHeader: suspend, wake, abort -----------------------------------------------------------
//
// state_ is 0 while the task runs or is queued. The transitions, each one read-modify-write:
//
//   commit_suspend:  0 -> S                                     the usual case
//                    N.. -> ..        resume at once            woken before it had suspended
//                    A -> A|C         run_cancel()              aborted before it had suspended
//   wake:            S.. -> ..        queue it
//                    C.. -> C|N..     the canceller queues it
//                    (running).. -> N..                         before commit_suspend
//   abort:           S -> A|C         run_cancel()
//                    else.. -> A..
//   run_cancel ends: C|A -> A|K       queue it                  the operation forgot the waiter
//                    C|A -> S|A                                 a wake-up is to come
//                    C|A|N -> A       queue it                  it has come

bool TaskHeader::commit_suspend_slow() noexcept {
  std::uint32_t state = state_.load(std::memory_order_acquire);
  for (;;) {
    if ((state & kNotified) != 0) {
      const std::uint32_t next = state & ~(kNotified | kKill);
      // An operation never reports a cancellation that nobody asked for.
      SKUA_CHECK((state & kKill) == 0 || (state & kAbort) != 0, state);
      const bool aborted = (state & kAbort) != 0 || root->abort_requested();
      if ((state & kKill) != 0 || (awaits_hint && aborted)) {
        // Woken as cancelled: the frames go, but on the run loop's stack, not under their own feet.
        if (state_.compare_exchange_weak(state, kAbort | kKill, std::memory_order_acq_rel,
                                         std::memory_order_acquire)) {
          root->executor->schedule(this);
          return true;
        }
        continue;
      }
      if (state_.compare_exchange_weak(state, next, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        return false;  // [WAKE]
      }
    } else if ((state & kAbort) != 0) {
      if (state_.compare_exchange_weak(state, kAbort | kCancelling, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        run_cancel();  // [ABORT] *this may be gone.
        return true;
      }
    } else {
      SKUA_CHECK(state == 0, state);
      if (state_.compare_exchange_weak(state, kSuspended, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        return true;
      }
    }
  }
}

bool TaskHeader::claim_wake() noexcept {
  std::uint32_t state = state_.load(std::memory_order_relaxed);
  for (;;) {
    if ((state & kSuspended) != 0) {
      // One waker has the waiter, so nobody but an aborter competes.
      if (state_.compare_exchange_weak(state, state & ~kSuspended, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
        return true;  // [WAKE]
      }
    } else {
      SKUA_CHECK((state & kNotified) == 0, state);
      if (state_.compare_exchange_weak(state, state | kNotified, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
        return false;  // [WAKE] *this may be gone.
      }
    }
  }
}

void TaskHeader::wake() noexcept {
  if (claim_wake()) root->executor->schedule(this);
}

void TaskHeader::wake_joiner() noexcept {
  if (claim_wake()) root->executor->schedule_joiner(this);
}

void TaskHeader::wake_cancelled() noexcept {
  // Relaxed: the read-modify-write of claim_wake() follows on the same word and publishes it.
  state_.fetch_or(kKill, std::memory_order_relaxed);
  wake();
}

void TaskHeader::abort() noexcept {
  if (start_abort()) run_cancel();
  tell_abort();
  abort_forked();
}

// Requests the abort. True: the task was suspended and is kept from resuming now; the caller runs its cancel hook.
bool TaskHeader::start_abort() noexcept {
  std::uint32_t state = state_.load(std::memory_order_relaxed);
  for (;;) {
    if ((state & kAbort) != 0) return false;
    const bool suspended = (state & kSuspended) != 0;
    const std::uint32_t next =
        suspended ? ((state & ~kSuspended) | kAbort | kCancelling) : (state | kAbort);
    if (state_.compare_exchange_weak(state, next, std::memory_order_acq_rel,
                                     std::memory_order_relaxed)) {
      return suspended;  // [ABORT]
    }
  }
}

// Cancels what the task waits on. *this may be gone.
void TaskHeader::run_cancel() noexcept { end_cancel(waiting_on->cancel(waiting_on)); }

// The hook has run: the task may go on, to be destroyed or to wait for its wake-up. *this may be gone.
void TaskHeader::end_cancel(CancelOutcome outcome) noexcept {
  Executor* const home = root->executor;
  if (outcome == CancelOutcome::kUnlinked) {
    const std::uint32_t before = state_.exchange(kAbort | kKill, std::memory_order_acq_rel);
    SKUA_CHECK((before & kNotified) == 0, before);
    home->schedule(this);
    return;
  }
  std::uint32_t state = state_.load(std::memory_order_acquire);
  for (;;) {
    const bool notified = (state & kNotified) != 0;
    const std::uint32_t next =
        notified ? state & ~(kCancelling | kNotified) : (state & ~kCancelling) | kSuspended;
    if (state_.compare_exchange_weak(state, next, std::memory_order_acq_rel,
                                     std::memory_order_acquire)) {
      if (notified) home->schedule(this);
      return;
    }
  }
}

void TaskHeader::kill_in_fork(std::coroutine_handle<> handle) noexcept {
  resume = handle;
  state_.fetch_or(kAbort | kKill, std::memory_order_acq_rel);
  root->executor->schedule(this);  // *this may be gone.
}

bool TaskHeader::yield_with_result(std::coroutine_handle<> handle, Waiter* waiter) noexcept {
  if (unconstrained) {
    worker->budget = kRunBudget;
    return false;
  }
  resume = handle;
  // An abort that comes from here on leaves the task its result. One that had come before ends it here: this is the
  // suspension that it was to end at. Else a loop over ready operations would never end.
  waiting_on = root->abort_requested() ? nullptr : waiter;
  root->executor->schedule_yielded(this);  // *this may be gone.
  return true;
}

// --- TaskHeader: forked children ------------------------------------------------------------------
//
// A root knows those of its forked descendants that have ever suspended, for these are what an abort has to wake; the
// others look at their root's mark when they first suspend, or take the next child of a fork. So a child that never
// suspends costs nothing here.
//
//   [FORKED]  The lists are guarded by a lock. abort() sets the root's mark before it takes it; a child that enrols
//             reads the mark under it: either abort() finds the child in the list, or the child finds the mark.
//
// A child that is in the list is alive, since it leaves under the lock before its header goes. One whose abort has
// begun (start_abort() was true) cannot resume, and so not end, before end_cancel().

namespace {

// Roots share locks: a lock in each would be paid for by all that never fork.
struct alignas(kCacheLine) ForkedLock {
  Mutex mu;
};

Mutex& lock_of(const TaskHeader* root) noexcept {
  constexpr std::size_t kLocks = 64;
  static std::array<ForkedLock, kLocks>* const locks = new std::array<ForkedLock, kLocks>();
  const auto hash = reinterpret_cast<std::uintptr_t>(root) * 0x9e3779b97f4a7c15u;  // Fibonacci.
  return (*locks)[hash >> 58].mu;
}

}  // namespace

void TaskHeader::enrol() noexcept {
  enrolled = true;
  if (kind == TaskKind::kRoot) {
    executor->enrol(this, *worker);
    return;
  }
  bool root_is_new = false;
  {
    MutexLock lock(&lock_of(root));
    root_is_new = !std::exchange(root->enrolled, true);
    forked_link_ = nullptr;
    if (root->abort_requested()) {  // [FORKED]
      mark_aborted();
    } else {
      forked_next_ = root->forked_next_;
      if (forked_next_ != nullptr) forked_next_->forked_link_ = &forked_next_;
      forked_link_ = &root->forked_next_;
      root->forked_next_ = this;
    }
  }
  // The registry must find the root, which may never have suspended by itself. It waits for this child, so that nobody
  // but its descendants can come here. Not under the lock: a shutdown aborts roots under the registry's.
  if (root_is_new) root->executor->enrol(root, *worker);
}

void TaskHeader::leave_root() noexcept {
  MutexLock lock(&lock_of(root));
  unlink_forked();
}

// Under the lock.
void TaskHeader::unlink_forked() noexcept {
  if (forked_link_ == nullptr) return;
  *forked_link_ = forked_next_;
  if (forked_next_ != nullptr) forked_next_->forked_link_ = forked_link_;
  forked_link_ = nullptr;
}

void TaskHeader::threw_now() noexcept {
  threw = true;
  try {
    throw;
  } catch (const TaskCancelled&) {
    threw_cancelled = true;
  } catch (...) {
  }
}

AbortListener* TaskHeader::listener() noexcept {
  MutexLock lock(&lock_of(this));
  const TaskExtras* const own = static_cast<SpawnedTask*>(this)->extras;
  return own != nullptr ? own->listener : nullptr;
}

AbortListener* TaskHeader::listen(AbortListener* listener) {
  AbortListener* heard = listener;
  bool aborted = false;
  {
    MutexLock lock(&lock_of(this));
    TaskExtras& own = static_cast<SpawnedTask*>(this)->make_extras();
    if (own.listener == nullptr) own.listener = listener;
    heard = own.listener;
    aborted = abort_requested();  // [FORKED]
  }
  if (heard != listener) {
    listener->drop();
  } else if (aborted) {
    listener->on_abort();
  }
  return heard;
}

// After the mark was set: the listener is found, or it finds the mark [FORKED]. It goes with the extras, which stay as
// long as whoever calls this keeps the task.
void TaskHeader::tell_abort() noexcept {
  if (static_cast<SpawnedTask*>(this)->is_complete()) return;  // There is nothing to abort.
  if (AbortListener* const heard = listener()) heard->on_abort();
}

void TaskHeader::abort_forked() noexcept {
  for (;;) {
    TaskHeader* child = nullptr;
    bool suspended = false;
    {
      MutexLock lock(&lock_of(this));
      child = forked_next_;  // [FORKED]
      if (child == nullptr) return;
      child->unlink_forked();
      suspended = child->start_abort();
    }
    if (suspended) child->run_cancel();  // *child may be gone.
  }
}

void SpawnedTask::inherit_deadline(const TaskHeader& spawner) {
  make_extras().deadline_ns = static_cast<const SpawnedTask&>(spawner).extras->deadline_ns;
  has_deadline = true;
}

// --- TaskHeader: running ------------------------------------------------------------------------

void TaskHeader::run() noexcept {
  if (SKUA_UNLIKELY(is_aborted())) {
    run_aborted();
    return;
  }
  worker->context->resume(*worker, resume);
}

void TaskHeader::run_draining() noexcept {
  root->mark_aborted();
  root->tell_abort();
  run_aborted();
}

void TaskHeader::run_aborted() noexcept {
  const std::uint32_t state = state_.fetch_or(kAbort, std::memory_order_acq_rel);  // [ABORT]
  if ((state & kKill) != 0 || waiting_on == nullptr || awaits_hint) {
    kill();
  } else {
    // What it waited for was there already: the result wins, and the next suspension ends the task.
    worker->context->resume(*worker, resume);
  }
}

void TaskHeader::kill() noexcept {
  WorkerCore* const core = worker;
  Context& context = *core->context;
  context.killing = true;
  PromiseBase* frame = &PromiseBase::of(resume);
  std::uintptr_t parent = frame->parent;
  while (parent != 0 && (parent & PromiseBase::kTagMask) == 0) {
    frame->handle().destroy();
    frame = reinterpret_cast<PromiseBase*>(parent);
    parent = frame->parent;
  }
  if (parent == 0) {
    killed = true;
    frame->handle().destroy();
    context.killing = false;
    finish_root(this);
    return;
  }
  // The header goes with the frame.
  if (enrolled) leave_root();
  frame->handle().destroy();
  context.killing = false;
  context.resume(*core, ForkRecord::of(parent)->child_killed(*core, parent));
}

void finish_root(TaskHeader* header) noexcept {
  auto* const task = static_cast<SpawnedTask*>(header);
  WorkerCore& worker = *task->worker;
  Executor* const executor = worker.executor;
  if (task->enrolled) executor->retire(task, worker);
  // Before the joiner is woken, so that it finds the task counted.
  worker.count_ended();
  // What a task throws while it is being aborted is nobody's fault either; nor is it a failure to end because what one
  // waits for was cancelled, by a shutdown for one.
  const bool failed =
      SKUA_UNLIKELY(task->threw) && !task->threw_cancelled && !task->abort_requested();
  const bool draining = worker.draining;
  if (task->join.load(std::memory_order_acquire) == JoinState::kDetached && !failed) {  // [JOIN]
    task->vtable->release(task);  // As complete() does: the usual end of a task that nobody awaits.
  } else {
    task->complete(failed);  // *task may be gone.
  }
  if (SKUA_UNLIKELY(draining)) executor->task_drained();
}

}  // namespace skua::internal
