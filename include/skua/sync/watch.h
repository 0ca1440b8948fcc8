// SPDX-License-Identifier: Apache-2.0
//
// Watch: one value that changes; receivers see the latest, and are told that it has changed. What was there in
// between is gone.
//
//   auto [tx, rx] = skua::watch<Config>(initial);
//   tx.send(new_config);
//   while (co_await rx.changed()) apply(rx.get());    // False: all senders are gone.
//
// The value and its version, under a mutex. A receiver is the version that it has seen: to wait changes nothing, and
// the version counts as seen when its task resumes. So an aborted wait has lost nothing.
//
//   [WATCH]  send()'s critical section -> that of get() or changed(). The value, and what was done before.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/executor.h"
#include "skua/internal/mutex.h"
#include "skua/internal/wait_list.h"

namespace skua {

template <typename T>
class WatchReceiver;

namespace internal {

template <typename T>
class WatchState {
  static_assert(std::copy_constructible<T>, "watch<T>: each receiver gets a copy");
  static_assert(std::is_nothrow_swappable_v<T>,
                "watch<T>: values are swapped, which must not throw");

 public:
  explicit WatchState(T&& initial) : value_(std::move(initial)) {}

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
  // The version there is.
  std::uint64_t add_receiver() noexcept {
    receivers_.fetch_add(1, std::memory_order_relaxed);
    return version_.load(std::memory_order_relaxed);
  }
  void drop_receiver() noexcept { receivers_.fetch_sub(1, std::memory_order_relaxed); }

  // The one before is left in `value`, to be destroyed without the lock.
  bool send(T& value) noexcept SKUA_EXCLUDES(mu_) {
    WakeList woken;
    bool seen = false;
    {
      MutexLock lock(&mu_);
      using std::swap;
      swap(value_, value);
      ++version_;
      seen = receivers_ > 0;
      woken.add_all(&waiters_);
    }
    woken.wake_all();
    return seen;
  }
  // Throws what T's copy does, and changes nothing then.
  T get(std::uint64_t* seen) SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    T value(value_);
    if (seen != nullptr) *seen = version_;
    return value;
  }
  bool is_ready(std::uint64_t seen) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return ready(seen);
  }
  bool ready_or_enqueue(std::uint64_t seen, ListedWaiter* waiter) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    if (ready(seen)) return true;
    waiters_.push_back(waiter);
    return false;
  }
  bool cancel(ListedWaiter* waiter) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return waiters_.remove(waiter);
  }
  // False: there is no newer version than `*seen`.
  bool see(std::uint64_t* seen) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return std::exchange(*seen, version_) != version_;
  }
  bool is_newer(std::uint64_t seen) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return seen != version_;
  }
  bool is_watched() noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    return receivers_ > 0;
  }

 private:
  bool ready(std::uint64_t seen) const noexcept SKUA_REQUIRES(mu_) {
    return seen != version_ || senders_ == 0;
  }

  Mutex mu_;  // Copies are made under it: they may take their time.
  // Ends are counted without mu_, but for the last sender's going: a value may hold one of its own, and is copied under
  // mu_. Relaxed: numbers; what waits for the senders' end is told under mu_.
  std::atomic<std::size_t> senders_{1};
  std::atomic<std::size_t> receivers_{0};
  std::atomic<std::uint64_t> version_{0};  // Written under mu_.
  T value_ SKUA_GUARDED_BY(mu_);
  WaitList waiters_ SKUA_GUARDED_BY(mu_);
};

// Returned by WatchReceiver::changed(). Lives in the awaiting frame.
template <typename T>
class [[nodiscard("co_await it; nothing waits otherwise")]] WatchAwaiter final
    : public ListAwaiter<WatchAwaiter<T>> {
 public:
  static constexpr bool kSelectable = true;

  WatchAwaiter(WatchState<T>* state, std::uint64_t* seen) noexcept : state_(state), seen_(seen) {}

  bool await_resume() noexcept { return state_->see(seen_); }

  bool take() noexcept { return state_->is_ready(*seen_); }
  bool take_or_enqueue() noexcept { return state_->ready_or_enqueue(*seen_, this); }
  bool cancel() noexcept { return state_->cancel(this); }

 private:
  WatchState<T>* const state_;
  std::uint64_t* const seen_;
};

}  // namespace internal

