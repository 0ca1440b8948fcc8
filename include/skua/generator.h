// SPDX-License-Identifier: Apache-2.0
//
// Generator<T>: a coroutine that yields values one by one, and may await in between.
//
//   skua::Generator<Row> rows(Query query) {
//     while (std::optional<Page> page = co_await fetch(&query)) {
//       for (Row& row : page->rows) co_yield std::move(row);
//     }
//   }
//   auto all = rows(query);
//   while (auto row = co_await all.next()) use(*row);
//
// It runs only within next(), as a part of the task that awaits it: it has no task of its own, and nothing goes on in
// it while nobody asks. Between two values it may pass to another task.
//
//   consumer --next()--> frame: the generator's is the innermost of the task; it is where the task waits, if it awaits
//            <-co_yield- frame: suspended, and the Generator's again
//
// While next() is awaited the frame belongs to the task, which destroys it before the consumer's if it is aborted; at
// all other times it belongs to the Generator.
//
// The rules for coroutine functions are those of skua/task.h. With GCC 12 an aggregate that holds something with a
// destructor must not be a temporary in a co_yield, either (docs/compilers.md): give it a name first, and move it.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/executor.h"
#include "skua/internal/final_awaiter.h"
#include "skua/internal/frame.h"
#include "skua/internal/promise_base.h"

namespace skua {

template <typename T>
class Generator;

namespace internal {

template <typename T>
class GeneratorPromise;

// What next() gives: an optional value, or, of a Generator<T&>, a pointer.
template <typename T>
struct GeneratorItem {
  using Type = std::optional<T>;
};
template <typename T>
struct GeneratorItem<T&> {
  using Type = T*;
};

// Where the generator leaves what it yields or throws: in the awaiter of next().
template <typename T>
struct NextSlot {
  explicit NextSlot(Generator<T>* owner) noexcept : generator(owner) {}

  Generator<T>* const generator;
  typename GeneratorItem<T>::Type item{};
  std::exception_ptr exception;
};

// Suspends the generator, and goes on as its consumer.
template <typename T>
class YieldValueAwaiter {
 public:
  YieldValueAwaiter() noexcept {}
  YieldValueAwaiter(const YieldValueAwaiter&) = delete;
  YieldValueAwaiter& operator=(const YieldValueAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(
      std::coroutine_handle<GeneratorPromise<T>> generator) const noexcept {
    GeneratorPromise<T>& promise = generator.promise();
    promise.slot().generator->handle_ = generator;
    return transfer_to(reinterpret_cast<PromiseBase*>(promise.parent)->handle());
  }
  void await_resume() const noexcept {}
};

template <typename T>
class GeneratorPromise final : public PromiseBase {
 public:
  Generator<T> get_return_object() noexcept;
  FinalAwaiter final_suspend() const noexcept { return {}; }

  template <typename U = T>
    requires(!std::is_reference_v<T> && std::constructible_from<T, U &&>)
  YieldValueAwaiter<T> yield_value(U&& value) {
    slot().item.emplace(std::forward<U>(value));
    return YieldValueAwaiter<T>();
  }
  YieldValueAwaiter<T> yield_value(std::remove_reference_t<T>& value) noexcept
    requires std::is_reference_v<T>
  {
    slot().item = std::addressof(value);
    return YieldValueAwaiter<T>();
  }
  void return_void() noexcept {}
  void unhandled_exception() noexcept { slot().exception = std::current_exception(); }

  // Of the next() that is awaited.
  NextSlot<T>& slot() noexcept { return *static_cast<NextSlot<T>*>(this->out); }

  SKUA_ALWAYS_INLINE static void* operator new(std::size_t size) { return allocate_block(size); }
  SKUA_INLINE_IF_OPTIMIZED static void operator delete(void* frame, std::size_t size) noexcept {
    free_block(frame, size);
  }
};

// Returned by Generator::next(). Lives in the awaiting frame.
template <typename T>
class [[nodiscard("co_await it; the generator does not run otherwise")]] NextAwaiter {
 public:
  explicit NextAwaiter(Generator<T>* generator) noexcept : slot_(generator) {}
  NextAwaiter(const NextAwaiter&) = delete;
  NextAwaiter& operator=(const NextAwaiter&) = delete;

  bool await_ready() const noexcept { return slot_.generator->handle_ == nullptr; }

  template <std::derived_from<PromiseBase> Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> consumer) noexcept {
    // The frame is the task's from here on.
    const auto handle = std::exchange(slot_.generator->handle_, nullptr);
    GeneratorPromise<T>& promise = handle.promise();
    promise.parent = reinterpret_cast<std::uintptr_t>(
        static_cast<PromiseBase*>(std::addressof(consumer.promise())));
    promise.task = consumer.promise().task;
    promise.out = &slot_;
    return transfer_to(handle);
  }

  typename GeneratorItem<T>::Type await_resume() {
    if (SKUA_UNLIKELY(slot_.exception != nullptr)) {
      std::rethrow_exception(std::move(slot_.exception));
    }
    return std::move(slot_.item);
  }

 private:
  NextSlot<T> slot_;
};

}  // namespace internal

// Move-only. Lazy: nothing runs before the first next(). Destroying it destroys the coroutine where it stands, and what
// it holds, generators among them.
//
// T is a value that can be moved, or a reference: what is yielded then stays where it is, and is there until the next
// next().
//
// Threads: one task at a time uses it; it may pass between tasks.
// Lifetime: neither moved nor dropped while a task waits in next().
template <typename T>
class [[nodiscard("await its next(): a Generator that is dropped never runs")]] Generator {
 public:
  using promise_type = internal::GeneratorPromise<T>;
  using value_type = std::remove_reference_t<T>;

  Generator(Generator&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Generator& operator=(Generator&& other) noexcept {
    if (this != &other) {
      const auto old = std::exchange(handle_, std::exchange(other.handle_, nullptr));
      if (old) old.destroy();
    }
    return *this;
  }
  ~Generator() {
    if (handle_) handle_.destroy();
  }

  // Runs the coroutine to its next co_yield.
  //
  // Returns: on co_await, what it yields, as a std::optional<T>, or, for references, a pointer; nothing if it has
  //   ended, or was moved from, now and ever after.
  // Errors: rethrows what the coroutine throws, once; it has ended then.
  // Cancellation: if the task is aborted while the generator waits for something, that is cancelled, and the
  //   generator's frame is destroyed before the consumer's. The generator has ended for whoever still has it.
  // Requires: no other next() is awaited.
  internal::NextAwaiter<T> next() noexcept { return internal::NextAwaiter<T>(this); }

  // False: next() gives nothing any more. While next() is awaited, too.
  explicit operator bool() const noexcept { return handle_ != nullptr; }

 private:
  friend promise_type;
  friend internal::NextAwaiter<T>;
  friend internal::YieldValueAwaiter<T>;
  explicit Generator(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

template <typename T>
Generator<T> internal::GeneratorPromise<T>::get_return_object() noexcept {
  static_assert(alignof(GeneratorPromise) == alignof(PromiseBase),
                "PromiseBase::handle() relies on it");
  return Generator<T>(std::coroutine_handle<GeneratorPromise>::from_promise(*this));
}

}  // namespace skua
