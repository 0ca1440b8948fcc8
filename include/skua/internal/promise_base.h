// SPDX-License-Identifier: Apache-2.0
//
// The promise of every Skua coroutine, less what depends on its result type, and the awaiter that ends
// it. A frame that has started belongs to nobody but itself: it is destroyed when the coroutine ends
// (here), or from the innermost outwards when its task is aborted (TaskHeader::kill).
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/executor.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

class PromiseBase {
 public:
  PromiseBase() noexcept = default;
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

  // Set before the coroutine starts.
  PromiseBase* parent = nullptr;  // The coroutine that awaits this one; nullptr: it heads a task.
  TaskHeader* task = nullptr;     // The task that it is a part of.
  void* out = nullptr;            // ResultSlot<T> of whoever wants the result.
};

// The head of a task has ended or was destroyed. Completes the join, or tells the fork that a child
// is done; returns what to run next on this thread.
std::coroutine_handle<> finish_head(TaskHeader* task) noexcept;

// Ends a coroutine: destroys its frame, then goes on as the coroutine that awaits it. Nothing here can
// throw: nobody is left to catch it.
struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  SKUA_ALWAYS_INLINE std::coroutine_handle<> await_suspend(
      std::coroutine_handle<Promise> finished) const noexcept {
    PromiseBase* const parent = finished.promise().parent;
    TaskHeader* const task = finished.promise().task;
    finished.destroy();  // *this is gone, and so are the coroutine's parameters.
    if (SKUA_LIKELY(parent != nullptr)) return transfer_to(parent->handle());
    return finish_head(task);
  }

  [[noreturn]] void await_resume() const noexcept { __builtin_unreachable(); }
};

}  // namespace skua::internal
