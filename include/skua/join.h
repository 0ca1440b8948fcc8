// SPDX-License-Identifier: Apache-2.0
//
// when_all: children that run in parallel, and a parent that goes on when all have ended.
//
//   auto [a, b] = co_await skua::when_all(read_config(), connect(address));
//   auto parts = co_await skua::when_all_n<10>([&](std::size_t i) { return part(i); });
//
// The first child runs at once on this thread; the next one when that has ended or suspended, or on a worker that has
// nothing else to do. So a tree of forks runs depth first and needs memory for its depth, not for its width.
#pragma once

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "skua/internal/fork.h"
#include "skua/internal/frame.h"
#include "skua/internal/result_slot.h"
#include "skua/task.h"

namespace skua {
namespace internal {

// void -> std::monostate, so that a result can stand in a tuple or a vector.
template <typename T>
using ValueOrMonostate = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
ValueOrMonostate<T> take_value(ResultSlot<T>& slot) {
  if constexpr (std::is_void_v<T>) {
    slot.take();
    return {};
  } else {
    return slot.take();
  }
}

template <typename T>
void rethrow_if_failed(const ResultSlot<T>& slot) {
  if (SKUA_UNLIKELY(slot.has_exception())) std::rethrow_exception(slot.exception());
}

// The exception of the first slot that has one. One of them has.
template <typename... Ts>
[[noreturn]] SKUA_COLD void rethrow_failure(const ResultSlot<Ts>&... slots) {
  (rethrow_if_failed(slots), ...);
  fatal("a child of when_all has ended without a result");
}
template <typename T>
[[noreturn]] SKUA_COLD void rethrow_failure(const ResultSlot<T>* slots, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) rethrow_if_failed(slots[i]);
  fatal("a child of when_all has ended without a result");
}

// A number of slots that is known at run time. Their block is recycled like a frame's.
template <typename T>
class SlotArray {
 public:
  explicit SlotArray(std::size_t size) : size_(size) {
    if (size == 0) return;
    if (size > PTRDIFF_MAX / sizeof(ResultSlot<T>)) throw std::bad_array_new_length();
    slots_ = static_cast<ResultSlot<T>*>(allocate_block(size * sizeof(ResultSlot<T>)));
    std::uninitialized_default_construct_n(slots_, size);
  }
  SlotArray(const SlotArray&) = delete;
  SlotArray& operator=(const SlotArray&) = delete;
  ~SlotArray() {
    if (slots_ == nullptr) return;
    if (!nothing_to_destroy_) std::destroy_n(slots_, size_);
    free_block(slots_, size_ * sizeof(ResultSlot<T>));
  }

  ResultSlot<T>& operator[](std::size_t i) noexcept { return slots_[i]; }

  // In order. Rethrows the first exception, and takes nothing then.
  std::vector<ValueOrMonostate<T>> take_all() {
    using Value = ValueOrMonostate<T>;
    bool all = true;
    for (std::size_t i = 0; i < size_; ++i) all &= slots_[i].has_value();
    if (SKUA_UNLIKELY(!all)) rethrow_failure(slots_, size_);
    if constexpr (std::is_arithmetic_v<Value> && !std::is_same_v<Value, bool>) {
      std::vector<Value> values(size_);
      for (std::size_t i = 0; i < size_; ++i) values[i] = slots_[i].stored();
      nothing_to_destroy_ = all;
      return values;
    } else {
      std::vector<Value> values;
      values.reserve(size_);
      for (std::size_t i = 0; i < size_; ++i) values.push_back(take_value(slots_[i]));
      return values;
    }
  }

 private:
  const std::size_t size_;
  ResultSlot<T>* slots_ = nullptr;
  bool nothing_to_destroy_ = false;  // All slots hold numbers.
};

// What all forks have in common as awaiters. `Derived` as for Fork.
template <typename Derived>
class [[nodiscard("co_await it: nothing runs otherwise")]] ForkAwaiter : public Fork<Derived> {
 public:
  explicit ForkAwaiter(std::size_t children) noexcept
      : Fork<Derived>(children), empty_(children == 0) {}

  bool await_ready() const noexcept { return empty_; }

