// SPDX-License-Identifier: Apache-2.0
#include "workers/registry.h"

namespace skua::internal {

void Registry::Local::refill(Registry& registry) {
  MutexLock lock(&registry.mu_);
  if (!registry.depot_.empty()) {
    free_ = registry.depot_.back();
    registry.depot_.pop_back();
  } else {
    auto& chunk =
        registry.chunks_.emplace_back(std::make_unique<std::array<RegistrySlot, kChunk>>());
    for (RegistrySlot& slot : *chunk) {
      slot.next_free = free_;
      free_ = &slot;
    }
  }
  free_count_ = kChunk;
}

void Registry::Local::spill(Registry& registry) {
  RegistrySlot* const list = free_;
  RegistrySlot* last = list;
  for (std::size_t i = 1; i < kChunk; ++i) last = last->next_free;
  free_ = last->next_free;
  last->next_free = nullptr;
  free_count_ -= kChunk;
  MutexLock lock(&registry.mu_);
  registry.depot_.push_back(list);
}

}  // namespace skua::internal
