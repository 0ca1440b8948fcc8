// SPDX-License-Identifier: Apache-2.0
//
// What a task can ask about itself.
#pragma once

#include <chrono>
#include <optional>

#include "skua/cancellation.h"
#include "skua/internal/check.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "skua/join_handle.h"
#include "skua/priority.h"

namespace skua {
namespace internal {

// The spawned task that runs on this thread, or a part of which does. The process ends with `operation` named if there
// is none.
inline SpawnedTask& running_task(const char* operation) noexcept {
  TaskHeader* const running = require_worker_core(operation).running;
  SKUA_CHECK(running != nullptr);
  return *static_cast<SpawnedTask*>(running);
}

}  // namespace internal

namespace this_task {

// The priority that this task was spawned with, and that its children inherit. A run that was raised by a task of a
// higher priority does not change it.
//
// Requires: called from a task (or from what it calls), not from a blocking job.
inline Priority priority() noexcept {
  return static_cast<Priority>(
      internal::require_worker_core("skua::this_task::priority").own_level);
}

// The worker that runs this task now, from 0 to the number of workers less 1. After an await it may be another one,
// unless the task was spawned by spawn_local() or spawn_on(), or the runtime is kThreadPerCore.
//
// Requires: as priority().
inline int worker_index() noexcept {
  return internal::require_worker_core("skua::this_task::worker_index").index;
}

// As JoinHandle::id(). What a task has forked by when_all is a part of it.
//
// Requires: as priority().
inline TaskId id() noexcept { return internal::running_task("skua::this_task::id").id; }

// Until when this task has to be done, by with_deadline() or timeout() around it or around one that has started it.
// std::nullopt: nobody has set a limit. Nested ones: the earliest.
//
// Requires: as priority().
inline std::optional<std::chrono::steady_clock::time_point> deadline() noexcept {
  const internal::SpawnedTask& task = internal::running_task("skua::this_task::deadline");
  if (!task.has_deadline) return std::nullopt;
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(task.extras->deadline_ns));
}

// A token that is cancelled when this task is aborted: by its handle, its scope, a timeout, a when_any; by a shutdown,
// when all runs in progress have ended, so a computation does not see that one. For what does not see the abort by
// itself because it does not suspend: a long computation, a thread, a library with callbacks. Costs nothing before the
// first call.
//
// Errors: std::bad_alloc.
// Requires: as priority(). The token may be passed on to anywhere.
inline CancellationToken cancellation() {
  return internal::token_of_task(internal::running_task("skua::this_task::cancellation"));
}

}  // namespace this_task
}  // namespace skua
