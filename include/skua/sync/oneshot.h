// SPDX-License-Identifier: Apache-2.0
//
// Oneshot: a channel for one value between two tasks.
//
//   auto [tx, rx] = skua::oneshot<int>();
//   skua::spawn(compute(std::move(tx)));              // ... tx.send(42);
//   std::optional<int> answer = co_await rx.recv();   // nullopt: tx was dropped without sending.
//
// Both ends share one block: a word, the two possible waiters, the value. The word is a set of bits:
//
//   kReceiverWaits  receiver_ is to be woken     set by recv(), cleared by its cancel hook
//   kSenderWaits    sender_ is to be woken       set by closed(), cleared by its cancel hook
//   kSent           the value is in place        set by send(); the sender is done
//   kDropped        there will be no value       set by the sender's drop; the sender is done
//   kReceiverGone   nobody will take a value     set by close() or the receiver's drop
//
//   0 <-> R        recv() suspends, is cancelled          R: kReceiverWaits
//   0 <-> W        closed() suspends, is cancelled        W: kSenderWaits, beside R or alone
//   .. -> S | D    the sender's last access               S: kSent, D: kDropped
//   .. -> G        the receiver's last access             G: kReceiverGone
//
// Who comes second frees: a sender that finds G, a receiver that finds S or D. The first one does not touch the
// block after its last access, but to read the waiter it has to wake: that one cannot go on before it is woken, and
// so cannot free the block.
//
//   [ONESHOT-SEND]  the sender's exchange of the word (acq_rel) -> the receiver's load (acquire), its
//                   read-modify-writes (acq_rel), or [WAKE]. Hands over the value and the block.
//   [ONESHOT-GONE]  the receiver's setting of kReceiverGone (acq_rel) -> the sender's exchange (acq_rel), its load
//                   (acquire), or [WAKE]. Hands over the block, and all that the receiver did before.
//   [ONESHOT-WAIT]  the waiter's setting of its bit (acq_rel) -> the read-modify-write of the other end (acq_rel).
//                   Hands over receiver_ or sender_.
//
// Cost: one read-modify-write to send. A receiver that finds the value needs none; one that waits needs two.
// More, and what was rejected: sync/README.md.
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/executor.h"
#include "skua/internal/frame.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/selection.h"
#include "skua/internal/task_header.h"

namespace skua {

template <typename T>
class OneshotReceiver;
template <typename T>
class OneshotSender;

namespace internal {

// What is sent for a T. T may still be incomplete: a message may hold the end of a channel for its like.
template <typename T>
struct OneshotValue {
  using Type = T;
};
template <>
struct OneshotValue<void> {
  using Type = std::monostate;
};

// The block of a channel, less the value.
class OneshotState {
 public:
  enum class Ending : std::uint8_t { kSent = 4, kDropped = 8 };

  OneshotState() noexcept = default;
  OneshotState(const OneshotState&) = delete;
  OneshotState& operator=(const OneshotState&) = delete;

  // --- The sender. ---

  // Its last access. True: the block is the receiver's. *this may be gone. False: the receiver is gone, and the block
  // is the caller's. Sender only, once.
  [[nodiscard]] bool end_sender(Ending ending) noexcept {
    // [ONESHOT-SEND] The other bits may go: nobody else changes the word for a reason from here on.
    const std::uint32_t before =
        word_.exchange(static_cast<std::uint32_t>(ending), std::memory_order_acq_rel);
    if (SKUA_LIKELY(before == 0)) return true;
    if ((before & kReceiverGone) != 0) return false;  // [ONESHOT-GONE]
    wake_receiver(before);                            // *this may be gone.
    return true;
  }
  // Sender only.
  bool receiver_gone() const noexcept {
    return (word_.load(std::memory_order_acquire) & kReceiverGone) != 0;  // [ONESHOT-GONE]
  }
  // Registers the sender's task, to be woken when the receiver goes. False: it has gone. Sender only.
  [[nodiscard]] bool wait_for_close(TaskHeader* task) noexcept;
  // Takes the waiter back. False: the receiver has it, a wake-up is coming. Who keeps the sender from going on.
  [[nodiscard]] bool stop_waiting_for_close() noexcept;

