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
#include "skua/internal/frame.h"
#include "skua/internal/frame_cache.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

// The end of a coroutine whose frame has nothing to destroy, where that takes more than a few instructions: its block
// is freed, and its parent hears of it. `task` and `parent` as in its promise; not a root. Returns what to run next.
SKUA_COLD std::coroutine_handle<> end_plain_slowly(void* frame, void* block, TaskHeader* task,
                                                   std::uintptr_t parent) noexcept;

// Nothing here can throw: nobody is left to catch it.
class FinalAwaiter {
 public:
  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  SKUA_ALWAYS_INLINE std::coroutine_handle<> await_suspend(
      std::coroutine_handle<Promise> finished) const noexcept {
    const std::uintptr_t parent = finished.promise().parent;
    TaskHeader* const task = finished.promise().task;
    if constexpr (requires { Promise::block_of(nullptr); }) {
      return end_plain(finished.address(), Promise::block_of(finished.address()), task, parent);
    } else {
      return end(finished, task, parent);
    }
  }

  [[noreturn]] void await_resume() const noexcept { __builtin_unreachable(); }

 private:
  SKUA_ALWAYS_INLINE static std::coroutine_handle<> end(std::coroutine_handle<> finished,
                                                        TaskHeader* task,
                                                        std::uintptr_t parent) noexcept {
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

  // The same where destroy() would do nothing but free the block. It is an indirect call all the same: with GCC of a
  // function that calls the coroutine's body, which has to find the final suspension in its switch.
  //
  // It is sound because a frame that was started stands in a block of ours. Clang may place one in its caller's frame,
  // but only if the caller destroys it on each path, and who starts one gives up its handle before.
  SKUA_ALWAYS_INLINE static std::coroutine_handle<> end_plain(void* frame, void* block,
                                                              TaskHeader* task,
                                                              std::uintptr_t parent) noexcept {
    const std::uint8_t list = mark_of_frame(frame)->list;
    if ((parent & PromiseBase::kTagMask) != 0) {
      WorkerCore* const worker = task->worker;
      if (SKUA_UNLIKELY(task->enrolled || !worker->frames->try_free(block, list))) {
        return end_plain_slowly(frame, block, task, parent);
      }
      return ForkRecord::of(parent)->child_done(*worker, parent);
    }
    if (SKUA_LIKELY(parent != 0)) {
      WorkerCore* const worker = task->worker;
      if (SKUA_UNLIKELY(!worker->frames->try_free(block, list))) {
        return end_plain_slowly(frame, block, task, parent);
      }
      return transfer_to(reinterpret_cast<PromiseBase*>(parent)->handle(), *worker);
    }
    finish_root(task);  // Its block has another owner.
    return std::noop_coroutine();
  }
};

}  // namespace skua::internal
