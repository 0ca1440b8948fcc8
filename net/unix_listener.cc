// SPDX-License-Identifier: Apache-2.0
#include "skua/net/unix_listener.h"

#include <cerrno>
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "net/connecting.h"
#include "net/socket_options.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {

absl::StatusOr<UnixListener> UnixListener::bind(SocketAddress address, UnixListenOptions options) {
  SKUA_REQUIRE(address.family() == SocketAddress::Family::kUnix, address.family());
  SKUA_REQUIRE(options.backlog > 0, options.backlog);
  internal::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return internal::errno_to_status(errno, "socket for " + address.to_string());
  absl::StatusOr<internal::IoSource> source =
      internal::listen_at(address, std::move(fd), options.backlog);
  if (!source.ok()) return source.status();
  return UnixListener(*std::move(source));
}

Task<absl::StatusOr<UnixStream>> UnixListener::accept() {
  const bool the_listener_is_open = fd() >= 0;
  SKUA_REQUIRE(the_listener_is_open, fd());
  return accept_next();
}

Task<absl::StatusOr<UnixStream>> UnixListener::accept_next() {
  absl::StatusOr<internal::IoSource> source = co_await internal::accept_stream(&source_);
  if (!source.ok()) co_return source.status();
  co_return UnixStream(*std::move(source));
}

absl::StatusOr<SocketAddress> UnixListener::local_address() const {
  return internal::local_address_of(fd());
}

}  // namespace skua
