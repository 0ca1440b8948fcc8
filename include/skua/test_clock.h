// SPDX-License-Identifier: Apache-2.0
//
// Virtual time, for tests: hours of sleeping go by in no time, and always in the same order.
//
//   skua::Task<> test() {
//     skua::test_clock::pause();
//     auto job = skua::spawn(retry_every(10min));
//     co_await skua::test_clock::advance(1h);        // All that is due within the hour has been done now.
//     ...
//     skua::test_clock::resume();
//   }
//
// It is the time of one runtime, of any flavor: of sleep_for(), sleep_until(), Interval, timeouts, deadlines and
// skua::now(), for all its tasks. std::chrono::steady_clock, what blocks a thread and what the kernel waits for go on
// in real time.
//
// While the clock is paused it moves in two ways. Both wait until nothing is runnable, so a task that polls in a loop
// of yield_now() holds the time up.
//
//   by itself      When all tasks wait, it jumps to the next deadline: a test of sleeps alone needs no advance(). Not
//                  while a blocking job, a block_in_place() or an operation on a file is under way, for these take
//                  real time. A socket that nobody writes to does not hold it up; what has come for one is read before
//                  time goes on (with SocketEngine::kCompletion and several workers not always: the kernel may not be
//                  done with it). Unless pause() was told otherwise.
//   by advance()   Deadline by deadline, each when all that came of the one before has come to rest; and it returns
//                  then. It waits for tasks alone.
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>

#include "skua/internal/check.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"
#include "skua/internal/timer.h"
#include "skua/task.h"

namespace skua {

class Runtime;

// Whether a paused clock jumps to the next deadline when nothing is runnable.
enum class AutoAdvance : std::uint8_t { kYes, kNo };

namespace internal {

class RuntimeClock;

// One advance() in the list of its clock.
struct AdvanceNode {
  explicit AdvanceNode(std::int64_t duration) noexcept : duration_ns(duration) {}
  AdvanceNode(const AdvanceNode&) = delete;
  AdvanceNode& operator=(const AdvanceNode&) = delete;

  const std::int64_t duration_ns;
  // Guarded by the clock's lock.
  std::int64_t target_ns = 0;
  AdvanceNode* next = nullptr;
  TaskHeader* task = nullptr;  // Constant while it is in the list.
};

// Returned by advance(). Lives in the awaiting frame.
class [[nodiscard("co_await it; the clock does not move otherwise")]] AdvanceAwaiter final
    : public Waiter {
 public:
  explicit AdvanceAwaiter(std::int64_t duration_ns) noexcept
      : Waiter(&cancel_advance), node_(duration_ns) {}

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return suspend(awaiting, awaiting.promise().task);  // *this may be gone.
  }
  void await_resume() const noexcept {}

 private:
  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  static CancelOutcome cancel_advance(Waiter* waiter) noexcept;

  RuntimeClock* clock_ = nullptr;  // Constant after suspend().
  AdvanceNode node_;
};

Task<> pause_test_clock(AutoAdvance auto_advance);
Task<> advance_test_clock(std::int64_t duration_ns);
Task<> resume_test_clock();

}  // namespace internal

namespace test_clock {

// Stops the clock of the runtime that the calling task runs on, at the next whole millisecond.
//
// Requires: in a task; not paused.
void pause(AutoAdvance auto_advance = AutoAdvance::kYes) noexcept;

// Moves the paused clock on by `duration`, and returns, on co_await, when all tasks that were woken meanwhile, or were
// runnable before, have come to rest. What becomes due fires in the order of the deadlines, also what a woken task
// begins to wait for. Zero only lets the others run.
//
// Several tasks may wait in it at a time: each returns at its own time.
// Cancellation: safe; the clock stays where it is then.
// Requires: in a task; paused, until it returns; duration >= 0, and no more than the clock can show (292 years).
template <typename Rep, typename Period>
internal::AdvanceAwaiter advance(std::chrono::duration<Rep, Period> duration) {
  SKUA_REQUIRE(duration.count() >= Rep{}, "test_clock::advance: time does not go back");
  return internal::AdvanceAwaiter(internal::saturated_ns(duration));
}

// Lets the clock go on from where it is, at the pace of the steady clock. It stays ahead of, or behind that one.
//
// Requires: in a task; paused; no task waits in advance().
void resume() noexcept;

// The same from a plain thread, which waits for the end of it: a task in `runtime` does it. Between two of these calls
// the runtime may come to rest and the clock jump, unless it was paused with AutoAdvance::kNo.
//
// Threads: any that may call runtime.block_on().
template <std::same_as<Runtime> R>
void pause(R& runtime, AutoAdvance auto_advance = AutoAdvance::kYes) {
  runtime.block_on(internal::pause_test_clock(auto_advance));
}
template <std::same_as<Runtime> R, typename Rep, typename Period>
void advance(R& runtime, std::chrono::duration<Rep, Period> duration) {
  SKUA_REQUIRE(duration.count() >= Rep{}, "test_clock::advance: time does not go back");
  runtime.block_on(internal::advance_test_clock(internal::saturated_ns(duration)));
}
template <std::same_as<Runtime> R>
void resume(R& runtime) {
  runtime.block_on(internal::resume_test_clock());
}

}  // namespace test_clock
}  // namespace skua
