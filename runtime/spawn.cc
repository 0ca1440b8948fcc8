// SPDX-License-Identifier: Apache-2.0
#include "skua/spawn.h"

#include <atomic>

namespace skua::internal {

TaskId next_task_id() noexcept {
  // A thread takes ids by the thousand, so that the shared counter is touched rarely.
  constexpr TaskId kBatch = 1024;
  static std::atomic<TaskId> shared{1};
  thread_local constinit TaskId next = 0;
  thread_local constinit TaskId end = 0;
  if (next == end) {
    next = shared.fetch_add(kBatch, std::memory_order_relaxed);  // Only unique, not ordered.
    end = next + kBatch;
  }
  return next++;
}

void refuse_task(SpawnedTask* task) noexcept {
  task->killed = true;
  task->resume.destroy();
  task->complete(false);  // *task may be gone.
}

}  // namespace skua::internal
