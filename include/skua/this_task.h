// SPDX-License-Identifier: Apache-2.0
//
// What a task can ask about itself.
#pragma once

#include "skua/internal/worker_core.h"
#include "skua/priority.h"

namespace skua::this_task {

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

}  // namespace skua::this_task
