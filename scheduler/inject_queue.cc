// SPDX-License-Identifier: Apache-2.0
#include "scheduler/inject_queue.h"

#include "skua/internal/check.h"

namespace skua::internal {

void InjectQueue::push(TaskHeader* task) noexcept {
  pending_.fetch_add(1, std::memory_order_seq_cst);  // [INJECT]
  if (!queue_.enqueue(task)) fatal("out of memory: a task cannot be queued");
}

void InjectQueue::push_batch(Access& access, std::span<TaskHeader* const> tasks) noexcept {
  pending_.fetch_add(tasks.size(), std::memory_order_seq_cst);  // [INJECT]
  if (!queue_.enqueue_bulk(access.producer_, tasks.data(), tasks.size())) {
    fatal("out of memory: tasks cannot be queued");
  }
}

std::size_t InjectQueue::take_batch(Access& access, std::span<TaskHeader*> out) noexcept {
  return queue_.try_dequeue_bulk(access.consumer_, out.data(), out.size());
}

}  // namespace skua::internal
