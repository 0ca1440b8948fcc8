// SPDX-License-Identifier: Apache-2.0
//
// The runtime: workers that run tasks, a driver for I/O and timers, a pool for what blocks.
//
//   skua::Task<int> async_main() { ... co_return 0; }
//   int main() { return skua::run(async_main()); }
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "skua/blocking.h"
#include "skua/internal/blocking_job.h"
#include "skua/internal/executor.h"
#include "skua/io_backend.h"
#include "skua/join_handle.h"
#include "skua/metrics.h"
#include "skua/socket_engine.h"
#include "skua/spawn.h"
#include "skua/task.h"

namespace skua {

// What threads a runtime has, and whether its tasks move between them.
enum class Flavor : std::uint8_t {
  kMultiThread,  // worker_threads threads that share all tasks, as RuntimeOptions::scheduler says.
  kCurrentThread,  // No thread: tasks run on the thread that calls block_on(), while it does.
  // worker_threads threads that share nothing: a task stays for all its life on the worker it was spawned on. What is
  // spawned from outside goes to the workers in turn.
  kThreadPerCore,
};

// How the workers of a kMultiThread runtime share tasks.
enum class SchedulerPolicy : std::uint8_t {
  kWorkStealing,  // Queues of their own, from which idle peers steal. What a task wakes runs next, from a LIFO slot.
  kWorkStealingNoSlot,  // The same, first in first out.
  kGlobalQueue,         // One queue for all.
};

// Who waits for I/O and timers while the worker that did so runs a task.
enum class DriverHandover : std::uint8_t {
  // A sleeping worker looks now and then, and takes a driver that nobody attends to: within 5 ms, at no cost that can
  // be measured.
  kWatch,
  // It wakes a sleeping worker to take its place, each time: within a fraction of a millisecond, for up to half as much
  // CPU again in a server of short requests.
  kEager,
};

// How a runtime is made. A value; the defaults are for a server that has the machine to itself.
struct RuntimeOptions {
  Flavor flavor = Flavor::kMultiThread;
  // Without effect on the other flavors.
  SchedulerPolicy scheduler = SchedulerPolicy::kWorkStealing;
  // Threads that run tasks. 0: the number of CPUs in this process's affinity mask, or the CPU quota of its
  // cgroup (cpu.max, or cpu.cfs_quota_us) rounded up, whichever is less. At most 32767. Without effect on
  // kCurrentThread.
  int worker_threads = 0;
  // Threads of the blocking pool, at most, of all classes together. At least 1.
  int max_blocking_threads = 512;
  // How long a thread of the blocking pool stays without work.
  std::chrono::milliseconds blocking_keep_alive{10'000};
  // The classes of blocking jobs, see skua/blocking.h. What they have reserved adds up to less than
  // max_blocking_threads; to as much, if each has something.
  BlockingClassOptions blocking_default = {.name = "default"};
  // std::nullopt: at most 64 threads; of 32 threads or more, 4 are reserved.
  std::optional<BlockingClassOptions> blocking_fs = std::nullopt;
  // std::nullopt: at most 32 threads; of 32 threads or more, 2 are reserved.
  std::optional<BlockingClassOptions> blocking_dns = std::nullopt;
  // BlockingClass::user(0), user(1), ... At most BlockingClass::kUserClassesMax.
  std::vector<BlockingClassOptions> blocking_classes = {};
  // Called with a message when all threads that could run a queued blocking job wait for something else in
  // blocking_join() or Runtime::block_on(): they may wait for ever. On the thread that finds it. Must neither throw nor
  // block. Empty: the message is written to stderr.
  std::function<void(const std::string&)> on_blocking_stall = nullptr;
  // Ticks (task runs) of a worker between two looks at the injector before its own queues. At least 1.
  int global_queue_interval = 61;
  // Ticks between two looks at the driver and the timers that do not wait. At least 1.
  int event_interval = 61;
  // Workers are called NAME-0, NAME-1, ..., pool threads NAME-blocking; the kernel shows 15 characters.
  std::string thread_name = "skua";
  // Binds each worker to one CPU of the affinity mask that the thread which starts the runtime has: worker i to the
  // i-th, and from the first again if there are more workers. For thread-per-core services; elsewhere the kernel
  // places threads better. Without effect on kCurrentThread, and on the blocking pool.
  bool pin_workers = false;
  // Entries of the submission queue of the io_uring, 1 to 32768; rounded up to a power of two. The completion
  // queue has four times as many. More operations than that may be in flight.
  unsigned ring_entries = 1024;
  // kAuto: what the environment variable SKUA_IO says (uring or epoll); without it io_uring, or epoll if the kernel, a
  // sysctl or a container's seccomp profile refuses io_uring. The metrics say which one runs and why; a fallback is
  // also written to stderr, once for each process.
  IoBackend io_backend = IoBackend::kAuto;
  // How sockets are read and written. kAuto: what the environment variable SKUA_SOCKETS says (readiness or completion);
  // without it by readiness. The metrics say which one runs and why.
  SocketEngine socket_engine = SocketEngine::kAuto;
  // With SocketEngine::kCompletion: write() and write_all() of a TcpStream (not one from from_fd()) send so many
  // bytes or more (16 KiB up) without copying them, if the kernel can (Linux 6.0). They end when it has done with the
  // buffer, perhaps when the peer has acknowledged it. One that is aborted, or whose stream is closed, before that
  // resets the connection: else it could not end before the peer has read. 0: they copy. Over the loopback device the
  // kernel copies all the same, and it costs several times as much; measure it on your own network.
  std::size_t zero_copy_min = 0;
  // What keeps the driver attended when the worker that slept in it has found work, on which it may be stuck.
  DriverHandover driver_handover = DriverHandover::kWatch;
};

// Owns its threads. Neither copied nor moved. Several may live in one process.
//
// Threads: all functions may be called from any thread, unless they say otherwise.
// Lifetime: a Runtime is not destroyed on one of its own threads. The destructor is shutdown() without a limit
//   of time, so it waits for a task that never yields, and for a blocking job that never ends.
// Not supported: use after fork() in the child.
class Runtime {
 public:
  // Starts a runtime, or ends the process with cause and remedy on stderr. See create().
  explicit Runtime(RuntimeOptions options = {});
  // The same, as a value.
  //
  // Errors: kInvalidArgument - an option is out of its range, SKUA_IO names no backend, or SKUA_SOCKETS no
  //   engine. kFailedPrecondition - io_uring is demanded, and missing or forbidden; the message says what to do.
  //   kResourceExhausted - a thread or a descriptor cannot be had. With pin_workers, what pthread_setaffinity_np(3)
  //   says if a CPU is taken away meanwhile.
  static absl::StatusOr<std::unique_ptr<Runtime>> create(RuntimeOptions options = {});
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Runs `task` and waits for its end. On kCurrentThread, this thread runs all tasks of the runtime meanwhile;
  // one thread can do so at a time, a second one waits for its turn.
  //
  // Returns: what the task returns.
  // Errors: rethrows what the task throws; throws TaskCancelled if the runtime is shutting down.
  // Threads: any, but no worker: a worker that blocks is a caller's bug, and ends the process.
  template <typename T>
  T block_on(Task<T> task) {
    internal::JoinShare<T> share = internal::spawn_on(executor_, std::move(task)).release_share();
    wait_for(share.state());
    if (share.slot().empty()) throw TaskCancelled();
    return share.slot().take();
  }

