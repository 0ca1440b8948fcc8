// SPDX-License-Identifier: Apache-2.0
#include "skua/net/async_fd.h"

#include <cerrno>
#include <poll.h>

#include "net/socket_options.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {

using internal::Direction;
using internal::errno_to_status;
using internal::Readiness;

absl::StatusOr<AsyncFd> AsyncFd::from_fd(int fd) {
  SKUA_REQUIRE(fd >= 0, fd);
  if (const absl::Status status = internal::adopt(fd); !status.ok()) return status;
  return AsyncFd(internal::IoSource(fd));
}

Task<absl::StatusOr<std::size_t>> AsyncFd::read_with(Call call) {
  SKUA_REQUIRE(fd() >= 0, fd());
  return call_until_ready(Direction::kRead, std::move(call));
}

Task<absl::StatusOr<std::size_t>> AsyncFd::write_with(Call call) {
  SKUA_REQUIRE(fd() >= 0, fd());
  return call_until_ready(Direction::kWrite, std::move(call));
}

Task<absl::StatusOr<std::size_t>> AsyncFd::call_until_ready(Direction direction, Call call) {
  const int closed = co_await source_.turn();
  if (closed != 0) co_return errno_to_status(closed, "AsyncFd");
  for (;;) {
    const Readiness seen = source_.readiness(direction);
    if (seen.ready()) {
      const std::ptrdiff_t result = call(fd());
      const int error = result < 0 ? errno : 0;
      if (error == 0) co_return static_cast<std::size_t>(result);
      if (error == EINTR) continue;
      if (error != EAGAIN) co_return errno_to_status(error, "AsyncFd");
    }
    const int error = co_await source_.wait(direction, seen);
    if (error != 0) co_return errno_to_status(error, "AsyncFd");
  }
}

Task<absl::Status> AsyncFd::readable() {
  SKUA_REQUIRE(fd() >= 0, fd());
  return wait_for(Direction::kRead);
}

Task<absl::Status> AsyncFd::writable() {
  SKUA_REQUIRE(fd() >= 0, fd());
  return wait_for(Direction::kWrite);
}

Task<absl::Status> AsyncFd::wait_for(Direction direction) {
  const int closed = co_await source_.turn();
  if (closed != 0) co_return errno_to_status(closed, "AsyncFd");
  for (;;) {
    const Readiness seen = source_.readiness(direction);
    pollfd state{};
    state.fd = fd();
    state.events = direction == Direction::kRead ? POLLIN : POLLOUT;
    if (::poll(&state, 1, 0) > 0) co_return absl::OkStatus();
    const int error = co_await source_.wait(direction, seen);
    if (error != 0) co_return errno_to_status(error, "AsyncFd");
  }
}

}  // namespace skua
