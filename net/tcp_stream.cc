// SPDX-License-Identifier: Apache-2.0
#include "skua/net/tcp_stream.h"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <vector>

#include "base/unique_fd.h"
#include "net/connecting.h"
#include "net/socket_options.h"
#include "skua/internal/check.h"
#include "skua/net/resolve.h"
#include "skua/status.h"

namespace skua {
namespace {

using internal::get_option;
using internal::set_option;

Task<absl::StatusOr<TcpStream>> connect_tcp(SocketAddress address) {
  absl::StatusOr<internal::IoSource> source =
      co_await internal::connect_stream(address, internal::UniqueFd());
  if (!source.ok()) co_return source.status();
  co_return TcpStream(*std::move(source));
}

}  // namespace

Task<absl::StatusOr<TcpStream>> TcpStream::connect(SocketAddress address) {
  SKUA_REQUIRE(address.is_ip(), address.family());
  return connect_tcp(address);
}

Task<absl::StatusOr<TcpStream>> TcpStream::connect(std::string host, std::uint16_t port) {
  absl::StatusOr<std::vector<SocketAddress>> addresses = co_await resolve(host, port);
  if (!addresses.ok()) co_return addresses.status();
  absl::Status last;
  for (const SocketAddress& address : *addresses) {
    absl::StatusOr<TcpStream> stream = co_await connect_tcp(address);
    if (stream.ok()) co_return std::move(stream);
    last = stream.status();
  }
  co_return last;
}

absl::StatusOr<TcpStream> TcpStream::from_fd(int fd) {
  SKUA_REQUIRE(fd >= 0, fd);
  if (const absl::Status status = internal::adopt(fd); !status.ok()) return status;
  // It may have been made a kTLS socket.
  return TcpStream(internal::IoSource(fd), internal::StreamKind::kSocket);
}

absl::Status TcpStream::shutdown(Shutdown how) { return internal::shut_down(fd(), how); }

std::pair<TcpReadHalf, TcpWriteHalf> TcpStream::into_split() && {
  auto stream = std::make_shared<TcpStream>(std::move(*this));
  return {TcpReadHalf(stream), TcpWriteHalf(stream)};
}

absl::StatusOr<SocketAddress> TcpStream::local_address() const {
  return internal::local_address_of(fd());
}

absl::StatusOr<SocketAddress> TcpStream::peer_address() const {
  return internal::peer_address_of(fd());
}

absl::Status TcpStream::set_no_delay(bool on) {
  return set_option(fd(), IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0, "TCP_NODELAY");
}

absl::StatusOr<bool> TcpStream::no_delay() const {
  const absl::StatusOr<int> value = get_option(fd(), IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY");
  if (!value.ok()) return value.status();
  return *value != 0;
}

absl::Status TcpStream::set_keep_alive(std::optional<KeepAlive> keep_alive) {
  absl::Status status;
  if (keep_alive.has_value()) {
    status.Update(set_option(fd(), IPPROTO_TCP, TCP_KEEPIDLE,
                             static_cast<int>(keep_alive->idle.count()), "TCP_KEEPIDLE"));
    status.Update(set_option(fd(), IPPROTO_TCP, TCP_KEEPINTVL,
                             static_cast<int>(keep_alive->interval.count()), "TCP_KEEPINTVL"));
    status.Update(set_option(fd(), IPPROTO_TCP, TCP_KEEPCNT, keep_alive->probes, "TCP_KEEPCNT"));
  }
  if (!status.ok()) return status;
  return set_option(fd(), SOL_SOCKET, SO_KEEPALIVE, keep_alive.has_value() ? 1 : 0, "SO_KEEPALIVE");
}

absl::StatusOr<std::optional<KeepAlive>> TcpStream::keep_alive() const {
  const absl::StatusOr<int> on = get_option(fd(), SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE");
  if (!on.ok()) return on.status();
  if (*on == 0) return std::optional<KeepAlive>();
  const absl::StatusOr<int> idle = get_option(fd(), IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE");
  if (!idle.ok()) return idle.status();
  const absl::StatusOr<int> interval =
      get_option(fd(), IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL");
  if (!interval.ok()) return interval.status();
  const absl::StatusOr<int> probes = get_option(fd(), IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT");
  if (!probes.ok()) return probes.status();
  return std::optional<KeepAlive>(KeepAlive{.idle = std::chrono::seconds(*idle),
                                            .interval = std::chrono::seconds(*interval),
                                            .probes = *probes});
}

absl::Status TcpStream::set_linger(std::optional<std::chrono::seconds> linger) {
  if (linger.has_value() && linger->count() != 0) {
    return absl::InvalidArgumentError("SO_LINGER: only 0 s, or none");
  }
  ::linger value{};
  value.l_onoff = linger.has_value() ? 1 : 0;
  if (::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &value, sizeof(value)) == 0) {
    return absl::OkStatus();
  }
  return internal::errno_to_status(errno, "SO_LINGER");
}

absl::Status TcpStream::set_send_buffer_size(int bytes) {
  return set_option(fd(), SOL_SOCKET, SO_SNDBUF, bytes, "SO_SNDBUF");
}

absl::Status TcpStream::set_receive_buffer_size(int bytes) {
  return set_option(fd(), SOL_SOCKET, SO_RCVBUF, bytes, "SO_RCVBUF");
}

TcpWriteHalf& TcpWriteHalf::operator=(TcpWriteHalf&& other) noexcept {
  if (this != &other) {
    const TcpWriteHalf ended(std::move(*this));
    stream_ = std::move(other.stream_);
  }
  return *this;
}

TcpWriteHalf::~TcpWriteHalf() {
  // A connection that is gone has nothing to end.
  if (stream_ != nullptr) stream_->shutdown(Shutdown::kWrite).IgnoreError();
}

}  // namespace skua
