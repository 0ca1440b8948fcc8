// SPDX-License-Identifier: Apache-2.0
#include "skua/net/udp_socket.h"

#include <cerrno>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/unique_fd.h"
#include "io_driver/driver.h"
#include "io_driver/socket_op.h"
#include "net/socket_options.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {

using internal::Direction;
using internal::errno_to_status;
using internal::Readiness;
using internal::SocketAwaiter;

absl::StatusOr<UdpSocket> UdpSocket::bind(SocketAddress address) {
  SKUA_REQUIRE(address.is_ip(), address.family());
  internal::UniqueFd fd(
      ::socket(internal::system_family(address), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_to_status(errno, "socket for " + address.to_string());
  if (::bind(fd.get(), static_cast<const sockaddr*>(address.system_address()),
             static_cast<socklen_t>(address.system_size())) != 0) {
    return errno_to_status(errno, "bind to " + address.to_string());
  }
  return UdpSocket(internal::IoSource(fd.release()));
}

absl::Status UdpSocket::connect(SocketAddress peer) {
  if (::connect(fd(), static_cast<const sockaddr*>(peer.system_address()),
                static_cast<socklen_t>(peer.system_size())) == 0) {
    return absl::OkStatus();
  }
  return errno_to_status(errno, "connect to " + peer.to_string());
}

Task<absl::Status> UdpSocket::send_to(std::span<const std::byte> data, SocketAddress to) {
  SKUA_REQUIRE(fd() >= 0, fd());
  SKUA_REQUIRE(to.is_ip(), to.family());
  return send_datagram(data, to);
}

Task<absl::Status> UdpSocket::send(std::span<const std::byte> data) {
  SKUA_REQUIRE(fd() >= 0, fd());
  return send_datagram(data, SocketAddress());
}

Task<absl::Status> UdpSocket::send_datagram(std::span<const std::byte> data, SocketAddress to) {
  iovec part{const_cast<std::byte*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (to.is_ip()) {
    message.msg_name = const_cast<void*>(to.system_address());
    message.msg_namelen = static_cast<socklen_t>(to.system_size());
  }
  const int closed = co_await source_.turn();
  if (closed != 0) co_return errno_to_status(closed, "sendmsg");
  for (;;) {
    const Readiness seen = source_.readiness(Direction::kWrite);
    std::ptrdiff_t result = -EAGAIN;
    if (seen.ready()) {
      result = internal::current_driver()->calls().sendmsg(fd(), &message, MSG_NOSIGNAL);
      if (result < 0) result = -errno;
    }
    if (result == -EAGAIN && internal::completes_sockets()) {
      result = co_await SocketAwaiter(&source_, Direction::kWrite,
                                      internal::send_message_request(source_, &message));
    }
    if (result >= 0) co_return absl::OkStatus();
    if (result == -EINTR) continue;
    if (result != -EAGAIN) co_return errno_to_status(static_cast<int>(-result), "sendmsg");
    const int error = co_await source_.wait(Direction::kWrite, seen);
    if (error != 0) co_return errno_to_status(error, "sendmsg");
  }
}

Task<absl::StatusOr<Datagram>> UdpSocket::receive_from(std::span<std::byte> buffer) {
  SKUA_REQUIRE(fd() >= 0, fd());
  return receive_datagram(buffer);
}

Task<absl::StatusOr<Datagram>> UdpSocket::receive_datagram(std::span<std::byte> buffer) {
  sockaddr_storage from{};
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof(from);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const int closed = co_await source_.turn();
  if (closed != 0) co_return errno_to_status(closed, "recvmsg");
  for (;;) {
    const Readiness seen = source_.readiness(Direction::kRead);
    std::ptrdiff_t result = -EAGAIN;
    if (seen.ready()) {
      result = internal::current_driver()->calls().recvmsg(fd(), &message, 0);
      if (result < 0) result = -errno;
    }
    if (result == -EAGAIN && internal::completes_sockets()) {
      result = co_await SocketAwaiter(&source_, Direction::kRead,
                                      internal::receive_message_request(source_, &message));
    }
    if (result >= 0) {
      Datagram datagram;
      datagram.size = static_cast<std::size_t>(result);
      datagram.from = SocketAddress::from_system(&from, message.msg_namelen);
      datagram.truncated = (message.msg_flags & MSG_TRUNC) != 0;
      co_return datagram;
    }
    if (result == -EINTR) continue;
    if (result != -EAGAIN) co_return errno_to_status(static_cast<int>(-result), "recvmsg");
    const int error = co_await source_.wait(Direction::kRead, seen);
    if (error != 0) co_return errno_to_status(error, "recvmsg");
  }
}

absl::StatusOr<SocketAddress> UdpSocket::local_address() const {
  return internal::local_address_of(fd());
}

absl::StatusOr<SocketAddress> UdpSocket::peer_address() const {
  return internal::peer_address_of(fd());
}

absl::Status UdpSocket::set_broadcast(bool on) {
  return internal::set_option(fd(), SOL_SOCKET, SO_BROADCAST, on ? 1 : 0, "SO_BROADCAST");
}

absl::Status UdpSocket::set_send_buffer_size(int bytes) {
  return internal::set_option(fd(), SOL_SOCKET, SO_SNDBUF, bytes, "SO_SNDBUF");
}

absl::Status UdpSocket::set_receive_buffer_size(int bytes) {
  return internal::set_option(fd(), SOL_SOCKET, SO_RCVBUF, bytes, "SO_RCVBUF");
}

}  // namespace skua
