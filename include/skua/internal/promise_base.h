// SPDX-License-Identifier: Apache-2.0
//
// The promise of every Skua coroutine, less what depends on its result type. A frame that has started belongs to nobody
// but itself: it is destroyed when the coroutine ends (final_awaiter.h), or from the innermost outwards when its task
// is aborted (TaskHeader::kill).
#pragma once

#include <coroutine>
#include <cstdint>
#include <string_view>

#include "skua/internal/config.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

class PromiseBase {
 public:
  PromiseBase() noexcept {}
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  std::suspend_always initial_suspend() const noexcept { return {}; }

  // The coroutine's handle. Every Skua promise begins with its PromiseBase and has its alignment, so
  // the frame's address follows from either.
  std::coroutine_handle<PromiseBase> handle() noexcept {
    return std::coroutine_handle<PromiseBase>::from_promise(*this);
  }
  static PromiseBase& of(std::coroutine_handle<> handle) noexcept {
    return std::coroutine_handle<PromiseBase>::from_address(handle.address()).promise();
  }

  // Set before the coroutine starts, and left alone until then.
  //
  // The coroutine that awaits this one (a PromiseBase*), or the fork whose child it heads (a ForkRecord* with a tag),
  // or 0: it heads a spawned task.
  std::uintptr_t parent;
  TaskHeader* task;  // The task that it is a part of.
  void* out;         // ResultSlot<T> of whoever wants the result.

  // Tags of `parent`. The last child to be started is not waited for on a deque.
  static constexpr std::uintptr_t kForkedTag = 1;
  static constexpr std::uintptr_t kLastForkedTag = 2;
  static constexpr std::uintptr_t kTagMask = 3;
};

// The coroutine of a spawned task has ended or was destroyed: completes the join. *task may be gone.
void finish_root(TaskHeader* task) noexcept;
// Ends, as cancelled, a task that the runtime has not taken: the frame is destroyed, the join is complete. *task may be
// gone.
SKUA_COLD void refuse_task(SpawnedTask* task) noexcept;
// Gives a task that is not scheduled yet what few tasks have: the deadline of another one, unless that is nullptr, and
// a name, unless that is empty. Throws std::bad_alloc, and then the task has ended as above.
SKUA_COLD void add_extras(SpawnedTask* task, const TaskHeader* deadline_of, std::string_view name);

}  // namespace skua::internal
