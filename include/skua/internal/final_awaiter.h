// SPDX-License-Identifier: Apache-2.0
//
// What ends a coroutine: its frame is destroyed, and the thread goes on as whoever waits for it.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/executor.h"
#include "skua/internal/fork.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

// Nothing here can throw: nobody is left to catch it.
struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  SKUA_ALWAYS_INLINE std::coroutine_handle<> await_suspend(
      std::coroutine_handle<Promise> finished) const noexcept {
    const std::uintptr_t parent = finished.promise().parent;
    TaskHeader* const task = finished.promise().task;
    if ((parent & PromiseBase::kTagMask) != 0) {
      // The header goes with the frame.
      WorkerCore* const worker = task->worker;
      if (SKUA_UNLIKELY(task->enrolled)) task->leave_root();
      finished.destroy();
      return ForkRecord::of(parent)->child_done(*worker, parent);
    }
    finished.destroy();  // *this is gone, and so are the coroutine's parameters.
    if (SKUA_LIKELY(parent != 0)) {
      return transfer_to(reinterpret_cast<PromiseBase*>(parent)->handle(), *task->worker);
    }
    finish_root(task);
    return std::noop_coroutine();
  }

  [[noreturn]] void await_resume() const noexcept { __builtin_unreachable(); }
};

}  // namespace skua::internal
