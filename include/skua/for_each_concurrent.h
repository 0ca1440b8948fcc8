// SPDX-License-Identifier: Apache-2.0
//
// for_each_concurrent: a task for each element of a range, a limited number of them at a time.
//
//   co_await skua::for_each_concurrent(urls, 8, [&](const std::string& url) { return fetch(url, &cache); });
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/child_group.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"
#include "skua/task.h"

namespace skua {
namespace internal {

template <typename F, typename Range>
concept ForEachFunction =
    std::ranges::input_range<Range> && std::invocable<F&, std::ranges::range_reference_t<Range>> &&
    std::same_as<std::invoke_result_t<F&, std::ranges::range_reference_t<Range>>, Task<>>;

// A suspension for a task that was aborted to end at, where it has nothing to wait for.
class [[nodiscard("co_await it")]] AbortPoint final : public Waiter {
 public:
  AbortPoint() noexcept : Waiter(&unlink) {}
  AbortPoint(const AbortPoint&) = delete;
  AbortPoint& operator=(const AbortPoint&) = delete;

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const task = awaiting.promise().task;
    task->prepare_suspend(awaiting, this);
    return task->commit_suspend();  // *this may be gone.
  }
  void await_resume() const noexcept {}

 private:
  static CancelOutcome unlink(Waiter*) noexcept { return CancelOutcome::kUnlinked; }
};

template <typename View, typename F>
Task<> run_for_each(View range, std::uint32_t limit, F make) {
  TaskHeader& root = co_await CurrentRoot();
  ChildGroup group(ChildGroup::Kind::kNursery);
  std::exception_ptr
      failure;  // Of the range, or of make(): no await is allowed where it is caught.
  std::optional<std::ranges::iterator_t<View>> at;
  bool more = true;
  bool cut_short = false;
  while (more) {
    try {
      if (at) {
        ++*at;
      } else {
        at.emplace(std::ranges::begin(range));
      }
      more = *at != std::ranges::end(range);
      if (more) {
        group.start(std::invoke(make, **at), ChildOrigin::of(root), {});
      }
    } catch (...) {
      failure = std::current_exception();
      more = false;
    }
    if (more) {
      co_await GroupWait(group, limit - 1);
      cut_short = root.abort_requested();
      more = !group.closed() && !cut_short;
    }
  }
  if (failure != nullptr) group.close();
  co_await GroupWait(group, 0);
  // All that had begun may have ended, so that nothing has suspended the task: who awaits this must not take it for
  // done.
  if (cut_short) co_await AbortPoint();
  if (failure != nullptr) std::rethrow_exception(failure);
  group.rethrow();
}

}  // namespace internal

// Calls `make(element)`, which gives a Task<>, for each element of `range` in turn, and runs the tasks in parallel, at
// most `limit` of them at a time. The range is walked as places become free, by the task that awaits this: it may be
// infinite, or read what the tasks before have produced. `make` and a range that is passed as an rvalue live until the
// end, so `make` may be a coroutine with captures; a range that is passed as an lvalue must live as long.
//
// Errors: the first exception, of a task, of `make` or of the range, aborts the tasks that run, and is rethrown when
//   they are gone; no further element is looked at. std::bad_alloc. TaskCancelled if the runtime shuts down.
// Cancellation: an abort is passed on to the tasks that run; when they have ended the waiting task does. The elements
//   that were not reached are left where they are.
// Threads: the range is walked, and `make` called, by the awaiting task; the tasks run on any worker.
// Memory ordering: all that the tasks did happens before the await's end.
// Requires: limit > 0.
template <std::ranges::viewable_range Range, typename F>
  requires internal::ForEachFunction<F, std::views::all_t<Range>>
Task<> for_each_concurrent(Range&& range, std::size_t limit, F make) {
  SKUA_REQUIRE(limit > 0);
  constexpr std::size_t kMost = std::numeric_limits<std::int32_t>::max();
  return internal::run_for_each<std::views::all_t<Range>, F>(
      std::views::all(std::forward<Range>(range)),
      static_cast<std::uint32_t>(limit < kMost ? limit : kMost), std::move(make));
}

}  // namespace skua
