// SPDX-License-Identifier: Apache-2.0
#include "scheduler/idle_set.h"

#include <algorithm>

#include "skua/internal/check.h"

namespace skua::internal {

IdleSet::IdleSet(int workers)
    : flags_(std::make_unique<Flag[]>(static_cast<std::size_t>(std::max(workers, 1)))),
      workers_(workers),
      state_(static_cast<std::uint32_t>(workers) * kOneAwake) {
  SKUA_REQUIRE(workers >= 1 && workers < 0x8000, workers);
  sleepers_.reserve(static_cast<std::size_t>(workers));
}

// `sleeper` counts as awake from here on.
void IdleSet::wake_locked(std::vector<int>::iterator sleeper, bool to_search) noexcept {
  Flag& of_sleeper = flag(*sleeper);
  sleepers_.erase(sleeper);
  of_sleeper.asleep.store(false, std::memory_order_relaxed);
  of_sleeper.woken_to_search = to_search;
  state_.fetch_add(kOneAwake + (to_search ? kOneSearching : 0), std::memory_order_seq_cst);
}

int IdleSet::pop_sleeper() noexcept {
  MutexLock lock(&mu_);
  // Another publisher may have been faster.
  if (searching_of(state_.load(std::memory_order_relaxed)) > 0 || sleepers_.empty()) return kNobody;
  auto sleeper = sleepers_.end() - 1;
  // Who has the watch sleeps on if there is another: else the watch would have to be passed on.
  if (has_watch(*sleeper) && sleepers_.size() > 1) --sleeper;
  const int worker = *sleeper;
  wake_locked(sleeper, /*to_search=*/true);
  return worker;
}

bool IdleSet::take(int worker) noexcept {
  full_barrier();  // [SLEEP]
  if (SKUA_LIKELY(!flag(worker).asleep.load(std::memory_order_relaxed))) return false;
  MutexLock lock(&mu_);
  const auto found = std::find(sleepers_.begin(), sleepers_.end(), worker);
  // Up already, or being woken: it looks at its queues before it sleeps again, and takes mu_ for that after this.
  if (found == sleepers_.end()) return false;
  wake_locked(found, /*to_search=*/false);
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

void IdleSet::sleep(int worker, bool searching, bool linger) noexcept {
  {
    MutexLock lock(&mu_);
    sleepers_.push_back(worker);
    flag(worker).asleep.store(true, std::memory_order_relaxed);
    const std::uint32_t before =
        state_.fetch_sub(kOneAwake + (searching ? kOneSearching : 0), std::memory_order_seq_cst);
    const int watch = watch_.load(std::memory_order_relaxed);
    if (watch == kNobody || watch == worker) {
      const bool wanted = linger || awake_of(before) > 1;
      watch_.store(wanted ? worker : kNobody, std::memory_order_relaxed);
    }
  }
  full_barrier();  // [SLEEP]
}

bool IdleSet::wake_up(int worker) noexcept {
  MutexLock lock(&mu_);
  const auto found = std::find(sleepers_.begin(), sleepers_.end(), worker);
  if (found == sleepers_.end()) return flag(worker).woken_to_search;
  wake_locked(found, /*to_search=*/false);
  return false;
}

int IdleSet::begin_run(int worker) noexcept {
  // Relaxed: the worker has counted itself awake under mu_ since it slept, so it sees whoever had let go of the watch
  // before; and who has it now, and lets go later, sees that a peer is awake, or comes by here itself.
  const int watch = watch_.load(std::memory_order_relaxed);
  if (watch != kNobody && watch != worker) return kNobody;
  MutexLock lock(&mu_);
  if (has_watch(worker)) watch_.store(kNobody, std::memory_order_relaxed);
  if (watch_.load(std::memory_order_relaxed) != kNobody || sleepers_.empty()) return kNobody;
  const int next = sleepers_.back();
  wake_locked(sleepers_.end() - 1, /*to_search=*/false);
  watch_.store(next, std::memory_order_relaxed);
  return next;
}

}  // namespace skua::internal
