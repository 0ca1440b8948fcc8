// SPDX-License-Identifier: Apache-2.0
//
// The order in which a worker looks at its peers: from a random start, once around. The only random choice
// of the scheduler, and a function of its seed.
#pragma once

#include <cstdint>

namespace skua::internal {

// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016). Not thread
// safe: one per worker.
class StealOrder {
 public:
  explicit StealOrder(std::uint64_t seed) noexcept : state_(seed * 0x9e3779b97f4a7c15u + 1) {
    if (state_ == 0) state_ = 1;
  }

  // The first of `workers` to look at. Requires: workers > 0.
  int start(int workers) noexcept {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    const auto high = static_cast<std::uint32_t>((state_ * 0x2545f4914f6cdd1du) >> 32);
    // Multiply-shift instead of a division; the bias is below one in 2^16 for 2^16 workers.
    return static_cast<int>((std::uint64_t{high} * static_cast<std::uint32_t>(workers)) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace skua::internal
