// SPDX-License-Identifier: Apache-2.0
#include "skua/net/unix_stream.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/unique_fd.h"
#include "io_driver/driver.h"
#include "net/connecting.h"
#include "net/socket_options.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {
namespace {

using internal::Direction;
using internal::errno_to_status;
using internal::Readiness;

struct alignas(cmsghdr) Control {
  std::array<std::byte, CMSG_SPACE(UnixStream::kFdsMax * sizeof(int))> bytes{};
};

// -errno, or a count. Each call builds its message anew: the kernel writes into it.
std::ptrdiff_t send_once(int socket, std::span<const std::byte> data, std::span<const int> fds) {
  Control control;
  iovec part{const_cast<std::byte*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  const ssize_t count = internal::current_driver()->calls().sendmsg(socket, &message, MSG_NOSIGNAL);
  return count >= 0 ? count : -errno;
}

std::ptrdiff_t receive_once(int socket, std::span<std::byte> buffer, std::size_t fds_max,
                            std::vector<OwnedFd>& fds, bool& lost) {
  Control control;
  fds.reserve(fds_max);  // Before there is anything to lose.
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = fds_max == 0 ? nullptr : control.bytes.data();
  // CMSG_LEN, without the padding, into which one more descriptor would fit.
  message.msg_controllen = fds_max == 0 ? 0 : CMSG_LEN(fds_max * sizeof(int));
  const ssize_t count =
      internal::current_driver()->calls().recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (count < 0) return -errno;
  lost = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t number = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < number; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
      fds.emplace_back(fd);
    }
  }
  return count;
}

Task<absl::StatusOr<UnixStream>> connect_unix(SocketAddress address) {
  absl::StatusOr<internal::IoSource> source =
      co_await internal::connect_stream(address, internal::UniqueFd());
  if (!source.ok()) co_return source.status();
  co_return UnixStream(*std::move(source));
}

}  // namespace

Task<absl::StatusOr<UnixStream>> UnixStream::connect(SocketAddress address) {
  SKUA_REQUIRE(address.family() == SocketAddress::Family::kUnix, address.family());
  return connect_unix(address);
}

absl::StatusOr<std::pair<UnixStream, UnixStream>> UnixStream::pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return errno_to_status(errno, "socketpair");
  }
  return std::pair<UnixStream, UnixStream>(internal::IoSource(fds[0]), internal::IoSource(fds[1]));
}

Task<absl::StatusOr<std::size_t>> UnixStream::send_with_fds(std::span<const std::byte> data,
                                                            std::span<const int> fds) {
  SKUA_REQUIRE(fd() >= 0, fd());
  SKUA_REQUIRE(!data.empty());  // Descriptors travel with a byte.
  SKUA_REQUIRE(fds.size() <= kFdsMax, fds.size());
  return send_message(data, fds);
}

Task<absl::StatusOr<std::size_t>> UnixStream::send_message(std::span<const std::byte> data,
                                                           std::span<const int> fds) {
  internal::IoSource& source = io_.source();
  const int closed = co_await source.turn();
  if (closed != 0) co_return errno_to_status(closed, "sendmsg");
  for (;;) {
    const Readiness seen = source.readiness(Direction::kWrite);
    if (seen.ready()) {
      const std::ptrdiff_t result = send_once(source.fd(), data, fds);
      if (result >= 0) co_return static_cast<std::size_t>(result);
      if (result == -EINTR) continue;
      if (result != -EAGAIN) co_return errno_to_status(static_cast<int>(-result), "sendmsg");
    }
    const int error = co_await source.wait(Direction::kWrite, seen);
    if (error != 0) co_return errno_to_status(error, "sendmsg");
  }
}

Task<absl::StatusOr<Received>> UnixStream::receive_with_fds(std::span<std::byte> buffer,
                                                            std::size_t fds_max) {
  SKUA_REQUIRE(fd() >= 0, fd());
  SKUA_REQUIRE(!buffer.empty());
  SKUA_REQUIRE(fds_max <= kFdsMax, fds_max);
  return receive_message(buffer, fds_max);
}

Task<absl::StatusOr<Received>> UnixStream::receive_message(std::span<std::byte> buffer,
                                                           std::size_t fds_max) {
  internal::IoSource& source = io_.source();
  const int closed = co_await source.turn();
  if (closed != 0) co_return errno_to_status(closed, "recvmsg");
  for (;;) {
    const Readiness seen = source.readiness(Direction::kRead);
    if (seen.ready()) {
      std::vector<OwnedFd> fds;
      bool lost = false;
      const std::ptrdiff_t result = receive_once(source.fd(), buffer, fds_max, fds, lost);
      if (result >= 0) {
        Received received(static_cast<std::size_t>(result), std::move(fds), lost);
        co_return std::move(received);
      }
      if (result == -EINTR) continue;
      if (result != -EAGAIN) co_return errno_to_status(static_cast<int>(-result), "recvmsg");
    }
    const int error = co_await source.wait(Direction::kRead, seen);
    if (error != 0) co_return errno_to_status(error, "recvmsg");
  }
}

absl::Status UnixStream::shutdown(Shutdown how) { return internal::shut_down(fd(), how); }

absl::StatusOr<SocketAddress> UnixStream::local_address() const {
  return internal::local_address_of(fd());
}

absl::StatusOr<SocketAddress> UnixStream::peer_address() const {
  return internal::peer_address_of(fd());
}

absl::StatusOr<PeerCredentials> UnixStream::peer_credentials() const {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(fd(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return errno_to_status(errno, "SO_PEERCRED");
  }
  return PeerCredentials{.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

}  // namespace skua
