// SPDX-License-Identifier: Apache-2.0
//
// Waits for connections of processes of this machine.
#pragma once

#include <utility>

#include <absl/status/statusor.h>

#include "skua/internal/io_source.h"
#include "skua/net/socket_address.h"
#include "skua/net/unix_stream.h"
#include "skua/task.h"

namespace skua {

// How a listener is made.
struct UnixListenOptions {
  // Connections that the kernel keeps until they are accepted; it caps them at net.core.somaxconn.
  int backlog = 4096;
};

// A listening Unix stream socket, closed by its destructor. Moves, does not copy; must not move while a task waits. A
// path that it is bound to stays: whoever made it removes it.
//
// Threads: one task may wait for a connection (SKUA_REQUIRE); the other functions: any.
class UnixListener {
 public:
  // Listens at `address`. Does not block, and may be called outside a runtime.
  //
  // Errors: kAlreadyExists - the path or the name is there already. Else the errno of socket(2), bind(2) or listen(2).
  // Requires: address.family() is kUnix; options.backlog > 0.
  static absl::StatusOr<UnixListener> bind(SocketAddress address, UnixListenOptions options = {});

  // Waits for a connection. Errors, Cancellation, Lifetime, Requires: as TcpListener::accept().
  Task<absl::StatusOr<UnixStream>> accept();

  // Errors: the errno of getsockname(2).
  absl::StatusOr<SocketAddress> local_address() const;
  // Closes the socket; a task that waits is woken with kCancelled. No other task may be about to use it.
  void close() noexcept { source_.close(); }
  // The descriptor; -1 after close().
  int fd() const noexcept { return source_.fd(); }

 private:
  explicit UnixListener(internal::IoSource source) noexcept : source_(std::move(source)) {}
  Task<absl::StatusOr<UnixStream>> accept_next();

  internal::IoSource source_;
};

}  // namespace skua
