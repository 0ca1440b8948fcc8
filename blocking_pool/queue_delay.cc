// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/queue_delay.h"

#include <algorithm>

namespace skua::internal {

std::int64_t QueueDelay::oldest_age_ns(std::int64_t now_ns) const noexcept {
  const std::int64_t since_ns = std::max(filled_ns_.load(kRelaxed), last_queued_ns_.load(kRelaxed));
  return std::max<std::int64_t>(now_ns - since_ns, 0);
}

bool QueueDelay::overloaded(std::int64_t now_ns, bool empty) const noexcept {
  if (empty) return false;
  const std::int64_t long_since_ns = long_since_ns_.load(kRelaxed);
  if (long_since_ns != 0 && now_ns - long_since_ns >= interval_ns_) return true;
  // Nobody takes jobs: the oldest has been waiting for longer than the target for so long.
  return oldest_age_ns(now_ns) - target_ns_ >= interval_ns_;
}

}  // namespace skua::internal
