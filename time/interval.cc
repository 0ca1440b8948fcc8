// SPDX-License-Identifier: Apache-2.0
#include "skua/interval.h"

#include <algorithm>

namespace skua {
namespace {

// Later than a timer that is rounded up to the next millisecond, and its task behind a few others, would be by itself.
constexpr std::int64_t kLateNs = 5'000'000;

std::int64_t saturated_add(std::int64_t time_ns, std::int64_t delta_ns) noexcept {
  std::int64_t sum;
  return __builtin_add_overflow(time_ns, delta_ns, &sum) ? internal::kNeverNs : sum;
}

}  // namespace

std::int64_t Interval::take_tick() noexcept {
  const std::int64_t due_ns = next_ns_;
  const std::int64_t now_ns = internal::runtime_now_ns();
  next_ns_ = saturated_add(due_ns, period_ns_);
  if (missed_ == MissedTicks::kBurst) return due_ns;
  std::int64_t late_ns;
  if (__builtin_sub_overflow(now_ns, due_ns, &late_ns)) late_ns = internal::kNeverNs;
  if (late_ns <= std::min(kLateNs, period_ns_)) return due_ns;
  if (missed_ == MissedTicks::kDelay) {
    next_ns_ = saturated_add(now_ns, period_ns_);
  } else {
    next_ns_ = saturated_add(now_ns, period_ns_ - late_ns % period_ns_);
  }
  return due_ns;
}

}  // namespace skua
