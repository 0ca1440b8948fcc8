// SPDX-License-Identifier: Apache-2.0
//
// Scope: tasks that end before the scope does.
//
//   std::vector<Page> pages(urls.size());
//   co_await skua::Scope::run([&](skua::Scope& scope) -> skua::Task<> {
//     for (std::size_t i = 0; i < urls.size(); ++i) scope.spawn(fetch(&urls[i], &pages[i]));
//     co_return;
//   });                                                    // All pages are there, or an exception comes from here.
//
// So what is spawned in a scope may refer to whatever lives as long as the awaiting of it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/child_group.h"
#include "skua/internal/task_factory.h"
#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"

namespace skua {

class Scope;

namespace internal {

template <typename F>
using ScopeTask = std::remove_cvref_t<std::invoke_result_t<F&, Scope&>>;
template <typename F>
concept ScopeBody = std::invocable<F&, Scope&> && requires {
  typename ScopeTask<F>::value_type;
  requires std::same_as<std::invoke_result_t<F&, Scope&>, Task<typename ScopeTask<F>::value_type>>;
};
template <ScopeBody F>
using ScopeResult = typename ScopeTask<F>::value_type;

}  // namespace internal

// Threads: spawn() may be called by any thread, as long as the body or a child of the scope runs and knows of it.
class Scope {
 public:
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Runs `body(scope)`, a Task, as the first child, and waits until it and all that was spawned in the scope have
  // ended. `body` lives until then, so it may be a coroutine with captures.
  //
  // Returns: what the body returns.
  // Errors: the first exception, of the body or of a child, aborts all others, and is rethrown when they are gone,
  //   their destructors included; what else is thrown then is dropped. std::bad_alloc. TaskCancelled if the runtime
  //   shuts down.
  // Cancellation: an abort is passed on to the body and the children; when all have ended the waiting task does. The
  //   result is lost.
  // Memory ordering: all that the body and the children did happens before the await's end.
  // Beware: GCC 12 destroys twice what a capturing lambda holds, if it is a temporary in a co_await expression.
  //   Captures by reference are safe; for others, name the lambda, or make the Task in its own statement.
  template <internal::ScopeBody F>
  static Task<internal::ScopeResult<F>> run(F body) {
    internal::TaskHeader& root = co_await internal::CurrentRoot();
    internal::FixedChild child;
    Scope scope(root);
    scope.group_.start(child, body(scope), scope.origin());
    co_await internal::GroupWait(scope.group_, 0);
    scope.group_.rethrow();
    co_return child.node.template slot<internal::ScopeResult<F>>().take();
  }

  // Starts a child. It inherits the scope's deadline and worker (spawn_local()), and its priority if options say none.
  // In a scope that is being cancelled nothing starts any more: `task` is destroyed.
  //
  // Errors: std::bad_alloc. What the task throws goes to run().
  // Cancellation: with the scope.
  void spawn(Task<> task, SpawnOptions options = {}) {
    SKUA_REQUIRE(static_cast<bool>(task));
    group_.start(std::move(task), origin(options.priority), options.name);
  }
  // The same for a function that gives the Task: it is called by the child, and lives as long as that, so it may be a
  // coroutine with captures.
  template <internal::TaskFactory F>
    requires std::is_void_v<internal::FactoryResult<F>>
  void spawn(F make, SpawnOptions options = {}) {
    spawn(internal::run_factory(std::move(make)), options);
  }

  // True once the scope is being cancelled: by an exception, or since the task that awaits it was aborted.
  //
  // Threads: as spawn().
  bool is_cancelled() noexcept { return group_.closed(); }

 private:
  explicit Scope(internal::TaskHeader& root) noexcept
      : root_(root), group_(internal::ChildGroup::Kind::kNursery) {}

  internal::ChildOrigin origin(std::optional<Priority> priority = std::nullopt) const noexcept {
    internal::ChildOrigin origin = internal::ChildOrigin::of(root_);
    if (priority) origin.level = static_cast<internal::Level>(*priority);
    return origin;
  }

  internal::TaskHeader& root_;
  internal::ChildGroup group_;
};

}  // namespace skua
