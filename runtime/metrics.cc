// SPDX-License-Identifier: Apache-2.0
#include "runtime/metrics.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "scheduler/scheduler.h"
#include "skua/internal/check.h"
#include "skua/internal/worker_core.h"

namespace skua {
namespace {

void add(DurationHistogram& sum, const DurationHistogram& more) noexcept {
  for (std::size_t i = 0; i < sum.buckets.size(); ++i) sum.buckets[i] += more.buckets[i];
}

}  // namespace

std::int64_t DurationHistogram::lower_bound_ns(std::size_t bucket) noexcept {
  return bucket == 0 ? 0 : std::int64_t{1} << bucket;
}

std::uint64_t DurationHistogram::samples() const noexcept {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : buckets) sum += count;
  return sum;
}

std::int64_t DurationHistogram::quantile_ns(double fraction) const noexcept {
  SKUA_REQUIRE(fraction >= 0 && fraction <= 1, fraction);
  const std::uint64_t all = samples();
  if (all == 0) return 0;
  const auto rank =
      std::min(static_cast<std::uint64_t>(fraction * static_cast<double>(all)), all - 1);
  std::uint64_t before = 0;
  std::size_t bucket = 0;
  while (before + buckets[bucket] <= rank) before += buckets[bucket++];
  return lower_bound_ns(bucket);
}

std::uint64_t RuntimeMetrics::runs() const noexcept {
  std::uint64_t sum = 0;
  for (const WorkerMetrics& worker : workers) sum += worker.runs;
  return sum;
}

std::uint64_t RuntimeMetrics::steals() const noexcept {
  std::uint64_t sum = 0;
  for (const WorkerMetrics& worker : workers) sum += worker.steals;
  return sum;
}

DurationHistogram RuntimeMetrics::run_time() const noexcept {
  DurationHistogram sum;
  for (const WorkerMetrics& worker : workers) add(sum, worker.run_time);
  return sum;
}

DurationHistogram RuntimeMetrics::scheduling_delay() const noexcept {
  DurationHistogram sum;
  for (const WorkerMetrics& worker : workers) add(sum, worker.scheduling_delay);
  return sum;
}

namespace internal {
namespace {

std::uint64_t read(const WorkerCounters::Counter& counter) noexcept {
  return counter.load(std::memory_order_relaxed);  // Statistics order nothing.
}

WorkerMetrics worker_metrics(const WorkerSet& workers, int id) {
  const LocalQueues& queues = workers.scheduler().queues(id);
  const WorkerCounters& counters = queues.counters;
  WorkerMetrics metrics;
  metrics.runs = read(counters.runs);
  metrics.slot_runs = read(counters.slot_runs);
  metrics.yields = read(counters.yields);
  metrics.injector_takes = read(counters.injector_takes);
  metrics.searches = read(counters.searches);
  metrics.steal_attempts = read(counters.steal_attempts);
  metrics.steals = read(counters.steals);
  metrics.stolen = read(counters.stolen);
  metrics.late_steals = read(counters.late_steals);
  metrics.watch_looks = read(counters.watch_looks);
  metrics.overflows = read(counters.overflows);
  metrics.parks = read(counters.parks);
  metrics.driver_waits = read(counters.driver_waits);
  metrics.lends = read(counters.lends);
  metrics.wakes = read(counters.wakes);
  metrics.queue_depth = queues.inbox.size_hint();
  for (Level level = 0; level < kLevels; ++level) {
    const std::size_t depth = queues.rings[level].size() + queues.homed[level].size();
    metrics.queue_depth_by_priority[level] = depth;
    metrics.queue_depth += depth;
  }
  metrics.run_time = workers.worker(id).run_time();
  metrics.scheduling_delay = workers.worker(id).scheduling_delay();
  return metrics;
}

}  // namespace

RuntimeMetrics collect_metrics(const WorkerSet& workers, const BlockingPool& pool) {
  RuntimeMetrics metrics;
  const Scheduler& scheduler = workers.scheduler();
  for (int i = 0; i < scheduler.workers(); ++i) {
    metrics.workers.push_back(worker_metrics(workers, i));
    metrics.tasks_ended += read(workers.worker(i).ended);
  }
  metrics.tasks_spawned = metrics.tasks_ended + static_cast<std::uint64_t>(std::max<std::int64_t>(
                                                    workers.live_tasks(), 0));
  for (Level level = 0; level < kLevels; ++level) {
    metrics.injector_depth_by_priority[level] = scheduler.injector_depth(level);
    metrics.injector_depth += scheduler.injector_depth(level);
  }
  metrics.io_backend = workers.driver().choice().backend;
  metrics.io_backend_reason = workers.driver().choice().reason;
  metrics.socket_engine = workers.driver().sockets().engine;
  metrics.socket_engine_reason = workers.driver().sockets().reason;
  metrics.io_events = workers.driver().events();
  metrics.io_enters = workers.driver().enters();
  metrics.io_completions = workers.driver().completions();
  metrics.io_in_flight = workers.driver().in_flight();
  BlockingPoolMetrics blocking = pool.metrics();
  metrics.blocking_threads = blocking.threads;
  metrics.blocking_threads_idle = blocking.threads_idle;
  metrics.blocking_threads_peak = blocking.threads_peak;
  metrics.blocking_queue_depth = blocking.queue_depth;
  metrics.blocking_jobs_run = blocking.jobs_run;
  metrics.blocking_threads_created = blocking.threads_created;
  metrics.blocking_wakes = blocking.wakes;
  metrics.blocking_stalls = blocking.stalls;
  metrics.blocking_classes = std::move(blocking.classes);
  return metrics;
}

}  // namespace internal
}  // namespace skua
