// SPDX-License-Identifier: Apache-2.0
#include "skua/runtime.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "blocking_pool/blocking_pool.h"
#include "runtime/affinity.h"
#include "runtime/cpu_quota.h"
#include "runtime/metrics.h"
#include "runtime/seat.h"
#include "skua/internal/check.h"
#include "time/clock.h"
#include "workers/worker_set.h"

namespace skua {
namespace {

absl::Status check_range(const char* name, std::int64_t value, std::int64_t low,
                         std::int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError("RuntimeOptions::" + std::string(name) + " is " +
                                    std::to_string(value) + ", must be " + std::to_string(low) +
                                    " to " + std::to_string(high));
}

// By BlockingClass::index().
std::vector<BlockingClassOptions> blocking_classes(const RuntimeOptions& options) {
  // From here on there are enough threads for some of them to be kept free.
  constexpr int kMany = 32;
  const bool many = options.max_blocking_threads >= kMany;
  const BlockingClassOptions fs = {.max_threads = 64, .reserved_threads = many ? 4 : 0};
  const BlockingClassOptions dns = {.max_threads = 32, .reserved_threads = many ? 2 : 0};
  std::vector<BlockingClassOptions> classes = {options.blocking_default,
                                               options.blocking_fs.value_or(fs),
                                               options.blocking_dns.value_or(dns)};
  static constexpr std::array kNames = {"default", "fs", "dns"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (classes[i].name.empty()) classes[i].name = kNames[i];
  }
  classes.insert(classes.end(), options.blocking_classes.begin(), options.blocking_classes.end());
  return classes;
}

absl::Status check_blocking_classes(const RuntimeOptions& options) {
  absl::Status status = check_range("blocking_classes.size()",
                                    static_cast<std::int64_t>(options.blocking_classes.size()), 0,
                                    BlockingClass::kUserClassesMax);
  std::int64_t reserved = 0;
  bool all_have_reserves = true;
  for (const BlockingClassOptions& c : blocking_classes(options)) {
    const int limit = c.max_threads == 0 ? options.max_blocking_threads
                                         : std::min(c.max_threads, options.max_blocking_threads);
    status.Update(check_range("blocking class's max_threads", c.max_threads, 0, INT32_MAX));
    status.Update(check_range("blocking class's reserved_threads", c.reserved_threads, 0, limit));
    status.Update(
        check_range("blocking class's delay_target in ns", c.delay_target.count(), 0, INT64_MAX));
    status.Update(check_range("blocking class's overload_interval in ns",
                              c.overload_interval.count(), 0, INT64_MAX));
    reserved += c.reserved_threads;
    all_have_reserves = all_have_reserves && c.reserved_threads > 0;
  }
  // A class without reserve needs something that is shared.
  status.Update(check_range("blocking classes' sum of reserved_threads", reserved, 0,
                            options.max_blocking_threads - (all_have_reserves ? 0 : 1)));
  return status;
}

absl::Status check_options(const RuntimeOptions& options) {
  constexpr std::int64_t kManyTicks = INT32_MAX;
  absl::Status status;
  status.Update(check_range("worker_threads", options.worker_threads, 0, 32767));
  status.Update(check_range("max_blocking_threads", options.max_blocking_threads, 1, 1 << 20));
  status.Update(
      check_range("blocking_keep_alive", options.blocking_keep_alive.count(), 0, kManyTicks));
  status.Update(check_range("global_queue_interval", options.global_queue_interval, 1, kManyTicks));
  status.Update(check_range("event_interval", options.event_interval, 1, kManyTicks));
  status.Update(check_range("ring_entries", options.ring_entries, 1, 32768));
  status.Update(check_blocking_classes(options));
  return status;
}

internal::QueuePolicy queue_policy(const RuntimeOptions& options) {
  if (options.flavor == Flavor::kThreadPerCore) return internal::QueuePolicy::kThreadPerCore;
  if (options.flavor == Flavor::kCurrentThread) return internal::QueuePolicy::kWorkStealing;
  switch (options.scheduler) {
    case SchedulerPolicy::kWorkStealing:
      return internal::QueuePolicy::kWorkStealing;
    case SchedulerPolicy::kWorkStealingNoSlot:
      return internal::QueuePolicy::kWorkStealingNoSlot;
    case SchedulerPolicy::kGlobalQueue:
      return internal::QueuePolicy::kGlobalQueue;
  }
  return internal::QueuePolicy::kWorkStealing;
}

}  // namespace

struct Runtime::Impl {
  Impl(RuntimeOptions opts, std::unique_ptr<internal::WorkerSet> worker_set,
       internal::BlockingPoolOptions pool_options)
      : options(std::move(opts)), workers(std::move(worker_set)), pool(std::move(pool_options)) {}

