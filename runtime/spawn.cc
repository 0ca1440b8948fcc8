// SPDX-License-Identifier: Apache-2.0
#include "skua/spawn.h"

#include <atomic>

namespace skua::internal {

// A worker, or another thread, takes ids by the thousand, so that the shared counter is touched rarely.
TaskId next_task_id_of_batch(WorkerCore* worker) noexcept {
  constexpr TaskId kBatch = 1024;
  static std::atomic<TaskId> shared{1};
  thread_local constinit TaskId next_of_thread = 0;
  thread_local constinit TaskId end_of_thread = 0;
  TaskId& next = worker != nullptr ? worker->next_id : next_of_thread;
  TaskId& end = worker != nullptr ? worker->id_end : end_of_thread;
  if (next == end) {
    next = shared.fetch_add(kBatch, std::memory_order_relaxed);  // Only unique, not ordered.
    end = next + kBatch;
  }
  return next++;
}

}  // namespace skua::internal
