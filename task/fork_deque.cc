// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/fork_deque.h"

#include <utility>

#include "skua/internal/check.h"

namespace skua::internal {

// A ring of a power of two, and the smaller one that it has replaced.
struct ForkDeque::Buffer {
  explicit Buffer(std::int64_t capacity)
      : mask(capacity - 1), slots(std::make_unique<Slot[]>(static_cast<std::size_t>(capacity))) {}

  const std::int64_t mask;
  const std::unique_ptr<Slot[]> slots;
  std::unique_ptr<Buffer> older;
};

// One slot that always holds nullptr, so that pop_if() needs no test for "never used".
ForkDeque::ForkDeque(ForkGate& gate, std::int64_t first_capacity)
    : gate_(gate), buffers_(std::make_unique<Buffer>(1)), first_capacity_(first_capacity) {
  SKUA_REQUIRE(first_capacity >= 2 && (first_capacity & (first_capacity - 1)) == 0, first_capacity);
  slots_ = buffers_->slots.get();
  slots_[0].store(nullptr, std::memory_order_relaxed);
  buffer_.store(buffers_.get(), std::memory_order_relaxed);
}

ForkDeque::~ForkDeque() { SKUA_CHECK(size() == 0); }

void ForkDeque::make_room(std::int64_t bottom) noexcept {
  if (limit_ == 0) gate_.note_use();
  const std::int64_t top = top_.load(std::memory_order_acquire);
  const std::int64_t capacity = mask_ + 1;
  if (capacity < first_capacity_ || bottom - top >= capacity) {
    const std::int64_t larger = capacity < first_capacity_ ? first_capacity_ : 2 * capacity;
    auto buffer = std::make_unique<Buffer>(larger);
    for (std::int64_t i = top; i < bottom; ++i) {
      buffer->slots[static_cast<std::size_t>(i & buffer->mask)].store(
          slots_[i & mask_].load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
    slots_ = buffer->slots.get();
    mask_ = buffer->mask;
    // Release: a thief that finds the new ring finds what was copied into it.
    buffer_.store(buffer.get(), std::memory_order_release);
    // A thief may have read the old pointer: the old ring stays. All rings together are twice the last one.
    buffer->older = std::move(buffers_);
    buffers_ = std::move(buffer);
  }
  limit_ = top + mask_ + 1;
}

// The record at `index` is the last one, or it was stolen: the CAS of top_ decides.
bool ForkDeque::claim_last(std::int64_t index) noexcept {
  std::int64_t expected = index;
  const bool won = top_.compare_exchange_strong(expected, index + 1, std::memory_order_seq_cst,
                                                std::memory_order_relaxed);
  bottom_.store(index + 1, std::memory_order_release);
  return won;
}

ForkRecord* ForkDeque::steal() noexcept {
  std::int64_t t = top_.load(std::memory_order_acquire);
  full_barrier();
  const std::int64_t b = bottom_.load(std::memory_order_acquire);  // [FORK-PUSH]
  if (t >= b) return nullptr;
  const Buffer* const buffer = buffer_.load(std::memory_order_acquire);
  // Read before the CAS and followed only if that wins: the owner may overwrite it as soon as top_ has moved.
  ForkRecord* const record =
      buffer->slots[static_cast<std::size_t>(t & buffer->mask)].load(std::memory_order_relaxed);
  return top_.compare_exchange_strong(t, t + 1, std::memory_order_seq_cst,
                                      std::memory_order_relaxed)
             ? record
             : nullptr;
}

}  // namespace skua::internal
