// SPDX-License-Identifier: Apache-2.0
//
// when_all: children that run in parallel, and a parent that goes on when all have ended.
//
//   auto [a, b] = co_await skua::when_all(read_config(), connect(address));
//
// The first child runs at once on this thread; the others can be taken by any worker.
#pragma once

#include <array>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "skua/internal/fork.h"
#include "skua/internal/frame.h"
#include "skua/task.h"

namespace skua {
namespace internal {

// void -> std::monostate, so that a result can stand in a tuple or a vector.
template <typename T>
using ValueOrMonostate = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

// One forked child: its coroutine until it starts, its block until the parent is done with it.
template <typename T>
class ForkedChild {
 public:
  explicit ForkedChild(Task<T> task) noexcept : handle_(std::move(task).release_handle()) {
    SKUA_REQUIRE(handle_ != nullptr);
  }
  ForkedChild(ForkedChild&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)),
        header_(std::exchange(other.header_, nullptr)) {}
  ForkedChild& operator=(ForkedChild&&) = delete;
  ~ForkedChild() {
    if (header_ != nullptr) {
      free_task_block<T>(header_);
    } else if (handle_) {
      handle_.destroy();
    }
  }

  // Makes the child ready to be queued. Once.
  TaskHeader* arm() noexcept {
    header_ = construct_header<T>(handle_.address(), TaskKind::kForked);
    header_->resume = handle_;
    PromiseBase& promise = handle_.promise();
    promise.task = header_;
    promise.out = slot_of_header<T>(header_);
    return header_;
  }

  void rethrow_if_failed() {
    ResultSlot<T>* const slot = slot_of_header<T>(header_);
    if (slot->has_exception()) std::rethrow_exception(slot->exception());
  }

  ValueOrMonostate<T> take() {
    if constexpr (std::is_void_v<T>) {
      return {};
    } else {
      return slot_of_header<T>(header_)->take();
    }
  }

 private:
  std::coroutine_handle<Promise<T>> handle_;
  TaskHeader* header_ = nullptr;
};

template <typename... Ts>
class [[nodiscard("co_await it: nothing runs otherwise")]] WhenAllAwaiter {
 public:
  explicit WhenAllAwaiter(Task<Ts>... tasks) : children_(ForkedChild<Ts>(std::move(tasks))...) {}
  WhenAllAwaiter(const WhenAllAwaiter&) = delete;
  WhenAllAwaiter& operator=(const WhenAllAwaiter&) = delete;

  bool await_ready() const noexcept { return sizeof...(Ts) == 0; }

  template <std::derived_from<PromiseBase> P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> parent) noexcept {
    std::apply([this](auto&... child) { headers_ = {child.arm()...}; }, children_);
    return fork_.start(parent.promise(), headers_);
  }

  std::tuple<ValueOrMonostate<Ts>...> await_resume() {
    return std::apply(
        [](auto&... child) {
          (child.rethrow_if_failed(), ...);
          return std::tuple<ValueOrMonostate<Ts>...>(child.take()...);
        },
        children_);
  }

 private:
  std::tuple<ForkedChild<Ts>...> children_;
  std::array<TaskHeader*, sizeof...(Ts)> headers_{};
  ForkState fork_;
};

template <typename T>
class [[nodiscard("co_await it: nothing runs otherwise")]] WhenAllVectorAwaiter {
 public:
  explicit WhenAllVectorAwaiter(std::vector<Task<T>> tasks) {
    children_.reserve(tasks.size());
    headers_.reserve(tasks.size());
    for (Task<T>& task : tasks) children_.emplace_back(std::move(task));
  }
  WhenAllVectorAwaiter(const WhenAllVectorAwaiter&) = delete;
  WhenAllVectorAwaiter& operator=(const WhenAllVectorAwaiter&) = delete;

  bool await_ready() const noexcept { return children_.empty(); }

  template <std::derived_from<PromiseBase> P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> parent) noexcept {
    for (ForkedChild<T>& child : children_) headers_.push_back(child.arm());
    return fork_.start(parent.promise(), headers_);
  }

  std::vector<ValueOrMonostate<T>> await_resume() {
    for (ForkedChild<T>& child : children_) child.rethrow_if_failed();
    std::vector<ValueOrMonostate<T>> values;
    values.reserve(children_.size());
    for (ForkedChild<T>& child : children_) values.push_back(child.take());
    return values;
  }

 private:
  std::vector<ForkedChild<T>> children_;
  std::vector<TaskHeader*> headers_;
  ForkState fork_;
};

}  // namespace internal

// Runs the tasks in parallel and waits until all have ended.
//
// Returns: a tuple of what they return, std::monostate for void.
// Errors: rethrows the exception of the first task, in argument order, that threw; the others run to their
//   end all the same.
// Cancellation: an abort of the parent aborts the children and waits until they are gone.
// Memory ordering: all that the children did happens before the await's end.
template <typename... Ts>
auto when_all(Task<Ts>... tasks) {
  return internal::WhenAllAwaiter<Ts...>(std::move(tasks)...);
}

// The same for any number of tasks of one type. Returns a std::vector in the order of `tasks`.
template <typename T>
auto when_all(std::vector<Task<T>> tasks) {
  return internal::WhenAllVectorAwaiter<T>(std::move(tasks));
}

}  // namespace skua
