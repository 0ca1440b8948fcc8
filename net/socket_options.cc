// SPDX-License-Identifier: Apache-2.0
#include "net/socket_options.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/unique_fd.h"
#include "skua/status.h"

namespace skua::internal {
namespace {

template <typename Call>
absl::StatusOr<SocketAddress> address_by(Call call, int fd, const char* what) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (call(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return errno_to_status(errno, what);
  }
  return SocketAddress::from_system(&storage, size);
}

}  // namespace

absl::Status set_option(int fd, int level, int name, int value, const char* what) {
  if (::setsockopt(fd, level, name, &value, sizeof(value)) == 0) return absl::OkStatus();
  return errno_to_status(errno, what);
}

absl::StatusOr<int> get_option(int fd, int level, int name, const char* what) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (::getsockopt(fd, level, name, &value, &size) != 0) return errno_to_status(errno, what);
  return value;
}

absl::StatusOr<SocketAddress> local_address_of(int fd) {
  return address_by(&::getsockname, fd, "getsockname");
}

absl::StatusOr<SocketAddress> peer_address_of(int fd) {
  return address_by(&::getpeername, fd, "getpeername");
}

absl::Status shut_down(int fd, Shutdown how) {
  int direction = SHUT_RDWR;
  if (how == Shutdown::kRead) direction = SHUT_RD;
  if (how == Shutdown::kWrite) direction = SHUT_WR;
  if (::shutdown(fd, direction) == 0) return absl::OkStatus();
  return errno_to_status(errno, "shutdown");
}

absl::Status adopt(int fd) {
  UniqueFd owned(fd);
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return errno_to_status(errno, "fcntl");
  }
  owned.release();
  return absl::OkStatus();
}

int system_family(const SocketAddress& address) noexcept {
  switch (address.family()) {
    case SocketAddress::Family::kV4:
      return AF_INET;
    case SocketAddress::Family::kV6:
      return AF_INET6;
    case SocketAddress::Family::kUnix:
      return AF_UNIX;
    case SocketAddress::Family::kNone:
      break;
  }
  return AF_UNSPEC;
}

}  // namespace skua::internal
