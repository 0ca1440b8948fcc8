// SPDX-License-Identifier: Apache-2.0
//
// What the ends of a channel share; and its awaiters. See skua/sync/channel.h.
//
//                     +--------------- ChannelState, under mu_ ---------------+
//   send --> handed --|--> to the first receiver that waits                   |
//        \-> stored --|--> values_: | claimed by the only receiver | stored | |--> recv
//        \-> waits ---|--> senders_, value in hand: stored by who makes room  |
//                     +-------------------------------------------------------+
//
//   kHandover  receivers wait only while nothing is stored that is not reserved; senders wait only while it is full.
//              (Branches of a select that is decided may still stand in the lists: they do not wait.)
//   kReserved  a receiver whose budget is used up goes to the back of the line with a value reserved, not taken: if
//              it is destroyed instead of resumed, the value is still there.
//   kClaimed   the only receiver claims many values at a time ([CLAIM], skua/internal/receiver_claim.h). They count
//   as
//              received: the bound is exceeded by up to a sixteenth.
//
//   [CHANNEL]  the sender's critical section -> the receiver's ([SPIN]), or [WAKE]. The value, and what was done
//   before.
//
// More, and what was rejected: sync/README.md.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/chunk_queue.h"
#include "skua/internal/config.h"
#include "skua/internal/receiver_claim.h"
#include "skua/internal/spin_lock.h"
#include "skua/internal/wait_list.h"

namespace skua {
namespace internal {

template <typename T>
class ChannelState;

// Returned by Sender::send(). Lives in the awaiting frame, with the value.
template <typename T>
class [[nodiscard("co_await it; nothing is sent otherwise")]] SendAwaiter final
    : public ListAwaiter<SendAwaiter<T>> {
 public:
  static constexpr bool kSelectable = true;

  SendAwaiter(ChannelState<T>* state, T&& value) noexcept
      : state_(state), value_(std::move(value)) {}

  // Throws std::bad_alloc; nothing is sent then.
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) {
    TaskHeader* const sending = awaiting.promise().task;
    if (SKUA_LIKELY(take())) return sending->spend_budget(awaiting, this);
    return this->suspend(awaiting, sending);  // *this may be gone.
  }

  bool await_resume() const noexcept { return sent_; }

  // The value that was not sent: after await_resume() was false, or if a select was decided for another operation.
  T take_value() noexcept { return std::move(value_); }

  bool take() { return state_->try_send(this); }
  bool take_or_enqueue() noexcept { return state_->send_or_enqueue(this); }
  bool cancel() noexcept { return state_->cancel_send(this); }

 private:
  friend ChannelState<T>;

  ChannelState<T>* const state_;
  T value_;
  bool sent_ = false;  // As ListedWaiter::granted.
};

// Returned by Receiver::recv(). Lives in the awaiting frame.
template <typename T>
class [[nodiscard("co_await it; nothing is received otherwise")]] RecvAwaiter final
    : public ListAwaiter<RecvAwaiter<T>> {
 public:
  static constexpr bool kSelectable = true;

  explicit RecvAwaiter(ChannelState<T>* state) noexcept : state_(state) {}
  ~RecvAwaiter() {
    if (SKUA_UNLIKELY(reserved_)) state_->give_up_reserved();
  }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const receiving = awaiting.promise().task;
    if (select_take(receiving)) return receiving->spend_budget(awaiting, this);
    return this->suspend(awaiting, receiving);  // *this may be gone.
  }
  SKUA_ALWAYS_INLINE bool select_take(TaskHeader* receiving) noexcept {
    // With a single unit left, the task goes to the back of the line: it must not hold a value then.
    const bool lasts = receiving->worker->budget > 1;
    if (SKUA_LIKELY(lasts) && state_->take_claimed(receiving, &value_)) return true;
    return state_->receive(this, receiving, !lasts);
  }

