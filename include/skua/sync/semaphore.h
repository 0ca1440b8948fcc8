// SPDX-License-Identifier: Apache-2.0
//
// Semaphore: a number of permits that tasks take and give back.
//
//   skua::Semaphore connections(100);
//   skua::Task<> serve() {
//     auto permit = co_await connections.acquire();
//     ...
//   }                                    // The permit goes back here.
//
// One word says all that the uncontended paths need: the free permits, and a bit for "tasks wait".
//
//   acquire:  n+1 -> n                one CAS
//             0   -> kHasWaiters      under mu_: queue
//   release:  n   -> n+k              one CAS
//             kHasWaiters -> ...      under mu_: hand over to those that wait
//
//   [HANDOVER]  While kHasWaiters is set, no permit is free and the word is written under mu_ only;
//               it is set exactly while the queue is not empty (mu_ free). So a release that sees
//               the bit finds the waiter, one that does not has made the waiter's CAS fail, and
//               nobody overtakes the queue.
//   [PERMIT]    Each write of the word is an acq_rel read-modify-write: who gets a permit sees what
//               was done before every release that came before. A waiter sees it by its wake-up.
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/mutex.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/selection.h"
#include "skua/internal/task_header.h"

namespace skua {

class Semaphore;
class SemaphorePermit;

namespace internal {

// Returned by Semaphore::acquire(). Lives in the awaiting frame: the semaphore keeps a pointer to
// it while it waits.
class [[nodiscard("co_await it; nothing is acquired otherwise")]] SemaphoreAwaiter final
    : public Waiter {
 public:
  explicit SemaphoreAwaiter(Semaphore* semaphore) noexcept
      : Waiter(&cancel_acquire), semaphore_(semaphore) {}
  SemaphoreAwaiter(const SemaphoreAwaiter&) = delete;
  SemaphoreAwaiter& operator=(const SemaphoreAwaiter&) = delete;
  // Gives back a permit that was granted and never taken.
  ~SemaphoreAwaiter();

  bool await_ready() const noexcept {
    return false;
  }  // A free permit takes a unit of the budget, too.

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const waiting = awaiting.promise().task;
    if (take_free()) return waiting->spend_budget(awaiting, this);
    return suspend(awaiting, waiting);  // *this may be gone.
  }

  SemaphorePermit await_resume() noexcept;

  // Takes a permit if one is free.
  [[nodiscard]] bool take_free() noexcept;

  // Of a select. A permit that was taken and is not wanted goes back with *this.
  bool select_take(TaskHeader*) noexcept { return take_free(); }
  bool select_arm(SelectBranch* branch) noexcept;
  void select_disarm(SelectBranch* branch) noexcept;
  void give_back() noexcept;

 private:
  friend Semaphore;

  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  static CancelOutcome cancel_acquire(Waiter* waiter) noexcept;

  Semaphore* const semaphore_;
  // Guarded by the semaphore's mu_ while linked_; then the releaser's until it wakes the task, then
  // the task's.
  SemaphoreAwaiter* prev_ = nullptr;
  SemaphoreAwaiter* next_ = nullptr;
  bool linked_ = false;
  bool granted_ = false;
  SelectBranch* branch_ = nullptr;  // Constant while linked_.
};

}  // namespace internal

// One permit, given back on destruction. Move-only.
//
// Threads: one owner at a time; any thread may give it back, on a runtime or not.
// Lifetime: the semaphore outlives it.
class [[nodiscard("the permit goes back when it is dropped")]] SemaphorePermit {
 public:
  // Owns no permit.
  SemaphorePermit() noexcept = default;
  // For the library. Takes over a permit of `semaphore`.
  explicit SemaphorePermit(Semaphore* semaphore) noexcept : semaphore_(semaphore) {}
  SemaphorePermit(SemaphorePermit&& other) noexcept
      : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
  SemaphorePermit& operator=(SemaphorePermit&& other) noexcept {
    if (this != &other) {
      release_now();
      semaphore_ = std::exchange(other.semaphore_, nullptr);
    }
    return *this;
  }
  ~SemaphorePermit() { release_now(); }

  // Gives the permit back before the end of its scope. Nothing happens if there is none.
  void release_now() noexcept;
  // Keeps the permit from going back: the semaphore has one less, until add_permits().
  void forget() noexcept { semaphore_ = nullptr; }
  // False after a move, release_now() or forget().
  explicit operator bool() const noexcept { return semaphore_ != nullptr; }

 private:
  Semaphore* semaphore_ = nullptr;
};

