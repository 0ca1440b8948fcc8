// SPDX-License-Identifier: Apache-2.0
//
// The children of a scope, a timeout, a when_any or a JoinSet: spawned tasks that have an owner instead of a handle.
//
//   owner --- start() ---> child: its join word names its ChildNode, with a tag
//     |                      | ends, on any worker
//     | co_await GroupWait   v
//     +<---- wake() ------ ended(): one less runs; is that what the owner waits for?
//
// A wait is *structured* if the owner must not go before its children (P5): an abort of the owner is passed on to the
// children, and the last one to end wakes the owner as cancelled. Whoever owns children that may refer to its frame
// awaits nothing but structured waits while one of them runs.
//
// An abort is passed on by a *walk* over the children. A walk counts as a child that runs, so that the group outlives
// it. Walks that are caused by walks are put off to the outermost one on the thread: chains of owners of any length
// need no stack.
//
// A group is *closed* by its first walk: nothing is added any more, and nothing taken out before the group ends, so
// that the walk needs no lock. Protocol, and why: task/README.md.
//
//   [CHILD]  ended()'s critical section -> the owner's. The owner sees what the child did.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/executor.h"
#include "skua/internal/frame.h"
#include "skua/internal/mutex.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/result_slot.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "skua/task.h"

namespace skua::internal {

class ChildGroup;
class GroupWait;

// A child. Aligned so that a pointer to it has room for JoinState's tag.
class alignas(8) ChildNode {
 public:
  ChildNode() noexcept = default;
  ChildNode(const ChildNode&) = delete;
  ChildNode& operator=(const ChildNode&) = delete;

  // The child has ended. JoinState::complete(), once. *this may be gone.
  void ended() noexcept;

  // Where a child of type Task<T> has left its result, if it was not destroyed before. After its end, the owner.
  template <typename T>
  ResultSlot<T>& slot() const noexcept {
    return *slot_of_header<T>(task_);
  }

 private:
  friend ChildGroup;
  using ExceptionOf = std::exception_ptr (*)(JoinState*) noexcept;

  // Constant once started.
  SpawnedTask* task_ = nullptr;
  ChildGroup* group_ = nullptr;
  ExceptionOf exception_of_ = nullptr;
  bool recycled_ = false;  // Its memory is a block of its own.
  // Under the group's lock.
  bool ended_ = false;
  ChildNode* prev_ = nullptr;
  ChildNode* next_ = nullptr;
  ChildNode* next_finished_ = nullptr;
};

// A child whose memory the owner has: to start it allocates nothing.
struct FixedChild {
  FixedChild() noexcept {}
  FixedChild(const FixedChild&) = delete;
  FixedChild& operator=(const FixedChild&) = delete;

  ChildNode node;
  TaskExtras extras;
};

// What a child has from where it is started.
struct ChildOrigin {
  ChildOrigin(Executor& on, WorkerCore* by, Level at, std::int16_t stays,
              const TaskHeader* after) noexcept
      : executor(on), spawner(by), level(at), home(stays), deadline_of(after) {}
  // Of a part of the task `root`.
  static ChildOrigin of(TaskHeader& root) noexcept;
  // As skua::spawn() does it. The process ends with `operation` named if this thread is not on a runtime.
  static ChildOrigin here(const char* operation) noexcept;

  Executor& executor;
  WorkerCore* spawner;  // The worker that this thread is, or nullptr.
  Level level;
  std::int16_t home;
  const TaskHeader* deadline_of;  // A root; nullptr: there is no deadline.
};

class ChildGroup {
 public:
  enum class Kind : std::uint8_t {
    kFixed,  // Some FixedChildren. What they leave stays until the group ends.
    kNursery,  // Any number. What one leaves is freed when it ends; its first exception closes the group.
    kSet,  // Any number. What they leave is taken by take_finished(). Created by new; see leave_to_children().
  };