  // --- The receiver. ---

  // True: the sender has sent or was dropped, and the block is the receiver's. Receiver only.
  bool sender_done() const noexcept {
    return (word_.load(std::memory_order_acquire) & kSenderDone) != 0;  // [ONESHOT-SEND]
  }
  // True: the sender was dropped. Receiver only.
  bool sender_dropped() const noexcept {
    return (word_.load(std::memory_order_acquire) & kDropped) != 0;
  }
  // Requires: sender_done(), or end_sender() has said false.
  bool has_value() const noexcept {
    // Relaxed: whoever asks has the block to itself.
    return (word_.load(std::memory_order_relaxed) & kSent) != 0;
  }
  // Registers who waits for the sender: a TaskHeader*, a ThreadJoiner* | kThreadTag, or a SelectBranch* | kSelectTag.
  // False: the sender is done.
  // Receiver only.
  [[nodiscard]] bool wait_for_sender(std::uintptr_t waiter) noexcept {
    receiver_ = waiter;
    // [ONESHOT-WAIT] if the sender is to come, [ONESHOT-SEND] if it came first.
    const std::uint32_t before = word_.fetch_or(kReceiverWaits, std::memory_order_acq_rel);
    if ((before & kSenderDone) != 0) return false;
    SKUA_REQUIRE((before & kReceiverWaits) == 0, "two wait on one OneshotReceiver");
    return true;
  }
  static constexpr std::uintptr_t kSelectTag = 2;
  // Takes the waiter back. False: the sender has it, a wake-up is coming. Who keeps the receiver from going on.
  [[nodiscard]] bool stop_waiting_for_sender() noexcept;
  // Blocks the thread until sender_done(). Receiver only.
  void block_for_sender() noexcept;
  // The receiver wants no value that is not there yet. True: the sender is done, and the block is still the
  // receiver's. False: it is the sender's. *this may be gone. Receiver only.
  [[nodiscard]] bool end_receiver() noexcept { return sender_done() || end_waited_for(); }

  // For checks. The owner of the end.
  bool receiver_waits() const noexcept {
    return (word_.load(std::memory_order_relaxed) & kReceiverWaits) != 0;
  }
  bool sender_waits() const noexcept {
    return (word_.load(std::memory_order_relaxed) & (kSenderWaits | kReceiverGone)) == kSenderWaits;
  }

 private:
  static constexpr std::uint32_t kReceiverWaits = 1;
  static constexpr std::uint32_t kSenderWaits = 2;
  static constexpr auto kSent = static_cast<std::uint32_t>(Ending::kSent);
  static constexpr auto kDropped = static_cast<std::uint32_t>(Ending::kDropped);
  static constexpr std::uint32_t kReceiverGone = 16;
  static constexpr std::uint32_t kSenderDone = kSent | kDropped;

  // The sender is done and the word was `before`. *this may be gone.
  void wake_receiver(std::uint32_t before) noexcept;
  // end_receiver() with a sender that was not done when last seen.
  [[nodiscard]] bool end_waited_for() noexcept;

  std::atomic<std::uint32_t> word_{0};
  // Plain fields, handed over by [ONESHOT-WAIT].
  std::uintptr_t receiver_ = 0;
  TaskHeader* sender_ = nullptr;
};

template <typename T>
class OneshotBlock final : public OneshotState {
  static_assert(!std::is_reference_v<T>, "oneshot<T&>: send a pointer or a std::reference_wrapper");
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && std::same_as<T, std::remove_cv_t<T>>,
                "oneshot<T>: T is an object type, neither const nor an array");
  static_assert(std::move_constructible<T>, "oneshot<T>: the value is moved in and out");
  static_assert(std::is_nothrow_destructible_v<T>, "oneshot<T>: the destructor must not throw");
  static_assert(alignof(T) <= alignof(std::max_align_t),
                "oneshot<T>: T cannot be over-aligned: send a std::unique_ptr to it");

