// SPDX-License-Identifier: Apache-2.0
#include "net/connecting.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <sys/socket.h>
#include <utility>

#include "io_driver/driver.h"
#include "io_driver/socket_op.h"
#include "net/socket_options.h"
#include "skua/status.h"
#include "skua/time.h"

namespace skua::internal {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFullBacklogPauseMax{100};
constexpr milliseconds kAcceptPauseMin{5};
constexpr milliseconds kAcceptPauseMax{100};
// More connections in a row than that do not fail by themselves: a filter refuses the call.
constexpr int kFailedInARowMax = 16;

// True for what befalls one connection that was never accepted; the next one may be fine (accept(2), "Error handling").
bool is_of_the_connection(int error) noexcept {
  switch (error) {
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:  // A firewall rule.
    case EINTR:
      return true;
    default:
      return false;
  }
}

bool is_lack_of_resources(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Task<absl::StatusOr<IoSource>> connect_stream(SocketAddress address, UniqueFd fd) {
  const std::string what = "connect to " + address.to_string();
  if (!fd) {
    fd = UniqueFd(current_driver()->calls().socket(system_family(address), SOCK_STREAM));
    if (!fd) co_return errno_to_status(errno, what);
  }
  IoSource source(fd.release());
  // A Unix socket is connected at once, or its backlog is full; that is not waited for in the kernel.
  const bool by_completion = address.is_ip() && completes_sockets();
  milliseconds pause{1};
  // Before the call: what happens from here on makes another word of it.
  Readiness seen = source.readiness(Direction::kWrite);
  for (;;) {
    int error = 0;
    if (by_completion) {
      error = -co_await SocketAwaiter(
          &source, Direction::kWrite,
          connect_request(source, address.system_address(), address.system_size()));
    } else if (current_driver()->calls().connect(source.fd(), address.system_address(),
                                                 static_cast<socklen_t>(address.system_size())) !=
               0) {
      error = errno;
    }
    if (error == 0) co_return std::move(source);
    if (error == EINPROGRESS || error == EINTR) break;
    // Begun by an operation that the kernel has lost, or does not wait for: what becomes of it is asked below.
    if (by_completion && (error == EALREADY || error == EISCONN || error == EAGAIN)) break;
    // A Unix socket whose backlog is full. Nothing tells when there is room again.
    const bool backlog_is_full =
        error == EAGAIN && address.family() == SocketAddress::Family::kUnix;
    if (!backlog_is_full) co_return errno_to_status(error, what);
    co_await sleep_for(pause);
    pause = std::min(2 * pause, kFullBacklogPauseMax);
  }
  for (;;) {
    if (const int error = co_await source.wait(Direction::kWrite, seen); error != 0) {
      co_return errno_to_status(error, what);
    }
    seen = source.readiness(Direction::kWrite);
    if (const int error = current_driver()->calls().socket_error(source.fd()); error != 0) {
      co_return errno_to_status(error, what);
    }
    // An event too many: it may not be decided yet.
    const absl::StatusOr<SocketAddress> peer = peer_address_of(source.fd());
    if (peer.ok()) co_return std::move(source);
    if (errno_of(peer.status()) != ENOTCONN) co_return peer.status();
  }
}

Task<absl::StatusOr<IoSource>> accept_stream(IoSource* listener) {
  milliseconds pause = kAcceptPauseMin;
  int failed_in_a_row = 0;
  for (;;) {
    const int closed = co_await listener->turn();
    if (closed != 0) co_return errno_to_status(closed, "accept");
    const Readiness seen = listener->readiness(Direction::kRead);
    int fd = -EAGAIN;
    if (seen.ready()) {
      fd = current_driver()->calls().accept(listener->fd());
      if (fd < 0) fd = -errno;
    }
    if (fd == -EAGAIN && completes_sockets()) {
      fd = co_await SocketAwaiter(listener, Direction::kRead, accept_request(*listener));
    }
    if (fd >= 0) co_return IoSource(fd);
    const bool failed = is_of_the_connection(-fd);
    if (failed && ++failed_in_a_row < kFailedInARowMax) continue;
    if (failed || is_lack_of_resources(-fd)) {
      // The connection stays in the backlog, and the listener ready.
      co_await sleep_for(pause);
      if (listener->fd() < 0) co_return errno_to_status(ECANCELED, "accept");
      pause = std::min(2 * pause, kAcceptPauseMax);
      continue;
    }
    if (fd != -EAGAIN) co_return errno_to_status(-fd, "accept");
    const int error = co_await listener->wait(Direction::kRead, seen);
    if (error != 0) co_return errno_to_status(error, "accept");
  }
}

absl::StatusOr<IoSource> listen_at(const SocketAddress& address, UniqueFd fd, int backlog) {
  if (::bind(fd.get(), static_cast<const sockaddr*>(address.system_address()),
             static_cast<socklen_t>(address.system_size())) != 0) {
    return errno_to_status(errno, "bind to " + address.to_string());
  }
  if (::listen(fd.get(), backlog) != 0) {
    return errno_to_status(errno, "listen at " + address.to_string());
  }
  return IoSource(fd.release());
}

}  // namespace skua::internal
