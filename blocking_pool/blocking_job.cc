// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/blocking_job.h"

#include <utility>

#include "skua/internal/check.h"
#include "task/context.h"

namespace skua::internal {

bool BlockingJob::leave_queued(Phase phase) noexcept {
  // Out of the line first: who has taken it from there is the only one to end it.
  const bool was_in_line = line_ != nullptr && line_->remove(this);
  Phase expected = Phase::kQueued;
  // Relaxed: it only picks the winner. The closure came to both parties by other ways (the queue,
  // the handle), and what the winner leaves behind is published by [JOIN] and [SHARE].
  const bool left = phase_.compare_exchange_strong(expected, phase, std::memory_order_relaxed,
                                                   std::memory_order_relaxed);
  if (was_in_line) {
    SKUA_CHECK(left, expected);
    // The pool will not meet it. Relaxed: the handle's share is still there.
    shares_.fetch_sub(1, std::memory_order_relaxed);
  }
  return left;
}

BlockingJob::Met BlockingJob::begin() noexcept {
  Phase expected = Phase::kQueued;
  // Relaxed: as in leave_queued(). It is in no line any more.
  if (phase_.compare_exchange_strong(expected, Phase::kStarted, std::memory_order_relaxed,
                                     std::memory_order_relaxed)) {
    has_closure_ = false;
    return Met::kBegun;
  }
  unref();  // *this may be gone.
  return Met::kCancelled;
}

void BlockingJob::finish(bool threw) noexcept {
  // An exchange: an abort that comes from here on finds nothing to stop, and cancels no token.
  if (SKUA_UNLIKELY(phase_.exchange(Phase::kEnded, std::memory_order_acquire) ==
                    Phase::kUnwanted)) {  // [UNWANTED]
    table_.drop_result(this);
    threw = false;
  }
  complete(threw);  // *this may be gone.
}

void BlockingJob::discard() noexcept {
  drop_closure();
  table_.destroy(this);
}

void BlockingJob::end(bool threw) noexcept {
  // Relaxed: never the last share, and complete() publishes all that was done here.
  shares_.fetch_sub(1, std::memory_order_relaxed);
  finish(threw);  // *this may be gone.
}

bool BlockingJob::begin_here() noexcept {
  if (!leave_queued(Phase::kStarted)) return false;
  has_closure_ = false;
  return true;
}

void BlockingJob::end_here(bool threw) noexcept { finish(threw); }

void BlockingJob::drop_closure() noexcept {
  if (std::exchange(has_closure_, false)) table_.drop_closure(this);
}

bool BlockingJob::cancel() noexcept {
  if (!leave_queued(Phase::kCancelled)) return false;
  drop_closure();
  complete(false);  // The caller's share keeps *this.
  return true;
}

void BlockingJob::drop_result() noexcept {
  Phase expected = Phase::kStarted;
  if (!phase_.compare_exchange_strong(expected, Phase::kUnwanted, std::memory_order_release,
                                      std::memory_order_relaxed)) {  // [UNWANTED]
    return;
  }
  if (const CancellationSource* const stop = source()) stop->cancel();
}

void BlockingJob::abort() noexcept {
  if (!cancel()) drop_result();
}

void BlockingJob::fail(std::exception_ptr exception) noexcept {
  if (begin() != Met::kBegun) return;  // *this may be gone.
  table_.drop_closure(this);
  table_.store_exception(this, std::move(exception));
  end(true);  // *this may be gone.
}

void BlockingJob::release(JoinState* state) noexcept {
  auto* const job = static_cast<BlockingJob*>(state);
  // Of a job that was cancelled by the abort of the task that awaited it. By [JOIN] nobody else touches it.
  job->drop_closure();
  job->unref();  // *job may be gone.
}

CancelOutcome BlockingJob::cancel_join(JoinState* state, std::uintptr_t joiner) noexcept {
  auto* const job = static_cast<BlockingJob*>(state);
  if (!job->mandatory() && job->leave_queued(Phase::kCancelled)) {
    // Nobody but this thread completes it, so nobody has taken the joiner.
    const bool unlinked = job->clear_joiner(joiner);
    SKUA_CHECK(unlinked);
    job->complete(false);  // The handle's share keeps *job.
    return CancelOutcome::kUnlinked;
  }
  if (job->traits_.abandoned) {
    return job->clear_joiner(joiner) ? CancelOutcome::kUnlinked : CancelOutcome::kPending;
  }
  // The joiner is woken when the job has ended, and destroyed then: until then *job stays.
  if (job->cancel_joiner(joiner)) job->drop_result();
  return CancelOutcome::kPending;
}

Level inherited_level(const WorkerCore* worker) noexcept {
  return worker != nullptr ? worker->own_level : this_context().spawn_level;
}

}  // namespace skua::internal
