// SPDX-License-Identifier: Apache-2.0
//
// Where tasks wait that must stay on one worker: nothing here is ever stolen.
//
//   other threads -- push() --> inbox -- drain(), the worker --> its FIFO of the level
//   the worker itself ------------------ push() ---------------> its FIFO of the level
//
//   [INBOX]  push raises pending_ (seq_cst) before it enqueues, then reads whether the worker sleeps (IdleSet::take).
//            The worker announces its sleep, passes a full barrier and reads pending_: either it sees the task
//            coming, or the pusher sees it asleep.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <concurrentqueue/concurrentqueue.h>

#include "base/queued_pointer.h"
#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

// Grows as needed, and keeps what it has grown to. One worker only, but for size().
class TaskFifo {
 public:
  TaskFifo() = default;
  TaskFifo(const TaskFifo&) = delete;
  TaskFifo& operator=(const TaskFifo&) = delete;

  void push(TaskHeader* task) {
    if (size() == slots_.size()) grow();
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    slots_[tail & (slots_.size() - 1)] = task;
    tail_.store(tail + 1, std::memory_order_relaxed);
  }
  // nullptr: empty.
  [[nodiscard]] TaskHeader* pop() noexcept {
    if (empty()) return nullptr;
    const std::size_t head = head_.load(std::memory_order_relaxed);
    head_.store(head + 1, std::memory_order_relaxed);
    return slots_[head & (slots_.size() - 1)];
  }
  bool empty() const noexcept { return size() == 0; }
  // For the metrics: any thread, and then a guess.
  std::size_t size() const noexcept {
    return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed);
  }

 private:
  void grow() {
    std::vector<TaskHeader*> larger(slots_.empty() ? 16 : 2 * slots_.size());
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    for (std::size_t i = head_.load(std::memory_order_relaxed); i != tail; ++i) {
      larger[i & (larger.size() - 1)] = slots_[i & (slots_.size() - 1)];
    }
    slots_ = std::move(larger);
  }

  std::vector<TaskHeader*> slots_;  // A power of two.
  // Relaxed everywhere: they are atomic only for size(), and order nothing.
  std::atomic<std::size_t> head_{0};
  std::atomic<std::size_t> tail_{0};
};

// What others have queued for one worker: a queue for each level, and one count for all of them, so that the worker
// sees at a glance that there is something.
class HomeInbox {
  using Queue = moodycamel::ConcurrentQueue<QueuedPointer<TaskHeader>>;

 public:
  // At most so many tasks of one level leave the inbox at once, so that a tick stays short.
  static constexpr std::size_t kBatch = 64;

  HomeInbox() = default;
  HomeInbox(const HomeInbox&) = delete;
  HomeInbox& operator=(const HomeInbox&) = delete;

  // Any thread.
  void push(TaskHeader* task, Level level) noexcept {
    pending_.fetch_add(1, std::memory_order_seq_cst);  // [INBOX]
    if (!queues_[level].enqueue(task)) fatal("out of memory: a task cannot be queued");
  }
  // A quick look: whoever must not miss a task uses pending(). Any thread.
  bool maybe() const noexcept { return size_hint() != 0; }
  std::size_t size_hint() const noexcept { return pending_.load(std::memory_order_relaxed); }
  // Tasks in the inbox or on their way into it. Any thread.
  std::size_t pending() const noexcept {
    return pending_.load(std::memory_order_seq_cst);  // [INBOX]
  }
  // Gives up to kBatch tasks of each level to `take(task, level)`. The worker itself.
  template <typename Take>
  void drain(Take&& take) {
    std::array<TaskHeader*, kBatch> batch;
    for (Level level = 0; level < kLevels; ++level) {
      const std::size_t count =
          queues_[level].try_dequeue_bulk(consumers_[level], batch.data(), batch.size());
      for (std::size_t i = 0; i < count; ++i) take(batch[i], level);
      // After they stand where the worker's last look finds them; it is the same thread's look.
      if (count > 0) pending_.fetch_sub(count, std::memory_order_relaxed);
    }
  }

 private:
  // Any thread.
  alignas(kCacheLine) std::atomic<std::size_t> pending_{0};
  alignas(kCacheLine) std::array<Queue, kLevels> queues_;
  // The worker.
  std::array<moodycamel::ConsumerToken, kLevels> consumers_{moodycamel::ConsumerToken(queues_[0]),
                                                            moodycamel::ConsumerToken(queues_[1]),
                                                            moodycamel::ConsumerToken(queues_[2])};
};

}  // namespace skua::internal
