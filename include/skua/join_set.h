// SPDX-License-Identifier: Apache-2.0
//
// JoinSet: any number of tasks, whose results come in the order in which they end.
//
//   skua::JoinSet<Page> pages;
//   for (const std::string& url : urls) pages.spawn(fetch(url));
//   while (true) {
//     std::optional<skua::JoinResult<Page>> page = co_await pages.join_next();
//     if (!page) break;
//     if (page->ok()) show(page->value());
//   }
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/child_group.h"
#include "skua/internal/task_factory.h"
#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"

namespace skua {

template <typename T = void>
class JoinSet;

namespace internal {

// Returned by JoinSet::join_next(). Lives in the awaiting frame.
template <typename T>
class [[nodiscard("co_await it")]] JoinNextAwaiter final : public GroupWait {
 public:
  explicit JoinNextAwaiter(JoinSet<T>& set) noexcept
      : GroupWait(set.group(), 0, &cancel_unlinking, nullptr), set_(set) {}

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return suspend_or_spend(awaiting, awaiting.promise().task);  // *this may be gone.
  }
  std::optional<JoinResult<T>> await_resume() { return set_.try_join_next(); }

 private:
  JoinSet<T>& set_;
};

}  // namespace internal

// Dropping a set aborts the tasks in it and does not wait for them: they end soon after, but may still run meanwhile,
// so they must own what they use. What must have ended is spawned in a Scope, or awaited after abort_all(). An
// exception that one throws when its set is gone is dropped.
//
// Move-only.
//
// Threads: one owner at a time; it may move between threads. The tasks run on any.
template <typename T>
class JoinSet {
 public:
  // Errors: std::bad_alloc.
  JoinSet() : group_(new internal::ChildGroup(internal::ChildGroup::Kind::kSet)) {}
  JoinSet(JoinSet&& other) noexcept
      : group_(std::exchange(other.group_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  JoinSet& operator=(JoinSet&& other) noexcept {
    if (this != &other) {
      drop();
      group_ = std::exchange(other.group_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~JoinSet() { drop(); }

  // As skua::spawn(), but for the result, which the set keeps.
  //
  // Errors: std::bad_alloc. When the runtime shuts down, the task ends as cancelled.
  // Requires: was not moved from; the same below. Called on a runtime.
  void spawn(Task<T> task, SpawnOptions options = {}) {
    SKUA_REQUIRE(static_cast<bool>(task));
    internal::ChildOrigin origin = internal::ChildOrigin::here("skua::JoinSet::spawn");
    if (options.priority) origin.level = static_cast<internal::Level>(*options.priority);
    group().start(std::move(task), origin, options.name);
    ++size_;
  }
  // The same for a function that gives the Task: it is called by the new task, and lives as long as that, so it may
  // be a coroutine with captures.
  template <internal::TaskFactory F>
    requires std::same_as<internal::FactoryResult<F>, T>
  void spawn(F make, SpawnOptions options = {}) {
    spawn(internal::run_factory(std::move(make)), options);
  }

  // Waits for the next task to end.
  //
  // Returns: how it has ended: its value, its exception, or cancelled. std::nullopt: the set is empty.
  // Cancellation: safe; what has ended stays in the set, and the tasks go on.
  // Memory ordering: all that the task did happens before the await's end, destructors included.
  internal::JoinNextAwaiter<T> join_next() noexcept { return internal::JoinNextAwaiter<T>(*this); }
  // The same for one that has ended already. std::nullopt: none has.
  std::optional<JoinResult<T>> try_join_next() {
    internal::ChildNode* const node = group().first_finished();
    if (node == nullptr) return std::nullopt;
    std::optional<JoinResult<T>> result(std::in_place, node->slot<T>());
    --size_;
    group().release_first();
    return result;
  }

  // Aborts all tasks that run (JoinHandle::abort()). They stay in the set: join_next() tells when they are gone.
  void abort_all() noexcept { group().abort_present(); }
  // Lets all tasks that run go on by themselves, and drops what the others have left: the set is empty. As dropping a
  // JoinHandle, each of them.
  //
  // Errors: std::bad_alloc; then nothing has happened.
  void detach_all() {
    JoinSet fresh;
    std::swap(group_, fresh.group_);
    size_ = 0;
    std::exchange(fresh.group_, nullptr)->leave_to_children(false);
  }

  // Tasks in the set: those that run, and those that have ended and were not taken by join_next().
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

 private:
  friend internal::JoinNextAwaiter<T>;

  internal::ChildGroup& group() const noexcept {
    SKUA_REQUIRE(group_ != nullptr, "a JoinSet that was moved from");
    return *group_;
  }
  void drop() noexcept {
    if (group_ == nullptr) return;
    group_->abort_present();
    std::exchange(group_, nullptr)->leave_to_children(true);
  }

  internal::ChildGroup* group_;
  std::size_t size_ = 0;
};

}  // namespace skua