// The end that sets the value. A copy is another sender.
//
// Threads: any number of tasks and threads may use one sender at the same time; none may assign to it meanwhile.
template <typename T>
class WatchSender {
 public:
  // For the library. Takes over a sender's share of `state`.
  explicit WatchSender(std::shared_ptr<internal::WatchState<T>> state) noexcept
      : state_(std::move(state)) {}
  WatchSender(const WatchSender& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_sender();
  }
  WatchSender(WatchSender&& other) noexcept = default;
  WatchSender& operator=(WatchSender other) noexcept {
    state_.swap(other.state_);
    return *this;
  }
  ~WatchSender() {
    if (state_ != nullptr) state_->drop_sender();
  }

  // Sets the value, and wakes all who wait for a change. Does not wait.
  //
  // Returns: false if there is no receiver now; who subscribes later finds the value.
  // Requires: was not moved from; the same below.
  // Threads: any.
  bool send(T value) const noexcept { return state()->send(value); }
  // The value.
  //
  // Errors: what T's copy throws.
  // Threads: any.
  T get() const { return state()->get(nullptr); }
  // A receiver that has seen the value there is.
  //
  // Threads: any.
  WatchReceiver<T> subscribe() const noexcept {
    static_cast<void>(state());
    return WatchReceiver<T>(state_);
  }
  // True: there is no receiver.
  //
  // Threads: any.
  bool is_closed() const noexcept { return !state()->is_watched(); }

 private:
  internal::WatchState<T>* state() const noexcept {
    SKUA_REQUIRE(state_ != nullptr, "a WatchSender that was moved from");
    return state_.get();
  }

  std::shared_ptr<internal::WatchState<T>> state_;
};

// The end that sees the value. A copy has seen what this one has.
//
// Threads: one task or thread at a time uses it; copy it for another one.
// Lifetime: neither assigned to, moved nor dropped while somebody waits in its changed().
template <typename T>
class WatchReceiver {
 public:
  // For the library. Has seen the value there is.
  explicit WatchReceiver(std::shared_ptr<internal::WatchState<T>> state) noexcept
      : state_(std::move(state)), seen_(state_->add_receiver()) {}
  WatchReceiver(const WatchReceiver& other) noexcept : state_(other.state_), seen_(other.seen_) {
    if (state_ != nullptr) state_->add_receiver();
  }
  WatchReceiver(WatchReceiver&& other) noexcept = default;
  WatchReceiver& operator=(WatchReceiver other) noexcept {
    state_.swap(other.state_);
    std::swap(seen_, other.seen_);
    return *this;
  }
  ~WatchReceiver() {
    if (state_ != nullptr) state_->drop_receiver();
  }

  // The latest value, which counts as seen.
  //
  // Errors: what T's copy throws.
  // Requires: was not moved from; the same below.
  T get() { return state()->get(&seen_); }

  // Waits for a value that was not seen yet; it counts as seen then, and get() gives it, or a newer one.
  //
  // Returns: true, on co_await; false if all senders are gone and the last value was seen.
  // Cancellation: safe. The receiver is as it was.
  internal::WatchAwaiter<T> changed() noexcept {
    return internal::WatchAwaiter<T>(state(), &seen_);
  }
  // As changed(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  bool blocking_changed() noexcept {
    internal::require_may_block("skua::WatchReceiver::blocking_changed");
    internal::WatchAwaiter<T> awaiter = changed();
    awaiter.block();
    return awaiter.await_resume();
  }
  // Whether there is a value that was not seen.
  bool has_changed() const noexcept { return state()->is_newer(seen_); }

 private:
  internal::WatchState<T>* state() const noexcept {
    SKUA_REQUIRE(state_ != nullptr, "a WatchReceiver that was moved from");
    return state_.get();
  }

  std::shared_ptr<internal::WatchState<T>> state_;
  std::uint64_t seen_;
};

// The two ends of a watch, for a structured binding.
template <typename T>
struct WatchPair {
  // For the library.
  explicit WatchPair(const std::shared_ptr<internal::WatchState<T>>& state) noexcept
      : sender(state), receiver(state) {}

  WatchSender<T> sender;
  WatchReceiver<T> receiver;
};

// Makes a watch: `auto [tx, rx] = skua::watch<Config>(initial);`. The receiver has seen `initial`.
//
// Errors: std::bad_alloc.
// Limits: T is copied; to swap two of it does not throw.
template <typename T>
[[nodiscard]] WatchPair<T> watch(T initial) {
  return WatchPair<T>(std::make_shared<internal::WatchState<T>>(std::move(initial)));
}

}  // namespace skua
