// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/thread_shares.h"

#include <algorithm>

#include "skua/internal/check.h"

namespace skua::internal {

ThreadShares::ThreadShares(int threads, std::vector<ClassLimits> classes) : shared_free_(threads) {
  SKUA_REQUIRE(!classes.empty() && classes.size() <= kClassesMax, classes.size());
  bool all_have_reserves = true;
  for (ClassLimits limits : classes) {
    limits.limit = std::min(limits.limit, threads);
    SKUA_REQUIRE(limits.limit >= 1, limits.limit);
    SKUA_REQUIRE(limits.reserve >= 0 && limits.reserve <= limits.limit, limits.reserve);
    shared_free_ -= limits.reserve;
    all_have_reserves = all_have_reserves && limits.reserve > 0;
    classes_.push_back({.limits = limits});
  }
  // Else a class without reserve would never have a thread.
  SKUA_REQUIRE(shared_free_ >= (all_have_reserves ? 0 : 1), shared_free_);
}

bool ThreadShares::may_assign(int c) const noexcept {
  const Share& share = at(c);
  if (share.assigned >= share.limits.limit) return false;
  return share.assigned < share.limits.reserve || shared_free_ > 0;
}

void ThreadShares::assign(int c) noexcept {
  SKUA_CHECK(may_assign(c), c);
  if (++at(c).assigned > reserve(c)) --shared_free_;
  clear_starving(c);
}

void ThreadShares::release(int c) noexcept {
  Share& share = at(c);
  SKUA_CHECK(share.assigned > 0, c);
  if (share.assigned-- > share.limits.reserve) ++shared_free_;
}

}  // namespace skua::internal
