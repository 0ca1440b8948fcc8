// SPDX-License-Identifier: Apache-2.0
#include "skua/net/tcp_listener.h"

#include <cerrno>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "net/connecting.h"
#include "net/socket_options.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {

using internal::set_option;

absl::StatusOr<TcpListener> TcpListener::bind(SocketAddress address, TcpListenOptions options) {
  SKUA_REQUIRE(address.is_ip(), address.family());
  SKUA_REQUIRE(options.backlog > 0, options.backlog);
  internal::UniqueFd fd(
      ::socket(internal::system_family(address), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return internal::errno_to_status(errno, "socket for " + address.to_string());
  absl::Status status;
  if (options.reuse_address) {
    status.Update(set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"));
  }
  if (options.reuse_port) {
    status.Update(set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"));
  }
  if (address.family() == SocketAddress::Family::kV6) {
    // Whatever net.ipv6.bindv6only says.
    status.Update(
        set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0, "IPV6_V6ONLY"));
  }
  if (!status.ok()) return status;
  absl::StatusOr<internal::IoSource> source =
      internal::listen_at(address, std::move(fd), options.backlog);
  if (!source.ok()) return source.status();
  return TcpListener(*std::move(source));
}

Task<absl::StatusOr<TcpStream>> TcpListener::accept() {
  const bool the_listener_is_open = fd() >= 0;
  SKUA_REQUIRE(the_listener_is_open, fd());
  return accept_next();
}

Task<absl::StatusOr<TcpStream>> TcpListener::accept_next() {
  absl::StatusOr<internal::IoSource> source = co_await internal::accept_stream(&source_);
  if (!source.ok()) co_return source.status();
  co_return TcpStream(*std::move(source));
}

absl::StatusOr<SocketAddress> TcpListener::local_address() const {
  return internal::local_address_of(fd());
}

}  // namespace skua
