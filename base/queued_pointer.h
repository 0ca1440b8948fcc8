// SPDX-License-Identifier: Apache-2.0
//
// An element of a moodycamel::ConcurrentQueue.
//
// moodycamel 1.0.3 reuses the place of an element without having acquired the reads of it: a dequeue counts
// itself off with a release only (github.com/cameron314/concurrentqueue/issues/254). The counter orders the two
// accesses on real processors, but by the letter of the standard they are a data race, and ThreadSanitizer says
// so. Accesses that are atomic are no race.
#pragma once

#include <atomic>

namespace skua::internal {

template <typename T>
class QueuedPointer {
 public:
  QueuedPointer() noexcept = default;
  QueuedPointer(T* pointer) noexcept { store(pointer); }  // NOLINT(google-explicit-constructor)
  QueuedPointer(const QueuedPointer& other) noexcept { store(other.load()); }
  QueuedPointer& operator=(const QueuedPointer& other) noexcept {
    store(other.load());
    return *this;
  }
  operator T*() const noexcept { return load(); }  // NOLINT(google-explicit-constructor)

 private:
  // Relaxed, both: the queue's own indices hand over what is pointed to.
  T* load() const noexcept { return std::atomic_ref<T*>(pointer_).load(std::memory_order_relaxed); }
  void store(T* pointer) noexcept {
    std::atomic_ref<T*>(pointer_).store(pointer, std::memory_order_relaxed);
  }

  mutable T* pointer_;  // Never without std::atomic_ref, which in C++20 takes no const.
};

}  // namespace skua::internal