  std::optional<T> await_resume() noexcept {
    if (SKUA_UNLIKELY(reserved_)) state_->take_reserved(this);
    return std::move(value_);
  }

  // Of a thread that blocks.
  bool take() noexcept { return state_->receive(this, nullptr, false); }
  bool take_or_enqueue() noexcept { return state_->receive_or_enqueue(this); }
  bool cancel() noexcept { return state_->cancel_receive(this); }

 private:
  friend ChannelState<T>;

  ChannelState<T>* const state_;
  std::optional<T> value_;
  bool reserved_ = false;
};

template <typename T>
class ChannelState {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && std::same_as<T, std::remove_cv_t<T>>,
                "channel<T>: T is an object type, neither const nor an array");
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "channel<T>: T's move and destructor must not throw: send a std::unique_ptr to it");
  static_assert(alignof(T) <= alignof(std::max_align_t),
                "channel<T>: T cannot be over-aligned: send a std::unique_ptr to it");

 public:
  static constexpr std::size_t kUnbounded = SIZE_MAX;

  // With a sender and a receiver. Throws std::bad_alloc.
  explicit ChannelState(std::size_t capacity)
      : capacity_(capacity),
        claim_max_(capacity == kUnbounded ? kClaimMax : std::min(kClaimMax, capacity / 16)) {
    if (capacity != kUnbounded) values_.reserve(capacity + claim_max_);
    if (claim_max_ > 0) claim_.allow();
  }
  ChannelState(const ChannelState&) = delete;
  ChannelState& operator=(const ChannelState&) = delete;

  // --- Handles. Any thread. ---

  void add_sender() noexcept { senders_count_.fetch_add(1, std::memory_order_relaxed); }
  void add_receiver() noexcept { receivers_count_.fetch_add(1, std::memory_order_relaxed); }
  // *this may be gone.
  void drop_sender() noexcept {
    if (senders_count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    close();
    drop_side();
  }
  // *this may be gone.
  void drop_receiver() noexcept {
    if (receivers_count_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    discard();
    drop_side();
  }
  // No more values are taken in. What is stored can be received.
  SKUA_COLD void close() noexcept SKUA_EXCLUDES(mu_) {
    WakeList woken;
    {
      SpinLockGuard lock(&mu_);
      closed_ = true;
      woken.add_all(&senders_);
      end_receivers(&woken);
    }
    woken.wake_all();
  }
  bool is_closed() noexcept SKUA_EXCLUDES(mu_) {
    SpinLockGuard lock(&mu_);
    return closed_;
  }
  // Closed, and nothing is left for who asks.
  bool is_exhausted() noexcept SKUA_EXCLUDES(mu_) {
    SpinLockGuard lock(&mu_);
    if (!closed_) return false;
    settle(nullptr);
    return stored_ == 0;
  }
  // A receiver has been moved: to another task, perhaps, which would have to revoke the claim. Who moves the only one
  // has the channel's end to itself, and ends the claim for nothing. With another one about, the claim is its user's,
  // who may be taking from it now. Nor is mu_ waited for: a value may hold a receiver of its own channel, and is moved
  // under mu_. A claim that is left here is revoked by the next who receives.
  void settle_for_move() noexcept SKUA_EXCLUDES(mu_) {
    if (SKUA_LIKELY(!claim_.is_held())) return;
    // Acquire: what was received by those that were dropped.
    if (receivers_count_.load(std::memory_order_acquire) != 1) return;
    if (!mu_.try_lock()) return;
    return_claimed();
    mu_.unlock();
  }

  // --- Senders. Any thread. ---

  // True: it was sent, or never will be. False: it is full. Throws std::bad_alloc.
  bool try_send(SendAwaiter<T>* sender) {
    const Sent sent = try_push(&sender->value_);
    sender->sent_ = sent == Sent::kSent;
    return sent != Sent::kFull;
  }
  // Moves the value out if it was sent.
  bool try_send(T* value) { return try_push(value) == Sent::kSent; }
  // As the first; false: `sender` waits, and may be woken.
  bool send_or_enqueue(SendAwaiter<T>* sender) noexcept SKUA_EXCLUDES(mu_) {
    if (SKUA_UNLIKELY(sender->in_select())) return send_selected_or_enqueue(sender);
    ListedWaiter* receiver = nullptr;
    Sent sent;
    {
      SpinLockGuard lock(&mu_);
      // Only a bounded one can have been full, and that has room in its chunks.
      sent = push(&sender->value_, &receiver);
      SKUA_DCHECK(sent != Sent::kNoChunk);
      if (sent == Sent::kFull) {
        senders_.push_back(sender);
        return false;
      }
    }
    sender->sent_ = sent == Sent::kSent;
    if (receiver != nullptr) receiver->wake();
    return true;
  }
  bool cancel_send(SendAwaiter<T>* sender) noexcept SKUA_EXCLUDES(mu_) {
    SpinLockGuard lock(&mu_);
    return senders_.remove(sender);
  }

  // --- Receivers. ---

  // Takes a value of the claim. The thread that runs `task`.
  [[nodiscard]] SKUA_ALWAYS_INLINE bool take_claimed(const TaskHeader* task,
                                                     std::optional<T>* to) noexcept {
    if (!claim_.enter(task)) return false;
    T* const value = claim_next_;
    const bool there = value != claim_end_;
    if (SKUA_LIKELY(there)) {
      to->emplace(std::move(*value));
      std::destroy_at(value);
      claim_next_ = value + 1;
    }
    claim_.leave();
    return there;
  }
  // True: there was a value, or never will be one. `task`: the one that receives; nullptr: none. `reserve`: is not
  // to take a value yet. Any thread.
  bool receive(RecvAwaiter<T>* receiver, const TaskHeader* task, bool reserve) noexcept
      SKUA_EXCLUDES(mu_) {
    WakeList senders;
    typename Values::Chunk* surplus = nullptr;
    bool done;
    {
      SpinLockGuard lock(&mu_);
      done = get(receiver, task, reserve, &senders);
      if (capacity_ == kUnbounded) surplus = values_.take_surplus(kSparesMax);
    }
    if (SKUA_UNLIKELY(surplus != nullptr)) Values::free(surplus);
    if (SKUA_UNLIKELY(!senders.empty())) senders.wake_all();
    return done;
  }
  // The same for a waiter that is about to suspend or to block; false: it waits, and may be woken.
  bool receive_or_enqueue(RecvAwaiter<T>* receiver) noexcept SKUA_EXCLUDES(mu_) {
    const TaskHeader* const task = receiver->task;
    const bool reserve = task != nullptr && task->worker->budget <= 1;
    WakeList senders;
    {
      SpinLockGuard lock(&mu_);
      if (!get(receiver, task, reserve, &senders)) {
        receivers_.push_back(receiver);
        return false;
      }
    }
    senders.wake_all();
    return true;
  }
  bool cancel_receive(RecvAwaiter<T>* receiver) noexcept SKUA_EXCLUDES(mu_) {
    SpinLockGuard lock(&mu_);
    return receivers_.remove(receiver);
  }
  // Without waiting. Any thread.
  std::optional<T> try_receive() noexcept {
    RecvAwaiter<T> receiver(this);
    receive(&receiver, nullptr, false);
    return std::move(receiver.value_);
  }
  SKUA_COLD void take_reserved(RecvAwaiter<T>* receiver) noexcept SKUA_EXCLUDES(mu_) {
    WakeList woken;
    {
      SpinLockGuard lock(&mu_);
      receiver->reserved_ = false;
      --reserved_;
      pop_into(&receiver->value_);
      serve(&woken);
    }
    woken.wake_all();
  }
  SKUA_COLD void give_up_reserved() noexcept SKUA_EXCLUDES(mu_) {
    WakeList woken;
    {
      SpinLockGuard lock(&mu_);
      --reserved_;
      serve(&woken);
    }
    woken.wake_all();
  }

 private:
  using Values = ChunkQueue<T>;
  enum class Sent : std::uint8_t { kSent, kClosed, kFull, kNoChunk };

  static constexpr std::size_t kClaimMax = 64;
  static constexpr std::size_t kSparesMax =
      2;  // Of an unbounded channel: so that it does not allocate for each chunk.

  ~ChannelState() = default;

  void drop_side() noexcept {
    if (sides_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  // The last receiver has gone.
  SKUA_COLD void discard() noexcept SKUA_EXCLUDES(mu_) {
    Values left;  // Destroyed without the lock: a value may hold an end of this channel.
    WakeList woken;
    {
      SpinLockGuard lock(&mu_);
      closed_ = true;
      if (claim_.is_held()) return_claimed();
      values_.swap(left);
      stored_ = 0;
      woken.add_all(&senders_);
    }
    woken.wake_all();
  }

  // Of a branch of a select. It must not find itself too late with a receiver claimed for it: so it claims itself when
  // there is room, which is for good, and serves the receivers from what is stored.
  SKUA_COLD bool send_selected_or_enqueue(SendAwaiter<T>* sender) noexcept SKUA_EXCLUDES(mu_) {
    WakeList receivers;
    {
      SpinLockGuard lock(&mu_);
      if (closed_) return true;
      if (stored_ >= capacity_) {
        senders_.push_back(sender);
        return false;
      }
      if (!sender->claim()) return true;
      SKUA_DCHECK(values_.has_room());  // As above.
      values_.push(std::move(sender->value_));
      ++stored_;
      sender->sent_ = true;
      serve(&receivers);
    }
    receivers.wake_all();
    return true;
  }
  Sent try_push(T* value) {
    ListedWaiter* receiver = nullptr;
    Sent sent;
    {
      SpinLockGuard lock(&mu_);
      sent = push(value, &receiver);
    }
    if (SKUA_UNLIKELY(sent == Sent::kNoChunk)) return push_with_chunk(value);
    if (receiver != nullptr) receiver->wake();
    return sent;
  }
  SKUA_NOINLINE Sent push_with_chunk(T* value) {
    ListedWaiter* receiver = nullptr;
    typename Values::Chunk* const chunk = Values::allocate();
    Sent sent;
    {
      SpinLockGuard lock(&mu_);
      values_.add_spare(chunk);
      sent = push(value, &receiver);
    }
    if (receiver != nullptr) receiver->wake();
    return sent;
  }
  Sent push(T* value, ListedWaiter** woken) noexcept SKUA_REQUIRES(mu_) {
    if (SKUA_UNLIKELY(closed_)) return Sent::kClosed;
    if (ListedWaiter* const receiver = receivers_.pop_front()) {
      *woken = receiver;
      static_cast<RecvAwaiter<T>*>(receiver)->value_.emplace(std::move(*value));
      return Sent::kSent;
    }
    if (stored_ >= capacity_) return Sent::kFull;
    if (SKUA_UNLIKELY(!values_.has_room())) return Sent::kNoChunk;
    values_.push(std::move(*value));
    ++stored_;
    return Sent::kSent;
  }

  // True: `receiver` has a value, or one reserved, or will never get one.
  bool get(RecvAwaiter<T>* receiver, const TaskHeader* task, bool reserve,
           WakeList* senders) noexcept SKUA_REQUIRES(mu_) {
    settle(task);
    if (stored_ == reserved_)
      return closed_ && reserved_ == 0;  // What is reserved may be given up.
    if (SKUA_UNLIKELY(!receiver->claim())) return true;
    if (SKUA_UNLIKELY(reserve)) {
      ++reserved_;
      receiver->reserved_ = true;
      return true;
    }
    pop_into(&receiver->value_);
    if (task != nullptr && claim_.is_allowed() && reserved_ == 0 && stored_ > 0 &&
        receivers_count_.load(std::memory_order_relaxed) == 1) {  // Who comes later, revokes.
      const std::size_t count = std::min({claim_max_, stored_, values_.front_count()});
      claim_next_ = values_.front();
      claim_end_ = claim_next_ + count;
      claimed_ = count;
      stored_ -= count;
      claim_.grant(task);
    }
    refill(senders);
    return true;
  }
  void pop_into(std::optional<T>* to) noexcept SKUA_REQUIRES(mu_) {
    T* const value = values_.front();
    to->emplace(std::move(*value));
    std::destroy_at(value);
    values_.drop_front(1);
    --stored_;
  }
  // Stores what waiting senders have in their hands, as far as there is room.
  void refill(WakeList* woken) noexcept SKUA_REQUIRES(mu_) {
    while (SKUA_UNLIKELY(!senders_.empty()) && stored_ < capacity_) {
      ListedWaiter* const first = senders_.pop_front();
      if (first == nullptr) return;
      auto* const sender = static_cast<SendAwaiter<T>*>(first);
      values_.push(std::move(sender->value_));
      ++stored_;
      sender->sent_ = true;
      woken->add(sender);
    }
  }
  // More is stored, or less of it reserved, or there is more room: there may be something for receivers that wait now,
  // or nothing more to wait for.
  void serve(WakeList* woken) noexcept SKUA_REQUIRES(mu_) {
    for (refill(woken); stored_ > reserved_; refill(woken)) {
      ListedWaiter* const next = receivers_.pop_front();
      if (next == nullptr) break;
      pop_into(&static_cast<RecvAwaiter<T>*>(next)->value_);
      woken->add(next);
    }
    end_receivers(woken);
  }
  // Lets those go who wait, if nothing will come any more.
  void end_receivers(WakeList* woken) noexcept SKUA_REQUIRES(mu_) {
    if (closed_ && reserved_ == 0 && stored_ == 0) woken->add_all(&receivers_);
  }
  // Ends the claim, if there is one. `task`: who asks; a claim that is not its own has to be revoked.
  void settle(const TaskHeader* task) noexcept SKUA_REQUIRES(mu_) {
    if (!claim_.is_held()) return;
    if (!claim_.is_held_by(task)) claim_.revoke();
    return_claimed();
  }
  // Nobody takes from the claim any more.
  void return_claimed() noexcept SKUA_REQUIRES(mu_) {
    claim_.end();
    const auto left = static_cast<std::size_t>(claim_end_ - claim_next_);
    values_.drop_front(claimed_ - left);
    stored_ += left;
  }

  // Constant after construction.
  const std::size_t capacity_;
  const std::size_t claim_max_;

  // Any thread.
  std::atomic<std::size_t> senders_count_{1};
  std::atomic<std::size_t> receivers_count_{1};
  std::atomic<int> sides_{2};

  alignas(kCacheLine) SpinLock mu_;
  bool closed_ SKUA_GUARDED_BY(mu_) = false;
  std::size_t stored_ SKUA_GUARDED_BY(mu_) = 0;    // Values in values_, less the claimed ones.
  std::size_t reserved_ SKUA_GUARDED_BY(mu_) = 0;  // Of them. While there are any, none is claimed.
  Values values_ SKUA_GUARDED_BY(mu_);
  WaitList senders_ SKUA_GUARDED_BY(mu_);
  WaitList receivers_ SKUA_GUARDED_BY(mu_);

  // The owner of the claim within enter() and leave(), else guarded by mu_.
  alignas(kCacheLine) ReceiverClaim claim_;
  T* claim_next_ = nullptr;
  T* claim_end_ = nullptr;
  std::size_t claimed_ = 0;
};

}  // namespace internal
}  // namespace skua
