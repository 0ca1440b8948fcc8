// SPDX-License-Identifier: Apache-2.0
//
// std::mutex with Clang's thread-safety annotations.
//
// Not absl::Mutex: Debian's Abseil is built without ThreadSanitizer, which therefore sees nothing of the order
// that its mutexes make, and reports everything that they guard as a race.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#if defined(__clang__)
#define SKUA_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define SKUA_THREAD_ANNOTATION(x)
#endif
#define SKUA_GUARDED_BY(mu) SKUA_THREAD_ANNOTATION(guarded_by(mu))
#define SKUA_REQUIRES(mu) SKUA_THREAD_ANNOTATION(requires_capability(mu))
#define SKUA_EXCLUDES(mu) SKUA_THREAD_ANNOTATION(locks_excluded(mu))

namespace skua::internal {

class SKUA_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void lock() SKUA_THREAD_ANNOTATION(acquire_capability()) { mu_.lock(); }
  void unlock() SKUA_THREAD_ANNOTATION(release_capability()) { mu_.unlock(); }

 private:
  std::mutex mu_;
};

class SKUA_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex* mu) SKUA_THREAD_ANNOTATION(acquire_capability(mu)) : mu_(mu) {
    mu_->lock();
  }
  ~MutexLock() SKUA_THREAD_ANNOTATION(release_capability()) { mu_->unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

// A condition variable for Mutex. Wakes up without a reason at times: the caller loops.
class CondVar {
 public:
  void wait(Mutex* mu) SKUA_REQUIRES(mu) { condition_.wait(*mu); }
  // `deadline_ns` is on the steady clock (CLOCK_MONOTONIC).
  void wait_until(Mutex* mu, std::int64_t deadline_ns) SKUA_REQUIRES(mu) {
    const std::chrono::nanoseconds since_epoch(deadline_ns);
    condition_.wait_until(*mu, std::chrono::steady_clock::time_point(since_epoch));
  }
  void notify_all() noexcept { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

}  // namespace skua::internal
