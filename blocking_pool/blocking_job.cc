// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/blocking_job.h"

#include <utility>

namespace skua::internal {

bool BlockingJob::leave_queued(Phase phase) noexcept {
  Phase expected = Phase::kQueued;
  // Relaxed: it only picks the winner. The closure came to both parties by other ways (the queue,
  // the handle), and what the winner leaves behind is published by [JOIN] and [SHARE].
  return phase_.compare_exchange_strong(expected, phase, std::memory_order_relaxed,
                                        std::memory_order_relaxed);
}

void BlockingJob::end(bool threw) noexcept {
  // Relaxed: never the last share, and complete() publishes all that was done here.
  shares_.fetch_sub(1, std::memory_order_relaxed);
  complete(threw);  // *this may be gone.
}

void BlockingJob::run_or_skip(std::atomic<std::uint64_t>& runs) noexcept {
  if (!leave_queued(Phase::kStarted)) {
    unref();  // *this may be gone.
    return;
  }
  runs.fetch_add(1, std::memory_order_relaxed);  // Relaxed: whoever joins sees it by [JOIN].
  end(invoke_(this));                            // *this may be gone.
}

bool BlockingJob::cancel() noexcept {
  if (!leave_queued(Phase::kCancelled)) return false;
  drop_closure_(this);
  complete(false);  // The caller's share keeps *this.
  return true;
}

void BlockingJob::fail(std::exception_ptr exception) noexcept {
  if (!leave_queued(Phase::kStarted)) {
    unref();  // *this may be gone.
    return;
  }
  drop_closure_(this);
  store_exception_(this, std::move(exception));
  end(true);  // *this may be gone.
}

}  // namespace skua::internal
