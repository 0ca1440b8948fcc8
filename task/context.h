// SPDX-License-Identifier: Apache-2.0
//
// What the tasks layer keeps for each thread.
#pragma once

#include <coroutine>
#include <utility>

#include "skua/internal/executor.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

class ChildGroup;

struct Context {
  WorkerCore* worker = nullptr;      // That the thread is.
  Executor* executor = nullptr;      // Set while the thread is a worker, or runs blocking jobs.
  std::coroutine_handle<> next;      // Left by set_trampoline().
  bool runs_tasks = false;           // The thread is a worker: it must not block.
  bool killing = false;              // The frames of an aborted task are being destroyed.
  bool walking = false;              // A walk over children is under way: see ChildGroup.
  ChildGroup* walks = nullptr;       // Those that wait for it.
  Level spawn_level = kNormalLevel;  // What is spawned here inherits, while no task runs.

  // Resumes `handle`, a part of a task, on `worker`, which this thread is; then whatever it leaves to the trampoline.
  void resume([[maybe_unused]] WorkerCore& worker, std::coroutine_handle<> handle) {
#if SKUA_TRAMPOLINE
    worker.stack_limit = stack_position() - kTransferStackMax;
    handle.resume();
    while (next) std::exchange(next, nullptr).resume();
#else
    handle.resume();
#endif
  }
};

// This thread's. Out of line: no caller can keep the address across a suspension.
Context& this_context() noexcept;

}  // namespace skua::internal
