// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/job_class.h"

#include <thread>
#include <utility>

namespace skua::internal {
namespace {

// A pool has several classes of three queues each, most of which are never used: no memory in advance.
constexpr std::size_t kNoInitialCapacity = 0;

// Of so many turns one begins with the jobs of a lower level, so that none starves.
constexpr std::uint32_t kNormalTurn = 8;
constexpr std::uint32_t kLowTurn = 32;

}  // namespace

JobClass::JobClass(std::string class_name, std::size_t places, std::int64_t target_ns,
                   std::int64_t interval_ns)
    : name(std::move(class_name)),
      admission(places == 0 ? nullptr : std::make_shared<Admission>(places)),
      delay(target_ns, interval_ns),
      queues_{Queue(kNoInitialCapacity), Queue(kNoInitialCapacity), Queue(kNoInitialCapacity)} {}

bool JobClass::push(BlockingJob* job) noexcept {
  const Level level = job->level();
  const std::int64_t queued_ns = job->queued_ns;
  // Relaxed: published with the count.
  if (level != kNormalLevel) special_.fetch_add(1, std::memory_order_relaxed);
  if (SKUA_UNLIKELY(!queues_[level].enqueue(job))) {
    if (level != kNormalLevel) special_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  // *job may be gone: the claims of other jobs find it already.
  if (pending_.fetch_add(1, std::memory_order_seq_cst) == 0) delay.queued_first(queued_ns);
  return true;
}

bool JobClass::try_take(Reader& reader, Level level, QueuedPointer<BlockingJob>& job) noexcept {
  if (!reader.try_take(level, job)) return false;
  if (level != kNormalLevel) special_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

BlockingJob* JobClass::take(Reader& reader, std::uint32_t turn) noexcept {
  QueuedPointer<BlockingJob> job;
  for (;;) {
    // Relaxed: the claim has acquired the raise of whatever must be found.
    if (SKUA_LIKELY(special_.load(std::memory_order_relaxed) == 0)) {
      if (try_take(reader, kNormalLevel, job)) return job;
    } else {
      const Level first = turn % kLowTurn == 0      ? kLowLevel
                          : turn % kNormalTurn == 0 ? kNormalLevel
                                                    : kHighLevel;
      if (try_take(reader, first, job)) return job;
      for (Level level = kHighLevel; level < kLevels; ++level) {
        if (level != first && try_take(reader, level, job)) return job;
      }
    }
    // Another thread is between its two steps: about to find that it was too late for a job, it hides one meanwhile.
    std::this_thread::yield();
  }
}

}  // namespace skua::internal