  explicit ChildGroup(Kind kind) noexcept : kind_(kind) {}
  ChildGroup(const ChildGroup&) = delete;
  ChildGroup& operator=(const ChildGroup&) = delete;
  // Requires: no child runs. Frees what they have left.
  ~ChildGroup();

  // Starts `task`, whose deadline is `deadline_ns` or the earlier one of its origin (kNever: that alone). Its result
  // stays, in a nursery too. The owner.
  template <typename T>
  void start(FixedChild& child, Task<T>&& task, const ChildOrigin& origin,
             std::int64_t deadline_ns = INT64_MAX) noexcept {
    make<T>(child.node, std::move(task), origin);
    give_deadline(child, origin, deadline_ns);
    launch(&child.node, origin);
  }
  // The same, in memory of its own. Throws std::bad_alloc. Of a kNursery: any thread that knows of a child, or of a
  // structured wait, that does not end before; a task that comes too late is destroyed. Of a kSet: the owner.
  template <typename T>
  void start(Task<T>&& task, const ChildOrigin& origin, std::string_view name) {
    ChildNode* const node = make_node();
    make<T>(*node, std::move(task), origin);
    decorate(node, origin, name);
    launch(node, origin);
  }

  // Aborts all children, and takes no more. Returns at once; the owner.
  void close() noexcept SKUA_EXCLUDES(mu_);
  // Aborts the children there are. The owner of a kSet.
  void abort_present() noexcept;
  // The first to have ended, of those that were not taken. nullptr: none has. The owner; not of a kNursery.
  ChildNode* first_finished() noexcept SKUA_EXCLUDES(mu_);
  // Frees what it has left. The owner of a kSet; it was the first to have ended.
  void release_first() noexcept SKUA_EXCLUDES(mu_);
  // Children that run, and walks. The owner.
  std::uint32_t running() noexcept SKUA_EXCLUDES(mu_);
  // Instead of delete, of a kSet: detaches what runs. It frees what it leaves by itself, and the last one the group.
  // `abandoned`: an exception that one throws does not end the process.
  void leave_to_children(bool abandoned) noexcept SKUA_EXCLUDES(mu_);

  // After the last one has ended: rethrows the first exception of a nursery; throws TaskCancelled if a child was
  // aborted by nobody but a shutdown. The owner.
  void rethrow();
  // True if an exception has closed it. Any thread.
  bool closed() noexcept SKUA_EXCLUDES(mu_);

 private:
  friend ChildNode;
  friend GroupWait;

  // What is to be done after the lock.
  struct Outcome {
    Outcome() noexcept = default;
    TaskHeader* wake = nullptr;
    bool cancelled = false;  // As wake_cancelled().
    bool last = false;       // Delete the group.
    bool walk = false;
    ChildNode* release = nullptr;
  };

  template <typename T>
  static void make(ChildNode& node, Task<T>&& task, const ChildOrigin& origin) noexcept {
    const auto handle = std::move(task).release_handle();
    SKUA_REQUIRE(handle != nullptr);
    SpawnedTask* const header =
        construct_spawned<T>(handle.address(), &kTaskVTable<T>, std::uint64_t{0},
                             std::coroutine_handle<>(handle), &origin.executor, origin.home);
    PromiseBase& promise = handle.promise();
    promise.parent = 0;
    promise.task = header;
    promise.out = slot_of_header<T>(header);
    node.task_ = header;
    node.exception_of_ = [](JoinState* state) noexcept {
      return std::exception_ptr(slot_of_header<T>(state)->exception());
    };
  }
  ChildNode* make_node();
  void give_deadline(FixedChild& child, const ChildOrigin& origin,
                     std::int64_t deadline_ns) noexcept;
  // If it throws, the child has been destroyed.
  void decorate(ChildNode* node, const ChildOrigin& origin, std::string_view name);
  void launch(ChildNode* node, const ChildOrigin& origin) noexcept SKUA_EXCLUDES(mu_);
  static void release(ChildNode* node) noexcept;

