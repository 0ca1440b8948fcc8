// SPDX-License-Identifier: Apache-2.0
//
// Which workers sleep, which search, and whom to wake. The rules are Tokio's (multi_thread/idle.rs) and Go's
// (the header of proc.go), with one more: every worker that goes to sleep looks once more, not only the last
// searcher.
//
//   publisher                                worker that finds nothing
//   ---------                                -------------------------
//   puts the task into a queue               announces sleep: sleepers_ and state_      (sleep())
//   full barrier                             full barrier
//   reads state_: if nobody searches and     reads every queue and the injector's count;
//   somebody sleeps, wakes one               if there is something, it does not sleep
//
//   [SLEEP]  Both sides store, pass a full barrier, and load the other's word: at least one sees the other.
//
// A publisher that sees a searcher wakes nobody: the searcher either finds the task or, before it sleeps,
// looks again. A searcher that finds work while it was the last one wakes another, for there may be more.
//
// A task that only one worker may run is published to that worker's own flag instead (take()), by the same rule.
//
// The watch. While a worker runs, it may get stuck in a task, with another task in its slot or nobody at the driver. So
// while anybody is awake and anybody sleeps, one of the sleepers sleeps for a short time only and looks around: it has
// the watch. [WATCH] It is set under mu_, as are the changes of who is awake, so there is no moment without, and what
// the one that has it notes of its peers, the next one reads:
//
//   sleep()      the worker takes the watch if nobody has it and a peer is awake (or it wants to linger)
//   begin_run()  who goes from sleep to work lets go of it; if nobody has it then, a sleeper is woken to take it
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "skua/internal/atomic.h"
#include "skua/internal/config.h"
#include "skua/internal/mutex.h"

namespace skua::internal {

class IdleSet {
 public:
  static constexpr int kNobody = -1;

  // All `workers` are awake, none searches.
  explicit IdleSet(int workers);
  IdleSet(const IdleSet&) = delete;
  IdleSet& operator=(const IdleSet&) = delete;

  // After publishing a task: the worker to wake, or kNobody. Who is returned counts as awake and searching.
  // Any thread.
  [[nodiscard]] int take_sleeper() noexcept SKUA_EXCLUDES(mu_) {
    full_barrier();  // [SLEEP]
    return take_sleeper_unordered();
  }
  // The same without the full barrier, for a task whose publisher will come by again soon: a sleeper that goes to
  // sleep just now may be missed. Any thread.
  [[nodiscard]] int take_sleeper_unordered() noexcept SKUA_EXCLUDES(mu_) {
    const std::uint32_t seen = state_.load(std::memory_order_relaxed);
    if (SKUA_LIKELY(searching_of(seen) > 0 || awake_of(seen) == workers_)) return kNobody;
    return pop_sleeper();
  }
  // After publishing a task that only `worker` may run. True: it sleeps and is to be woken; it counts as awake, and
  // does not search. Any thread.
  [[nodiscard]] bool take(int worker) noexcept SKUA_EXCLUDES(mu_);

  // True if the calling worker may search its peers: at most half of the workers do so at a time. It then
  // counts as searching. A worker that is awake and does not search.
  [[nodiscard]] bool start_search() noexcept;
  // The calling worker searches again, whatever the number of others: it has given up too early. A worker that is awake
  // and does not search.
  void resume_search() noexcept { state_.fetch_add(kOneSearching, std::memory_order_seq_cst); }
  // Ends the calling worker's search. True: it was the last searcher. A worker that searches.
  [[nodiscard]] bool stop_search() noexcept;

  // Announces that `worker` goes to sleep, and ends its search if it was `searching`. Then look at all queues
  // once more, see above. If `linger`, it keeps the watch, or takes it, though no peer is awake. The worker itself.
  void sleep(int worker, bool searching, bool linger = false) noexcept SKUA_EXCLUDES(mu_);
  // `worker` is up again. True: it had been woken by take_sleeper(), so it counts as searching. False: it
  // woke by itself, or for a task of its own. The worker itself.
  [[nodiscard]] bool wake_up(int worker) noexcept SKUA_EXCLUDES(mu_);

  // `worker` has the watch: it must not sleep long. It keeps it while it looks around. The worker itself.
  bool has_watch(int worker) const noexcept {
    return watch_.load(std::memory_order_relaxed) ==
           worker;  // Changed by others only while it sleeps.
  }
  // `worker`, which was asleep, is about to run a task. Returns a worker to wake, which has the watch now, or kNobody.
  // The worker itself.
  [[nodiscard]] int begin_run(int worker) noexcept SKUA_EXCLUDES(mu_);

  const std::atomic<std::uint32_t>* word() const noexcept { return &state_; }
  // What the word is while everybody is awake and nobody searches; and what it never is.
  std::uint32_t all_awake() const noexcept {
    return static_cast<std::uint32_t>(workers_) * kOneAwake;
  }
  static constexpr std::uint32_t kImpossible = ~std::uint32_t{0};

  int searching() const noexcept {
    return searching_of(state_.load(std::memory_order_relaxed));  // For tests and metrics.
  }
  // 0: what each worker did before it fell asleep is visible.
  int awake() const noexcept { return awake_of(state_.load(std::memory_order_acquire)); }

 private:
  static constexpr std::uint32_t kOneSearching = 1;
  static constexpr std::uint32_t kOneAwake = 1u << 16;
  struct alignas(kCacheLine) Flag {
    std::atomic<bool> asleep{false};  // In sleepers_. Written under mu_.
    bool woken_to_search = false;     // Guarded by mu_.
  };

  static int searching_of(std::uint32_t state) noexcept { return static_cast<int>(state & 0xffff); }
  static int awake_of(std::uint32_t state) noexcept { return static_cast<int>(state >> 16); }

  Flag& flag(int worker) noexcept { return flags_[static_cast<std::size_t>(worker)]; }
  SKUA_NOINLINE int pop_sleeper() noexcept SKUA_EXCLUDES(mu_);
  void wake_locked(std::vector<int>::iterator sleeper, bool to_search) noexcept SKUA_REQUIRES(mu_);

  // Constant after construction.
  const std::unique_ptr<Flag[]> flags_;  // By worker.
  const int workers_;
  // Any thread: awake << 16 | searching. Raised and lowered for sleep under mu_.
  alignas(kCacheLine) std::atomic<std::uint32_t> state_;
  // Guarded by mu_. The last to sleep is the first to be woken: its cache is the warmest.
  alignas(kCacheLine) Mutex mu_;
  std::vector<int> sleepers_ SKUA_GUARDED_BY(mu_);
  std::atomic<int> watch_{kNobody};  // Written under mu_.
};

}  // namespace skua::internal
