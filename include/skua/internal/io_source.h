// SPDX-License-Identifier: Apache-2.0
//
// A descriptor that tasks read and write without blocking: sockets, pipes, eventfds. The call is tried directly; only
// if it says EAGAIN does the task wait, for the driver to report that the descriptor is ready again.
//
//   for (;;) {
//     const Readiness seen = source.readiness(Direction::kRead);          // before the call
//     if (seen.ready()) {
//       n = ::recv(source.fd(), ...);                                     // done, unless EAGAIN
//     }
//     const int error = co_await source.wait(Direction::kRead, seen);     // 0: try again
//   }
//
// No memory is given to the kernel, so that to cancel is to forget the waiter. States, edges and the reasons:
// io_driver/README.md.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <utility>

#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

class IoRegistration;
class IoSource;
class SocketAwaiter;

enum class Direction : std::uint8_t { kRead = 0, kWrite = 1 };

// What a task has seen of one direction, before it tries the call.
class Readiness {
 public:
  explicit Readiness(std::uint64_t word) noexcept : word_(word) {}
  // False: the call would say EAGAIN.
  bool ready() const noexcept { return (word_ & kMayTry) != 0; }
  std::uint64_t word() const noexcept { return word_; }

 private:
  // Ready, or closed: the call will tell.
  static constexpr std::uint64_t kMayTry = 5;
  std::uint64_t word_;
};

// Returned by IoSource::wait(). Lives in the awaiting frame: the registration keeps a pointer to it while it waits.
class [[nodiscard("co_await it; nothing waits otherwise")]] ReadinessAwaiter final : public Waiter {
 public:
  ReadinessAwaiter(IoSource* source, Direction direction, Readiness seen) noexcept
      : Waiter(&cancel_wait), source_(source), direction_(direction), seen_(seen) {}
  ReadinessAwaiter(const ReadinessAwaiter&) = delete;
  ReadinessAwaiter& operator=(const ReadinessAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const waiting = awaiting.promise().task;
    waiting->prepare_suspend(awaiting, this);
    waiting->awaits_hint = true;  // Until await_resume().
    if (!publish()) {
      waiting->undo_prepare();
      return false;
    }
    return waiting->commit_suspend();  // *this may be gone.
  }

  // 0: ready, or worth a try. ECANCELED: the source was closed, or its runtime has ended. Else what epoll_ctl(2) says
  // if the descriptor cannot be waited for (EPERM: a regular file; ENOMEM, ENOSPC: the kernel's limits).
  inline int await_resume() const noexcept;

 private:
  friend IoRegistration;

  // True: the waiter stands in the registration. False: error_, or another try.
  bool publish() noexcept;
  static CancelOutcome cancel_wait(Waiter* waiter) noexcept;

  IoSource* const source_;
  const Direction direction_;
  const Readiness seen_;
  // Set by publish().
  IoRegistration* registration_ = nullptr;
  // Whoever has taken the waiter out of the registration, before it wakes the task.
  int error_ = 0;
};

// Awaited by an operation that need not wait, before it does anything: takes a unit of the run's budget, and lets
// others run if there is none left. A task that was aborted, before or then, ends there; with a result in its hands it
// would lose that.
class [[nodiscard("co_await it")]] BudgetAwaiter {
 public:
  BudgetAwaiter() noexcept {}
  BudgetAwaiter(const BudgetAwaiter&) = delete;
  BudgetAwaiter& operator=(const BudgetAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return awaiting.promise().task->spend_budget(awaiting, nullptr);
  }
  void await_resume() const noexcept {}
};

// Returned by IoSource::turn().
class [[nodiscard("co_await it")]] TurnAwaiter final : public BudgetAwaiter {
 public:
  explicit TurnAwaiter(const IoSource* source) noexcept : source_(source) {}
  // 0, or ECANCELED: the source was closed while others ran.
  inline int await_resume() const noexcept;

 private:
  const IoSource* const source_;
};