 public:
  // Throws std::bad_alloc.
  static OneshotBlock* create() {
    return ::new (allocate_block(sizeof(OneshotBlock))) OneshotBlock;
  }

  // Ends the block, and the value that nobody has taken. Who has the block to itself, once.
  void destroy() noexcept {
    if (has_value()) value_.~T();
    this->~OneshotBlock();
    free_block(this, sizeof(OneshotBlock));
  }

  // Sender only, before end_sender(). Throws what T's move does, and is as it was then.
  void emplace(T&& value) noexcept(std::is_nothrow_move_constructible_v<T>) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::move(value));
  }
  // Requires: has_value().
  T& value() noexcept { return value_; }

 private:
  OneshotBlock() noexcept {}
  ~OneshotBlock() {}

  union {
    T value_;
  };
};

// What waits in recv(), whatever is to be received.
class OneshotRecvWaiter : public Waiter {
 public:
  // Of a select.
  bool select_take(TaskHeader*) noexcept { return state_ == nullptr || state_->sender_done(); }
  bool select_arm(SelectBranch* branch) noexcept {
    return !state_->wait_for_sender(reinterpret_cast<std::uintptr_t>(branch) |
                                    OneshotState::kSelectTag);
  }
  // The sender has no lock: if it has taken the branch, it is waited for.
  void select_disarm(SelectBranch* branch) noexcept {
    if (!state_->stop_waiting_for_sender()) wait_until_left(*branch);
  }

 protected:
  explicit OneshotRecvWaiter(OneshotState* state) noexcept : Waiter(&cancel_recv), state_(state) {}

  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
    waiting->prepare_suspend(awaiting, this);
    if (!state_->wait_for_sender(reinterpret_cast<std::uintptr_t>(waiting))) {
      waiting->undo_prepare();
      return waiting->spend_budget(awaiting, this);
    }
    return waiting->commit_suspend();  // *this may be gone.
  }

  OneshotState* const state_;  // nullptr: nothing is to be waited for.

 private:
  static CancelOutcome cancel_recv(Waiter* waiter) noexcept;
};

// Returned by OneshotReceiver::recv(). Lives in the awaiting frame.
template <typename T>
class [[nodiscard("co_await it; nothing is received otherwise")]] OneshotRecvAwaiter final
    : public OneshotRecvWaiter {
 public:
  explicit OneshotRecvAwaiter(OneshotReceiver<T>* receiver) noexcept
      : OneshotRecvWaiter(receiver->block_), receiver_(receiver) {}

  bool await_ready() const noexcept { return state_ == nullptr; }

  // A value that is there takes a unit of the budget, too.
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const task = awaiting.promise().task;
    if (state_->sender_done()) return task->spend_budget(awaiting, this);
    return suspend(awaiting, task);  // *this may be gone.
  }

  std::optional<typename OneshotValue<T>::Type> await_resume() {
    SKUA_DCHECK(receiver_->block_ == state_, "the OneshotReceiver was moved or used meanwhile");
    return receiver_->take();
  }

 private:
  OneshotReceiver<T>* const receiver_;
};

// Returned by OneshotSender::closed(). Lives in the awaiting frame.
class [[nodiscard("co_await it")]] OneshotClosedAwaiter final : public Waiter {
 public:
  explicit OneshotClosedAwaiter(OneshotState* state) noexcept
      : Waiter(&cancel_closed), state_(state) {}

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const task = awaiting.promise().task;
    if (state_->receiver_gone()) return task->spend_budget(awaiting, this);
    return suspend(awaiting, task);  // *this may be gone.
  }

  void await_resume() const noexcept {}

 private:
  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  static CancelOutcome cancel_closed(Waiter* waiter) noexcept;

  OneshotState* const state_;
};

}  // namespace internal