  template <std::derived_from<PromiseBase> P>
  SKUA_ALWAYS_INLINE std::coroutine_handle<> await_suspend(
      std::coroutine_handle<P> parent) noexcept {
    return this->start(parent.promise());
  }

 private:
  const bool empty_;
};

// Children that exist before they start: owns those that have not.
template <std::size_t N>
class EagerChildren {
 public:
  template <typename... Ts>
  explicit EagerChildren(Task<Ts>&&... tasks) noexcept
      : promises_{&std::move(tasks).release_handle().promise()...} {}
  EagerChildren(const EagerChildren&) = delete;
  EagerChildren& operator=(const EagerChildren&) = delete;
  ~EagerChildren() {
    for (; next_ < N; ++next_) promises_[next_]->handle().destroy();
  }

  // In order.
  PromiseBase& release(std::uint32_t i) noexcept {
    next_ = i + 1;
    return *promises_[i];
  }

 private:
  std::array<PromiseBase*, N> promises_;
  std::size_t next_ = 0;
};

// A slot for each T: in an array if they are of one type, where the place of the i-th needs no search.
template <typename... Ts>
struct SlotsOf {
  using Type = std::tuple<ResultSlot<Ts>...>;
  static constexpr bool kUniform = false;
};
template <typename T, typename... Ts>
  requires(std::same_as<T, Ts> && ...)
struct SlotsOf<T, Ts...> {
  using Type = std::array<ResultSlot<T>, 1 + sizeof...(Ts)>;
  static constexpr bool kUniform = true;
};

template <typename... Ts>
class WhenAllAwaiter final : public ForkAwaiter<WhenAllAwaiter<Ts...>> {
 public:
  explicit WhenAllAwaiter(Task<Ts>&&... tasks)
      : ForkAwaiter<WhenAllAwaiter>(sizeof...(Ts)), children_(checked(tasks)...) {}

  std::tuple<ValueOrMonostate<Ts>...> await_resume() {
    return std::apply(
        [](auto&... slot) {
          if (SKUA_UNLIKELY(!(slot.has_value() && ...))) rethrow_failure(slot...);
          return std::tuple<ValueOrMonostate<Ts>...>(take_value(slot)...);
        },
        slots_);
  }

 private:
  friend Fork<WhenAllAwaiter>;

  template <typename T>
  static Task<T>&& checked(Task<T>& task) {
    SKUA_REQUIRE(static_cast<bool>(task));
    return std::move(task);
  }

  PromiseBase& make_child(std::uint32_t i) noexcept { return children_.release(i); }
  void* out(std::uint32_t i) noexcept {
    if constexpr (SlotsOf<Ts...>::kUniform) {
      return &slots_[i];
    } else {
      return out(i, std::index_sequence_for<Ts...>());
    }
  }
  template <std::size_t... kI>
  void* out(std::uint32_t i, std::index_sequence<kI...>) noexcept {
    void* slot = nullptr;
    static_cast<void>(((kI == i && (slot = &std::get<kI>(slots_), true)) || ...));
    return slot;
  }
  void fail_child(std::uint32_t) noexcept { SKUA_CHECK(false); }

  EagerChildren<sizeof...(Ts)> children_;
  typename SlotsOf<Ts...>::Type slots_;
};

template <typename T>
class WhenAllVectorAwaiter final : public ForkAwaiter<WhenAllVectorAwaiter<T>> {
 public:
  explicit WhenAllVectorAwaiter(std::vector<Task<T>>&& tasks)
      : ForkAwaiter<WhenAllVectorAwaiter>(tasks.size()),
        tasks_(std::move(tasks)),
        slots_(tasks_.size()) {
    for (const Task<T>& task : tasks_) SKUA_REQUIRE(static_cast<bool>(task));
  }

  std::vector<ValueOrMonostate<T>> await_resume() { return slots_.take_all(); }

 private:
  friend Fork<WhenAllVectorAwaiter>;
  PromiseBase& make_child(std::uint32_t i) noexcept {
    return std::move(tasks_[i]).release_handle().promise();
  }
  void* out(std::uint32_t i) noexcept { return &slots_[i]; }
  void fail_child(std::uint32_t) noexcept { SKUA_CHECK(false); }

