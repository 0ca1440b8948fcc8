// SPDX-License-Identifier: Apache-2.0
//
// when_any: the first of several tasks to end.
//
//   auto won = co_await skua::when_any(read(&stream), stopped(token));   // std::variant<Bytes, std::monostate>
//   if (won.index() == 0) use(std::get<0>(won));
//
// The tasks run as children: spawned, and all but the first to end aborted and awaited. So nothing of them is left when
// the when_any has ended, and they may refer to what lives in the awaiting frame.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "skua/internal/check.h"
#include "skua/internal/child_group.h"
#include "skua/join.h"
#include "skua/join_handle.h"
#include "skua/task.h"

namespace skua {

// What a when_any over a vector gives.
template <typename T>
struct AnyResult {
  AnyResult(std::size_t i, internal::ValueOrMonostate<T> v) : index(i), value(std::move(v)) {}
  std::size_t index;  // Of the first to end.
  internal::ValueOrMonostate<T> value;
};

namespace internal {

// The result of the winner, in its place in a variant.
template <typename Variant, typename... Ts, std::size_t... kI>
Variant take_winner(FixedChild* children, std::size_t winner, std::index_sequence<kI...>) {
  using Take = Variant (*)(ChildNode&);
  static constexpr Take kTakes[] = {[](ChildNode& node) {
    ResultSlot<Ts>& slot = node.slot<Ts>();
    if (slot.empty()) throw TaskCancelled();  // By a shutdown: by nobody else.
    return Variant(std::in_place_index<kI>, take_value(slot));
  }...};
  return kTakes[winner](children[winner].node);
}

template <typename... Ts>
Task<std::variant<ValueOrMonostate<Ts>...>> run_any(Task<Ts>... tasks) {
  using Variant = std::variant<ValueOrMonostate<Ts>...>;
  TaskHeader& root = co_await CurrentRoot();
  std::array<FixedChild, sizeof...(Ts)> children;
  ChildGroup group(ChildGroup::Kind::kFixed);
  std::size_t next = 0;
  (group.start(children[next++], std::move(tasks), ChildOrigin::of(root)), ...);
  co_await GroupWait(group, sizeof...(Ts) - 1);
  const ChildNode* const first = group.first_finished();
  group.close();
  co_await GroupWait(group, 0);
  std::size_t winner = 0;
  while (&children[winner].node != first) ++winner;
  co_return take_winner<Variant, Ts...>(children.data(), winner, std::index_sequence_for<Ts...>());
}

template <typename T>
Task<AnyResult<T>> run_any_of(std::vector<Task<T>> tasks) {
  TaskHeader& root = co_await CurrentRoot();
  const std::size_t size = tasks.size();
  const std::unique_ptr<FixedChild[]> children = std::make_unique<FixedChild[]>(size);
  ChildGroup group(ChildGroup::Kind::kFixed);
  for (std::size_t i = 0; i < size; ++i) {
    group.start(children[i], std::move(tasks[i]), ChildOrigin::of(root));
  }
  co_await GroupWait(group, static_cast<std::uint32_t>(size - 1));
  const ChildNode* const first = group.first_finished();
  group.close();
  co_await GroupWait(group, 0);
  std::size_t winner = 0;
  while (&children[winner].node != first) ++winner;
  ResultSlot<T>& slot = children[winner].node.template slot<T>();
  if (slot.empty()) throw TaskCancelled();  // By a shutdown: by nobody else.
  co_return AnyResult<T>(winner, take_value(slot));
}

}  // namespace internal

// Runs the tasks in parallel until the first of them ends, in whatever way; aborts the others, and waits until they are
// gone, their destructors included. Which of several that are ready at once is the first is not specified.
//
// Returns: a variant in the order of the tasks, whose index says who was the first; std::monostate for void. Of equal
//   types too: std::get<1>(result).
// Errors: if the first to end threw, that is rethrown when the others are gone: an exception is an end like any other.
//   What the others return or throw is dropped. std::bad_alloc. TaskCancelled if the runtime shuts down.
// Cancellation: an abort is passed on to the tasks; when all have ended the waiting task does. The result is lost. What
//   a loser had received, and not handed on, is lost with it: a task that loses should do nothing by halves, so keep
//   what it takes where the caller can find it.
// Threads: the tasks run on any worker.
// Memory ordering: all that the tasks did happens before the await's end.
template <typename... Ts>
  requires(sizeof...(Ts) > 0)
Task<std::variant<internal::ValueOrMonostate<Ts>...>> when_any(Task<Ts>... tasks) {
  SKUA_REQUIRE((static_cast<bool>(tasks) && ...));
  return internal::run_any<Ts...>(std::move(tasks)...);
}

// The same for any number of tasks of one type, but 0.
// Returns: the index of the first to end in `tasks`, and what it returned.
template <typename T>
Task<AnyResult<T>> when_any(std::vector<Task<T>> tasks) {
  SKUA_REQUIRE(!tasks.empty(), "a when_any of nothing would never end");
  for (const Task<T>& task : tasks) SKUA_REQUIRE(static_cast<bool>(task));
  return internal::run_any_of<T>(std::move(tasks));
}

}  // namespace skua
