// SPDX-License-Identifier: Apache-2.0
//
// What a task that waits for a point in time keeps in its frame. The queue it stands in, and the
// protocol between the sleeper, the thread that fires and the one that aborts: time/timer_queue.h.
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <limits>

#include "skua/internal/config.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/selection.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

class TimerQueue;

// Times are ns of the runtime's clock: CLOCK_MONOTONIC, unless a test has paused it. Such a deadline never comes.
inline constexpr std::int64_t kNeverNs = std::numeric_limits<std::int64_t>::max();

// A task's place in a TimerQueue. It stays where it is while linked or firing.
struct TimerNode {
  enum class State : std::uint8_t {
    kIdle,    // In no queue: never added, or removed.
    kLinked,  // In the wheel.
    kFiring,  // Taken out because it was due: its task is being woken, or was.
  };

  explicit TimerNode(std::int64_t deadline) noexcept : deadline_ns(deadline) {}
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;

  // Constant while linked or firing.
  std::int64_t deadline_ns;
  // Woken when the deadline has come: the branch's if it is one of a select.
  union {
    TaskHeader* task = nullptr;
    SelectBranch* branch;
  };

  // Guarded by the queue's lock; `next` belongs to the firing thread once the node is kFiring.
  TimerNode* prev = nullptr;
  TimerNode* next = nullptr;
  std::uint16_t slot = 0;  // The wheel's.
  State state = State::kIdle;
  bool in_select = false;  // Constant while linked or firing.

  // Before it is fired. False: it is a branch of a select that is decided. Under the queue's lock.
  [[nodiscard]] bool claim() noexcept { return SKUA_LIKELY(!in_select) || branch->claim(); }
  TaskHeader* waiting_task() const noexcept {
    return SKUA_LIKELY(!in_select) ? task : branch->selection->task;
  }
};

// The time of the runtime whose task this thread runs: what deadlines are compared with. On other threads the steady
// clock's.
std::int64_t runtime_now_ns() noexcept;
// `delay_ns` from now on; kNeverNs if that is out of range. Any thread, as above.
std::int64_t deadline_after_ns(std::int64_t delay_ns) noexcept;

inline std::int64_t time_ns(std::chrono::steady_clock::time_point time) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

// In ns, rounded up. What is too long becomes kNeverNs, what is negative (or NaN) becomes 0.
template <typename Rep, typename Period>
constexpr std::int64_t saturated_ns(std::chrono::duration<Rep, Period> duration) {
  // 64 bits of mantissa or more: exact for all whole numbers of ns that an int64 can hold.
  const long double ns = std::chrono::duration<long double, std::nano>(duration).count();
  if (!(ns > 0)) return 0;
  if (ns >= 0x1p63L) return kNeverNs;
  const auto whole = static_cast<std::int64_t>(ns);
  return static_cast<long double>(whole) < ns ? whole + 1 : whole;
}

// Returned by sleep_for() and sleep_until(). Lives in the awaiting frame.
class [[nodiscard("co_await it; nothing sleeps otherwise")]] SleepAwaiter final : public Waiter {
 public:
  explicit SleepAwaiter(std::int64_t deadline_ns) noexcept
      : Waiter(&cancel_sleep), node_(deadline_ns) {}
  SleepAwaiter(const SleepAwaiter&) = delete;
  SleepAwaiter& operator=(const SleepAwaiter&) = delete;

  bool await_ready() const noexcept {
    return false;
  }  // A deadline that has passed takes a unit of the budget, too.

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return suspend(awaiting, awaiting.promise().task);  // *this may be gone.
  }

  void await_resume() const noexcept {}

  // Of a select.
  bool select_take(TaskHeader* task) noexcept;
  bool select_arm(SelectBranch* branch) noexcept;
  void select_disarm(SelectBranch* branch) noexcept;

 private:
  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  static CancelOutcome cancel_sleep(Waiter* waiter) noexcept;

  TimerQueue* queue_ = nullptr;  // Constant after suspend().
  TimerNode node_;
};

}  // namespace skua::internal