  std::vector<Task<T>> tasks_;  // Those that have not started.
  SlotArray<T> slots_;
};

// The T of the Task<T> that f(i) gives.
template <typename F>
using ChildResult = typename std::invoke_result_t<F&, std::size_t>::value_type;

template <std::size_t N, typename F>
class WhenAllNAwaiter final : public ForkAwaiter<WhenAllNAwaiter<N, F>> {
 public:
  using T = ChildResult<F>;

  explicit WhenAllNAwaiter(F&& make) : ForkAwaiter<WhenAllNAwaiter>(N), make_(std::move(make)) {}

  std::array<ValueOrMonostate<T>, N> await_resume() {
    bool all = true;
    for (const ResultSlot<T>& slot : slots_) all &= slot.has_value();
    if (SKUA_UNLIKELY(!all)) rethrow_failure(slots_.data(), N);
    return take(std::make_index_sequence<N>());
  }

 private:
  friend Fork<WhenAllNAwaiter>;
  SKUA_ALWAYS_INLINE PromiseBase& make_child(std::uint32_t i) {
    return make_(std::size_t{i}).release_handle().promise();
  }
  void* out(std::uint32_t i) noexcept { return &slots_[i]; }
  void fail_child(std::uint32_t i) noexcept { slots_[i].set_exception(std::current_exception()); }

  template <std::size_t... kI>
  std::array<ValueOrMonostate<T>, N> take(std::index_sequence<kI...>) {
    return {take_value(slots_[kI])...};
  }

  F make_;
  std::array<ResultSlot<T>, N> slots_;
};

template <typename F>
class WhenAllSizedAwaiter final : public ForkAwaiter<WhenAllSizedAwaiter<F>> {
 public:
  using T = ChildResult<F>;

  WhenAllSizedAwaiter(std::size_t n, F&& make)
      : ForkAwaiter<WhenAllSizedAwaiter>(n), make_(std::move(make)), slots_(n) {}

  std::vector<ValueOrMonostate<T>> await_resume() { return slots_.take_all(); }

 private:
  friend Fork<WhenAllSizedAwaiter>;
  SKUA_ALWAYS_INLINE PromiseBase& make_child(std::uint32_t i) {
    return make_(std::size_t{i}).release_handle().promise();
  }
  void* out(std::uint32_t i) noexcept { return &slots_[i]; }
  void fail_child(std::uint32_t i) noexcept { slots_[i].set_exception(std::current_exception()); }

  F make_;
  SlotArray<T> slots_;
};

template <typename F>
concept ChildFactory = requires(F& f, std::size_t i) {
  typename ChildResult<F>;
  { f(i) } -> std::same_as<Task<ChildResult<F>>>;
};

}  // namespace internal

// Runs the tasks in parallel and waits until all have ended.
//
// Returns: a tuple of what they return, std::monostate for void.
// Errors: rethrows the exception of the first task, in argument order, that threw; the others run to their
//   end all the same.
// Cancellation: an abort of the parent aborts the children and waits until they are gone. Children that have not
//   started never do.
// Memory ordering: all that the children did happens before the await's end.
template <typename... Ts>
auto when_all(Task<Ts>... tasks) {
  return internal::WhenAllAwaiter<Ts...>(std::move(tasks)...);
}

// The same for any number of tasks of one type. Returns a std::vector in the order of `tasks`.
// Limits: 2^30 tasks.
template <typename T>
auto when_all(std::vector<Task<T>> tasks) {
  return internal::WhenAllVectorAwaiter<T>(std::move(tasks));
}

// The same for children that are made when they are about to run, which is the fastest form: child i is `make(i)`, a
// Task<T>. `make` is called for 0, 1, ... in this order, on any worker, never by two at a time, and lives until the
// await's end; so it may hold what the children share. What it throws is that child's exception.
//
// Returns: a std::array<T, N> in the order of i.
template <std::size_t N, internal::ChildFactory F>
auto when_all_n(F make) {
  return internal::WhenAllNAwaiter<N, F>(std::move(make));
}

// The same for `n` children. Returns a std::vector<T>.
// Limits: n <= 2^30.
template <internal::ChildFactory F>
auto when_all_n(std::size_t n, F make) {
  return internal::WhenAllSizedAwaiter<F>(n, std::move(make));
}

}  // namespace skua
