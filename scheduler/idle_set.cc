// SPDX-License-Identifier: Apache-2.0
#include "scheduler/idle_set.h"

#include <algorithm>

#include "skua/internal/atomic.h"
#include "skua/internal/check.h"

namespace skua::internal {

IdleSet::IdleSet(int workers)
    : workers_(workers),
      flags_(std::make_unique<Flag[]>(static_cast<std::size_t>(std::max(workers, 1)))),
      state_(static_cast<std::uint32_t>(workers) * kOneAwake) {
  SKUA_REQUIRE(workers >= 1 && workers < 0x8000, workers);
  sleepers_.reserve(static_cast<std::size_t>(workers));
}

int IdleSet::take_sleeper() noexcept {
  full_barrier();  // [SLEEP]
  return take_sleeper_unordered();
}

int IdleSet::take_sleeper_unordered() noexcept {
  const std::uint32_t seen = state_.load(std::memory_order_relaxed);
  if (SKUA_LIKELY(searching_of(seen) > 0 || awake_of(seen) == workers_)) return kNobody;
  return pop_sleeper();
}

int IdleSet::pop_sleeper() noexcept {
  MutexLock lock(&mu_);
  // Another publisher may have been faster.
  if (searching_of(state_.load(std::memory_order_relaxed)) > 0 || sleepers_.empty()) return kNobody;
  const int worker = sleepers_.back();
  sleepers_.pop_back();
  flag(worker).asleep.store(false, std::memory_order_relaxed);
  flag(worker).woken_to_search = true;
  state_.fetch_add(kOneAwake + kOneSearching, std::memory_order_seq_cst);
  return worker;
}

bool IdleSet::take(int worker) noexcept {
  full_barrier();  // [SLEEP]
  if (SKUA_LIKELY(!flag(worker).asleep.load(std::memory_order_relaxed))) return false;
  MutexLock lock(&mu_);
  const auto found = std::find(sleepers_.begin(), sleepers_.end(), worker);
  // Up already, or being woken: it looks at its queues before it sleeps again, and takes mu_ for that after this.
  if (found == sleepers_.end()) return false;
  sleepers_.erase(found);
  flag(worker).asleep.store(false, std::memory_order_relaxed);
  flag(worker).woken_to_search = false;
  state_.fetch_add(kOneAwake, std::memory_order_seq_cst);
  return true;
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
    flag(worker).asleep.store(true, std::memory_order_relaxed);
    state_.fetch_sub(kOneAwake + (searching ? kOneSearching : 0), std::memory_order_seq_cst);
  }
  full_barrier();  // [SLEEP]
}

bool IdleSet::wake_up(int worker) noexcept {
  MutexLock lock(&mu_);
  const auto found = std::find(sleepers_.begin(), sleepers_.end(), worker);
  if (found == sleepers_.end()) return flag(worker).woken_to_search;
  sleepers_.erase(found);
  flag(worker).asleep.store(false, std::memory_order_relaxed);
  state_.fetch_add(kOneAwake, std::memory_order_seq_cst);
  return false;
}

}  // namespace skua::internal
