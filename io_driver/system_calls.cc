// SPDX-License-Identifier: Apache-2.0
#include "io_driver/system_calls.h"

#include <cerrno>

namespace skua::internal {

SystemCalls& SystemCalls::real() noexcept {
  static SystemCalls* const calls = new SystemCalls();
  return *calls;
}

ssize_t SystemCalls::readv(int fd, const iovec* buffers, int count) noexcept {
  return ::readv(fd, buffers, count);
}

ssize_t SystemCalls::writev(int fd, const iovec* buffers, int count) noexcept {
  return ::writev(fd, buffers, count);
}

ssize_t SystemCalls::recv(int fd, void* buffer, std::size_t size, int flags) noexcept {
  return ::recv(fd, buffer, size, flags);
}

ssize_t SystemCalls::send(int fd, const void* buffer, std::size_t size, int flags) noexcept {
  return ::send(fd, buffer, size, flags);
}

ssize_t SystemCalls::recvmsg(int fd, msghdr* message, int flags) noexcept {
  return ::recvmsg(fd, message, flags);
}

ssize_t SystemCalls::sendmsg(int fd, const msghdr* message, int flags) noexcept {
  return ::sendmsg(fd, message, flags);
}

int SystemCalls::accept(int fd) noexcept {
  return ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int SystemCalls::socket(int domain, int type) noexcept {
  return ::socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int SystemCalls::connect(int fd, const void* address, socklen_t size) noexcept {
  return ::connect(fd, static_cast<const sockaddr*>(address), size);
}

int SystemCalls::socket_error(int fd) noexcept {
  int error = 0;
  socklen_t size = sizeof(error);
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  return error;
}

int SystemCalls::getaddrinfo(const char* host, const addrinfo* hints, addrinfo** list) noexcept {
  return ::getaddrinfo(host, nullptr, hints, list);
}

}  // namespace skua::internal
