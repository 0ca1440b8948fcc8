// SPDX-License-Identifier: Apache-2.0
//
// Counts of times, in buckets whose width grows with the time: as in HdrHistogram, every value is known to within 1/64
// of itself, for a fixed amount of memory and a few instructions each.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace skua::bench {

class Histogram {
 public:
  // Values below 0 count as 0.
  void add(std::int64_t ns) {
    const auto value = static_cast<std::uint64_t>(ns < 0 ? 0 : ns);
    ++counts_[bucket_of(value)];
    ++count_;
    if (value > max_) max_ = value;
  }

  std::uint64_t count() const { return count_; }
  std::int64_t max_ns() const { return static_cast<std::int64_t>(max_); }

  // The least value such that this fraction of all values is not above it, rounded up to the end of its bucket; 0 if
  // there are none.
  std::int64_t quantile_ns(double fraction) const {
    if (count_ == 0) return 0;
    const double exact = fraction * static_cast<double>(count_);
    auto rank = static_cast<std::uint64_t>(exact);
    if (static_cast<double>(rank) < exact || rank == 0) ++rank;
    std::uint64_t seen = 0;
    for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
      seen += counts_[bucket];
      if (seen >= rank) {
        const std::uint64_t last = last_of(bucket);
        return static_cast<std::int64_t>(last < max_ ? last : max_);
      }
    }
    return max_ns();
  }

 private:
  // Of each power of two so many buckets; below twice as much, one bucket for each value.
  static constexpr unsigned kBits = 6;
  static constexpr std::size_t kParts = std::size_t{1} << kBits;
  static constexpr std::size_t kBuckets = (64 - kBits + 1) * kParts;

  static std::size_t bucket_of(std::uint64_t value) {
    if (value < kParts) return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
    return (shift + 1) * kParts + static_cast<std::size_t>((value >> shift) - kParts);
  }
  static std::uint64_t last_of(std::size_t bucket) {
    if (bucket < kParts) return bucket;
    const std::size_t shift = bucket / kParts - 1;
    const std::uint64_t first = (kParts + bucket % kParts) << shift;
    return first + ((std::uint64_t{1} << shift) - 1);
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace skua::bench
