// SPDX-License-Identifier: Apache-2.0
//
// Broadcast: each value goes to every receiver. Senders never wait: a receiver that is too slow misses the oldest
// values, and is told how many.
//
//   auto [tx, rx] = skua::broadcast<Event>(64);       // Keeps the last 64.
//   auto other = tx.subscribe();                      // Gets what is sent from now on; a copy of rx what rx gets.
//   tx.send(event);
//   while (auto event = co_await rx.recv()) {         // False: all senders are gone, and nothing is left.
//     if (event.missed() > 0) ...
//     use(*event);
//   }
//
// A ring of the last values, under a mutex, with their numbers. A receiver is the number of the value that it wants
// next: to wait changes nothing, and a value is taken when its task resumes. So an aborted wait has lost nothing.
//
//   [BROADCAST]  send()'s critical section -> that of the receiver. The value, and what was done before.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "skua/internal/check.h"
#include "skua/internal/executor.h"
#include "skua/internal/mutex.h"
#include "skua/internal/wait_list.h"

namespace skua {

template <typename T>
class BroadcastReceiver;

// What a receiver got: like a std::optional, and how many values were missed before.
template <typename T>
class [[nodiscard]] BroadcastResult {
 public:
  // Nothing.
  BroadcastResult() noexcept = default;
  // For the library.
  BroadcastResult(const T& value, std::uint64_t missed) : value_(value), missed_(missed) {}

  bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return value_.has_value(); }
  // Requires: has_value(); the same for the next one.
  T& operator*() noexcept { return *value_; }
  const T& operator*() const noexcept { return *value_; }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }

  // How many values this receiver has missed since the one it got before.
  std::uint64_t missed() const noexcept { return missed_; }

 private:
  std::optional<T> value_;
  std::uint64_t missed_ = 0;
};

namespace internal {

template <typename T>
class BroadcastState {
  static_assert(std::copy_constructible<T>, "broadcast<T>: each receiver gets a copy");
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "broadcast<T>: T's move and destructor must not throw");

 public:
  explicit BroadcastState(std::size_t capacity) : ring_(capacity) {}

  void add_sender() noexcept {
    senders_.fetch_add(1, std::memory_order_relaxed);  // The caller has one.
  }
  void drop_sender() noexcept SKUA_EXCLUDES(mu_) {
    WakeList woken;
    {
      MutexLock lock(&mu_);
      if (senders_.fetch_sub(1, std::memory_order_relaxed) == 1) woken.add_all(&waiters_);
    }
    woken.wake_all();
  }
  // The number of the value that comes next.
  std::uint64_t add_receiver() noexcept {
    receivers_.fetch_add(1, std::memory_order_relaxed);
    return next_.load(std::memory_order_relaxed);
  }
  void drop_receiver() noexcept { receivers_.fetch_sub(1, std::memory_order_relaxed); }

  std::size_t send(T&& value) noexcept SKUA_EXCLUDES(mu_) {
    std::optional<T> oldest;  // Destroyed without the lock.
    WakeList woken;
    std::size_t reached = 0;
    {
      MutexLock lock(&mu_);
      reached = receivers_;
      if (reached == 0) return 0;
      std::optional<T>& slot = ring_[next_ % ring_.size()];
      if (slot.has_value()) oldest.emplace(*std::move(slot));
      slot.emplace(std::move(value));
      ++next_;
      woken.add_all(&waiters_);
    }
    woken.wake_all();
    return reached;
  }

  // Whether a receiver that wants the value `position` need not wait.
  bool is_ready(std::uint64_t position) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return ready(position);
  }
  bool ready_or_enqueue(std::uint64_t position, ListedWaiter* waiter) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (ready(position)) return true;
    waiters_.push_back(waiter);
    return false;
  }
  bool cancel(ListedWaiter* waiter) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return waiters_.remove(waiter);
  }
  // The value `*position`, or the oldest there is, and the number after it. Throws what T's copy does, and changes
  // nothing.
  BroadcastResult<T> read(std::uint64_t* position) SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (*position == next_) return {};
    const std::uint64_t oldest = next_ - std::min<std::uint64_t>(next_, ring_.size());
    const std::uint64_t number = std::max(*position, oldest);
    BroadcastResult<T> result(*ring_[number % ring_.size()], number - *position);
    *position = number + 1;
    return result;
  }
  bool is_exhausted(std::uint64_t position) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return senders_ == 0 && position == next_;
  }

 private:
  bool ready(std::uint64_t position) const noexcept SKUA_REQUIRES(mu_) {
    return position != next_ || senders_ == 0;
  }

  Mutex mu_;  // Copies are made under it: they may take their time.
  // Ends are counted without mu_, but for the last sender's going: a value may hold one of its own, and is copied under
  // mu_. Relaxed: numbers; what waits for the senders' end is told under mu_.
  std::atomic<std::size_t> senders_{1};
  std::atomic<std::size_t> receivers_{0};
  std::atomic<std::uint64_t> next_{0};  // Written under mu_.
  std::vector<std::optional<T>> ring_ SKUA_GUARDED_BY(mu_);
  WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

