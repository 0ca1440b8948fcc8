// SPDX-License-Identifier: Apache-2.0
//
// What a runtime counts. Taken by Runtime::metrics(), at any time, for a few relaxed loads per worker.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "skua/io_backend.h"
#include "skua/join_handle.h"
#include "skua/priority.h"
#include "skua/socket_engine.h"

namespace skua {

// How long something took, in powers of two. A value.
struct DurationHistogram {
  // From nanoseconds to minutes.
  static constexpr std::size_t kBuckets = 40;

  // Bucket i counts the samples from 2^i to 2^(i+1) - 1 ns. The first one also has those of 0 ns, the last one all that
  // are longer (nine minutes and more).
  std::array<std::uint64_t, kBuckets> buckets{};

  // The bucket of a sample.
  static std::size_t bucket_of(std::int64_t ns) noexcept {
    if (ns <= 1) return 0;
    const int width = std::bit_width(static_cast<std::uint64_t>(ns));
    return std::min(static_cast<std::size_t>(width - 1), kBuckets - 1);
  }
  // The shortest duration that a bucket counts, in ns.
  static std::int64_t lower_bound_ns(std::size_t bucket) noexcept;

  // How many there are, in all buckets.
  std::uint64_t samples() const noexcept;
  // The lower bound of the bucket that holds the sample at `fraction` of all, in their order: 0.5 for the median, 0.99
  // for the 99th percentile. 0 without samples. Requires: 0 <= fraction <= 1.
  std::int64_t quantile_ns(double fraction) const noexcept;
};

// A number for each Priority, to be indexed by it.
using ByPriority = std::array<std::size_t, 3>;

// Counters of one worker since the start.
struct WorkerMetrics {
  std::uint64_t runs = 0;            // Tasks resumed.
  std::uint64_t slot_runs = 0;       // Of these, from the LIFO slot.
  std::uint64_t yields = 0;          // Tasks that have gone to the back of the line.
  std::uint64_t injector_takes = 0;  // Tasks taken from the injectors.
  std::uint64_t searches = 0;        // Rounds of all peers, to steal.
  std::uint64_t steal_attempts = 0;  // Looks at one queue of a peer.
  std::uint64_t steals = 0;          // Those that found something.
  std::uint64_t stolen = 0;          // Tasks that came with them.
  std::uint64_t late_steals =
      0;  // Tasks taken from the slot of a peer that was stuck in another one.
  std::uint64_t watch_looks = 0;   // Times up from a short sleep to look after busy peers.
  std::uint64_t overflows = 0;     // Batches that did not fit into the own queue.
  std::uint64_t parks = 0;         // Times asleep.
  std::uint64_t driver_waits = 0;  // Of these, in the driver.
  std::uint64_t wakes = 0;         // Other workers woken.
  std::uint64_t lends = 0;      // Tasks that have blocked in place while a stand-in was the worker.
  std::size_t queue_depth = 0;  // Tasks in the own queues now, but for the slot.
  ByPriority
      queue_depth_by_priority{};  // The same; tasks on their way from other threads are not in it.
  // One run in 128: from the resumption of a task to its suspension or end.
  DurationHistogram run_time;
  // One task in 128 of those that the worker queues for itself: from then until it runs. A task that another worker
  // takes is not counted.
  DurationHistogram scheduling_delay;
};

// A class of the blocking pool.
struct BlockingClassMetrics {
  std::string name;
  int threads = 0;               // That work for it.
  std::int64_t queue_depth = 0;  // Jobs that no thread has taken yet, aborted ones included.
  std::size_t in_line = 0;       // Jobs and tasks that wait for a place in its queue.
  // How long the oldest job has been in the queue, at most: the queue knows when it was filled, and when the job came
  // that was taken last.
  std::chrono::nanoseconds oldest_age{0};
  bool overloaded = false;  // See skua::blocking_overloaded().
};

// A blocking job that runs, or waits in blocking_join() for another one that runs in its place.
struct RunningBlockingJob {
  TaskId id = 0;
  std::string name;        // SpawnBlockingOptions::name.
  std::string class_name;  // BlockingClassOptions::name.
  std::chrono::nanoseconds running_for{0};
  int thread = 0;  // The kernel's number for it (gettid(2)), as in /proc/PID/task.
};

// A snapshot. The counters are read one by one while the workers run: sums of them may be off by what happened
// meanwhile.
struct RuntimeMetrics {
  std::vector<WorkerMetrics> workers;
  std::uint64_t tasks_spawned = 0;
  std::uint64_t tasks_ended = 0;
  std::size_t injector_depth = 0;
  ByPriority injector_depth_by_priority{};
  IoBackend io_backend = IoBackend::kUring;               // kUring or kEpoll,
  std::string io_backend_reason;                          // and why.
  SocketEngine socket_engine = SocketEngine::kReadiness;  // kReadiness or kCompletion,
  std::string socket_engine_reason;                       // and why.
  std::uint64_t io_enters = 0;  // io_uring_enter(2) and epoll_wait(2) calls.
  std::uint64_t io_completions =
      0;                          // Operations, and polls that the holder of the driver sleeps by.
  std::uint64_t io_events = 0;    // Reports of readiness, wake-ups among them.
  std::int64_t io_in_flight = 0;  // Operations. Tasks that wait for readiness are not counted.
  int blocking_threads = 0;
  int blocking_threads_idle = 0;  // The others are busy.
  int blocking_threads_peak = 0;
  std::int64_t blocking_queue_depth = 0;
  std::uint64_t blocking_jobs_run = 0;
  std::uint64_t blocking_threads_created = 0;
  std::uint64_t blocking_wakes = 0;   // Idle threads woken: futex calls.
  std::uint64_t blocking_stalls = 0;  // Times that RuntimeOptions::on_blocking_stall was called.
  std::vector<BlockingClassMetrics> blocking_classes;  // By BlockingClass::index().

  // Sums over the workers.
  std::uint64_t runs() const noexcept;
  std::uint64_t steals() const noexcept;
  DurationHistogram run_time() const noexcept;
  DurationHistogram scheduling_delay() const noexcept;
};

}  // namespace skua
