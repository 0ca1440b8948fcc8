// SPDX-License-Identifier: Apache-2.0
#include "time/timer_queue.h"

#include "skua/internal/atomic.h"
#include "skua/internal/check.h"
#include "task/wake_batch.h"
#include "time/clock.h"
#include "time/runtime_clock.h"

namespace skua::internal {
namespace {

thread_local constinit TimerQueue* this_thread_queue = nullptr;

TimerQueue& require_timer_queue() noexcept {
  TimerQueue* const queue = current_timer_queue();
  if (SKUA_UNLIKELY(queue == nullptr)) {
    fatal("skua::sleep_for or sleep_until was awaited outside a runtime: await it in a task");
  }
  return *queue;
}

}  // namespace

SKUA_NOINLINE TimerQueue* current_timer_queue() noexcept {
  asm volatile("");  // Else the compiler proves the function pure and merges two calls.
  return this_thread_queue;
}

SKUA_NOINLINE void set_current_timer_queue(TimerQueue* queue) noexcept {
  asm volatile("");
  this_thread_queue = queue;
}

// --- TimerQueue -------------------------------------------------------------------------------

TimerQueue::~TimerQueue() {
  MutexLock lock(&mu_);
  SKUA_CHECK(wheel_.size() == 0, wheel_.size());
}

std::int64_t TimerQueue::now_ns() const noexcept {
  const std::int64_t steady_ns = internal::now_ns();
  return clock_ == nullptr ? steady_ns : clock_->at(steady_ns);
}

void TimerQueue::add(TimerNode* node) noexcept {
  std::int64_t next_ns;
  bool earlier;
  {
    MutexLock lock(&mu_);
    wheel_.insert(node);
    next_ns = wheel_.next_deadline_ns();
    // Relaxed: stored under mu_ only.
    earlier = next_ns < next_deadline_ns_.load(std::memory_order_relaxed);
    next_deadline_ns_.store(next_ns, std::memory_order_release);  // [EARLIER]
  }
  // The node may be firing already.
  if (!earlier || on_earlier_ == nullptr) return;
  full_barrier();  // [EARLIER]
  on_earlier_(on_earlier_arg_, next_ns);
}

bool TimerQueue::remove(TimerNode* node) noexcept {
  MutexLock lock(&mu_);
  if (node->state != TimerNode::State::kLinked) return false;
  wheel_.remove(node);
  next_deadline_ns_.store(wheel_.next_deadline_ns(), std::memory_order_release);
  return true;
}

std::size_t TimerQueue::fire(std::int64_t now_ns) noexcept {
  // A deadline that is added just now is left to the thread that adds it, see [EARLIER].
  if (next_deadline_ns() > now_ns) return 0;
  TimerList due;
  std::size_t count;
  {
    MutexLock lock(&mu_);
    count = wheel_.expire(now_ns, due);  // [TIMER]
    next_deadline_ns_.store(wheel_.next_deadline_ns(), std::memory_order_release);
  }
  // Popped first: once its task is woken, a node may be gone.
  WakeBatch woken;
  while (TimerNode* const node = due.pop_front()) woken.add(node->waiting_task());
  woken.flush();
  return count;
}

// --- SleepAwaiter -----------------------------------------------------------------------------

std::int64_t runtime_now_ns() noexcept {
  const TimerQueue* const queue = current_timer_queue();
  return queue == nullptr ? now_ns() : queue->now_ns();
}

std::int64_t deadline_after_ns(std::int64_t delay_ns) noexcept {
  std::int64_t deadline_ns;
  if (__builtin_add_overflow(runtime_now_ns(), delay_ns, &deadline_ns)) return kNeverNs;
  return deadline_ns;
}

bool SleepAwaiter::suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  queue_ = &require_timer_queue();
  if (node_.deadline_ns <= queue_->now_ns()) return waiting->spend_budget(awaiting, this);
  waiting->prepare_suspend(awaiting, this);
  node_.task = waiting;
  queue_->add(&node_);
  return waiting->commit_suspend();  // *this may be gone.
}

bool SleepAwaiter::select_take(TaskHeader*) noexcept {
  queue_ = &require_timer_queue();
  return node_.deadline_ns <= queue_->now_ns();
}

bool SleepAwaiter::select_arm(SelectBranch* branch) noexcept {
  node_.branch = branch;
  node_.in_select = true;
  queue_->add(&node_);
  return false;
}

// Under the queue's lock: a waker that was too late has left it there.
void SleepAwaiter::select_disarm(SelectBranch*) noexcept {
  static_cast<void>(queue_->remove(&node_));
}

CancelOutcome SleepAwaiter::cancel_sleep(Waiter* waiter) noexcept {
  auto* const self = static_cast<SleepAwaiter*>(waiter);
  return self->queue_->remove(&self->node_) ? CancelOutcome::kUnlinked : CancelOutcome::kPending;
}

}  // namespace skua::internal
