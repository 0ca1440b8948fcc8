// SPDX-License-Identifier: Apache-2.0
//
// Measures a few of a worker's runs by the clock. Two readings of the clock for each run would cost more than many a
// run (40 ns), so one in 128 is measured; the others pay a decrement.
//
//   run time           of one run in 128
//   scheduling delay   of one task in 128 that the worker queues for itself: which task, and when, is noted here, and
//                      settled when this worker runs that very task
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "scheduler/worker_counters.h"
#include "skua/internal/config.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "skua/metrics.h"

namespace skua::internal {

// One worker writes, any thread reads.
class SampledDurations {
 public:
  // The worker itself.
  void record(std::int64_t ns) noexcept {
    WorkerCounters::add(buckets_[DurationHistogram::bucket_of(ns)]);
  }
  // Any thread.
  DurationHistogram snapshot() const noexcept {
    DurationHistogram histogram;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      histogram.buckets[i] = buckets_[i].load(std::memory_order_relaxed);  // A statistic.
    }
    return histogram;
  }

 private:
  std::array<WorkerCounters::Counter, DurationHistogram::kBuckets> buckets_{};
};

// All but the histograms is the worker's own.
class Sampler {
 public:
  static constexpr int kInterval = 128;
  // What takes longer counts as this much in the mean: a single one is forgotten after a thousand runs.
  static constexpr std::int64_t kLongRunNs = 200'000;

  // So much work is worth it: on a virtual machine a peer takes 30 us until it is up, and costs that much CPU time.
  static constexpr std::int64_t kShareFromNs = 50'000;
  // What is shorter than this is dearer elsewhere: a peer has to fetch all that the task and its socket have written
  // from this CPU's caches, and leaves it in its own. Measured, as the others: workers/README.md.
  static constexpr std::int64_t kShortRunNs = 20'000;
  static constexpr std::int64_t kShareShortFromNs = 1'000'000;

  // `core` is the worker's.
  explicit Sampler(const WorkerCore& core) noexcept : core_(core) {}
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // `task` has been queued by the worker for itself, or is about to be.
  SKUA_ALWAYS_INLINE void queued(const TaskHeader* task) noexcept {
    if (SKUA_UNLIKELY(--to_queued_ <= 0)) note(task);
  }
  // The worker is about to run `task`, and has not marked it as its own yet. True: the run is to be timed.
  SKUA_ALWAYS_INLINE bool begin_run(const TaskHeader* task) noexcept {
    if (SKUA_UNLIKELY(task == noted_)) settle(task);
    return SKUA_UNLIKELY(--to_run_ <= 0);
  }
  // The run has taken so long.
  void end_run(std::int64_t ns) noexcept {
    to_run_ = kInterval;
    run_time.record(ns);
    mean_run_ns_ += (std::min(ns, kLongRunNs) - mean_run_ns_) / 8;
  }
  // How long a run takes, going by the last ones; not more than kLongRunNs. Until some have been measured, a run counts
  // as long. The worker itself.
  std::int64_t mean_run_ns() const noexcept { return mean_run_ns_; }
  // Whether so many tasks that have come at once are worth waking a peer for, which takes some of them. The worker
  // itself.
  bool are_worth_a_peer(std::int64_t tasks) const noexcept {
    return tasks * mean_run_ns_ >= (mean_run_ns_ < kShortRunNs ? kShareShortFromNs : kShareFromNs);
  }
  // A long run was met that was not timed. The worker itself.
  void met_long_run() noexcept { mean_run_ns_ = kLongRunNs; }

  SampledDurations run_time;
  SampledDurations delay;

 private:
  SKUA_COLD void note(const TaskHeader* task) noexcept;
  SKUA_COLD void settle(const TaskHeader* task) noexcept;

  const WorkerCore& core_;
  int to_run_ = kInterval;
  int to_queued_ = kInterval;
  std::int64_t mean_run_ns_ = kLongRunNs;
  // The task that was noted. It may be gone, and its memory another task's: only its address is used until the worker
  // runs a task that has it, and the rest says whether that is the same.
  const TaskHeader* noted_ = nullptr;
  std::uint64_t noted_id_ = 0;
  const WorkerCore* noted_worker_ = nullptr;
  std::int64_t noted_ns_ = 0;
};

}  // namespace skua::internal
