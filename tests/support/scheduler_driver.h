// SPDX-License-Identifier: Apache-2.0
//
// What it takes to drive a Scheduler by hand: tasks that are never run, and what a look has found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <ostream>

#include "scheduler/scheduler.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "tests/support/task_id.h"

namespace skua::test {

inline constexpr std::uint64_t kNoTask = ~std::uint64_t{0};

// What a look found.
struct Seen {
  Seen(std::uint64_t task_id, internal::Source where,
       internal::Level run_level = internal::kNormalLevel)
      : id(task_id), source(where), level(run_level) {}
  explicit Seen(const internal::Found& found)
      : Seen(found ? test::id_of(found.task) : kNoTask, found.source, found.level) {}
  bool operator==(const Seen&) const = default;

  std::uint64_t id;
  internal::Source source;
  internal::Level level;
};

inline const Seen kNothing(kNoTask, internal::Source::kNone);

inline void PrintTo(const Seen& seen, std::ostream* out) {
  *out << "task " << static_cast<std::int64_t>(seen.id) << " from source "
       << static_cast<int>(seen.source) << " at level " << static_cast<int>(seen.level);
}

// Tasks with the ids 0, 1, 2, ... in the order of their making.
class Tasks {
 public:
  internal::TaskHeader* make(internal::Level level = internal::kNormalLevel, int home = -1) {
    internal::SpawnedTask& task = tasks_.emplace_back();
    task.level = level;
    task.home = static_cast<std::int16_t>(home);
    task.id = tasks_.size() - 1;
    return &task;
  }
  std::uint64_t last() const { return tasks_.size() - 1; }

 private:
  std::deque<internal::SpawnedTask> tasks_;
};

// What a worker does, by its number.
inline Seen next(internal::Scheduler& scheduler, int worker,
                 std::int32_t budget_left = internal::kRunBudget) {
  return Seen(scheduler.next(scheduler.queues(worker), budget_left));
}
inline Seen steal(internal::Scheduler& scheduler, int worker) {
  return Seen(scheduler.steal(scheduler.queues(worker)));
}
inline int push_slot(internal::Scheduler& scheduler, int worker, internal::TaskHeader* task,
                     internal::QueueOrder order = internal::QueueOrder::kInTurn) {
  return scheduler.push_slot(scheduler.queues(worker), task, task->level, order);
}
inline int push_ring(internal::Scheduler& scheduler, int worker, internal::TaskHeader* task) {
  return scheduler.push_ring(scheduler.queues(worker), task, task->level);
}
inline int push_yielded(internal::Scheduler& scheduler, int worker, internal::TaskHeader* task) {
  return scheduler.push_yielded(scheduler.queues(worker), task, task->level);
}
inline int push_injector(internal::Scheduler& scheduler, internal::TaskHeader* task) {
  return scheduler.push_injector(task, task->level);
}
inline int end_search(internal::Scheduler& scheduler, int worker) {
  return scheduler.end_search(scheduler.queues(worker));
}
inline bool announce_sleep(internal::Scheduler& scheduler, int worker) {
  return scheduler.announce_sleep(scheduler.queues(worker));
}
inline void wake_up(internal::Scheduler& scheduler, int worker) {
  scheduler.wake_up(scheduler.queues(worker));
}

}  // namespace skua::test
