// SPDX-License-Identifier: Apache-2.0
#include "workers/sampler.h"

#include "time/clock.h"

namespace skua::internal {

void Sampler::note(const TaskHeader* task) noexcept {
  // A task is the same, and has run nowhere else since, if its id is, and if the last to have run it is: nobody at all,
  // or this worker. A forked task has no id, and one that comes from elsewhere could have been there again: the next
  // one will do.
  if (task->kind != TaskKind::kRoot || (task->worker != nullptr && task->worker != &core_)) return;
  to_queued_ = kInterval;
  noted_ = task;
  noted_id_ = static_cast<const SpawnedTask*>(task->root)->id;
  noted_worker_ = task->worker;
  noted_ns_ = now_ns();
}

void Sampler::settle(const TaskHeader* task) noexcept {
  if (static_cast<const SpawnedTask*>(task->root)->id == noted_id_ && task->worker == noted_worker_)
    delay.record(now_ns() - noted_ns_);
  noted_ = nullptr;
}

}  // namespace skua::internal