// The end that sends. Move-only. Dropped without a send, it ends the receiver's wait with nullopt.
//
// Threads: one owner at a time; may move between threads, and outlive its runtime.
// Lifetime: neither moved, used nor dropped while a task waits in closed().
template <typename T>
class [[nodiscard("the receiver gets nullopt when it is dropped")]] OneshotSender {
 public:
  using Value = typename internal::OneshotValue<T>::Type;

  // For the library. Takes over the sender's share of `block`.
  explicit OneshotSender(internal::OneshotBlock<Value>* block) noexcept : block_(block) {}
  OneshotSender(OneshotSender&& other) noexcept : block_(other.release()) {}
  OneshotSender& operator=(OneshotSender&& other) noexcept {
    if (this != &other) {
      drop();
      block_ = other.release();
    }
    return *this;
  }
  ~OneshotSender() { drop(); }

  // Sends `value` and wakes the receiver. Does not wait. The sender is spent then.
  //
  // Returns: false if the receiver was gone or closed; the value is destroyed then. True does not say that the value
  //   will be looked at: the receiver may go without it, and destroys it then.
  // Errors: what T's move throws; nothing is sent then, and the sender can try again.
  // Requires: has neither sent before, nor been moved from.
  // Threads: any, on a runtime or not.
  // Memory ordering: what was done before is visible to who receives the value.
  bool send(Value value)
    requires(!std::is_void_v<T>)
  {
    return send_value(std::move(value));
  }
  bool send()
    requires std::is_void_v<T>
  {
    return send_value(Value());
  }

  // True once the receiver was dropped or closed: a send is in vain. It may happen right after a false.
  //
  // Requires: has neither sent, nor been moved from.
  // Memory ordering: a true sees what the receiver did before.
  bool is_closed() const noexcept {
    SKUA_REQUIRE(block_ != nullptr, "a spent OneshotSender");
    return block_->receiver_gone();
  }

  // Waits until the receiver is dropped or closed: to give up work that nobody wants any more.
  //
  // Cancellation: safe; the sender is as it was.
  // Requires: has neither sent, nor been moved from. One task waits at a time.
  // Memory ordering: what the receiver did before is visible afterwards.
  internal::OneshotClosedAwaiter closed() & noexcept {
    SKUA_REQUIRE(block_ != nullptr, "a spent OneshotSender");
    return internal::OneshotClosedAwaiter(block_);
  }

 private:
  bool send_value(Value&& value) {
    SKUA_REQUIRE(block_ != nullptr, "a spent OneshotSender");
    block_->emplace(std::move(value));
    internal::OneshotBlock<Value>* const block = release();
    if (SKUA_LIKELY(block->end_sender(internal::OneshotState::Ending::kSent))) return true;
    block->destroy();
    return false;
  }
  void drop() noexcept {
    if (block_ == nullptr) return;
    internal::OneshotBlock<Value>* const block = release();
    if (!block->end_sender(internal::OneshotState::Ending::kDropped)) block->destroy();
  }
  internal::OneshotBlock<Value>* release() noexcept {
    SKUA_DCHECK(block_ == nullptr || !block_->sender_waits(), "a task waits in closed()");
    return std::exchange(block_, nullptr);
  }

  internal::OneshotBlock<Value>* block_;  // nullptr: spent.
};

// The end that receives. Move-only. Dropping it tells the sender that nobody wants the value; a value that was sent
// and not taken is destroyed with it.
//
// Once the value was taken, the sender has gone without one, or the receiver was closed without one or moved from,
// there is nothing more to come: each way to receive gives nullopt at once.
//
// Threads: one owner at a time; may move between threads and runtimes, and outlive its runtime.
// Lifetime: neither moved, used nor dropped while a task waits in recv().
template <typename T>
class [[nodiscard("the sender cannot send when it is dropped")]] OneshotReceiver {
 public:
  using Value = typename internal::OneshotValue<T>::Type;