// Returned by BroadcastReceiver::recv(). Lives in the awaiting frame.
template <typename T>
class [[nodiscard("co_await it; nothing is received otherwise")]] BroadcastAwaiter final
    : public ListAwaiter<BroadcastAwaiter<T>> {
 public:
  static constexpr bool kSelectable = true;

  BroadcastAwaiter(BroadcastState<T>* state, std::uint64_t* position) noexcept
      : state_(state), position_(position) {}

  BroadcastResult<T> await_resume() { return state_->read(position_); }

  bool take() noexcept { return state_->is_ready(*position_); }
  bool take_or_enqueue() noexcept { return state_->ready_or_enqueue(*position_, this); }
  bool cancel() noexcept { return state_->cancel(this); }

 private:
  BroadcastState<T>* const state_;
  std::uint64_t* const position_;
};

}  // namespace internal

// The end that sends. A copy is another sender of the same values.
//
// Threads: any number of tasks and threads may use one sender at the same time; none may assign to it meanwhile.
template <typename T>
class BroadcastSender {
 public:
  // For the library. Takes over a sender's share of `state`.
  explicit BroadcastSender(std::shared_ptr<internal::BroadcastState<T>> state) noexcept
      : state_(std::move(state)) {}
  BroadcastSender(const BroadcastSender& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_sender();
  }
  BroadcastSender(BroadcastSender&& other) noexcept = default;
  BroadcastSender& operator=(BroadcastSender other) noexcept {
    state_.swap(other.state_);
    return *this;
  }
  ~BroadcastSender() {
    if (state_ != nullptr) state_->drop_sender();
  }

  // Sends `value` to all receivers there are. Does not wait.
  //
  // Returns: their number. With none, the value is dropped.
  // Requires: was not moved from; the same below.
  // Threads: any.
  std::size_t send(T value) const noexcept {
    SKUA_REQUIRE(state_ != nullptr, "a BroadcastSender that was moved from");
    return state_->send(std::move(value));
  }

  // A receiver of what is sent from now on.
  //
  // Threads: any.
  BroadcastReceiver<T> subscribe() const noexcept {
    SKUA_REQUIRE(state_ != nullptr, "a BroadcastSender that was moved from");
    return BroadcastReceiver<T>(state_);
  }

 private:
  std::shared_ptr<internal::BroadcastState<T>> state_;
};

// The end that receives. A copy gets the same values from here on.
//
// Threads: one task or thread at a time uses it; copy it for another one.
// Lifetime: neither assigned to, moved nor dropped while somebody waits in its recv().
template <typename T>
class BroadcastReceiver {
 public:
  // For the library. Of what is sent from now on.
  explicit BroadcastReceiver(std::shared_ptr<internal::BroadcastState<T>> state) noexcept
      : state_(std::move(state)), position_(state_->add_receiver()) {}
  BroadcastReceiver(const BroadcastReceiver& other) noexcept
      : state_(other.state_), position_(other.position_) {
    if (state_ != nullptr) state_->add_receiver();
  }
  BroadcastReceiver(BroadcastReceiver&& other) noexcept = default;
  BroadcastReceiver& operator=(BroadcastReceiver other) noexcept {
    state_.swap(other.state_);
    std::swap(position_, other.position_);
    return *this;
  }
  ~BroadcastReceiver() {
    if (state_ != nullptr) state_->drop_receiver();
  }

  // Receives the next value; waits while there is none.
  //
  // Returns: a BroadcastResult, on co_await: the value and how many were missed before it; nothing if all senders
  //   are gone and nothing is left.
  // Errors: what T's copy throws; the value can be received again.
  // Cancellation: safe. The receiver is as it was.
  // Requires: was not moved from; the same below.
  internal::BroadcastAwaiter<T> recv() noexcept {
    return internal::BroadcastAwaiter<T>(state(), &position_);
  }
  // Without waiting. Nothing: there is none now (is_closed() tells whether one may come).
  BroadcastResult<T> try_recv() { return state()->read(&position_); }
  // As recv(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  BroadcastResult<T> blocking_recv() {
    internal::require_may_block("skua::BroadcastReceiver::blocking_recv");
    internal::BroadcastAwaiter<T> awaiter = recv();
    awaiter.block();
    return awaiter.await_resume();
  }
  // True: nothing is left, and nothing more will come.
  bool is_closed() const noexcept { return state()->is_exhausted(position_); }

 private:
  internal::BroadcastState<T>* state() const noexcept {
    SKUA_REQUIRE(state_ != nullptr, "a BroadcastReceiver that was moved from");
    return state_.get();
  }

  std::shared_ptr<internal::BroadcastState<T>> state_;
  std::uint64_t position_;  // The number of the value it wants next.
};

// The two ends of a broadcast, for a structured binding.
template <typename T>
struct BroadcastPair {
  // For the library.
  explicit BroadcastPair(const std::shared_ptr<internal::BroadcastState<T>>& state) noexcept
      : sender(state), receiver(state) {}

  BroadcastSender<T> sender;
  BroadcastReceiver<T> receiver;
};

// Makes a broadcast that keeps the last `capacity` values: `auto [tx, rx] = skua::broadcast<int>(64);`. They stay
// until newer ones take their place, though all receivers have them.
//
// Errors: std::bad_alloc.
// Requires: capacity >= 1.
// Limits: T is copied; its move and destructor do not throw.
template <typename T>
[[nodiscard]] BroadcastPair<T> broadcast(std::size_t capacity) {
  SKUA_REQUIRE(capacity >= 1, capacity);
  return BroadcastPair<T>(std::make_shared<internal::BroadcastState<T>>(capacity));
}

}  // namespace skua