  void child_ended(ChildNode* node) noexcept SKUA_EXCLUDES(mu_);
  // One that ran has ended.
  void count_down(Outcome& outcome) noexcept SKUA_REQUIRES(mu_);
  // *this may be gone.
  void act(const Outcome& outcome) noexcept SKUA_EXCLUDES(mu_);
  [[nodiscard]] bool begin_walk() noexcept SKUA_REQUIRES(mu_);
  void run_walks() noexcept SKUA_EXCLUDES(mu_);
  void walk() noexcept;
  bool satisfies(const GroupWait& wait) const noexcept SKUA_REQUIRES(mu_);
  void link(ChildNode* node) noexcept SKUA_REQUIRES(mu_);
  void unlink(ChildNode* node) noexcept SKUA_REQUIRES(mu_);

  const Kind kind_;
  Mutex mu_;
  // Guarded by mu_; the children's list may be read without while the group is closed.
  bool closed_ = false;
  bool left_ = false;       // To the children.
  bool cancelled_ = false;  // A child of a nursery was aborted, but not by the group.
  std::uint32_t running_ = 0;
  GroupWait* waiter_ = nullptr;
  ChildNode* first_ = nullptr;
  ChildNode* first_finished_ = nullptr;
  ChildNode* last_finished_ = nullptr;
  std::exception_ptr exception_;  // The first one.
  // Of the thread that walks.
  ChildGroup* next_walk_ = nullptr;
};

// Waits for children. Lives in the owner's frame.
class [[nodiscard("co_await it")]] GroupWait : public Waiter {
 public:
  // Until at most `running` children run; of a kSet, until one has ended or none runs. Structured.
  GroupWait(ChildGroup& group, std::uint32_t running) noexcept
      : Waiter(&cancel_structured), group_(group), running_(running) {}

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return suspend(awaiting, awaiting.promise().task);  // *this may be gone.
  }
  void await_resume() const noexcept {}

 protected:
  // Takes back what else may wake the owner. False: it is about to do so. Under the group's lock.
  using Revoke = bool (*)(GroupWait*) noexcept;

  // `hook`: nullptr: structured.
  GroupWait(ChildGroup& group, std::uint32_t running, CancelHook hook, Revoke revoke) noexcept
      : Waiter(hook != nullptr ? hook : &cancel_structured),
        group_(group),
        running_(running),
        revoke_(revoke) {}

  // Stands in the group from here on. False: what it waits for is so already.
  [[nodiscard]] bool publish() noexcept;
  // Leaves the group. False: it is out already.
  bool withdraw() noexcept;
  // The same. Returns how many children run.
  std::uint32_t leave() noexcept;
  // As suspend() of a wait that is not structured: takes a unit of the budget if it need not wait.
  bool suspend_or_spend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  // The hook of such a wait: the children go on.
  static CancelOutcome cancel_unlinking(Waiter* waiter) noexcept;

 private:
  friend ChildGroup;

  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  static CancelOutcome cancel_structured(Waiter* waiter) noexcept;

  ChildGroup& group_;
  const std::uint32_t running_;
  Revoke revoke_ = nullptr;
  bool cancelled_ =
      false;  // The owner was aborted: it is to be woken as cancelled when nothing runs.
};

// The spawned task that the awaiting coroutine is a part of. Does not suspend.
class [[nodiscard("co_await it")]] CurrentRoot {
 public:
  CurrentRoot() noexcept {}
  CurrentRoot(const CurrentRoot&) = delete;
  CurrentRoot& operator=(const CurrentRoot&) = delete;
  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    task_ = awaiting.promise().task;
    return false;
  }
  TaskHeader& await_resume() const noexcept { return *task_->root; }

 private:
  TaskHeader* task_ = nullptr;
};

}  // namespace skua::internal
