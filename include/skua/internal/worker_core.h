// SPDX-License-Identifier: Apache-2.0
//
// What the inline paths of tasks need of the worker that runs them: the first part of a worker (workers/).
#pragma once

#include <atomic>
#include <cstdint>

#include "skua/internal/fork_deque.h"

namespace skua::internal {

class Executor;

// A run ends after this many operations that were ready at once, and children of forks. Tokio's coop budget.
inline constexpr std::int32_t kRunBudget = 128;

// Plain fields: the worker's own thread only.
struct WorkerCore {
  // Where the running task's forks go: the deque of its level, or the one that nobody steals from.
  ForkDeque* forks = nullptr;
  std::int32_t budget = 0;    // Left of this run.
  bool fork_ran_dry = false;  // Set by a fork that had nothing to run next; see ForkRecord.
  std::uint8_t level = 1;     // That the running task is queued at; see Priority.
  Executor* executor = nullptr;
  // The scheduler's idle word, and what it is while every worker is awake and none searches.
  const std::atomic<std::uint32_t>* idle_word = nullptr;
  std::uint32_t all_awake = 0;
};

}  // namespace skua::internal
