// SPDX-License-Identifier: Apache-2.0
//
// Any descriptor that epoll knows: an eventfd, a timerfd, inotify, a device, the socket of another library.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/io_source.h"
#include "skua/task.h"

namespace skua {

// Owns the descriptor. Moves, does not copy; must not move while a task waits.
//
// Threads: one task may wait to read and another one to write (SKUA_REQUIRE).
// Lifetime: it outlives what is awaited.
// Cancellation: safe.
class AsyncFd {
 public:
  // A call that does not block: what read(2) and its like return, -1 and errno in case of an error. Made again after
  // EINTR, and, when the descriptor is ready, after EAGAIN. May be made on any worker.
  using Call = std::function<std::ptrdiff_t(int fd)>;

  // Takes over `fd`, and makes it non-blocking.
  //
  // Errors: the errno of fcntl(2); the descriptor is closed then. Requires: fd >= 0.
  static absl::StatusOr<AsyncFd> from_fd(int fd);

  // Makes `call` until it says something else than EAGAIN.
  //
  // Returns: what it returns.
  // Errors: its errno. kPermissionDenied - the descriptor cannot be waited for (EPERM: a regular file).
  // Beware: GCC 12 destroys twice what a capturing lambda holds, if it is a temporary in a co_await expression: give
  //   it a name first (docs/compilers.md).
  Task<absl::StatusOr<std::size_t>> read_with(Call call);
  Task<absl::StatusOr<std::size_t>> write_with(Call call);

  // Waits until a call would not say EAGAIN, as poll(2) sees it.
  //
  // Errors: as those of read_with() that are not the call's.
  Task<absl::Status> readable();
  Task<absl::Status> writable();

  // Closes the descriptor; a task that waits is woken with kCancelled. No other task may be about to use it.
  void close() noexcept { source_.close(); }
  // Gives the descriptor up, non-blocking. As close() otherwise.
  [[nodiscard]] int release() noexcept { return source_.release(); }
  // -1 after close() or release().
  int fd() const noexcept { return source_.fd(); }

 private:
  explicit AsyncFd(internal::IoSource source) noexcept : source_(std::move(source)) {}
  Task<absl::StatusOr<std::size_t>> call_until_ready(internal::Direction direction, Call call);
  Task<absl::Status> wait_for(internal::Direction direction);

  internal::IoSource source_;
};

}  // namespace skua
