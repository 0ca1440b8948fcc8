// SPDX-License-Identifier: Apache-2.0
//
// What of a worker the tasks on it may touch without knowing what a worker is: the first base of Worker, reached
// through TaskHeader::worker while the task runs. Its thread alone reads and writes it.
#pragma once

#include <atomic>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/fork_deque.h"
#include "skua/priority.h"

namespace skua::internal {

class Executor;
class FrameCache;
class TaskHeader;
struct Context;

// A priority as the queues count it: 0 is the highest.
using Level = std::uint8_t;
inline constexpr Level kHighLevel = static_cast<Level>(Priority::kHigh);
inline constexpr Level kNormalLevel = static_cast<Level>(Priority::kNormal);
inline constexpr Level kLowLevel = static_cast<Level>(Priority::kLow);
inline constexpr int kLevels = 3;
inline constexpr Level kInheritLevel = 0xff;  // Of a task that is not spawned yet: its spawner's.

// The order of tasks in a queue of a worker: the oldest first; or, for what is a step into a tree of tasks or back out
// of it, the newest first, so that the tree is walked depth first, with few tasks alive and those in the cache.
enum class QueueOrder : std::uint8_t { kInTurn, kNewestFirst };

// Units of a run: what a task may take from leaf operations before it has to let others run.
inline constexpr std::int32_t kRunBudget = 128;

struct WorkerCore {
  // Where the running task's forks go: the deque of the run's level, or one that nobody steals from.
  ForkDeque* forks = nullptr;
  // Units left. A task that runs from the slot goes on with what its filler has left.
  std::int32_t budget = 0;
  // The level of the run: its task's own, or a higher one if a task of a higher level has woken it. While no task
  // runs the lowest, so that what the driver and the timers wake is raised by nobody.
  Level level = kLowLevel;
  // The running task's own level, which its children inherit.
  Level own_level = kNormalLevel;
  // The spawned task that runs, or a part of which does. nullptr: none.
  TaskHeader* running = nullptr;
  // The worker's number.
  std::int16_t index = 0;
  Executor* executor = nullptr;
  // What the tasks layer keeps for the thread that is the worker, and its cache of frames.
  Context* context = nullptr;
  FrameCache* frames = nullptr;
  // Ids for tasks that are spawned here; see next_task_id().
  std::uint64_t next_id = 0;
  std::uint64_t id_end = 0;
  // The scheduler's idle word, and what it is while every worker is awake and none searches.
  const std::atomic<std::uint32_t>* idle_word = nullptr;
  std::uint32_t all_awake = 0;
  // Of the run: below it the run loop takes the next coroutine over. See SKUA_TRAMPOLINE.
  std::uintptr_t stack_limit = UINTPTR_MAX;
  // Set by a fork that had nothing to run next; see ForkRecord.
  bool fork_ran_dry = false;
  // The runtime shuts down: Executor::task_drained() is to be told of each spawned task that has ended here. Changes
  // while no worker runs a task.
  bool draining = false;
  // Spawned tasks that have ended here. Its thread writes it, any thread reads it.
  std::atomic<std::uint64_t> ended{0};

  // A spawned task has ended. Who reads the count with acquire sees what the task did.
  void count_ended() noexcept {
    ended.store(ended.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
};

// The worker that this thread is, or nullptr. Implemented by workers/. Out of line, and never kept across a
// suspension: the task may resume on another thread.
WorkerCore* current_worker_core() noexcept;
// The same, or the process ends with `operation` named: the caller is not a task, nor called by one.
WorkerCore& require_worker_core(const char* operation) noexcept;
// The thread that is `worker` is about to block in a task: another one is the worker from here on. False: there is
// none, and nothing has changed. Then claim_lent_worker(), by the same thread, in the same run. Implemented by
// workers/.
[[nodiscard]] bool lend_worker(WorkerCore& worker) noexcept;
// Waits until the calling thread is the worker again.
void claim_lent_worker(WorkerCore& worker) noexcept;

// Identifies a task or a blocking job (TaskId). `worker` is the one that this thread is, or nullptr.
SKUA_COLD std::uint64_t next_task_id_of_batch(WorkerCore* worker) noexcept;
inline std::uint64_t next_task_id(WorkerCore* worker) noexcept {
  if (SKUA_LIKELY(worker != nullptr && worker->next_id != worker->id_end)) return worker->next_id++;
  return next_task_id_of_batch(worker);
}

}  // namespace skua::internal
