// SPDX-License-Identifier: Apache-2.0
//
// The driver: all I/O of a runtime, and one place to sleep for its workers.
//
//   workers (tasks) -- submit() --> backend --> kernel --> completions -- holder: poll(), wait() --> tasks woken
//   workers (tasks) -- IoSource --> poller  --> kernel --> events --------^
//   any thread      -- cancel() --> cancel list ---------------------------^
//   any thread      -- wake()   --> eventfd --> poller --------------------^
//
// The backend is an io_uring or, where io_uring is refused, the blocking pool. The holder sleeps in the poller (an
// epoll descriptor), where the ring is watched too. Any worker submits. One at a time holds the driver (try_hold): it
// alone reaps completions and events, sends cancels and sleeps in the kernel. States and protocol: io_driver/README.md.
// The named edges:
//
//   [OP-SUBMIT]    submit()'s store of phase_ (release) -> the holder's load (acquire). The kernel carries the
//                  address; what stands there is handed over by this edge.
//   [HOLD]         release()'s store of held_ (release) -> try_hold()'s exchange (acquire). All that is marked as the
//                  holder's, from one holder to the next.
//   [OP-DONE]      the holder writes result_, then wakes the task ([WAKE]).
//   [CANCEL-LIST]  cancel()'s push (release) -> the holder's exchange (acquire).
//   [DRIVER-WAKE]  wake() and cancel() publish their reason, pass a full barrier and read sleeping_; the holder
//                  stores sleeping_, passes a full barrier and reads the reasons. At least one sees the other.
//
// Threads that may exit must not submit: what they have in flight may come back cancelled (liburing#1595). Workers
// live as long as the ring. The one exception is the caller of block_on on a current-thread runtime; an
// operation that comes back cancelled though nobody asked for it is therefore submitted again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "io_driver/backend.h"
#include "io_driver/poller.h"
#include "io_driver/socket_choice.h"
#include "io_driver/system_calls.h"
#include "skua/internal/config.h"
#include "skua/internal/io_op.h"
#include "skua/io_backend.h"
#include "skua/socket_engine.h"
#include "task/wake_batch.h"

namespace skua::internal {

struct DriverOptions {
  unsigned ring_entries = 1024;  // Submission queue; 1 to 32768, rounded up to a power of two.
  // kAuto: what the environment variable SKUA_IO says ("uring", "epoll"), else what works.
  IoBackend backend = IoBackend::kAuto;
  SocketEngine sockets = SocketEngine::kAuto;
  // RuntimeOptions::zero_copy_min.
  std::size_t zero_copy_min = 0;
  // For tests: other calls for the sources, and a layer over the backend.
  SystemCalls* calls = nullptr;
  std::function<std::unique_ptr<Backend>(std::unique_ptr<Backend>)> wrap = nullptr;
};

// What was chosen, and why.
struct BackendChoice {
  IoBackend backend = IoBackend::kUring;
  std::string reason;
};

class Driver {
 public:
  // Errors: kFailedPrecondition if io_uring is demanded and cannot be used, kResourceExhausted if no descriptor is
  // left, kInvalidArgument if SKUA_IO or SKUA_SOCKETS says something else.
  static absl::StatusOr<std::unique_ptr<Driver>> create(const DriverOptions& options);
  // Requires: no operation is in flight. Sources that are still open are told.
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Queues `op`, whose task has prepared to suspend. The backend sees it at the next flush(), poll() or wait(). A
  // worker.
  void submit(IoOp* op) noexcept;
  // As Backend::try_at_once(). A worker.
  std::int32_t try_at_once(const IoRequest& request) noexcept {
    return backend_->try_at_once(request);
  }
  // Hands over what is queued, if anything is. A worker.
  void flush() noexcept;
  // Requests queued and not yet handed over.
  unsigned unflushed() const noexcept { return backend_->pending(); }

  // Asks for the end of `op`. Its task is woken, later, in any case. Called from the cancel hook, by any thread.
  void cancel(IoOp* op) noexcept;

  // Where sources register, and what they are read and written by. Any thread.
  Poller& poller() noexcept { return *poller_; }
  SystemCalls& calls() noexcept { return calls_; }
  // How sockets are read and written. Any thread.
  const SocketChoice& sockets() const noexcept { return sockets_; }

  // Takes the driver, never waits. Any worker; release() by the same.
  [[nodiscard]] bool try_hold() noexcept {
    return !held_.load(std::memory_order_relaxed) &&
           !held_.exchange(true, std::memory_order_acquire);  // [HOLD]
  }
  void release() noexcept { held_.store(false, std::memory_order_release); }  // [HOLD]
  // A snapshot. Any thread.
  bool is_held() const noexcept { return held_.load(std::memory_order_relaxed); }

