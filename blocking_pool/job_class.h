// SPDX-License-Identifier: Apache-2.0
//
// The jobs of one class that no thread has taken, and the wake of the class. The protocol around it, and the named
// edges: blocking_pool.h.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <concurrentqueue/concurrentqueue.h>

#include "base/queued_pointer.h"
#include "blocking_pool/queue_delay.h"
#include "skua/internal/admission.h"
#include "skua/internal/blocking_job.h"
#include "skua/internal/config.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

// The queue is a list of queues, one for each thread that ever submitted. A reader leaves one that has more after so
// many jobs, so that no submitter waits long behind another one that never ends.
struct JobQueueTraits : moodycamel::ConcurrentQueueDefaultTraits {
  static constexpr std::uint32_t EXPLICIT_CONSUMER_CONSUMPTION_QUOTA_BEFORE_ROTATE = 16;
};

class JobClass {
  using Queue = moodycamel::ConcurrentQueue<QueuedPointer<BlockingJob>, JobQueueTraits>;

 public:
  // Where a thread stands in the queues. Each new one begins with another submitter.
  class Reader {
   public:
    explicit Reader(JobClass& job_class) : queues_(job_class.queues_) {}
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

   private:
    friend JobClass;
    bool try_take(Level level, QueuedPointer<BlockingJob>& job) noexcept {
      std::optional<moodycamel::ConsumerToken>& token = tokens_[level];
      if (SKUA_UNLIKELY(!token.has_value())) token.emplace(queues_[level]);
      return queues_[level].try_dequeue(*token, job);
    }

    std::array<Queue, kLevels>& queues_;
    std::array<std::optional<moodycamel::ConsumerToken>, kLevels> tokens_;
  };

  // `places` bounds the queue; 0: nothing does.
  JobClass(std::string class_name, std::size_t places, std::int64_t target_ns,
           std::int64_t interval_ns);
  JobClass(const JobClass&) = delete;
  JobClass& operator=(const JobClass&) = delete;

  // --- Any thread. ---

  // Queues the job. False: there is no memory.
  [[nodiscard]] bool push(BlockingJob* job) noexcept;
  // Counts a job off, if there is one. Whoever is told true calls take(), once.
  [[nodiscard]] bool claim() noexcept {
    std::int64_t pending = pending_.load(std::memory_order_relaxed);
    while (pending > 0) {
      // Acquire: sees the enqueues of all jobs that were counted. Release: keeps the count's chain of writers.
      if (pending_.compare_exchange_weak(pending, pending - 1, std::memory_order_acq_rel,
                                         std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }
  // The job that `turn` says: high before normal before low, but for the turns that these are owed.
  // After claim().
  [[nodiscard]] BlockingJob* take(Reader& reader, std::uint32_t turn) noexcept;

  // Jobs that are not claimed. seq_cst: one side of [LOOK].
  std::int64_t pending() const noexcept { return pending_.load(std::memory_order_seq_cst); }
  // The same, for a number to look at.
  std::int64_t pending_hint() const noexcept { return pending_.load(std::memory_order_relaxed); }

  // [LOOK]
  bool wake_held() const noexcept { return waking_.load(std::memory_order_seq_cst); }
  [[nodiscard]] bool take_wake() noexcept {
    return !waking_.exchange(true, std::memory_order_seq_cst);
  }
  // The holder.
  void lower_wake() noexcept { waking_.exchange(false, std::memory_order_seq_cst); }

  // Constant after construction.
  const std::string name;
  // nullptr: the queue is not bounded. Shared with the jobs that have been in line, whose handles may outlive the pool.
  const std::shared_ptr<Admission> admission;

  // Any thread.
  QueueDelay delay;

 private:
  bool try_take(Reader& reader, Level level, QueuedPointer<BlockingJob>& job) noexcept;

  // Any thread. A line of its own: each submit and each claim writes it.
  alignas(kCacheLine) std::atomic<std::int64_t> pending_{0};
  std::atomic<bool> waking_{false};
  // Jobs that are not of normal priority, raised before the enqueue: while it is 0, nobody looks for them.
  std::atomic<std::int64_t> special_{0};

  // Any thread. Not FIFO between submitters, and a look may miss a job for a moment.
  alignas(kCacheLine) std::array<Queue, kLevels> queues_;
};

}  // namespace skua::internal