// Owns a descriptor, which must be non-blocking. Moves while nothing waits on it. Sockets may also be used by
// operations of the ring (io_driver/socket_op.h), and then wait for readiness only where the kernel does not wait.
//
// It is registered with the driver of the task that waits first, once, for both directions, edge-triggered, and stays
// so until it is closed. A source that never has to wait is never registered, and may be made outside a runtime.
//
// Threads: one task may wait for each direction (SKUA_REQUIRE), on any worker. Different tasks may use the two
// directions at the same time.
class IoSource {
 public:
  IoSource() noexcept = default;
  // Takes over `fd`. Requires: fd >= 0, non-blocking.
  explicit IoSource(int fd) noexcept;
  IoSource(IoSource&& other) noexcept
      : fd_(other.fd_.exchange(-1, std::memory_order_relaxed)),
        registration_(other.registration_.exchange(nullptr, std::memory_order_relaxed)) {}
  IoSource& operator=(IoSource&& other) noexcept;
  ~IoSource() { close(); }

  // -1: closed, or moved from.
  int fd() const noexcept { return fd_.load(std::memory_order_relaxed); }

  // Before an operation's first call: see BudgetAwaiter. Requires: open.
  TurnAwaiter turn() const noexcept { return TurnAwaiter(this); }
  // Whether the call is worth a try. Before the call.
  Readiness readiness(Direction direction) const noexcept;
  // The call has moved less than it was asked for, so it would say EAGAIN now. Only for descriptors of which that is
  // true: TCP streams and pipes. `seen` is from before the call.
  void drained(Direction direction, Readiness seen) noexcept;
  // Waits until the direction is ready, or has become so since `seen`. After a call that said EAGAIN, or instead of
  // one.
  //
  // Requires: awaited on a runtime.
  // Cancellation: safe; nothing is lost. An abort ends the task here also when the event has woken it already: it makes
  // no call whose result would be dropped.
  // Lifetime: the source outlives the await, and does not move.
  ReadinessAwaiter wait(Direction direction, Readiness seen) noexcept {
    return ReadinessAwaiter(this, direction, seen);
  }

  // Closes the descriptor. Tasks that wait are woken with ECANCELED; one that an event has woken before, and that has
  // not run yet, gets the same. No call may be under way on it, and no other thread may be about to begin one: where
  // the waiting task may run on another worker, and an event may come just now, abort that task first, or end its wait
  // by shutdown(2).
  void close() noexcept;
  // Gives the descriptor up; it is registered no more. Tasks that wait are woken with ECANCELED.
  int release() noexcept;

 private:
  friend ReadinessAwaiter;
  friend SocketAwaiter;

  // Words of operations_; else a SocketAwaiter*.
  static constexpr std::uintptr_t kNoOperation = 0;
  static constexpr std::uintptr_t kDrained = 1;

  std::atomic<std::uintptr_t>& operation(Direction direction) noexcept {
    return operations_[static_cast<std::size_t>(direction)];
  }
  int unregister() noexcept;
  bool has_operations() const noexcept {
    return operations_[0].load(std::memory_order_relaxed) > kDrained ||
           operations_[1].load(std::memory_order_relaxed) > kDrained;
  }
  // Asks for the end of the operations in flight, which close `fd_to_close` (-1: none) when they are back. False: there
  // were none. io_driver/socket_op.cc.
  bool end_operations(int fd_to_close) noexcept;

  // The registration, made if there is none. nullptr: `error` says why.
  IoRegistration* registered(int& error) noexcept;

  // Relaxed: a number. Written by the owner alone.
  std::atomic<int> fd_{-1};
  // [REGISTER] The store (release) of whoever waits first -> the loads (acquire) of the other direction.
  std::atomic<IoRegistration*> registration_{nullptr};
  // Of a socket that is used by completion: what is in flight for each direction; io_driver/socket_op.h.
  std::array<std::atomic<std::uintptr_t>, 2> operations_{kNoOperation, kNoOperation};
};

inline int TurnAwaiter::await_resume() const noexcept { return source_->fd() < 0 ? ECANCELED : 0; }

inline int ReadinessAwaiter::await_resume() const noexcept {
  task->awaits_hint = false;
  // An event has woken the task, and then the source was closed.
  if (error_ == 0 && source_->fd() < 0) return ECANCELED;
  return error_;
}

}  // namespace skua::internal