  // As skua::spawn(), from any thread.
  template <typename T>
  JoinHandle<T> spawn(Task<T> task, const SpawnOptions& options = {}) {
    return internal::spawn_on(executor_, std::move(task), options);
  }

  // The same for a function that gives the Task, as skua::spawn().
  template <internal::TaskFactory F>
  JoinHandle<internal::FactoryResult<F>> spawn(F make, const SpawnOptions& options = {}) {
    return spawn(internal::run_factory(std::move(make)), options);
  }

  // As skua::spawn_on(), from any thread.
  template <typename T>
  JoinHandle<T> spawn_on(int worker, Task<T> task, const SpawnOptions& options = {}) {
    SKUA_REQUIRE(worker >= 0 && worker <= INT16_MAX, worker);
    return internal::spawn_on(executor_, std::move(task), options, worker);
  }

  // As skua::spawn_blocking(), from any thread.
  template <typename F>
  auto spawn_blocking(F f, SpawnBlockingOptions options = {})
      -> JoinHandle<internal::BlockingResult<F>> {
    return internal::spawn_blocking_on(blocking_pool_, std::move(f), options);
  }

  // As skua::try_spawn_blocking(), from any thread.
  template <typename F>
  auto try_spawn_blocking(F f, SpawnBlockingOptions options = {})
      -> absl::StatusOr<JoinHandle<internal::BlockingResult<F>>> {
    return internal::try_spawn_blocking_on(blocking_pool_, std::move(f), options);
  }

  // As skua::blocking_overloaded(), from any thread.
  bool blocking_overloaded(BlockingClass pool_class = {}) const noexcept {
    return internal::blocking_class_overloaded(blocking_pool_, pool_class.index());
  }

  // The blocking jobs that run now: after a shutdown() that was false, those that it waits for. In no particular order.
  //
  // Errors: std::bad_alloc.
  std::vector<RunningBlockingJob> running_blocking_jobs() const;

  // The counters, as they are now. See skua/metrics.h.
  //
  // Errors: std::bad_alloc.
  RuntimeMetrics metrics() const;

  // Ends all tasks: nothing new is taken, tasks that wait are aborted, those that run are aborted at their
  // next suspension, blocking jobs that have not begun are cancelled (but for those with AtShutdown::kRun), and the
  // tokens of those that run. Waits up to `grace` until all tasks and blocking jobs have ended.
  //
  // Returns: false if something was still running; it is then still being shut down, and a later call or the
  //   destructor waits again. running_blocking_jobs() names the jobs.
  // Threads: any that is neither a worker nor a blocking thread of this runtime, one at a time. On
  //   kCurrentThread the tasks are ended on this thread.
  bool shutdown(std::chrono::nanoseconds grace);

 private:
  struct Impl;
  explicit Runtime(std::unique_ptr<Impl> impl) noexcept;
  void wait_for(internal::JoinState* state);

  const std::unique_ptr<Impl> impl_;
  internal::Executor& executor_;
  internal::BlockingPool& blocking_pool_;
};

// Starts a runtime, runs `task` to its end, and shuts the runtime down: main in one line.
//
// Returns, Errors: as Runtime::block_on(). What else was spawned is aborted when `task` has ended. A runtime
//   that cannot be started ends the process with cause and remedy on stderr.
// Threads: any, but no worker.
template <typename T>
T run(Task<T> task, RuntimeOptions options = {}) {
  Runtime runtime(std::move(options));
  return runtime.block_on(std::move(task));
}

}  // namespace skua
