// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "skua/internal/executor.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

// Tasks that the driver or the timers wake at one look: queued together, in their order, for which one sleeping
// worker is woken at most. One thread at a time; it flushes before it goes on to something else.
class WakeBatch {
 public:
  // As task->wake(), at the flush. Tasks that have waited for long are in no cache: the first thing that is touched of
  // each is fetched while the others are added.
  void add(TaskHeader* task) noexcept {
    if (size_ == kTasksMax) flush();
    __builtin_prefetch(task, /*for writing*/ 1);
    tasks_[size_++] = task;
  }

  // They may be gone.
  void flush() noexcept {
    std::size_t size = 0;
    for (TaskHeader* const task : std::span(tasks_.data(), size_)) {
      if (task->claim_wake()) tasks_[size++] = task;
    }
    const std::span<TaskHeader*> all(tasks_.data(), size);
    size_ = 0;
    // As a rule they belong to one runtime.
    for (std::size_t begin = 0; begin < all.size();) {
      Executor* const executor = all[begin]->root->executor;
      std::size_t end = begin + 1;
      while (end < all.size() && all[end]->root->executor == executor) ++end;
      executor->schedule_batch(all.subspan(begin, end - begin));
      begin = end;
    }
  }

 private:
  static constexpr std::size_t kTasksMax = 256;

  std::array<TaskHeader*, kTasksMax> tasks_;
  std::size_t size_ = 0;
};

}  // namespace skua::internal
