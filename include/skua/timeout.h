// SPDX-License-Identifier: Apache-2.0
//
// Limits of time for a task and all it does.
//
//   absl::StatusOr<Reply> reply = co_await skua::timeout(std::chrono::seconds(1), ask(server));
//   if (absl::IsDeadlineExceeded(reply.status())) ...
//
// The task runs as a child: spawned, and aborted and awaited if it is late. So nothing of it is left when the timeout
// has ended, and it may refer to what lives in the awaiting frame.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/child_group.h"
#include "skua/internal/io_source.h"
#include "skua/internal/timer.h"
#include "skua/join_handle.h"
#include "skua/task.h"

namespace skua {
namespace internal {

// What a timeout gives for a Task<T>. A StatusOr can hold neither void, nor a reference, nor a Status.
template <typename T>
struct TimedResult {
  using Type = absl::StatusOr<T>;
};
template <>
struct TimedResult<void> {
  using Type = absl::Status;
};
template <>
struct TimedResult<absl::Status> {
  using Type = absl::Status;
};
template <typename T>
struct TimedResult<T&> {
  using Type = absl::StatusOr<std::reference_wrapper<T>>;
};

// Waits for the one child of a group, or for a deadline. Structured.
class [[nodiscard("co_await it")]] DeadlineWait final : public GroupWait {
 public:
  DeadlineWait(ChildGroup& group, std::int64_t deadline_ns) noexcept
      : GroupWait(group, 0, nullptr, &revoke_timer), timer_(deadline_ns) {}

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return suspend_until(awaiting, awaiting.promise().task);  // *this may be gone.
  }
  // True: the deadline has come, and the child has not ended. An abort that meets the timer as it fires has taken the
  // wait out of its group already, so only the child tells.
  bool await_resume() noexcept { return leave() > 0; }

 private:
  bool suspend_until(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  static bool revoke_timer(GroupWait* wait) noexcept;

  TimerQueue* queue_ = nullptr;  // nullptr: there is no deadline.
  TimerNode timer_;
};

// `deadline_ns`, or that of the task `root` if it is earlier.
inline std::int64_t earlier_deadline(const TaskHeader& root, std::int64_t deadline_ns) noexcept {
  if (!root.has_deadline) return deadline_ns;
  return std::min(deadline_ns, static_cast<const SpawnedTask&>(root).extras->deadline_ns);
}
bool deadline_has_passed(std::int64_t deadline_ns) noexcept;
absl::Status deadline_exceeded();

template <typename T>
Task<typename TimedResult<T>::Type> run_until(std::int64_t deadline_ns, Task<T> task) {
  using Result = typename TimedResult<T>::Type;
  TaskHeader& root = co_await CurrentRoot();
  const std::int64_t earliest_ns = earlier_deadline(root, deadline_ns);
  if (deadline_has_passed(earliest_ns)) {
    co_await BudgetAwaiter();  // Else a loop that tries again would never see its own end.
    co_return Result(deadline_exceeded());
  }
  FixedChild child;
  ChildGroup group(ChildGroup::Kind::kFixed);
  group.start(child, std::move(task), ChildOrigin::of(root), earliest_ns);
  const bool late = co_await DeadlineWait(group, earliest_ns);
  if (late) {
    group.close();
    co_await GroupWait(group, 0);
  }
  ResultSlot<T>& slot = child.node.slot<T>();
  if (slot.empty()) {
    if (!late) throw TaskCancelled();  // By a shutdown: by nobody else.
    co_return Result(deadline_exceeded());
  }
  if constexpr (std::is_void_v<T>) {
    slot.take();
    co_return absl::OkStatus();
  } else if constexpr (std::is_same_v<T, absl::Status>) {
    co_return slot.take();
  } else if constexpr (std::is_reference_v<T>) {
    co_return Result(std::ref(slot.take()));
  } else {
    co_return Result(absl::in_place, slot.take());
  }
}

}  // namespace internal

// Runs `task`, which has until `deadline`: what is late is aborted, and awaited until it is gone, its destructors
// included.
//
// The deadline is inherited by all that `task` starts: its forks and the children of its scopes end with it, and in a
// task that it spawns, this_task::deadline() and the deadlines of timeout() and with_deadline() are that one, or an
// earlier one of their own. But what is spawned and detached is aborted by nobody.
//
// Returns: what `task` returns, as absl::StatusOr<T>; as absl::Status for a Task<> and a Task<absl::Status>; as
//   absl::StatusOr<std::reference_wrapper<T>> for a Task<T&>. A result that was there when the deadline came is given.
// Errors: kDeadlineExceeded - there was no result in time. If the deadline has passed already, `task` is destroyed
//   without having run. Rethrows what `task` throws. std::bad_alloc. TaskCancelled if the runtime shuts down.
// Cancellation: an abort is passed on to `task`; when that has ended the waiting task does. Its result is lost.
// Clock, resolution: as sleep_for(). What does not suspend is not interrupted: it can be as late as it likes.
// Threads: `task` runs on any worker.
// Memory ordering: all that `task` did happens before the await's end.
template <typename T>
Task<typename internal::TimedResult<T>::Type> with_deadline(
    std::chrono::steady_clock::time_point deadline, Task<T> task) {
  using std::chrono::nanoseconds;
  SKUA_REQUIRE(static_cast<bool>(task));
  return internal::run_until<T>(
      std::chrono::duration_cast<nanoseconds>(deadline.time_since_epoch()).count(),
      std::move(task));
}

// As with_deadline(), with `duration` from this call on.
template <typename Rep, typename Period, typename T>
Task<typename internal::TimedResult<T>::Type> timeout(std::chrono::duration<Rep, Period> duration,
                                                      Task<T> task) {
  SKUA_REQUIRE(static_cast<bool>(task));
  return internal::run_until<T>(internal::deadline_after_ns(internal::saturated_ns(duration)),
                                std::move(task));
}

}  // namespace skua
