// SPDX-License-Identifier: Apache-2.0
//
// RwLock: a lock that any number of tasks hold for reading, or one for writing.
//
//   skua::RwLock lock;
//   auto guard = co_await lock.read();       // Or lock.write(). Goes at the end of the scope.
//
// One word: the number of readers, a bit for a writer, a bit for "others wait". It is all that the uncontended paths
// need.
//
//   read:    readers -> readers + 1      one CAS, while no writer holds it and nobody waits
//   write:   0 -> kWriter                one CAS
//   unlock:  readers -> readers - 1      one CAS, while nobody waits
//            kWriter -> 0                the same
//            .. | kHasWaiters            under mu_: the same, and hand over if nobody holds it any more
//
// First come, first served: the queue's first gets it, and if that is a reader, all readers up to the next writer.
//
//   [RW-LOCK]  unlock's RMW of word_ (release) -> the CAS that takes it (acquire), or mu_ and [WAKE]. Who gets it
//              sees what all did who have released it before. While kHasWaiters is set, which is while the list is
//              not empty (mu_ free), nobody comes in but from the list, nor out, but under mu_.
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

class RwLock;
class RwLockReadGuard;
class RwLockWriteGuard;

namespace internal {

// One who waits for an RwLock.
class RwLockWaiter : public ListAwaiter<RwLockWaiter> {
 public:
  bool take() noexcept;
  bool take_or_enqueue() noexcept;
  bool cancel() noexcept;

 protected:
  enum class Wants : std::uint8_t { kRead, kWrite };

  RwLockWaiter(skua::RwLock* lock, Wants wants) noexcept : lock_(lock), wants_(wants) {}
  // Releases what was taken and not resumed with.
  ~RwLockWaiter();

  skua::RwLock* const lock_;

 private:
  friend skua::RwLock;
  const Wants wants_;
};

// Returned by RwLock::read().
class [[nodiscard("co_await it; nothing is locked otherwise")]] RwLockReadAwaiter final
    : public RwLockWaiter {
 public:
  explicit RwLockReadAwaiter(skua::RwLock* lock) noexcept : RwLockWaiter(lock, Wants::kRead) {}
  RwLockReadGuard await_resume() noexcept;
};

// Returned by RwLock::write().
class [[nodiscard("co_await it; nothing is locked otherwise")]] RwLockWriteAwaiter final
    : public RwLockWaiter {
 public:
  explicit RwLockWriteAwaiter(skua::RwLock* lock) noexcept : RwLockWaiter(lock, Wants::kWrite) {}
  RwLockWriteGuard await_resume() noexcept;
};

}  // namespace internal

// A share of the lock, for reading. Move-only. As MutexGuard.
class [[nodiscard("it unlocks when it is dropped")]] RwLockReadGuard {
 public:
  // Holds nothing.
  RwLockReadGuard() noexcept = default;
  // For the library.
  explicit RwLockReadGuard(RwLock* lock) noexcept : lock_(lock) {}
  RwLockReadGuard(RwLockReadGuard&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
  RwLockReadGuard& operator=(RwLockReadGuard&& other) noexcept {
    if (this != &other) {
      unlock();
      lock_ = std::exchange(other.lock_, nullptr);
    }
    return *this;
  }
  ~RwLockReadGuard() { unlock(); }

  // Releases it before the end of the scope. Nothing happens if it holds nothing.
  void unlock() noexcept;
  // False after a move or unlock().
  explicit operator bool() const noexcept { return lock_ != nullptr; }

 private:
  RwLock* lock_ = nullptr;
};

// The lock, for writing. Move-only. As MutexGuard.
class [[nodiscard("it unlocks when it is dropped")]] RwLockWriteGuard {
 public:
  // Holds nothing.
  RwLockWriteGuard() noexcept = default;
  // For the library.
  explicit RwLockWriteGuard(RwLock* lock) noexcept : lock_(lock) {}
  RwLockWriteGuard(RwLockWriteGuard&& other) noexcept
      : lock_(std::exchange(other.lock_, nullptr)) {}
  RwLockWriteGuard& operator=(RwLockWriteGuard&& other) noexcept {
    if (this != &other) {
      unlock();
      lock_ = std::exchange(other.lock_, nullptr);
    }
    return *this;
  }
  ~RwLockWriteGuard() { unlock(); }

  // Releases it before the end of the scope. Nothing happens if it holds nothing.
  void unlock() noexcept;
  // False after a move or unlock().
  explicit operator bool() const noexcept { return lock_ != nullptr; }

 private:
  RwLock* lock_ = nullptr;
};

// A lock for readers and writers, first come, first served: neither starves the other. A reader that comes while a
// writer waits, waits behind it; so a task that holds a share must not ask for a second one. Waiting allocates
// nothing.
//
// Threads: any, and tasks of any runtime.
// Lifetime: outlives its guards and whoever waits (SKUA_REQUIRE in the destructor).
class RwLock {
 public:
  RwLock() noexcept = default;
  RwLock(const RwLock&) = delete;
  RwLock& operator=(const RwLock&) = delete;
  ~RwLock() {
    internal::SpinLockGuard lock(&mu_);  // As in ~Mutex().
    SKUA_REQUIRE(word_.load(std::memory_order_relaxed) == 0,
                 "an RwLock was destroyed while it was locked");
  }

