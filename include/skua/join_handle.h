// SPDX-License-Identifier: Apache-2.0
//
// The handle of a spawned task or blocking job, and what comes of it.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

#include "skua/internal/check.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/result_slot.h"
#include "skua/internal/task_header.h"

namespace skua {

// Identifies a spawned task or blocking job within the process; never used twice.
using TaskId = std::uint64_t;

// Thrown by `co_await std::move(handle)` if the task was aborted: there is no result.
class TaskCancelled : public std::exception {
 public:
  const char* what() const noexcept override { return "skua: the task was cancelled"; }
};

// How a task ended: with a value, with an exception, or cancelled. A value, and movable if T is.
//
// Threads: as a plain value.
template <typename T>
class [[nodiscard]] JoinResult {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate,
                                   typename internal::StoredResult<T>::Type>;

  // For the library. Takes what is in the slot.
  explicit JoinResult(internal::ResultSlot<T>& slot) {
    if (slot.has_exception()) {
      outcome_.template emplace<1>(slot.exception());
    } else if (slot.has_value()) {
      if constexpr (std::is_void_v<T>) {
        outcome_.template emplace<2>();
      } else {
        outcome_.template emplace<2>(std::move(slot.stored()));
      }
    }
  }

  // There is a value.
  bool ok() const noexcept { return outcome_.index() == 2; }
  // It was aborted, or its runtime was shutting down.
  bool cancelled() const noexcept { return outcome_.index() == 0; }
  // What the task threw; nullptr if it threw nothing.
  std::exception_ptr exception() const noexcept {
    return outcome_.index() == 1 ? std::get<1>(outcome_) : nullptr;
  }
  // What the task returned; std::monostate for void.
  //
  // Requires: ok().
  decltype(auto) value() & {
    SKUA_REQUIRE(ok());
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*std::get<2>(outcome_));
    } else {
      return (std::get<2>(outcome_));
    }
  }
  decltype(auto) value() && {
    SKUA_REQUIRE(ok());
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*std::get<2>(outcome_));
    } else {
      return Value(std::move(std::get<2>(outcome_)));
    }
  }

 private:
  std::variant<std::monostate, std::exception_ptr, Value> outcome_;
};

template <typename T>
class JoinHandle;

namespace internal {

// The handle's share of a JoinState: released once.
template <typename T>
class JoinShare {
 public:
  JoinShare(JoinState* state, ResultSlot<T>* slot) noexcept : state_(state), slot_(slot) {}
  JoinShare(JoinShare&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)), slot_(other.slot_) {}
  JoinShare& operator=(JoinShare&& other) noexcept {
    if (this != &other) {
      reset();
      state_ = std::exchange(other.state_, nullptr);
      slot_ = other.slot_;
    }
    return *this;
  }
  ~JoinShare() { reset(); }

  JoinState* state() const noexcept { return state_; }
  ResultSlot<T>& slot() const noexcept { return *slot_; }

 private:
  void reset() noexcept {
    if (state_ != nullptr) std::exchange(state_, nullptr)->drop_handle();
  }

  JoinState* state_;
  ResultSlot<T>* slot_;
};

template <typename T>
class JoinWaiter : public Waiter {
 public:
  explicit JoinWaiter(JoinShare<T> share) noexcept
      : Waiter(&cancel_join), share_(std::move(share)) {}

  bool await_ready() const noexcept {
    return false;
  }  // Even a result that is there takes a unit of the budget.

