// SPDX-License-Identifier: Apache-2.0
//
// Channels: values go from any number of senders to any number of receivers, each value to one of them.
//
//   auto [tx, rx] = skua::channel<int>(100);         // Holds 100; or unbounded_channel<int>().
//   bool sent = co_await tx.send(42);                // Waits while it is full. False: nobody will receive it.
//   std::optional<int> value = co_await rx.recv();   // Waits while it is empty. nullopt: nothing more will come.
//
// Both ends are handles: copy one for each task that uses it. When the last sender is dropped, the receivers get
// what is left, then nullopt. When the last receiver is dropped, what is left is destroyed, and senders get false.
//
// How: skua/internal/channel_state.h, sync/README.md.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "skua/internal/channel_state.h"
#include "skua/internal/check.h"
#include "skua/internal/executor.h"
#include "skua/internal/timed_channel.h"
#include "skua/internal/timer.h"

namespace skua {

// The end that sends. A copy is another sender of the same channel; copying and dropping cost an atomic operation.
//
// Threads: any number of tasks and threads may use one sender at the same time; none may assign to it meanwhile.
// Lifetime: neither assigned to, moved nor dropped while somebody waits in its send().
template <typename T>
class Sender {
 public:
  // For the library. Takes over a sender's share of `state`.
  explicit Sender(internal::ChannelState<T>* state) noexcept : state_(state) {}
  Sender(const Sender& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_sender();
  }
  Sender(Sender&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Sender& operator=(Sender other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Sender() {
    if (state_ != nullptr) state_->drop_sender();
  }

  // Sends `value`; waits while the channel is full. First come, first served.
  //
  // Returns: true, on co_await, if the value is in the channel, or with a receiver. False if it is closed; the value
  //   is destroyed then.
  // Errors: std::bad_alloc, of an unbounded channel.
  // Cancellation: safe. Nothing was sent if the task is aborted while it waits: the value goes with the task. If it
  //   had been stored already, the task goes on, and ends where it next suspends.
  // Requires: was not moved from; the same below.
  internal::SendAwaiter<T> send(T value) const noexcept {
    return internal::SendAwaiter<T>(state(), std::move(value));
  }

  // As send(), for `duration` at most, or until now() is `deadline`. If there is room at once, the time does not
  // matter.
  //
  // Returns: a TimedSendResult, on co_await: whether it was sent, and if not, why, and the value.
  // Errors, Cancellation, Requires: as send(). Resolution: as sleep_for().
  template <typename Rep, typename Period>
  internal::TimedSendAwaiter<T> send_for(T value,
                                         std::chrono::duration<Rep, Period> duration) const {
    return internal::TimedSendAwaiter<T>(
        state(), std::move(value), internal::deadline_after_ns(internal::saturated_ns(duration)));
  }
  internal::TimedSendAwaiter<T> send_until(
      T value, std::chrono::steady_clock::time_point deadline) const noexcept {
    return internal::TimedSendAwaiter<T>(state(), std::move(value), internal::time_ns(deadline));
  }

  // Without waiting.
  //
  // Returns: false if the channel is full or closed (is_closed() tells); `value` is as it was then.
  // Errors: as send().
  // Threads: any.
  bool try_send(T&& value) const { return state()->try_send(std::addressof(value)); }
  bool try_send(const T& value) const {
    T copy(value);
    return try_send(std::move(copy));
  }

  // As send(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  bool blocking_send(T value) const {
    internal::require_may_block("skua::Sender::blocking_send");
    internal::SendAwaiter<T> awaiter(state(), std::move(value));
    awaiter.block();
    return awaiter.await_resume();
  }

  // No more can be sent, by any sender. Receivers get what is left, then nullopt; senders that wait get false.
  //
  // Threads: any.
  void close() const noexcept { state()->close(); }
  // True: no more can be sent.
  //
  // Threads: any.
  bool is_closed() const noexcept { return state()->is_closed(); }
  // False after a move.
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  internal::ChannelState<T>* state() const noexcept {
    SKUA_REQUIRE(state_ != nullptr, "a Sender that was moved from");
    return state_;
  }

  internal::ChannelState<T>* state_;
};

// The end that receives. A copy is another receiver of the same channel: each value goes to one of them.
//
// The only receiver of a channel takes up to 64 values at a time, no more than a sixteenth of the capacity, and
// gives one after the other without a lock. So senders find room for these before it has given them all. It stops to
// do so when a second task, a copy or try_recv() wants to receive meanwhile.
//
// Threads, Lifetime: as Sender.
template <typename T>
class Receiver {
 public:
  // For the library. Takes over a receiver's share of `state`.
  explicit Receiver(internal::ChannelState<T>* state) noexcept : state_(state) {}
  Receiver(const Receiver& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_receiver();
  }
  Receiver(Receiver&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {
    if (state_ != nullptr) state_->settle_for_move();
  }
  Receiver& operator=(Receiver other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Receiver() {
    if (state_ != nullptr) state_->drop_receiver();
  }

  // Receives the oldest value; waits while there is none. First come, first served.
  //
  // Returns: the value, on co_await; nullopt if the channel is closed and nothing is left.
  // Cancellation: safe. No value is lost: who is aborted while it waits has taken none. If it had been handed one
  //   already, the task goes on with it, and ends where it next suspends.
  // Requires: was not moved from; the same below.
  internal::RecvAwaiter<T> recv() const noexcept { return internal::RecvAwaiter<T>(state()); }

  // As recv(), for `duration` at most, or until now() is `deadline`. A value that is there is received though the time
  // is up.
  //
  // Returns: a TimedRecvResult, on co_await: the value, or why there is none.
  // Cancellation, Requires: as recv(). Resolution: as sleep_for().
  template <typename Rep, typename Period>
  internal::TimedRecvAwaiter<T> recv_for(std::chrono::duration<Rep, Period> duration) const {
    return internal::TimedRecvAwaiter<T>(
        state(), internal::deadline_after_ns(internal::saturated_ns(duration)));
  }
  internal::TimedRecvAwaiter<T> recv_until(
      std::chrono::steady_clock::time_point deadline) const noexcept {
    return internal::TimedRecvAwaiter<T>(state(), internal::time_ns(deadline));
  }

  // Without waiting.
  //
  // Returns: nullopt if there is none now (is_closed() tells whether one may come).
  // Threads: any.
  std::optional<T> try_recv() const noexcept { return state()->try_receive(); }

  // As recv(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  std::optional<T> blocking_recv() const noexcept {
    internal::require_may_block("skua::Receiver::blocking_recv");
    internal::RecvAwaiter<T> awaiter(state());
    awaiter.block();
    return awaiter.await_resume();
  }

  // No more can be sent. What is there can still be received.
  //
  // Threads: any.
  void close() const noexcept { state()->close(); }
  // True: nothing is there, and nothing more will come.
  //
  // Threads: any.
  bool is_closed() const noexcept { return state()->is_exhausted(); }
  // False after a move.
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  internal::ChannelState<T>* state() const noexcept {
    SKUA_REQUIRE(state_ != nullptr, "a Receiver that was moved from");
    return state_;
  }

  internal::ChannelState<T>* state_;
};

// The two ends of a channel, for a structured binding.
template <typename T>
struct ChannelPair {
  // For the library.
  explicit ChannelPair(internal::ChannelState<T>* state) noexcept
      : sender(state), receiver(state) {}

  Sender<T> sender;
  Receiver<T> receiver;
};

// Makes a channel that holds `capacity` values: `auto [tx, rx] = skua::channel<int>(100);`.
//
// Errors: std::bad_alloc. Memory for all values is allocated here.
// Requires: capacity >= 1.
// Threads: any, on a runtime or not.
// Limits: T's move and destructor do not throw; it is not over-aligned.
template <typename T>
[[nodiscard]] ChannelPair<T> channel(std::size_t capacity) {
  SKUA_REQUIRE(capacity >= 1 && capacity < SIZE_MAX / 2, capacity);
  return ChannelPair<T>(new internal::ChannelState<T>(capacity));
}

// Makes a channel that holds any number of values: send() never waits. Nothing keeps a sender from filling the
// memory.
//
// Errors, Threads, Limits: as channel().
template <typename T>
[[nodiscard]] ChannelPair<T> unbounded_channel() {
  return ChannelPair<T>(new internal::ChannelState<T>(internal::ChannelState<T>::kUnbounded));
}

}  // namespace skua
