// SPDX-License-Identifier: Apache-2.0
//
// Mutex: a lock that tasks wait for without blocking a thread, and hold across awaits.
//
//   skua::Mutex mutex;
//   skua::Task<> transfer() {
//     auto guard = co_await mutex.lock();
//     ...                                // May await.
//   }                                    // Unlocks here.
//
// One word says all that the uncontended paths need.
//
//   lock:    0      -> kLocked           one CAS
//            locked -> .. | kHasWaiters  under mu_: queue
//   unlock:  kLocked -> 0                one CAS
//            .. | kHasWaiters            under mu_: hand over to the first that waits; the word stays locked
//
//   [MUTEX]  unlock()'s CAS of word_ (release) -> lock()'s CAS (acquire), or, handed over, mu_ and [WAKE]. Who gets
//            the lock sees what all did who had it before. While kHasWaiters is set, which is while the list is not
//            empty (mu_ free), the word is written under mu_ only: so an unlock finds the waiter, or makes its CAS
//            fail.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/executor.h"
#include "skua/internal/spin_lock.h"
#include "skua/internal/wait_list.h"

namespace skua {

class Mutex;
class MutexGuard;

namespace internal {

class ConditionAwaiter;

// Returned by Mutex::lock().
class [[nodiscard("co_await it; nothing is locked otherwise")]] MutexAwaiter final
    : public ListAwaiter<MutexAwaiter> {
 public:
  static constexpr bool kSelectable = true;

  explicit MutexAwaiter(skua::Mutex* mutex) noexcept : mutex_(mutex) {}
  // Unlocks what was locked and never taken.
  ~MutexAwaiter();

  MutexGuard await_resume() noexcept;

  bool take() noexcept;
  bool take_or_enqueue() noexcept;
  bool cancel() noexcept;
  void give_back() noexcept;

 private:
  skua::Mutex* const mutex_;
};

}  // namespace internal

// The lock, held until the end of its scope. Move-only.
//
// Threads: one owner at a time; any thread may unlock, on a runtime or not.
// Lifetime: the mutex outlives it.
class [[nodiscard("it unlocks when it is dropped")]] MutexGuard {
 public:
  // Holds nothing.
  MutexGuard() noexcept = default;
  // For the library. Takes over the lock of `mutex`.
  explicit MutexGuard(Mutex* mutex) noexcept : mutex_(mutex) {}
  MutexGuard(MutexGuard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
  MutexGuard& operator=(MutexGuard&& other) noexcept {
    if (this != &other) {
      unlock();
      mutex_ = std::exchange(other.mutex_, nullptr);
    }
    return *this;
  }
  ~MutexGuard() { unlock(); }

  // Unlocks before the end of the scope, without awaiting. Nothing happens if it holds nothing.
  void unlock() noexcept;
  // False after a move or unlock().
  explicit operator bool() const noexcept { return mutex_ != nullptr; }
  // What it holds; nullptr: nothing.
  Mutex* mutex() const noexcept { return mutex_; }

 private:
  friend internal::ConditionAwaiter;

  Mutex* mutex_ = nullptr;
};

// A lock for tasks, first come, first served: who unlocks hands it to the task that has waited longest, and nobody
// overtakes those that wait. Waiting allocates nothing. Not recursive.
//
// For a few instructions that do not await, a std::mutex is enough: nothing else runs on this thread meanwhile.
//
// Threads: any, and tasks of any runtime.
// Lifetime: outlives its guards and whoever waits (SKUA_REQUIRE in the destructor).
class Mutex {
 public:
  Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex() {
    // Who has unlocked it for the one that destroys it may stand before the end of its section: the word was its last
    // store but one, if all that had waited were aborted meanwhile.
    internal::SpinLockGuard lock(&mu_);
    SKUA_REQUIRE(word_.load(std::memory_order_relaxed) == 0,
                 "a Mutex was destroyed while it was locked");
  }

  // Waits for the lock.
  //
  // Returns: a MutexGuard, on co_await.
  // Cancellation: safe; the place in the queue is given up. A lock that had been handed over already still arrives,
  //   and is released when the task ends.
  // Memory ordering: sees what was done under the lock before.
  internal::MutexAwaiter lock() noexcept { return internal::MutexAwaiter(this); }

  // The lock if it is free. Does not wait.
  //
  // Returns: nullopt if it is locked.
  // Threads: any.
  std::optional<MutexGuard> try_lock() noexcept {
    if (!try_take()) return std::nullopt;
    return std::optional<MutexGuard>(std::in_place, this);
  }

  // As lock(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  MutexGuard blocking_lock() noexcept;

  // Whether somebody holds it. Other threads may have changed that since.
  //
  // Threads: any.
  bool is_locked() const noexcept {
    // Relaxed: something to look at; who wants the lock takes it by a CAS.
    return word_.load(std::memory_order_relaxed) != 0;
  }

 private:
  friend internal::ConditionAwaiter;
  friend internal::MutexAwaiter;
  friend MutexGuard;

  static constexpr std::uint32_t kLocked = 1;
  static constexpr std::uint32_t kHasWaiters = 2;

  // Any thread.
  [[nodiscard]] bool try_take() noexcept {
    std::uint32_t expected = 0;
    // A look first, here and in unlock(): a CAS that fails costs as much as one that does not.
    return word_.load(std::memory_order_relaxed) == 0 &&
           word_.compare_exchange_strong(expected, kLocked, std::memory_order_acquire,  // [MUTEX]
                                         std::memory_order_relaxed);
  }
  // Takes the lock, or queues `waiter`. True: taken; false: queued, and may be woken. Any thread.
  [[nodiscard]] bool take_or_enqueue(internal::ListedWaiter* waiter) noexcept SKUA_EXCLUDES(mu_);
  // Takes `waiter` out of the queue. False: the lock was handed to it. Any thread that keeps it alive.
  [[nodiscard]] bool cancel(internal::ListedWaiter* waiter) noexcept SKUA_EXCLUDES(mu_);
  // Who holds the lock. *this may be gone.
  void unlock() noexcept {
    std::uint32_t expected = kLocked;
    if (SKUA_LIKELY(word_.load(std::memory_order_relaxed) == kLocked) &&
        SKUA_LIKELY(word_.compare_exchange_strong(expected, 0,
                                                  std::memory_order_release,  // [MUTEX]
                                                  std::memory_order_relaxed))) {
      return;
    }
    unlock_to_waiter();
  }
  SKUA_NOINLINE void unlock_to_waiter() noexcept SKUA_EXCLUDES(mu_);

  // Any thread. Not on a cache line of its own: see Semaphore.
  std::atomic<std::uint32_t> word_{0};

  internal::SpinLock mu_;
  internal::WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

inline void MutexGuard::unlock() noexcept {
  if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->unlock();
}

inline void internal::MutexAwaiter::give_back() noexcept {
  if (SKUA_UNLIKELY(granted)) {
    granted = false;
    mutex_->unlock();
  }
}
inline internal::MutexAwaiter::~MutexAwaiter() { give_back(); }

inline bool internal::MutexAwaiter::take() noexcept {
  granted = mutex_->try_take();
  return granted;
}

inline MutexGuard internal::MutexAwaiter::await_resume() noexcept {
  granted = false;
  return MutexGuard(mutex_);
}

}  // namespace skua