  template <std::derived_from<PromiseBase> Promise>
  SKUA_ALWAYS_INLINE bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const waiting = awaiting.promise().task;
    if (share_.state()->is_complete()) return waiting->spend_budget(awaiting, this);
    waiting->prepare_suspend(awaiting, this);
    if (!share_.state()->set_joiner(reinterpret_cast<std::uintptr_t>(waiting))) {
      waiting->undo_prepare();
      return waiting->spend_budget(awaiting, this);
    }
    return waiting->commit_suspend();  // *this may be gone.
  }

 protected:
  JoinShare<T> share_;

 private:
  static CancelOutcome cancel_join(Waiter* waiter) noexcept {
    auto* const self = static_cast<JoinWaiter*>(waiter);
    const auto joiner = reinterpret_cast<std::uintptr_t>(self->task);
    JoinState* const state = self->share_.state();
    if (state->vtable->cancel_join != nullptr) return state->vtable->cancel_join(state, joiner);
    return state->clear_joiner(joiner) ? CancelOutcome::kUnlinked : CancelOutcome::kPending;
  }
};

template <typename T>
class [[nodiscard]] JoinAwaiter final : public JoinWaiter<T> {
 public:
  using JoinWaiter<T>::JoinWaiter;
  T await_resume() {
    if (this->share_.slot().empty()) throw TaskCancelled();
    return this->share_.slot().take();
  }
};

template <typename T>
class [[nodiscard]] ResultAwaiter final : public JoinWaiter<T> {
 public:
  using JoinWaiter<T>::JoinWaiter;
  JoinResult<T> await_resume() { return JoinResult<T>(this->share_.slot()); }
};

}  // namespace internal

// Owns the result of a spawned task. Move-only. Awaited once, as an rvalue. Dropping it detaches the task:
// it runs on, its result is dropped, and an exception that it then throws ends the process with its name. Not so a
// TaskCancelled: what the task waits for was cancelled, and so it is, too. Nor if the handle is dropped because its
// owner was aborted, or while an exception unwinds; and what the task had thrown before the handle was dropped is
// dropped with the handle.
//
// Threads: one owner at a time; a handle may move between threads and runtimes, and outlive its runtime.
template <typename T>
class JoinHandle {
 public:
  // For the library. Takes over the handle's share of `state`.
  JoinHandle(internal::JoinState* state, internal::ResultSlot<T>* slot) noexcept
      : share_(state, slot) {}

  // Waits for the end of the task.
  //
  // Returns: what the task returned.
  // Errors: rethrows what the task threw; throws TaskCancelled if it was aborted.
  // Cancellation: the waiting ends and the awaited task is detached; its result is lost. A blocking job is cancelled
  //   instead (SpawnBlockingOptions::on_abort).
  // Memory ordering: all that the task did happens before the await's end, destructors included.
  internal::JoinAwaiter<T> operator co_await() && noexcept {
    SKUA_REQUIRE(share_.state() != nullptr);
    return internal::JoinAwaiter<T>(std::move(share_));
  }

  // As the await, but gives a JoinResult and throws nothing that the task threw.
  //
  // Errors: what the move of T throws.
  // Cancellation, Memory ordering: as the await.
  internal::ResultAwaiter<T> result() && noexcept {
    SKUA_REQUIRE(share_.state() != nullptr);
    return internal::ResultAwaiter<T>(std::move(share_));
  }

  // Asks the task to end. It ends at its next suspension, or in the one it is in: the operation it waits
  // on is cancelled, and when that has really ended, the frames are destroyed from the innermost outwards.
  // If the operation had a result already, the task gets it and ends at its next suspension. Returns at
  // once; await the handle to know that the task is gone. Nothing happens if it has ended.
  //
  // Threads: any thread that owns the handle.
  void abort() noexcept {
    SKUA_REQUIRE(share_.state() != nullptr);
    share_.state()->vtable->abort(share_.state());
  }

  // True once the result can be had without waiting. Other threads may have changed that since a false.
  bool is_finished() const noexcept {
    SKUA_REQUIRE(share_.state() != nullptr);
    return share_.state()->is_complete();
  }

  // The task's number, as this_task::id() gives it.
  TaskId id() const noexcept {
    SKUA_REQUIRE(share_.state() != nullptr);
    return share_.state()->id;
  }

  // The handle's share, for the library.
  internal::JoinShare<T> release_share() && noexcept { return std::move(share_); }

 private:
  internal::JoinShare<T> share_;
};

}  // namespace skua
