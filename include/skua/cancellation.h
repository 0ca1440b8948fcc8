// SPDX-License-Identifier: Apache-2.0
//
// Cancellation that is asked for and looked at: a source says "stop", and whoever has a token of it hears that.
//
//   skua::CancellationSource stop;
//   skua::spawn(serve(stop.token()));     // ... while (!token.is_cancelled()), or co_await token.cancelled()
//   stop.cancel();
//
// Unlike JoinHandle::abort(), which ends a task from outside, a cancelled token ends nothing by itself.
//
//   source --cancel()--> state --> waiting tasks are woken         source.child(), token.child(): a state that is
//                          |  \--> callbacks run on this thread    cancelled with its parent, but not the other way
//                          v                                       round. A child keeps its parent's state alive.
//                     states of children
//
// One state for each source, counted by sources, tokens, waits, callbacks and children. What is registered stands in
// its list until it is taken out, under mu_, by cancel() or by the one who has registered it.
//
//   [CANCELLED]  start()'s store of cancelled_ (release) -> is_cancelled() (acquire); add(), under mu_; or [WAKE].
//                Who finds it cancelled sees what was done before cancel(). What add() has taken, cancel() finds.
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

#include "skua/internal/mutex.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/selection.h"
#include "skua/internal/task_header.h"

namespace skua {
namespace internal {

class CancellationState;

// What hears of a cancellation: in the list of one state.
class CancellationNode {
 public:
  enum class Kind : std::uint8_t { kTask, kCallback, kChild };

  CancellationNode(const CancellationNode&) = delete;
  CancellationNode& operator=(const CancellationNode&) = delete;

 protected:
  explicit CancellationNode(Kind kind) noexcept : kind_(kind) {}
  ~CancellationNode() = default;

 private:
  friend CancellationState;

  const Kind kind_;
  // Guarded by the state's mu_.
  bool linked_ = false;
  CancellationNode* prev_ = nullptr;
  CancellationNode* next_ = nullptr;
};

// Runs on the thread that cancels.
class CancellationCallbackNode : public CancellationNode {
 protected:
  using Function = void (*)(CancellationCallbackNode*) noexcept;
  explicit CancellationCallbackNode(Function function) noexcept
      : CancellationNode(Kind::kCallback), function_(function) {}

 private:
  friend CancellationState;
  const Function function_;
};

class CancellationState : private CancellationNode {  // In the list of its parent.
 public:
  // With one reference, the caller's. `parent` may be nullptr. Throws std::bad_alloc.
  static CancellationState* create(CancellationState* parent);
  // Is cancelled with `stop`, too.
  static CancellationState* create_for(std::stop_token stop);

  void ref() noexcept {
    references_.fetch_add(1, std::memory_order_relaxed);
  }  // The caller has one.
  void unref() noexcept;  // *this may be gone.

  bool is_cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }
  // Cancels this and all that descends from it. False: it was cancelled already. Any thread with a reference.
  bool cancel() noexcept SKUA_EXCLUDES(mu_);

  // Registers `node`. False: it is cancelled already, and `node` will hear nothing. Any thread.
  [[nodiscard]] bool add(CancellationNode* node) noexcept SKUA_EXCLUDES(mu_);
  // Takes `node` out. False: it is not in the list: cancel() has taken it. Any thread that keeps it alive.
  [[nodiscard]] bool remove(CancellationNode* node) noexcept SKUA_EXCLUDES(mu_);
  // The same for a callback; if it runs on another thread, returns when it has ended.
  void remove_callback(CancellationCallbackNode* node) noexcept SKUA_EXCLUDES(mu_);

 protected:
  explicit CancellationState(CancellationState* parent) noexcept
      : CancellationNode(Kind::kChild), parent_(parent) {}
  virtual ~CancellationState();
  // False: the last reference is gone, and the state about to be destroyed.
  [[nodiscard]] bool try_ref() noexcept;

 private:
  [[nodiscard]] bool start() noexcept SKUA_EXCLUDES(mu_);
  // Tells all that is registered. Cancelled children are put in front of *cancelled, with a reference.
  void tell(CancellationState** cancelled) noexcept SKUA_EXCLUDES(mu_);
  void unlink(CancellationNode* node) noexcept SKUA_REQUIRES(mu_);

  // Constant after construction. With a reference.
  CancellationState* const parent_;

  std::atomic<std::uint32_t> references_{1};
  std::atomic<bool> cancelled_{false};  // Stored once, under mu_.

  Mutex mu_;
  CondVar callback_ended_;
  CancellationNode* first_ SKUA_GUARDED_BY(mu_) = nullptr;
  CancellationNode* last_ SKUA_GUARDED_BY(mu_) = nullptr;
  CancellationNode* running_ SKUA_GUARDED_BY(mu_) = nullptr;  // A callback, by ...
  std::thread::id canceller_ SKUA_GUARDED_BY(mu_);

  CancellationState* next_cancelled_ = nullptr;  // The one cancel() that has cancelled this.
};

// A counted pointer to a state; nullptr: one that is never cancelled.
class CancellationRef {
 public:
  CancellationRef() noexcept = default;
  // Takes over a reference.
  explicit CancellationRef(CancellationState* state) noexcept : state_(state) {}
  CancellationRef(const CancellationRef& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->ref();
  }
  CancellationRef(CancellationRef&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)) {}
  CancellationRef& operator=(CancellationRef other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~CancellationRef() {
    if (state_ != nullptr) state_->unref();
  }

  CancellationState* get() const noexcept { return state_; }
  CancellationState* operator->() const noexcept { return state_; }

 private:
  CancellationState* state_ = nullptr;
};

// Returned by CancellationToken::cancelled(). Lives in the awaiting frame.
class [[nodiscard("co_await it; nothing waits otherwise")]] CancelledAwaiter final
    : public Waiter,
      private CancellationNode {
 public:
  explicit CancelledAwaiter(CancellationRef state) noexcept
      : Waiter(&cancel_wait), CancellationNode(Kind::kTask), state_(std::move(state)) {}

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const waiting = awaiting.promise().task;
    if (state_.get() != nullptr && state_->is_cancelled()) {
      return waiting->spend_budget(awaiting, this);
    }
    return suspend(awaiting, waiting);  // *this may be gone.
  }

