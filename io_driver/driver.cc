// SPDX-License-Identifier: Apache-2.0
#include "io_driver/driver.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <utility>

#include <liburing.h>

#include "io_driver/pool_backend.h"
#include "io_driver/ring.h"
#include "io_driver/uring_backend.h"
#include "skua/internal/atomic.h"
#include "skua/internal/check.h"
#include "skua/internal/executor.h"
#include "skua/status.h"

namespace skua::internal {
namespace {
thread_local constinit Driver* driver_of_thread = nullptr;
}  // namespace

SKUA_NOINLINE Driver* current_driver() noexcept {
  asm volatile("");  // Else the compiler merges two calls around a suspension.
  return driver_of_thread;
}

void set_current_driver(Driver* driver) noexcept { driver_of_thread = driver; }

void submit_op(IoOp* op) noexcept {
  Driver* const driver = current_driver();
  SKUA_CHECK(driver != nullptr);
  driver->submit(op);
}

bool complete_at_once(IoOp* op) noexcept {
  Driver* const driver = current_driver();
  SKUA_CHECK(driver != nullptr);
  op->result_ = driver->try_at_once(op->request_);
  // 0 would be the end of the file; but Linux 5.9 and 5.10 say so elsewhere, too (readv(2), BUGS).
  return op->result_ > 0;
}

// An operation that is in flight or already done: either way its task is woken by the driver.
CancelOutcome IoOp::cancel_op(Waiter* waiter) noexcept {
  auto* const op = static_cast<IoOp*>(waiter);
  // Relaxed: it was submitted before the task suspended, or never will be.
  if (op->phase_.load(std::memory_order_relaxed) == Phase::kIdle) return CancelOutcome::kUnlinked;
  // Relaxed: the cancel publishes it. If close() was first, it is a result or the end of the task, as it comes.
  op->aborted_.store(true, std::memory_order_relaxed);
  op->driver_->cancel(op);
  return CancelOutcome::kPending;
}

// --- Choosing a backend -------------------------------------------------------------------------

namespace {

struct Chosen {
  BackendChoice choice;
  SocketChoice sockets;
  std::unique_ptr<Backend> backend;
};

// What SKUA_IO demands, if anything.
absl::Status read_environment(BackendChoice& choice) {
  const char* const value = std::getenv("SKUA_IO");
  if (value == nullptr || *value == '\0') return absl::OkStatus();
  const std::string_view text(value);
  if (text == "uring") {
    choice = {IoBackend::kUring, "the environment says SKUA_IO=uring"};
  } else if (text == "epoll") {
    choice = {IoBackend::kEpoll, "the environment says SKUA_IO=epoll"};
  } else {
    return absl::InvalidArgumentError("the environment says SKUA_IO=" + std::string(text) +
                                      ", must be uring or epoll");
  }
  return absl::OkStatus();
}

// Once for each process: a service learns why it is slower here, and a thousand runtimes do not say it a thousand
// times.
void report_fallback(const std::string& reason) noexcept {
  static std::atomic_flag reported = ATOMIC_FLAG_INIT;
  if (reported.test_and_set(std::memory_order_relaxed)) return;
  std::fprintf(stderr, "skua: I/O goes through epoll and the blocking pool: %s\n", reason.c_str());
}

absl::StatusOr<Chosen> choose(const DriverOptions& options, Poller& poller) {
  absl::StatusOr<SocketEngine> sockets = demanded_engine(options.sockets);
  if (!sockets.ok()) return sockets.status();
  BackendChoice choice{options.backend, "RuntimeOptions::io_backend"};
  if (choice.backend == IoBackend::kAuto) {
    if (const absl::Status status = read_environment(choice); !status.ok()) return status;
  }
  if (choice.backend != IoBackend::kEpoll) {
    absl::StatusOr<std::unique_ptr<Ring>> ring = Ring::create(options.ring_entries);
    if (ring.ok()) {
      if (choice.backend == IoBackend::kAuto) choice.reason = "io_uring works";
      choice.backend = IoBackend::kUring;
      SocketChoice engine = choose_engine(options.sockets, *sockets, ring->get());
      if (options.zero_copy_min != 0 && engine.sends_without_copy) {
        engine.zero_copy_min = options.zero_copy_min;
      }
      return Chosen{std::move(choice), std::move(engine),
                    std::make_unique<UringBackend>(*std::move(ring), poller)};
    }
    if (choice.backend == IoBackend::kUring) return ring.status();
    choice = {IoBackend::kEpoll, std::string(ring.status().message())};
    report_fallback(choice.reason);
  }
  return Chosen{std::move(choice), choose_engine(options.sockets, *sockets, nullptr),
                std::make_unique<PoolBackend>(poller)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Driver>> Driver::create(const DriverOptions& options) {
  SKUA_REQUIRE(options.ring_entries >= 1 && options.ring_entries <= 32768, options.ring_entries);
  absl::StatusOr<Poller*> poller = Poller::create();
  if (!poller.ok()) return poller.status();
  absl::StatusOr<Chosen> chosen = choose(options, **poller);
  if (!chosen.ok()) {
    (*poller)->shut_down();
    return chosen.status();
  }
  std::unique_ptr<Backend> backend = std::move(chosen->backend);
  if (backend->fd() >= 0) {
    const int error = (*poller)->watch_backend(backend->fd());
    if (error != 0) {
      backend.reset();
      (*poller)->shut_down();
      return errno_to_status(error, "epoll_ctl");
    }
  }
  if (options.wrap != nullptr) backend = options.wrap(std::move(backend));
  SystemCalls& calls = options.calls != nullptr ? *options.calls : SystemCalls::real();
  return std::unique_ptr<Driver>(new Driver(
      calls, std::move(chosen->choice), std::move(chosen->sockets), *poller, std::move(backend)));
}

Driver::Driver(SystemCalls& calls, BackendChoice choice, SocketChoice sockets, Poller* poller,
               std::unique_ptr<Backend> backend)
    : choice_(std::move(choice)),
      sockets_(std::move(sockets)),
      poller_(poller),
      calls_(calls),
      backend_(std::move(backend)) {
  backend_->attach(*this);
}

Driver::~Driver() {
  const std::int64_t left = in_flight_.load(std::memory_order_relaxed);
  SKUA_CHECK(left == 0, left);
  poller_->shut_down();
}

// --- Submitting -------------------------------------------------------------------------------

void Driver::push(const IoRequest& request, std::uint64_t user_data, Caller caller) noexcept {
  while (!backend_->push(request, user_data)) {
    if (backend_->submit() == 0) continue;
    // The queue is full, and the kernel takes nothing before its completions are reaped (EBUSY, EAGAIN).
    if (caller == Caller::kHolder) {
      woken_while_pushing_ += reap();
    } else if (try_hold()) {
      reap();
      release();
    } else {
      wake();  // The holder reaps.
      ::sched_yield();
    }
  }
}

void Driver::submit(IoOp* op) noexcept {
  op->driver_ = this;
  op->completions_due_ = 1;
  op->phase_.store(IoOp::Phase::kInFlight, std::memory_order_release);  // [OP-SUBMIT]
  in_flight_.fetch_add(1, std::memory_order_relaxed);
  if (!waits_for_peer(*op)) real_time_.fetch_add(1, std::memory_order_relaxed);
  push(op->request_, reinterpret_cast<std::uint64_t>(op) | kOpTag, Caller::kWorker);
  if (backend_->pending() >= kFlushAt) flush();
}

void Driver::flush() noexcept {
  // A refusal (EAGAIN, EBUSY) is no loss: what stays queued goes with the next poll() or wait(), which reap. The holder
  // may be asleep.
  if (backend_->pending() != 0 && backend_->submit() != 0) wake();
}

// --- Completing ---------------------------------------------------------------------------------

// True if -ECANCELED or -EINTR means that `op` did nothing, and was asked to.
bool Driver::ended_by_cancel(const IoOp& op) noexcept {
  // A close that was interrupted has closed all the same (close(2)).
  return op.result_ == -ECANCELED ||
         (op.result_ == -EINTR && op.request_.opcode != IORING_OP_CLOSE);
}

// True if `op` came back with nothing done, and does the same if it is submitted again.
bool Driver::may_go_again(const IoOp& op, std::int32_t result) const noexcept {
  if (result == -ECANCELED) return backend_->may_lose(op.request_);
  if (result != -EINTR) return false;
  switch (op.request_.opcode) {
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_WRITE:  // Interrupted before the first byte: else it is a short write.
    case IORING_OP_WRITEV:
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC:
    case IORING_OP_STATX:
    case IORING_OP_FSYNC:
    case IORING_OP_FALLOCATE:
    case kFtruncateOpcode:
    case IoRequest::kCallOpcode:
      return true;
    default:
      return false;
  }
}

// What `op` has sent without copying is the kernel's until the peer has taken it, for ever perhaps. Its task is to end,
// or its socket: so the connection does, and with it what is queued.
void Driver::reset_connection(const IoOp& op) noexcept {
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  ::connect(op.request_.fd, &nobody, sizeof(nobody));
}

// Whether `op` is a socket's: until its end is asked for, it lasts as long as another one likes.
bool Driver::waits_for_peer(const IoOp& op) noexcept {
  switch (op.request_.opcode) {
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_SEND_ZC:
    case IORING_OP_ACCEPT:
    case IORING_OP_CONNECT:
      return true;
    default:
      return false;
  }
}

// The last completion of `op` is in. Returns the number of tasks woken.
std::size_t Driver::finish(IoOp* op, IoOp::Phase before) noexcept {
  // The wait that was announced does not come about: nobody need interrupt it.
  if (sleeping_until_.load(std::memory_order_relaxed) != kAwake) cancel_wait();
  in_flight_.fetch_sub(1, std::memory_order_release);
  // Since the cancel was queued, a socket's counts, too.
  if (before != IoOp::Phase::kInFlight || !waits_for_peer(*op)) {
    real_time_.fetch_sub(1, std::memory_order_release);
  }
  TaskHeader* const task = op->task;
  const bool cancelled = before != IoOp::Phase::kInFlight &&
                         op->aborted_.load(std::memory_order_relaxed) && ended_by_cancel(*op);
  if (cancelled) {
    task->wake_cancelled();  // [OP-DONE] *op may be gone.
  } else {
    batch_.add(task);
  }
  return 1;
}

std::size_t Driver::op_completed(IoOp* op, std::int32_t result, std::uint32_t flags) noexcept {
  if ((flags & kMoreToComeFlag) != 0) {
    // The result; the kernel still has the buffer.
    op->result_ = result;
    op->awaits_notification_ = true;
    if (op->phase_.load(std::memory_order_acquire) != IoOp::Phase::kInFlight) reset_connection(*op);
    return 0;
  }
  if ((flags & kNotificationFlag) != 0) {
    op->awaits_notification_ = false;
    result = op->result_;
  }
  const IoOp::Phase phase = op->phase_.load(std::memory_order_acquire);  // [OP-SUBMIT]
  if (--op->completions_due_ > 0) {
    // The answer to the cancel is still to come, with op's address in it.
    op->result_ = result;
    return 0;
  }
  if (phase == IoOp::Phase::kInFlight && may_go_again(*op, result)) {
    // Nobody asked: the thread that submitted it is gone, or a signal came. It goes again, from this thread.
    op->completions_due_ = 1;
    again_.push_back(op);
    return 0;
  }
  op->result_ = result;
  const IoOp::Phase before = op->phase_.exchange(IoOp::Phase::kDone, std::memory_order_acq_rel);
  // On its way to the cancel list, where drain_cancels() meets it.
  if (before == IoOp::Phase::kCancelQueued) return 0;
  return finish(op, before);
}

// Reaping only notes what goes again: it is called to make room for a push.
std::size_t Driver::submit_again() noexcept {
  std::size_t woken = 0;
  while (!again_.empty()) {
    IoOp* const op = again_.back();
    again_.pop_back();
    if (op->phase_.load(std::memory_order_acquire) == IoOp::Phase::kInFlight) {
      push(op->request_, reinterpret_cast<std::uint64_t>(op) | kOpTag, Caller::kHolder);
    } else {
      // Aborted meanwhile. Its cancel may be on its way, and must not be overtaken by what it is to cancel.
      woken += op_completed(op, -ECANCELED, 0);
    }
  }
  batch_.flush();
  return woken;
}

std::size_t Driver::reap(std::uint64_t limit) noexcept {
  std::size_t woken = 0;
  std::uint64_t seen = 0;
  Completion completion;
  while (seen < limit && backend_->pop(completion)) {
    const std::uint64_t data = completion.user_data;
    const std::int32_t result = completion.result;
    ++seen;
    switch (data & kTagMask) {
      case kOpTag:
        woken += op_completed(reinterpret_cast<IoOp*>(data), result, completion.flags);
        break;
      case kCancelTag: {
        // Whether it was found or not (-EALREADY) is told by the operation itself.
        auto* const op = reinterpret_cast<IoOp*>(data & ~kTagMask);
        if (op->completions_due_ == 1) {
          op->completions_due_ = 0;
          woken += finish(op, IoOp::Phase::kCancelSent);
        } else if (result == -ENOENT) {
          // On its way from one of the kernel's lists to another: it is looked for again, which stays due.
          cancel_again_.push_back(op);
        } else {
          --op->completions_due_;
        }
        break;
      }
      default:
        SKUA_CHECK(false, data);
    }
  }
  // Written by the holder only; relaxed: a statistic.
  completions_.store(completions_.load(std::memory_order_relaxed) + seen,
                     std::memory_order_relaxed);
  left_behind_ = seen == limit;
  batch_.flush();
  return woken;
}

// What on_event() is going to touch for these events of the poller. Sources that take turns by the hundreds are in no
// cache, and it would wait for memory twice for each. A waiter may be gone: its address alone is used.
void Driver::prefetch_sources(int begin, int end) const noexcept {
  const auto source_of = [this](int i) {
    const std::uint64_t data = poller_->event(i).data.u64;
    const bool is_source = (data & kEventTagMask) == kSourceEventTag;
    return is_source ? reinterpret_cast<const IoRegistration*>(data) : nullptr;
  };
  for (int i = begin; i < end; ++i) __builtin_prefetch(source_of(i), /*for writing*/ 1);
  for (int i = begin; i < end; ++i) {
    if (const IoRegistration* const source = source_of(i))
      source->prefetch_waiter(Direction::kRead);
  }
}

// What the last wait of the poller has fetched. Returns the number of tasks woken.
std::size_t Driver::take_events(int count) noexcept {
  std::size_t woken = 0;
  for (int i = 0; i < count; ++i) {
    if (i % kPrefetched == 0) prefetch_sources(i, std::min(i + kPrefetched, count));
    const epoll_event& event = poller_->event(i);
    const std::uint64_t data = event.data.u64;
    switch (data & kEventTagMask) {
      case kSourceEventTag:
        woken += reinterpret_cast<IoRegistration*>(data & ~kEventTagMask)
                     ->on_event(event.events, ++generation_, batch_);
        break;
      case kOpEventTag:
        backend_->poll_fired(reinterpret_cast<IoOp*>(data & ~kEventTagMask));
        break;
      default:
        // The ring has completions, which are reaped after this; or somebody has called wake().
        SKUA_CHECK(data == kBackendEventTag || data == kWakeEventTag, data);
    }
  }
  // Written by the holder only; relaxed: a statistic.
  events_.store(events_.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(count),
                std::memory_order_relaxed);
  batch_.flush();
  return woken;
}

// --- Cancelling ---------------------------------------------------------------------------------

void Driver::cancel(IoOp* op) noexcept {
  IoOp::Phase expected = IoOp::Phase::kInFlight;
  if (!op->phase_.compare_exchange_strong(expected, IoOp::Phase::kCancelQueued,
                                          std::memory_order_acq_rel, std::memory_order_relaxed)) {
    return;  // Done: its task is being woken.
  }
  // *op stays until it has been met in the list.
  if (waits_for_peer(*op)) real_time_.fetch_add(1, std::memory_order_relaxed);
  op->next_cancel_ = cancels_.load(std::memory_order_relaxed);
  while (!cancels_.compare_exchange_weak(op->next_cancel_, op, std::memory_order_release,
                                         std::memory_order_relaxed)) {
  }
  wake();  // [CANCEL-LIST] *op may be gone.
}

void Driver::push_cancel(IoOp* op) noexcept {
  const auto key = reinterpret_cast<std::uint64_t>(op);
  push(IoRequest(IORING_OP_ASYNC_CANCEL, -1, key | kOpTag, 0, 0, 0), key | kCancelTag,
       Caller::kHolder);
}

std::size_t Driver::drain_cancels() noexcept {
  std::size_t woken = 0;
  for (IoOp* const op : std::exchange(cancel_again_, {})) {
    if (op->completions_due_ > 1) {
      push_cancel(op);
    } else {
      op->completions_due_ = 0;
      woken += finish(op, IoOp::Phase::kCancelSent);
    }
  }
  if (cancels_.load(std::memory_order_relaxed) == nullptr) {
    if (woken > 0) batch_.flush();
    return woken;
  }
  IoOp* op = cancels_.exchange(nullptr, std::memory_order_acquire);  // [CANCEL-LIST]
  while (op != nullptr) {
    IoOp* const next = op->next_cancel_;
    IoOp::Phase expected = IoOp::Phase::kCancelQueued;
    if (op->phase_.compare_exchange_strong(expected, IoOp::Phase::kCancelSent,
                                           std::memory_order_acq_rel, std::memory_order_acquire)) {
      // The operation is kept until this, too, has completed: the kernel finds it by its address.
      ++op->completions_due_;
      push_cancel(op);
      if (op->awaits_notification_) reset_connection(*op);
    } else {
      woken += finish(op, IoOp::Phase::kCancelQueued);
    }
    op = next;
  }
  batch_.flush();
  return woken;
}

// As events: sockets complete by the hundreds, and what the ring of a worker has no room for is overtaken.
std::uint64_t Driver::reap_limit(int events_max) const noexcept {
  return sockets_.engine == SocketEngine::kCompletion ? static_cast<std::uint64_t>(events_max)
                                                      : kNoLimit;
}

// --- Polling and sleeping -------------------------------------------------------------------------

std::size_t Driver::poll(int events_max) noexcept {
  std::size_t woken = drain_cancels();
  woken += submit_again();
  flush();
  const std::uint64_t limit = reap_limit(events_max);
  woken += reap(limit);
  if (events_max > 0 && poller_->registered() > 0) {
    woken += take_events(poller_->wait(0, events_max));
    if (!left_behind_) woken += reap(limit);  // What the poller has made the backend complete.
  }
  return woken + std::exchange(woken_while_pushing_, 0);
}

void Driver::announce_wait(std::int64_t deadline_ns) noexcept {
  sleeping_until_.store(deadline_ns, std::memory_order_relaxed);
  full_barrier();  // [DRIVER-WAKE]
}

void Driver::cancel_wait() noexcept { sleeping_until_.store(kAwake, std::memory_order_relaxed); }

std::size_t Driver::wait(std::int64_t now_ns) noexcept {
  std::size_t woken = drain_cancels();
  woken += submit_again();
  // Refused (EAGAIN, EBUSY): the kernel wants its completions reaped, or memory; the caller's loop comes back.
  const bool submitted = backend_->pending() == 0 || backend_->submit() == 0;
  // After the announcement: whoever completes something from here on interrupts the wait.
  woken += reap(reap_limit(Poller::kEventsMax));
  woken += std::exchange(woken_while_pushing_, 0);
  std::int64_t timeout_ns = -1;
  const std::int64_t deadline_ns = sleeping_until_.load(std::memory_order_relaxed);
  if (woken > 0 || !submitted || left_behind_ || !again_.empty()) {
    timeout_ns = 0;
  } else if (deadline_ns != INT64_MAX) {
    timeout_ns = std::max<std::int64_t>(deadline_ns - now_ns, 0);
  }
  // What could not be cancelled yet is neither completed nor an event.
  if (!cancel_again_.empty() && (timeout_ns < 0 || timeout_ns > kCancelAgainNs)) {
    timeout_ns = kCancelAgainNs;
  }
  const int events = poller_->wait(timeout_ns, Poller::kEventsMax);
  cancel_wait();
  woken += take_events(events);
  if (!left_behind_) woken += reap(reap_limit(Poller::kEventsMax));
  return woken;
}

void Driver::wake() noexcept {
  full_barrier();  // [DRIVER-WAKE]
  if (sleeping_until_.load(std::memory_order_relaxed) != kAwake) poller_->interrupt();
}

void Driver::wake_before(std::int64_t deadline_ns) noexcept {
  full_barrier();  // [DRIVER-WAKE]
  const std::int64_t until = sleeping_until_.load(std::memory_order_relaxed);
  if (until != kAwake && until > deadline_ns) poller_->interrupt();
}

}  // namespace skua::internal
