// SPDX-License-Identifier: Apache-2.0
//
// Where a coroutine leaves what it returned or threw: in its awaiter's frame, or in the block of a
// spawned task. Written once by the coroutine, read once by whoever joined it; the hand-over between
// threads is the join's ([JOIN] in task_header.h), the slot itself is plain memory.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"

namespace skua::internal {

// What is stored for a coroutine that returns T.
template <typename T>
struct StoredResult {
  using Type = T;
};
template <>
struct StoredResult<void> {
  struct Type {};
};
template <typename T>
struct StoredResult<T&> {
  using Type = T*;
};

template <typename T>
class ResultSlot {
 public:
  using Stored = typename StoredResult<T>::Type;
  static_assert(alignof(Stored) <= alignof(std::max_align_t),
                "a task's result cannot be over-aligned: return a std::unique_ptr to it");

  ResultSlot() noexcept {}
  ResultSlot(const ResultSlot&) = delete;
  ResultSlot& operator=(const ResultSlot&) = delete;
  ~ResultSlot() { clear(); }

  template <typename... Args>
  void emplace(Args&&... args) {
    ::new (static_cast<void*>(std::addressof(value_))) Stored(std::forward<Args>(args)...);
    outcome_ = Outcome::kValue;
  }

  // A value may stand there already: a local's destructor threw after the co_return.
  void set_exception(std::exception_ptr exception) noexcept {
    clear();
    ::new (static_cast<void*>(std::addressof(exception_))) std::exception_ptr(std::move(exception));
    outcome_ = Outcome::kException;
  }

  bool has_value() const noexcept { return outcome_ == Outcome::kValue; }
  bool has_exception() const noexcept { return outcome_ == Outcome::kException; }
  // Neither value nor exception: the coroutine was destroyed before it could return.
  bool empty() const noexcept { return outcome_ == Outcome::kEmpty; }

  const std::exception_ptr& exception() const noexcept { return exception_; }
  Stored& stored() noexcept { return value_; }

  // The value, moved out, or the exception, rethrown. Requires: not empty.
  T take() {
    if (SKUA_UNLIKELY(outcome_ == Outcome::kException)) {
      std::rethrow_exception(std::exchange(exception_, nullptr));
    }
    SKUA_CHECK(outcome_ == Outcome::kValue, outcome_);
    if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else {
      return std::move(value_);
    }
  }

  void clear() noexcept {
    if (outcome_ == Outcome::kValue) {
      value_.~Stored();
    } else if (outcome_ == Outcome::kException) {
      exception_.~exception_ptr();
    }
    outcome_ = Outcome::kEmpty;
  }

 private:
  enum class Outcome : std::uint8_t { kEmpty, kValue, kException };

  union {
    Stored value_;
    std::exception_ptr exception_;
  };
  Outcome outcome_ = Outcome::kEmpty;
};

}  // namespace skua::internal
