// SPDX-License-Identifier: Apache-2.0
//
// Sending and receiving with a limit of time: a select of the operation and a sleep. See skua/sync/channel.h.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <utility>

#include "skua/internal/channel_state.h"
#include "skua/internal/check.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/timer.h"
#include "skua/sync/select.h"

namespace skua {

// What Receiver::recv_for() and recv_until() give: like a std::optional, and why there is nothing.
template <typename T>
class [[nodiscard]] TimedRecvResult {
 public:
  // For the library.
  TimedRecvResult(std::optional<T>&& value, bool timed_out) noexcept
      : value_(std::move(value)), timed_out_(timed_out) {}

  bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return value_.has_value(); }
  // The time was up before there was a value. Nothing was taken.
  bool timed_out() const noexcept { return timed_out_; }
  // The channel is closed, and nothing is left.
  bool closed() const noexcept { return !has_value() && !timed_out_; }
  // Requires: has_value(); the same for the next ones.
  T& operator*() & noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(value()); }
  T* operator->() noexcept { return &value(); }

 private:
  T& value() noexcept {
    SKUA_REQUIRE(value_.has_value(), "the value of a recv_for() that has got none");
    return *value_;
  }

  std::optional<T> value_;
  bool timed_out_;
};

// What Sender::send_for() and send_until() give: whether the value was sent, and if not, why, and the value.
template <typename T>
class [[nodiscard]] TimedSendResult {
 public:
  // For the library. nullopt: it was sent.
  TimedSendResult(std::optional<T>&& unsent, bool timed_out) noexcept
      : unsent_(std::move(unsent)), timed_out_(timed_out) {}

  bool sent() const noexcept { return !unsent_.has_value(); }
  explicit operator bool() const noexcept { return sent(); }
  // The time was up before there was room.
  bool timed_out() const noexcept { return timed_out_; }
  // Nobody will receive it.
  bool closed() const noexcept { return !sent() && !timed_out_; }
  // The value that was not sent.
  //
  // Requires: !sent().
  T take_value() noexcept {
    SKUA_REQUIRE(unsent_.has_value(), "the value of a send_for() that was sent");
    return *std::move(unsent_);
  }

 private:
  std::optional<T> unsent_;
  bool timed_out_;
};

namespace internal {

// Returned by recv_for() and recv_until(). Lives in the awaiting frame. A value that is there wins over the time.
template <typename T>
class [[nodiscard("co_await it; nothing is received otherwise")]] TimedRecvAwaiter final {
 public:
  TimedRecvAwaiter(ChannelState<T>* state, std::int64_t deadline_ns) noexcept
      : recv_(state), sleep_(deadline_ns), select_(SelectOrder::kAsWritten, recv_, sleep_) {}
  TimedRecvAwaiter(const TimedRecvAwaiter&) = delete;
  TimedRecvAwaiter& operator=(const TimedRecvAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) {
    return select_.await_suspend(awaiting);  // *this may be gone.
  }
  TimedRecvResult<T> await_resume() {
    auto got = select_.await_resume();
    if (got.index() == 1) return TimedRecvResult<T>(std::nullopt, true);
    return TimedRecvResult<T>(std::get<0>(std::move(got)), false);
  }

 private:
  RecvAwaiter<T> recv_;
  SleepAwaiter sleep_;
  SelectAwaiter<RecvAwaiter<T>, SleepAwaiter> select_;
};

// Returned by send_for() and send_until(). Lives in the awaiting frame.
template <typename T>
class [[nodiscard("co_await it; nothing is sent otherwise")]] TimedSendAwaiter final {
 public:
  TimedSendAwaiter(ChannelState<T>* state, T&& value, std::int64_t deadline_ns) noexcept
      : send_(state, std::move(value)),
        sleep_(deadline_ns),
        select_(SelectOrder::kAsWritten, send_, sleep_) {}
  TimedSendAwaiter(const TimedSendAwaiter&) = delete;
  TimedSendAwaiter& operator=(const TimedSendAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) {
    return select_.await_suspend(awaiting);  // *this may be gone.
  }
  TimedSendResult<T> await_resume() {
    const auto got = select_.await_resume();
    const bool timed_out = got.index() == 1;
    if (!timed_out && std::get<0>(got)) return TimedSendResult<T>(std::nullopt, false);
    return TimedSendResult<T>(send_.take_value(), timed_out);
  }

 private:
  SendAwaiter<T> send_;
  SleepAwaiter sleep_;
  SelectAwaiter<SendAwaiter<T>, SleepAwaiter> select_;
};

}  // namespace internal
}  // namespace skua