  // Flushes, and wakes the tasks whose operations are complete or whose sources are ready, of up to `events_max` of
  // these (0 to Poller::kEventsMax); the others stay in the kernel, in their order. Returns how many. The holder.
  std::size_t poll(int events_max = Poller::kEventsMax) noexcept;

  // The two steps of sleeping. First announces that the holder will sleep until `deadline_ns`: from then on
  // wake() interrupts it. The caller then looks once more at everything that could be a reason not to sleep,
  // and calls wait() or cancel_wait(). The holder.
  void announce_wait(std::int64_t deadline_ns) noexcept;
  void cancel_wait() noexcept;
  // Sleeps until something completes or is ready, wake() is called, or the announced deadline has passed; then as
  // poll(). The holder.
  std::size_t wait(std::int64_t now_ns) noexcept;

  // Interrupts the holder's sleep, if there is one. Any thread.
  void wake() noexcept;
  // As wake(), if the holder's sleep would last beyond `deadline_ns`. Any thread.
  void wake_before(std::int64_t deadline_ns) noexcept;

  // For metrics. Any thread.
  const BackendChoice& choice() const noexcept { return choice_; }
  std::uint64_t enters() const noexcept { return backend_->enters() + poller_->waits(); }
  std::uint64_t completions() const noexcept {
    return completions_.load(std::memory_order_relaxed);
  }
  std::uint64_t events() const noexcept { return events_.load(std::memory_order_relaxed); }
  std::int64_t in_flight() const noexcept { return in_flight_.load(std::memory_order_acquire); }
  // Those that will be done in their own time, whatever the tasks do: all but sockets' that wait for a peer. Any
  // thread.
  std::int64_t takes_real_time() const noexcept {
    return real_time_.load(std::memory_order_acquire);
  }

 private:
  // Requests that are queued before they are handed over without waiting for an occasion: the kernel works on them
  // while the worker goes on.
  static constexpr unsigned kFlushAt = 32;
  // Events whose sources are fetched ahead at a time.
  static constexpr int kPrefetched = 16;
  // Until what the kernel did not find is cancelled again.
  static constexpr std::int64_t kCancelAgainNs = 1'000'000;
  static constexpr std::int64_t kAwake =
      INT64_MIN;  // sleeping_until_ of a holder that does not sleep.

  Driver(SystemCalls& calls, BackendChoice choice, SocketChoice sockets, Poller* poller,
         std::unique_ptr<Backend> backend);
  enum class Caller : std::uint8_t { kWorker, kHolder };
  void push(const IoRequest& request, std::uint64_t user_data, Caller caller) noexcept;
  static constexpr std::uint64_t kNoLimit = UINT64_MAX;
  std::uint64_t reap_limit(int events_max) const noexcept;
  std::size_t reap(std::uint64_t limit = kNoLimit) noexcept;
  void prefetch_sources(int begin, int end) const noexcept;
  std::size_t take_events(int count) noexcept;
  std::size_t op_completed(IoOp* op, std::int32_t result, std::uint32_t flags) noexcept;
  std::size_t finish(IoOp* op, IoOp::Phase before) noexcept;
  std::size_t drain_cancels() noexcept;
  void push_cancel(IoOp* op) noexcept;
  std::size_t submit_again() noexcept;
  static bool ended_by_cancel(const IoOp& op) noexcept;
  static bool waits_for_peer(const IoOp& op) noexcept;
  static void reset_connection(const IoOp& op) noexcept;
  bool may_go_again(const IoOp& op, std::int32_t result) const noexcept;

  // Constant after construction.
  const BackendChoice choice_;
  const SocketChoice sockets_;
  Poller* const poller_;
  SystemCalls& calls_;
  const std::unique_ptr<Backend> backend_;
  // The holder.
  std::vector<IoOp*> again_;         // To be submitted again.
  std::vector<IoOp*> cancel_again_;  // To be cancelled again; each has a completion due for that.
  std::size_t woken_while_pushing_ = 0;  // By reaping to make room; the holder must not sleep then.
  bool left_behind_ = false;             // The last reaping has met its limit.
  std::uint64_t generation_ = 0;         // Of the last event.
  WakeBatch batch_;                      // Empty between two functions.
  // Any thread.
  alignas(kCacheLine) std::atomic<bool> held_{false};
  alignas(kCacheLine) std::atomic<std::int64_t> sleeping_until_{kAwake};
  alignas(kCacheLine) std::atomic<IoOp*> cancels_{nullptr};
  alignas(kCacheLine) std::atomic<std::int64_t> in_flight_{0};
  std::atomic<std::int64_t> real_time_{0};  // Those of takes_real_time().
  std::atomic<std::uint64_t> completions_{0};
  std::atomic<std::uint64_t> events_{0};
};

// The driver of the worker that this thread is, or nullptr. Installed by workers/.
Driver* current_driver() noexcept;
void set_current_driver(Driver* driver) noexcept;

}  // namespace skua::internal