  void await_resume() const noexcept {}

  // Of a select.
  bool select_take(TaskHeader*) noexcept {
    return state_.get() != nullptr && state_->is_cancelled();
  }
  bool select_arm(SelectBranch* branch) noexcept;
  void select_disarm(SelectBranch* branch) noexcept;

 private:
  friend CancellationState;

  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept;
  static CancelOutcome cancel_wait(Waiter* waiter) noexcept;

  const CancellationRef state_;
  SelectBranch* branch_ = nullptr;  // Constant while it is in the list.
};

}  // namespace internal

class CancellationSource;

// Tells whether its source was cancelled. A value: copies are of the same source.
//
// Threads: any number may use one token or its copies at the same time; none may assign to it meanwhile.
class CancellationToken {
 public:
  // Of no source: it is never cancelled.
  CancellationToken() noexcept = default;
  // For the library.
  explicit CancellationToken(internal::CancellationRef state) noexcept : state_(std::move(state)) {}

  // Costs a load.
  //
  // Memory ordering: a true sees what was done before cancel().
  bool is_cancelled() const noexcept { return state_.get() != nullptr && state_->is_cancelled(); }
  // False: it has no source.
  bool can_be_cancelled() const noexcept { return state_.get() != nullptr; }

  // Waits until the source is cancelled. For ever, if it has none.
  //
  // Cancellation: safe; an aborted task leaves nothing behind.
  // Memory ordering: what was done before cancel() is visible afterwards.
  internal::CancelledAwaiter cancelled() const noexcept {
    return internal::CancelledAwaiter(state_);
  }

  // A source of its own, which is cancelled with this token.
  //
  // Errors: std::bad_alloc.
  CancellationSource child() const;

  // Whether both are of the same source, or of none.
  friend bool operator==(const CancellationToken& a, const CancellationToken& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

 private:
  template <typename F>
  friend class CancellationCallback;

  internal::CancellationRef state_;
};

// Cancels its tokens, and its children. A value: copies are the same source. Dropping it cancels nothing.
//
// Threads: as CancellationToken.
class CancellationSource {
 public:
  // Errors: std::bad_alloc.
  CancellationSource() : state_(internal::CancellationState::create(nullptr)) {}
  // Is cancelled when a stop is requested of `stop`, too, by the thread that requests it.
  //
  // Errors: std::bad_alloc.
  explicit CancellationSource(std::stop_token stop)
      : state_(internal::CancellationState::create_for(std::move(stop))) {}
  // For the library.
  explicit CancellationSource(internal::CancellationRef state) noexcept
      : state_(std::move(state)) {}

  // Requires: was not moved from; the same below.
  CancellationToken token() const noexcept { return CancellationToken(state_); }

  // Wakes all tasks that wait for it, cancels the children, and runs the callbacks on this thread; returns when they
  // have ended. Tasks are scheduled, not run.
  //
  // Returns: false if it was cancelled already. Another thread may still be running the callbacks then.
  // Threads: any, on a runtime or not.
  bool cancel() const noexcept { return state_->cancel(); }
  // As CancellationToken::is_cancelled().
  bool is_cancelled() const noexcept { return state_->is_cancelled(); }

  // A source that is cancelled with this one. To cancel it does nothing to this one.
  //
  // Errors: std::bad_alloc.
  CancellationSource child() const { return token().child(); }

 private:
  internal::CancellationRef state_;
};

inline CancellationSource CancellationToken::child() const {
  return CancellationSource(
      internal::CancellationRef(internal::CancellationState::create(state_.get())));
}

namespace internal {
// A token that is cancelled when the task is aborted. Throws std::bad_alloc. Whoever runs a part of it.
CancellationToken token_of_task(SpawnedTask& root);
}  // namespace internal

// Runs a function when a token is cancelled: for what knows no tasks. At once, in the constructor, if it is cancelled
// already. As std::stop_callback.
//
// The function runs on the thread that cancels. It must neither throw nor block; it may end its own callback.
// The destructor takes the function back; if it is running on another thread, that is waited for.
//
// Threads: the destructor may run on any. It may block, for as long as the function does.
template <typename F>
class [[nodiscard("the function is taken back when it is dropped")]] CancellationCallback final
    : private internal::CancellationCallbackNode {
  static_assert(std::is_invocable_v<F&>, "CancellationCallback<F>: F is called without arguments");

 public:
  // Errors: what the move of F throws.
  CancellationCallback(CancellationToken token, F function)
      : CancellationCallbackNode(&call), token_(std::move(token)), function_(std::move(function)) {
    internal::CancellationState* const state = token_.state_.get();
    if (state != nullptr && !state->add(this)) function_();
  }
  CancellationCallback(const CancellationCallback&) = delete;
  CancellationCallback& operator=(const CancellationCallback&) = delete;
  ~CancellationCallback() {
    if (internal::CancellationState* const state = token_.state_.get())
      state->remove_callback(this);
  }

 private:
  static void call(CancellationCallbackNode* node) noexcept {
    static_cast<CancellationCallback*>(node)->function_();
  }

  const CancellationToken token_;
  F function_;
};

}  // namespace skua
