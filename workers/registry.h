// SPDX-License-Identifier: Apache-2.0
//
// The tasks that have suspended at least once, so that shutdown can end those that nothing will ever wake.
//
// A task enrols at its first suspension and retires when it ends; one that never suspends costs nothing.
// Entries wander: a worker takes one from its own free list and returns one to its own free list, whoever
// had it first, so that neither needs a lock. The depot, which has one, is asked for a chunk at a time.
//
// for_each() sees a consistent set only while no worker runs tasks: shutdown stops them first.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "skua/internal/mutex.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

struct RegistrySlot {
  TaskHeader* task = nullptr;
  RegistrySlot* next_free = nullptr;
};

class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // One worker's free entries.
  class Local {
   public:
    // The worker itself.
    void enrol(Registry& registry, TaskHeader* task) {
      if (free_ == nullptr) refill(registry);
      RegistrySlot* const slot = free_;
      free_ = slot->next_free;
      --free_count_;
      slot->task = task;
      task->registry_slot = slot;
    }
    // The worker that the task ended on.
    void retire(Registry& registry, TaskHeader* task) {
      RegistrySlot* const slot = task->registry_slot;
      slot->task = nullptr;
      slot->next_free = free_;
      free_ = slot;
      // One worker may end what another one starts: what is too much goes back.
      if (++free_count_ >= 2 * kChunk) spill(registry);
    }

   private:
    void refill(Registry& registry);
    void spill(Registry& registry);

    RegistrySlot* free_ = nullptr;
    std::size_t free_count_ = 0;
  };

  // Calls f(task) for each task that is enrolled. While no worker runs tasks.
  template <typename F>
  void for_each(F&& f) {
    MutexLock lock(&mu_);
    for (auto& chunk : chunks_) {
      for (RegistrySlot& slot : *chunk) {
        if (slot.task != nullptr) f(slot.task);
      }
    }
  }

 private:
  static constexpr std::size_t kChunk = 256;

  Mutex mu_;
  std::vector<std::unique_ptr<std::array<RegistrySlot, kChunk>>> chunks_ SKUA_GUARDED_BY(mu_);
  std::vector<RegistrySlot*> depot_ SKUA_GUARDED_BY(mu_);  // Lists of kChunk free entries.
};

}  // namespace skua::internal