  static absl::StatusOr<std::unique_ptr<Impl>> create(RuntimeOptions options);
  bool shutdown(std::int64_t deadline_ns);
  // Ends the process if this thread belongs to the runtime.
  void require_foreign_thread(const char* operation) const;

  const RuntimeOptions options;
  // The pool goes first: its jobs may still wake tasks.
  const std::unique_ptr<internal::WorkerSet> workers;
  internal::BlockingPool pool;
  // kCurrentThread.
  internal::Seat seat;
  // What the thread that is the worker now had before: it may be a blocking thread of another runtime.
  internal::BlockingPool* outer_pool = nullptr;
};

absl::StatusOr<std::unique_ptr<Runtime::Impl>> Runtime::Impl::create(RuntimeOptions options) {
  if (const absl::Status status = check_options(options); !status.ok()) return status;
  const bool multi = options.flavor != Flavor::kCurrentThread;
  if (!multi) {
    options.worker_threads = 1;
  } else if (options.worker_threads == 0) {
    options.worker_threads =
        internal::workers_for(internal::usable_cpus(), internal::cgroup_cpu_limit());
  }
  // Made after the workers, which reach it through this.
  auto impl_of_thread = std::make_shared<Impl*>(nullptr);
  internal::WorkerSetOptions set_options;
  set_options.workers = options.worker_threads;
  set_options.policy = queue_policy(options);
  set_options.global_queue_interval = options.global_queue_interval;
  set_options.event_interval = options.event_interval;
  set_options.eager_handover = options.driver_handover == DriverHandover::kEager;
  set_options.driver.ring_entries = options.ring_entries;
  set_options.driver.backend = options.io_backend;
  set_options.driver.sockets = options.socket_engine;
  set_options.driver.zero_copy_min = options.zero_copy_min;
  set_options.thread_name = options.thread_name;
  if (multi && options.pin_workers) set_options.cpus = internal::usable_cpu_list();
  set_options.busy_elsewhere = [impl_of_thread] {
    const internal::BlockingPoolMetrics pool = (*impl_of_thread)->pool.metrics();
    return pool.queue_depth > 0 || pool.threads > pool.threads_idle;
  };
  set_options.on_thread = [impl_of_thread, multi](bool begins) {
    Impl* const self = *impl_of_thread;
    if (multi) {
      internal::set_current_blocking_pool(begins ? &self->pool : nullptr);
    } else if (begins) {
      self->outer_pool = internal::set_current_blocking_pool(&self->pool);
    } else {
      internal::set_current_blocking_pool(self->outer_pool);
    }
  };
  absl::StatusOr<std::unique_ptr<internal::WorkerSet>> workers =
      internal::WorkerSet::create(std::move(set_options));
  if (!workers.ok()) return workers.status();
  internal::Executor* const executor = workers->get();
  internal::BlockingPoolOptions pool_options;
  pool_options.max_threads = options.max_blocking_threads;
  pool_options.keep_alive = options.blocking_keep_alive;
  pool_options.thread_name = options.thread_name + "-blocking";
  pool_options.classes = blocking_classes(options);
  pool_options.on_stall =
      options.on_blocking_stall ? options.on_blocking_stall : [](const std::string& message) {
        std::fprintf(stderr, "skua: %s\n", message.c_str());
      };
  // A job may spawn tasks.
  pool_options.on_thread_start = [executor] { internal::set_current_executor(executor); };
  auto impl =
      std::make_unique<Impl>(std::move(options), *std::move(workers), std::move(pool_options));
  *impl_of_thread = impl.get();
  if (multi) {
    if (const absl::Status status = impl->workers->start(); !status.ok()) return status;
  }
  return impl;
}

void Runtime::Impl::require_foreign_thread(const char* operation) const {
  if (internal::current_driver() != nullptr) {
    internal::fatal(
        std::string(operation) +
        " was called on a worker, which must not block: end a runtime on a plain thread, or "
        "in skua::spawn_blocking");
  }
  if (internal::current_executor() == workers.get()) {
    internal::fatal(std::string(operation) +
                    " was called by a blocking job of this runtime, and would wait for itself");
  }
}

bool Runtime::Impl::shutdown(std::int64_t deadline_ns) {
  workers->request_shutdown();
  pool.begin_shutdown();
  bool stopped;
  if (options.flavor == Flavor::kCurrentThread) {
    internal::ThreadJoiner nobody;  // Waits for the seat alone.
    stopped = seat.take(nobody, deadline_ns);
    if (stopped) {
      stopped = workers->run_here_until_stopped(deadline_ns);
      seat.leave();
    }
  } else {
    stopped = workers->wait_stopped(deadline_ns);
  }
  const bool idle = pool.wait_idle_until(deadline_ns);
  return stopped && idle;
}

Runtime::Runtime(std::unique_ptr<Impl> impl) noexcept
    : impl_(std::move(impl)), executor_(*impl_->workers), blocking_pool_(impl_->pool) {}

Runtime::Runtime(RuntimeOptions options)
    : Runtime([&] {
        absl::StatusOr<std::unique_ptr<Impl>> impl = Impl::create(std::move(options));
        if (!impl.ok()) {
          internal::fatal("the runtime cannot start: " + std::string(impl.status().message()));
        }
        return *std::move(impl);
      }()) {}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::create(RuntimeOptions options) {
  absl::StatusOr<std::unique_ptr<Impl>> impl = Impl::create(std::move(options));
  if (!impl.ok()) return impl.status();
  return std::unique_ptr<Runtime>(new Runtime(*std::move(impl)));
}

Runtime::~Runtime() {
  impl_->require_foreign_thread("skua::Runtime::~Runtime");
  impl_->shutdown(INT64_MAX);
  impl_->workers->join();
}

bool Runtime::shutdown(std::chrono::nanoseconds grace) {
  impl_->require_foreign_thread("skua::Runtime::shutdown");
  return impl_->shutdown(internal::deadline_after_ns(std::max<std::int64_t>(grace.count(), 0)));
}

void Runtime::wait_for(internal::JoinState* state) {
  if (internal::current_driver() != nullptr) {
    internal::fatal(
        "skua::Runtime::block_on was called on a worker, which must not block: co_await the task "
        "instead, or move the call into skua::spawn_blocking");
  }
  internal::ThreadJoiner joiner;
  const auto word = reinterpret_cast<std::uintptr_t>(&joiner) | internal::JoinState::kThreadTag;
  if (!state->set_joiner(word)) return;
  const internal::BlockedThread blocked;
  if (impl_->options.flavor != Flavor::kCurrentThread) {
    joiner.wait();
    return;
  }
  while (!joiner.notified()) {
    if (!impl_->seat.take(joiner, INT64_MAX)) continue;
    impl_->workers->run_here(joiner);
    impl_->seat.leave();
    // The runtime has stopped, and has ended the task or is about to say so.
    joiner.wait();
  }
}

std::vector<RunningBlockingJob> Runtime::running_blocking_jobs() const {
  return impl_->pool.running_jobs();
}

RuntimeMetrics Runtime::metrics() const {
  return internal::collect_metrics(*impl_->workers, impl_->pool);
}

}  // namespace skua
