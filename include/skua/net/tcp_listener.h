// SPDX-License-Identifier: Apache-2.0
//
// Waits for TCP connections.
//
//   absl::StatusOr<skua::TcpListener> listener = skua::TcpListener::bind(address);
//   for (;;) {
//     absl::StatusOr<skua::TcpStream> stream = co_await listener->accept();
//     if (!stream.ok()) co_return stream.status();
//     skua::spawn(serve(*std::move(stream)));
//   }
#pragma once

#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/io_source.h"
#include "skua/net/socket_address.h"
#include "skua/net/tcp_stream.h"
#include "skua/task.h"

namespace skua {

// How a listener is made.
struct TcpListenOptions {
  // Connections that the kernel keeps until they are accepted; it caps them at net.core.somaxconn.
  int backlog = 4096;
  // Whether the address of a listener that was closed just now may be used again (SO_REUSEADDR).
  bool reuse_address = true;
  // Whether several listeners may have the address (SO_REUSEPORT): the kernel spreads the connections among them.
  bool reuse_port = false;
  // Whether an IPv6 address takes IPv6 connections only (IPV6_V6ONLY).
  bool v6_only = false;
};

// A listening TCP socket, closed by its destructor. Moves, does not copy; must not move while a task waits.
//
// Threads: one task may wait for a connection (SKUA_REQUIRE); the other functions: any.
class TcpListener {
 public:
  // Listens at `address`; port 0: a free one, see local_address(). Does not block, and may be called outside a runtime.
  //
  // Errors: kAlreadyExists - the address is in use. kPermissionDenied - a port below 1024. Else the errno of socket(2),
  //   bind(2), listen(2) or setsockopt(2).
  // Requires: address.is_ip(); options.backlog > 0.
  static absl::StatusOr<TcpListener> bind(SocketAddress address, TcpListenOptions options = {});

  // Waits for a connection. A lack of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM) ends no server: the
  // connection waits in the backlog, and is tried again after 5 ms, then 10, 20, ... up to 100 ms. Connections that
  // have failed before they are accepted are passed over; after 16 of them in a row, with the same pauses.
  //
  // Errors: kInvalidArgument - the socket was shut down. kCancelled - the listener was closed.
  // Cancellation: safe; no connection is lost. With SocketEngine::kCompletion one that comes at that moment is closed.
  // Lifetime: the listener outlives the await.
  // Requires: the listener is open; awaited on a runtime.
  Task<absl::StatusOr<TcpStream>> accept();

  // The address that it listens at, with the port that the kernel has chosen.
  //
  // Errors: the errno of getsockname(2).
  absl::StatusOr<SocketAddress> local_address() const;

  // Closes the socket; a task that waits is woken with kCancelled, at the latest after such a pause. No other task
  // may be about to use it.
  void close() noexcept { source_.close(); }
  // The descriptor; -1 after close().
  int fd() const noexcept { return source_.fd(); }

 private:
  explicit TcpListener(internal::IoSource source) noexcept : source_(std::move(source)) {}
  Task<absl::StatusOr<TcpStream>> accept_next();

  internal::IoSource source_;
};

}  // namespace skua