// A counting semaphore for tasks. First come, first served: a permit that is given back goes to the
// task that has waited longest, and neither acquire() nor try_acquire() overtakes those that wait.
// Waiting allocates nothing.
//
// Threads: any, and tasks of any runtime.
// Lifetime: outlives its permits and the tasks that wait (SKUA_REQUIRE in the destructor).
class Semaphore {
 public:
  // The most permits that one can have.
  static constexpr std::size_t kPermitsMax = SIZE_MAX / 2;

  // Requires: permits <= kPermitsMax, here and after each add_permits().
  explicit Semaphore(std::size_t permits) noexcept : word_(permits << kPermitShift) {
    SKUA_REQUIRE(permits <= kPermitsMax, permits);
  }
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore();

  // Waits for a permit.
  //
  // Returns: the permit, on co_await.
  // Cancellation: safe; the place in the queue is given up. A permit that had been handed over
  // already still arrives, and goes back when the task ends.
  // Memory ordering: what was done before a permit was given back is visible to who gets it.
  internal::SemaphoreAwaiter acquire() noexcept { return internal::SemaphoreAwaiter(this); }

  // Takes a permit without waiting.
  //
  // Returns: nullopt if none is free, or if tasks wait.
  // Threads: any.
  std::optional<SemaphorePermit> try_acquire() noexcept {
    if (!try_take()) return std::nullopt;
    return std::optional<SemaphorePermit>(std::in_place, this);
  }

  // Adds `count` new permits; those that wait are served first.
  //
  // Threads: any.
  void add_permits(std::size_t count) noexcept { release(count); }

  // The free permits; 0 while tasks wait. Other threads may have changed it since.
  //
  // Threads: any.
  std::size_t available() const noexcept {
    // Relaxed: a number to look at; who wants a permit takes it by a CAS.
    return word_.load(std::memory_order_relaxed) >> kPermitShift;
  }

 private:
  friend internal::SemaphoreAwaiter;
  friend SemaphorePermit;

  static constexpr std::size_t kHasWaiters = 1;
  static constexpr unsigned kPermitShift = 1;
  static constexpr std::size_t kOnePermit = std::size_t{1} << kPermitShift;

  // Takes a free permit, if there is one. Any thread.
  [[nodiscard]] bool try_take() noexcept {
    // Relaxed: the CAS that takes the permit is [PERMIT].
    std::size_t word = word_.load(std::memory_order_relaxed);
    while (word >= kOnePermit) {
      if (word_.compare_exchange_weak(word, word - kOnePermit, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }
  // Takes a permit, or queues `waiter`. True: taken; false: queued, its task may be woken.
  // Any thread.
  [[nodiscard]] bool take_or_enqueue(internal::SemaphoreAwaiter* waiter) noexcept
      SKUA_EXCLUDES(mu_);
  // Takes `waiter` out of the queue. False: it was granted a permit.
  // Any thread that keeps it alive.
  [[nodiscard]] bool cancel(internal::SemaphoreAwaiter* waiter) noexcept SKUA_EXCLUDES(mu_);
  // Any thread. *this may be gone if the caller gave up the last permit.
  void release(std::size_t count) noexcept SKUA_EXCLUDES(mu_);
  void release_to_waiters(std::size_t count) noexcept SKUA_EXCLUDES(mu_);
  void unlink(internal::SemaphoreAwaiter* waiter) noexcept SKUA_REQUIRES(mu_);
  // Adds permits if no task waits. Any thread.
  [[nodiscard]] bool add_free_permits(std::size_t count) noexcept;

  // Any thread. Not on a cache line of its own: semaphores live in coroutine frames and in users'
  // classes, which should not become over-aligned.
  std::atomic<std::size_t> word_;

  internal::Mutex mu_;
  internal::SemaphoreAwaiter* first_ SKUA_GUARDED_BY(mu_) = nullptr;
  internal::SemaphoreAwaiter* last_ SKUA_GUARDED_BY(mu_) = nullptr;
};

inline void SemaphorePermit::release_now() noexcept {
  if (semaphore_ != nullptr) std::exchange(semaphore_, nullptr)->release(1);
}

inline void internal::SemaphoreAwaiter::give_back() noexcept {
  if (SKUA_UNLIKELY(granted_)) {
    granted_ = false;
    semaphore_->release(1);
  }
}
inline internal::SemaphoreAwaiter::~SemaphoreAwaiter() { give_back(); }

inline bool internal::SemaphoreAwaiter::take_free() noexcept {
  granted_ = semaphore_->try_take();
  return granted_;
}

inline SemaphorePermit internal::SemaphoreAwaiter::await_resume() noexcept {
  granted_ = false;
  return SemaphorePermit(semaphore_);
}

}  // namespace skua
