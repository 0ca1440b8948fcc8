// SPDX-License-Identifier: Apache-2.0
//
// The calls that sources are read and written by, and hosts looked up: a seam of the driver, so that tests can make any
// of them fail, or transfer less than it was asked for.
//
// Each function is that of the system with the same name: -1 and errno in case of an error.
#pragma once

#include <cstddef>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

namespace skua::internal {

class SystemCalls {
 public:
  SystemCalls() = default;
  SystemCalls(const SystemCalls&) = delete;
  SystemCalls& operator=(const SystemCalls&) = delete;
  virtual ~SystemCalls() = default;

  // Those of the system. Any thread.
  static SystemCalls& real() noexcept;

  virtual ssize_t readv(int fd, const iovec* buffers, int count) noexcept;
  virtual ssize_t writev(int fd, const iovec* buffers, int count) noexcept;
  virtual ssize_t recv(int fd, void* buffer, std::size_t size, int flags) noexcept;
  virtual ssize_t send(int fd, const void* buffer, std::size_t size, int flags) noexcept;
  virtual ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept;
  virtual ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept;
  // Close-on-exec and non-blocking.
  virtual int accept(int fd) noexcept;
  virtual int socket(int domain, int type) noexcept;
  virtual int connect(int fd, const void* address, socklen_t size) noexcept;
  // SO_ERROR, which is cleared by it.
  virtual int socket_error(int fd) noexcept;
  // 0, or an EAI_ code. Blocks, so it is called on a thread of the blocking pool.
  virtual int getaddrinfo(const char* host, const addrinfo* hints, addrinfo** list) noexcept;
};

}  // namespace skua::internal
