// SPDX-License-Identifier: Apache-2.0
//
// Task<T>: a coroutine that computes a T.
//
//   skua::Task<int> answer() { co_return 42; }
//   skua::Task<> caller() { int x = co_await answer(); ... }
//
// A Task is lazy: nothing runs until it is awaited (it then runs as a part of the awaiting task, with no
// scheduling in between), spawned (skua/spawn.h) or given to block_on (skua/runtime.h).
//
// Rules for coroutine functions, which no compiler checks:
//   - take parameters by value (a reference or string_view dies before the coroutine does);
//   - no lambda with captures as a coroutine, for the same reason, but one that is given, uncalled, to spawn(),
//     Scope::run() or their like, which keep it;
//   - no lock, errno or thread-local pointer held across a co_await: it may resume on another thread.
// GCC 12 destroys twice what a capturing lambda or an aggregate holds if it is a temporary in a co_await
// expression: give it a name first (docs/compilers.md).
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/executor.h"
#include "skua/internal/final_awaiter.h"
#include "skua/internal/frame.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/result_slot.h"

namespace skua {

template <typename T = void>
class Task;

namespace internal {

template <typename T>
class Promise;

// What a coroutine that returns T offers its body beside PromiseBase.
template <typename T>
class PromiseReturn : public PromiseBase {
 public:
  template <typename U = T>
    requires std::constructible_from<T, U&&>
  void return_value(U&& value) {
    static_cast<ResultSlot<T>*>(this->out)->emplace(std::forward<U>(value));
  }
};
template <typename T>
class PromiseReturn<T&> : public PromiseBase {
 public:
  void return_value(T& value) noexcept {
    static_cast<ResultSlot<T&>*>(this->out)->emplace(std::addressof(value));
  }
};
template <>
class PromiseReturn<void> : public PromiseBase {
 public:
  void return_void() noexcept { static_cast<ResultSlot<void>*>(this->out)->emplace(); }
};

template <typename T>
class Promise : public PromiseReturn<T> {
 public:
  Task<T> get_return_object() noexcept;
  FinalAwaiter final_suspend() const noexcept { return {}; }

  void unhandled_exception() noexcept {
    static_cast<ResultSlot<T>*>(this->out)->set_exception(std::current_exception());
    if (this->parent == 0) this->task->threw_now();
  }

  SKUA_ALWAYS_INLINE static void* operator new(std::size_t size) { return allocate_frame<T>(size); }
  // Not forced inline at -O0: Clang would place its locals in the frame that it frees.
  SKUA_INLINE_IF_OPTIMIZED static void operator delete(void* frame, std::size_t size) noexcept {
    deallocate_frame<T>(frame, size);
  }
};

// Of a coroutine function whose parameters have nothing to destroy: nor has, then, a frame at its final suspension,
// where no local lives any more. Else the same promise at the same place, so that a handle need not know which it is.
template <typename T>
class PlainPromise final : public Promise<T> {
 public:
  // The block of a finished frame, which is freed instead of destroyed.
  static void* block_of(void* frame) noexcept {
    return static_cast<std::byte*>(frame) - kHeaderBytes - kSlotBytes<T>;
  }
};

template <typename T, typename... Parameters>
using PromiseOf = std::conditional_t<(std::is_trivially_destructible_v<Parameters> && ...),
                                     PlainPromise<T>, Promise<T>>;

// `co_await std::move(task)`. Lives in the awaiting frame and receives the result there.
template <typename T>
class [[nodiscard]] TaskAwaiter {
 public:
  explicit TaskAwaiter(std::coroutine_handle<Promise<T>> child) noexcept : child_(child) {}
  TaskAwaiter(const TaskAwaiter&) = delete;
  TaskAwaiter& operator=(const TaskAwaiter&) = delete;
  // A child that never started is still ours.
  ~TaskAwaiter() {
    if (child_) child_.destroy();
  }

  bool await_ready() const noexcept { return false; }

  template <typename ParentPromise>
  SKUA_ALWAYS_INLINE std::coroutine_handle<> await_suspend(
      std::coroutine_handle<ParentPromise> parent) noexcept {
    static_assert(std::derived_from<ParentPromise, PromiseBase>,
                  "a skua::Task can be awaited by a Skua coroutine only");
    PromiseBase& child = child_.promise();
    child.parent = reinterpret_cast<std::uintptr_t>(
        static_cast<PromiseBase*>(std::addressof(parent.promise())));
    child.task = parent.promise().task;
    child.out = &result_;
    return transfer_to(std::exchange(child_, nullptr), *child.task->worker);
  }

  T await_resume() { return result_.take(); }

 private:
  std::coroutine_handle<Promise<T>> child_;
  ResultSlot<T> result_;
};

}  // namespace internal

// Move-only; awaited, spawned or given away once, as an rvalue. Destroying one that never started destroys
// its parameters and nothing else.
//
// Threads: a Task may be passed to another thread before it starts; it is not shared.
// Limits: T is not over-aligned, and can be moved.
template <typename T>
class [[nodiscard("co_await it or spawn it: a Task that is dropped never runs")]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using value_type = T;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // Runs the coroutine as a part of the awaiting task. Gives what it returns; rethrows what it throws.
  //
  // Requires: the Task was not awaited, spawned or moved from.
  // Cancellation: if the awaiting task is aborted, this coroutine is destroyed first.
  internal::TaskAwaiter<T> operator co_await() && noexcept {
    SKUA_REQUIRE(handle_ != nullptr);
    return internal::TaskAwaiter<T>(std::exchange(handle_, nullptr));
  }

  // False after a move, an await or a spawn.
  explicit operator bool() const noexcept { return handle_ != nullptr; }

  // Gives up the coroutine. For the library.
  std::coroutine_handle<promise_type> release_handle() && noexcept {
    return std::exchange(handle_, nullptr);
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

template <typename T>
Task<T> internal::Promise<T>::get_return_object() noexcept {
  static_assert(alignof(Promise) == alignof(PromiseBase), "PromiseBase::handle() relies on it");
  static_assert(
      sizeof(PlainPromise<T>) == sizeof(Promise) && alignof(PlainPromise<T>) == alignof(Promise),
      "a handle does not tell them apart");
  static_assert(std::is_trivially_destructible_v<PlainPromise<T>>,
                "FinalAwaiter frees the frame as it is");
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace skua

// A reference counts as trivial, and so does the object of a member function or a closure, which is one.
template <typename T, typename... Parameters>
struct std::coroutine_traits<skua::Task<T>, Parameters...> {
  using promise_type = skua::internal::PromiseOf<T, Parameters...>;
};
