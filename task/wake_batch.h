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
  // As task->wake(), a little later. *task may be gone.
  void add(TaskHeader* task) noexcept {
    if (!task->claim_wake()) return;
    if (size_ == kTasksMax) flush();
    tasks_[size_++] = task;
  }

  void flush() noexcept {
    const std::span<TaskHeader*> all(tasks_.data(), size_);
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