  // Waits for a share of the lock.
  //
  // Returns: an RwLockReadGuard, on co_await.
  // Cancellation, Memory ordering: as Mutex::lock().
  internal::RwLockReadAwaiter read() noexcept { return internal::RwLockReadAwaiter(this); }
  // Waits for the whole lock.
  //
  // Returns: an RwLockWriteGuard, on co_await.
  // Cancellation, Memory ordering: as Mutex::lock().
  internal::RwLockWriteAwaiter write() noexcept { return internal::RwLockWriteAwaiter(this); }

  // Without waiting. nullopt: somebody holds it, or waits for it, so that one would have to wait.
  //
  // Threads: any.
  std::optional<RwLockReadGuard> try_read() noexcept {
    if (!try_take_read()) return std::nullopt;
    return std::optional<RwLockReadGuard>(std::in_place, this);
  }
  std::optional<RwLockWriteGuard> try_write() noexcept {
    if (!try_take_write()) return std::nullopt;
    return std::optional<RwLockWriteGuard>(std::in_place, this);
  }

  // As read() and write(), but block the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  RwLockReadGuard blocking_read() noexcept;
  RwLockWriteGuard blocking_write() noexcept;

 private:
  friend internal::RwLockWaiter;
  friend RwLockReadGuard;
  friend RwLockWriteGuard;

  static constexpr std::uint64_t kHasWaiters = 1;
  static constexpr std::uint64_t kWriter = 2;
  static constexpr std::uint64_t kReader = 4;

  // Any thread.
  [[nodiscard]] bool try_take_read() noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    while ((word & (kHasWaiters | kWriter)) == 0) {
      if (word_.compare_exchange_weak(word, word + kReader, std::memory_order_acquire,  // [RW-LOCK]
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] bool try_take_write() noexcept {
    std::uint64_t expected = 0;
    return word_.compare_exchange_strong(expected, kWriter, std::memory_order_acquire,  // [RW-LOCK]
                                         std::memory_order_relaxed);
  }
  [[nodiscard]] bool take_or_enqueue(internal::RwLockWaiter* waiter) noexcept SKUA_EXCLUDES(mu_);
  [[nodiscard]] bool cancel(internal::RwLockWaiter* waiter) noexcept SKUA_EXCLUDES(mu_);
  // Who holds it so. *this may be gone.
  void unlock_read() noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    while (SKUA_LIKELY((word & kHasWaiters) == 0)) {
      if (word_.compare_exchange_weak(word, word - kReader, std::memory_order_release,  // [RW-LOCK]
                                      std::memory_order_relaxed)) {
        return;
      }
    }
    unlock_and_hand_over(kReader);
  }
  void unlock_write() noexcept {
    std::uint64_t expected = kWriter;
    if (SKUA_LIKELY(word_.compare_exchange_strong(expected, 0,
                                                  std::memory_order_release,  // [RW-LOCK]
                                                  std::memory_order_relaxed))) {
      return;
    }
    unlock_and_hand_over(kWriter);
  }
  // Releases `share`, and gives what is free then to those who are the first to wait. In one section: as soon as the
  // word is 0, which it is if they are aborted, somebody else may lock, unlock and destroy it. Who holds the share.
  SKUA_NOINLINE void unlock_and_hand_over(std::uint64_t share) noexcept SKUA_EXCLUDES(mu_);
  void grant_first(internal::WakeList* granted) noexcept SKUA_REQUIRES(mu_);

  // Any thread. Not on a cache line of its own: see Semaphore.
  std::atomic<std::uint64_t> word_{0};

  internal::SpinLock mu_;
  internal::WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

inline void RwLockReadGuard::unlock() noexcept {
  if (lock_ != nullptr) std::exchange(lock_, nullptr)->unlock_read();
}

inline void RwLockWriteGuard::unlock() noexcept {
  if (lock_ != nullptr) std::exchange(lock_, nullptr)->unlock_write();
}

inline internal::RwLockWaiter::~RwLockWaiter() {
  if (SKUA_LIKELY(!granted)) return;
  wants_ == Wants::kRead ? lock_->unlock_read() : lock_->unlock_write();
}

inline bool internal::RwLockWaiter::take() noexcept {
  granted = wants_ == Wants::kRead ? lock_->try_take_read() : lock_->try_take_write();
  return granted;
}

inline RwLockReadGuard internal::RwLockReadAwaiter::await_resume() noexcept {
  granted = false;
  return RwLockReadGuard(lock_);
}

inline RwLockWriteGuard internal::RwLockWriteAwaiter::await_resume() noexcept {
  granted = false;
  return RwLockWriteGuard(lock_);
}

}  // namespace skua