  // For the library. Takes over the receiver's share of `block`.
  explicit OneshotReceiver(internal::OneshotBlock<Value>* block) noexcept : block_(block) {}
  OneshotReceiver(OneshotReceiver&& other) noexcept : block_(other.release()) {}
  OneshotReceiver& operator=(OneshotReceiver&& other) noexcept {
    if (this != &other) {
      drop();
      block_ = other.release();
    }
    return *this;
  }
  ~OneshotReceiver() { drop(); }

  // Waits for the value.
  //
  // Returns: the value, on co_await; nullopt if the sender was dropped, or nothing more is to come.
  // Errors: what T's move throws; the value stays and can be received again.
  // Cancellation: safe; the receiver is as it was. A value that had been sent is not lost with the wait: it stays in
  //   the channel, or still arrives if the wake-up is under way, and is destroyed with the receiver.
  // Requires: one task waits at a time.
  // Memory ordering: sees what was done before the send, or before the sender was dropped.
  internal::OneshotRecvAwaiter<T> recv() & noexcept {
    return internal::OneshotRecvAwaiter<T>(this);
  }

  // The value if it is there. Does not wait.
  //
  // Returns: nullopt if nothing was sent yet, or nothing more is to come; is_closed() tells.
  // Errors, Memory ordering: as recv().
  // Threads: any.
  std::optional<Value> try_recv() {
    if (block_ == nullptr || !block_->sender_done()) return std::nullopt;
    return take();
  }

  // As recv(), but blocks the thread: for threads that run no tasks, blocking jobs among them.
  //
  // Requires: not on a worker, which must not block (the process ends with a message).
  std::optional<Value> blocking_recv() {
    internal::require_may_block("skua::OneshotReceiver::blocking_recv");
    if (block_ != nullptr && !block_->sender_done()) block_->block_for_sender();
    return take();
  }

  // Wants no value any more: a later send fails, and closed() ends. A value that was sent before can still be
  // received.
  //
  // Threads: any.
  void close() noexcept {
    if (block_ != nullptr && !block_->end_receiver()) block_ = nullptr;
  }

  // True: nothing is there, and nothing more is to come.
  //
  // Threads: any.
  bool is_closed() const noexcept { return block_ == nullptr || block_->sender_dropped(); }

 private:
  friend internal::OneshotRecvAwaiter<T>;

  // Requires: there is no block, or its sender is done.
  std::optional<Value> take() {
    std::optional<Value> taken;
    if (block_ == nullptr) return taken;
    if (SKUA_LIKELY(block_->has_value())) taken.emplace(std::move(block_->value()));
    release()->destroy();
    return taken;
  }
  void drop() noexcept {
    if (block_ != nullptr && block_->end_receiver()) block_->destroy();
    block_ = nullptr;
  }
  internal::OneshotBlock<Value>* release() noexcept {
    SKUA_DCHECK(block_ == nullptr || block_->sender_done() || !block_->receiver_waits(),
                "a task waits in recv()");
    return std::exchange(block_, nullptr);
  }

  internal::OneshotBlock<Value>* block_;  // nullptr: nothing more is to come.
};

// The two ends of a channel, for a structured binding.
template <typename T>
struct OneshotPair {
  // For the library.
  explicit OneshotPair(internal::OneshotBlock<typename OneshotSender<T>::Value>* block) noexcept
      : sender(block), receiver(block) {}

  OneshotSender<T> sender;
  OneshotReceiver<T> receiver;
};

// Makes a channel for one value: `auto [tx, rx] = skua::oneshot<T>();`. T = void sends the fact alone: tx.send(), and
// what is received is a std::monostate.
//
// Errors: std::bad_alloc.
// Threads: any, on a runtime or not.
// Limits: T can be moved, and is neither a reference nor over-aligned.
template <typename T>
[[nodiscard]] OneshotPair<T> oneshot() {
  return OneshotPair<T>(internal::OneshotBlock<typename OneshotSender<T>::Value>::create());
}

}  // namespace skua
