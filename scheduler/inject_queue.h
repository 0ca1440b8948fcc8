// SPDX-License-Identifier: Apache-2.0
//
// The queue of all: tasks spawned or woken by threads that are no workers, and what overflows from the
// workers' rings. Unbounded. moodycamel::ConcurrentQueue keeps it lock-free; in exchange it is FIFO only for
// each producer, and a dequeue may miss an element whose enqueue has not returned.
//
//   [INJECT]  push raises pending_ (seq_cst) before it enqueues. A worker that is about to sleep announces it
//             and then reads pending_ (seq_cst): either it sees the task coming, or the pusher sees the
//             sleeper. While pending_ != 0 nobody sleeps.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include <concurrentqueue/concurrentqueue.h>

#include "base/queued_pointer.h"
#include "skua/internal/config.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

// The queue is a list of queues, one for each producer. A consumer leaves a producer that has more after so many tasks:
// what others have queued must not wait long behind one that never ends. 256 is the library's own figure.
struct InjectQueueTraits : moodycamel::ConcurrentQueueDefaultTraits {
  static constexpr std::uint32_t EXPLICIT_CONSUMER_CONSUMPTION_QUOTA_BEFORE_ROTATE = 32;
};

class InjectQueue {
  using Queue = moodycamel::ConcurrentQueue<QueuedPointer<TaskHeader>, InjectQueueTraits>;

 public:
  // A worker's own way in and out, faster than the anonymous one. Used by one thread at a time.
  class Access {
   public:
    explicit Access(InjectQueue& queue) : producer_(queue.queue_), consumer_(queue.queue_) {}

   private:
    friend InjectQueue;
    moodycamel::ProducerToken producer_;
    moodycamel::ConsumerToken consumer_;
  };

  InjectQueue() = default;
  InjectQueue(const InjectQueue&) = delete;
  InjectQueue& operator=(const InjectQueue&) = delete;

  // Any thread.
  void push(TaskHeader* task) noexcept;
  // Owner of `access` only.
  void push_batch(Access& access, std::span<TaskHeader* const> tasks) noexcept;
  // Takes up to out.size() tasks and returns how many. Owner of `access` only.
  [[nodiscard]] std::size_t pop_batch(Access& access, std::span<TaskHeader*> out) noexcept {
    const std::size_t count = take_batch(access, out);
    if (count > 0) settle(count);
    return count;
  }
  // The same in two steps: until settle() the tasks count as pending, so that nobody falls asleep before they
  // stand where a thief finds them. Owner of `access` only.
  [[nodiscard]] std::size_t take_batch(Access& access, std::span<TaskHeader*> out) noexcept;
  void settle(std::size_t count) noexcept { pending_.fetch_sub(count, std::memory_order_seq_cst); }

  // Tasks in the queue or on their way into it. Any thread.
  std::size_t pending() const noexcept {
    return pending_.load(std::memory_order_seq_cst);  // [INJECT]
  }
  // The same for a quick look: whoever must not miss a task uses pending(). Any thread.
  std::size_t size_hint() const noexcept { return pending_.load(std::memory_order_relaxed); }

 private:
  // Any thread.
  alignas(kCacheLine) std::atomic<std::size_t> pending_{0};
  alignas(kCacheLine) Queue queue_;
};

}  // namespace skua::internal
