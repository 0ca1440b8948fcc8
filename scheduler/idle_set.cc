// SPDX-License-Identifier: Apache-2.0
#include "scheduler/idle_set.h"

#include <algorithm>

#include "skua/internal/atomic.h"
#include "skua/internal/check.h"

namespace skua::internal {

IdleSet::IdleSet(int workers)
    : workers_(workers), state_(static_cast<std::uint32_t>(workers) * kOneAwake) {
  SKUA_REQUIRE(workers >= 1 && workers < 0x8000, workers);
  sleepers_.reserve(static_cast<std::size_t>(workers));
}

int IdleSet::take_sleeper() noexcept {
  full_barrier();  // [SLEEP]
  const std::uint32_t seen = state_.load(std::memory_order_relaxed);
  if (SKUA_LIKELY(searching_of(seen) > 0 || awake_of(seen) == workers_)) return kNobody;
  MutexLock lock(&mu_);
  // Another publisher may have been faster.
  if (searching_of(state_.load(std::memory_order_relaxed)) > 0 || sleepers_.empty()) return kNobody;
  const int worker = sleepers_.back();
  sleepers_.pop_back();
  state_.fetch_add(kOneAwake + kOneSearching, std::memory_order_seq_cst);
  return worker;
}

bool IdleSet::start_search() noexcept {
  // Two workers may pass the test at once: the limit saves work, nothing depends on it.
  if (2 * searching_of(state_.load(std::memory_order_relaxed)) >= workers_) return false;
  state_.fetch_add(kOneSearching, std::memory_order_seq_cst);
  return true;
}

bool IdleSet::stop_search() noexcept {
  const std::uint32_t before = state_.fetch_sub(kOneSearching, std::memory_order_seq_cst);
  SKUA_DCHECK(searching_of(before) > 0, before);
  return searching_of(before) == 1;
}

void IdleSet::sleep(int worker, bool searching) noexcept {
  {
    MutexLock lock(&mu_);
    sleepers_.push_back(worker);
    state_.fetch_sub(kOneAwake + (searching ? kOneSearching : 0), std::memory_order_seq_cst);
  }
  full_barrier();  // [SLEEP]
}

bool IdleSet::wake_up(int worker) noexcept {
  MutexLock lock(&mu_);
  const auto found = std::find(sleepers_.begin(), sleepers_.end(), worker);
  if (found == sleepers_.end()) return true;
  sleepers_.erase(found);
  state_.fetch_add(kOneAwake, std::memory_order_seq_cst);
  return false;
}

}  // namespace skua::internal
