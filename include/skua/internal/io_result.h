// SPDX-License-Identifier: Apache-2.0
//
// Awaiters of one operation, with a result as the public API has it. They live in the awaiting frame, and with it until
// the kernel is done (io_op.h).
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/io_op.h"
#include "skua/status.h"

namespace skua::internal {

// What both have in common. `what` is for messages, and a literal.
class IoResultAwaiter {
 public:
  IoResultAwaiter(const IoRequest& request, const char* what) noexcept
      : io_(request), what_(what) {}
  IoResultAwaiter(const IoResultAwaiter&) = delete;
  IoResultAwaiter& operator=(const IoResultAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return io_.await_suspend(awaiting);
  }

 protected:
  std::int32_t result() const noexcept { return io_.await_resume(); }
  const char* what() const noexcept { return what_; }

 private:
  IoAwaiter io_;
  const char* const what_;
};

// Gives how many bytes were moved.
class [[nodiscard("co_await it; nothing is submitted otherwise")]] IoCountAwaiter final
    : public IoResultAwaiter {
 public:
  using IoResultAwaiter::IoResultAwaiter;
  absl::StatusOr<std::size_t> await_resume() const {
    if (result() < 0) return errno_to_status(-result(), what());
    return static_cast<std::size_t>(result());
  }
};

// Gives whether it worked.
class [[nodiscard("co_await it; nothing is submitted otherwise")]] IoStatusAwaiter final
    : public IoResultAwaiter {
 public:
  using IoResultAwaiter::IoResultAwaiter;
  absl::Status await_resume() const {
    if (result() < 0) return errno_to_status(-result(), what());
    return absl::OkStatus();
  }
};

}  // namespace skua::internal
