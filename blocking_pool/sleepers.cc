// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/sleepers.h"

namespace skua::internal {

void Sleepers::push(PoolThread* thread) noexcept {
  thread->word.store(PoolThread::kAsleep, std::memory_order_relaxed);  // Relaxed: under the lock.
  thread->above = nullptr;
  thread->below = top_;
  if (top_ != nullptr) top_->above = thread;
  top_ = thread;
  ++size_;
}

void Sleepers::remove(PoolThread* thread) noexcept {
  (thread->above != nullptr ? thread->above->below : top_) = thread->below;
  if (thread->below != nullptr) thread->below->above = thread->above;
  --size_;
}

std::atomic<std::uint32_t>* Sleepers::pop(std::uint32_t word, int c) noexcept {
  PoolThread* const thread = top_;
  if (thread == nullptr) return nullptr;
  remove(thread);
  ++pops_;
  thread->job_class = c;
  std::atomic<std::uint32_t>* const futex_word = &thread->word;
  futex_word->store(word, std::memory_order_release);  // [ASSIGN]
  return futex_word;  // *thread may be gone once the lock is released; the address still serves.
}

}  // namespace skua::internal
