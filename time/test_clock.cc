// SPDX-License-Identifier: Apache-2.0
#include "skua/test_clock.h"

#include <string>

#include "time/runtime_clock.h"
#include "time/timer_queue.h"

namespace skua {
namespace internal {
namespace {

RuntimeClock& require_clock(const char* operation) noexcept {
  TimerQueue* const queue = current_timer_queue();
  if (SKUA_UNLIKELY(queue == nullptr || queue->clock() == nullptr)) {
    fatal(std::string("skua::test_clock::") + operation +
          " was called outside a runtime: call it in a task, or give it the runtime");
  }
  return *queue->clock();
}

}  // namespace

bool AdvanceAwaiter::suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  clock_ = &require_clock("advance");
  waiting->prepare_suspend(awaiting, this);
  node_.task = waiting;
  clock_->add(&node_);
  return waiting->commit_suspend();  // *this may be gone.
}

CancelOutcome AdvanceAwaiter::cancel_advance(Waiter* waiter) noexcept {
  auto* const self = static_cast<AdvanceAwaiter*>(waiter);
  return self->clock_->remove(&self->node_) ? CancelOutcome::kUnlinked : CancelOutcome::kPending;
}

Task<> pause_test_clock(AutoAdvance auto_advance) {
  test_clock::pause(auto_advance);
  co_return;
}

Task<> advance_test_clock(std::int64_t duration_ns) { co_await AdvanceAwaiter(duration_ns); }

Task<> resume_test_clock() {
  test_clock::resume();
  co_return;
}

}  // namespace internal

namespace test_clock {

void pause(AutoAdvance auto_advance) noexcept {
  internal::require_clock("pause").pause(auto_advance);
}

void resume() noexcept { internal::require_clock("resume").resume(); }

}  // namespace test_clock
}  // namespace skua
