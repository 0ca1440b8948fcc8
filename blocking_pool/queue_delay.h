// SPDX-License-Identifier: Apache-2.0
//
// How long jobs wait in a queue, and whether that has been too long for too long. In the manner of CoDel (RFC 8289):
// a burst makes long delays for a moment and does no harm; a queue that stands does.
//
// The clock is passed in. All numbers are relaxed atomics that nobody waits for: threads that take jobs at the same
// moment overwrite each other's, and any of these is as good.
#pragma once

#include <atomic>
#include <cstdint>

namespace skua::internal {

class QueueDelay {
 public:
  // A delay above `target_ns` is long; long ones for `interval_ns` without a break are an overload.
  QueueDelay(std::int64_t target_ns, std::int64_t interval_ns) noexcept
      : target_ns_(target_ns), interval_ns_(interval_ns) {}
  QueueDelay(const QueueDelay&) = delete;
  QueueDelay& operator=(const QueueDelay&) = delete;

  // A job was queued, and is the only one. Any thread.
  void queued_first(std::int64_t now_ns) noexcept { filled_ns_.store(now_ns, kRelaxed); }
  // A job that was queued at `queued_ns` was taken; `empty`: it was the last one. Any thread.
  void taken(std::int64_t queued_ns, std::int64_t now_ns, bool empty) noexcept {
    last_queued_ns_.store(queued_ns, kRelaxed);
    const std::int64_t long_since_ns = long_since_ns_.load(kRelaxed);
    if (empty || now_ns - queued_ns <= target_ns_) {
      if (long_since_ns != 0) long_since_ns_.store(0, kRelaxed);
    } else if (long_since_ns == 0) {
      long_since_ns_.store(now_ns, kRelaxed);
    }
  }

  // How long the oldest job has been in the queue, at most. Requires: there is one. Any thread.
  std::int64_t oldest_age_ns(std::int64_t now_ns) const noexcept;
  // Any thread.
  bool overloaded(std::int64_t now_ns, bool empty) const noexcept;

 private:
  static constexpr std::memory_order kRelaxed = std::memory_order_relaxed;

  // Constant after construction.
  const std::int64_t target_ns_;
  const std::int64_t interval_ns_;
  // Any thread.
  std::atomic<std::int64_t> filled_ns_{0};       // When a job came into an empty queue.
  std::atomic<std::int64_t> last_queued_ns_{0};  // When the job was queued that was taken last.
  std::atomic<std::int64_t> long_since_ns_{0};   // First of the long delays; 0: the last was short.
};

}  // namespace skua::internal
