// SPDX-License-Identifier: Apache-2.0
//
// What the tasks layer keeps for each thread.
#pragma once

#include <coroutine>
#include <utility>

#include "skua/internal/config.h"
#include "skua/internal/executor.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

class ChildGroup;

// What the C++ runtime knows of a thread's exceptions: __cxa_eh_globals, as the Itanium C++ ABI lays it out.
// std::uncaught_exceptions() finds it by two calls into libraries each time, which each spawn whose handle is dropped
// would pay for.
struct ThreadExceptions {
  void* caught;
  unsigned int uncaught;
};

struct Context {
  WorkerCore* worker = nullptr;      // That the thread is.
  Executor* executor = nullptr;      // Set while the thread is a worker, or runs blocking jobs.
  std::coroutine_handle<> next;      // Left by set_trampoline().
  bool runs_tasks = false;           // The thread is a worker: it must not block.
  bool killing = false;              // The frames of an aborted task are being destroyed.
  bool walking = false;              // A walk over children is under way: see ChildGroup.
  ChildGroup* walks = nullptr;       // Those that wait for it.
  Level spawn_level = kNormalLevel;  // What is spawned here inherits, while no task runs.
  const ThreadExceptions* exceptions = nullptr;  // Found when first asked for; stays where it is.

  // Objects are being destroyed because of an abort or an exception.
  bool unwinds() noexcept {
    if (SKUA_UNLIKELY(exceptions == nullptr)) find_exceptions();
    return killing || exceptions->uncaught != 0;
  }

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

 private:
  SKUA_COLD void find_exceptions() noexcept;
};

// This thread's. Out of line: no caller can keep the address across a suspension.
Context& this_context() noexcept;

}  // namespace skua::internal
