// SPDX-License-Identifier: Apache-2.0
//
// Datagrams.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/io_source.h"
#include "skua/net/socket_address.h"
#include "skua/task.h"

namespace skua {

// A datagram that was received.
struct Datagram {
  std::size_t size = 0;  // Bytes in the buffer; 0 is a datagram too.
  SocketAddress from;
  bool truncated = false;  // It was longer than the buffer; the rest is lost.
};

// A UDP socket, closed by its destructor. Moves, does not copy; must not move while a task uses it.
//
// Threads: one task may wait to receive and another one to send (SKUA_REQUIRE).
// Lifetime: the socket and the buffers outlive what is awaited.
// Cancellation of all that is awaited: safe; a datagram is sent or not, received or still in the socket. With
//   SocketEngine::kCompletion one that comes at that moment is lost.
class UdpSocket {
 public:
  // Binds to `address`; port 0: a free one. Does not block, and may be called outside a runtime.
  //
  // Errors: kAlreadyExists - the address is in use. Else the errno of socket(2) or bind(2).
  // Requires: address.is_ip().
  static absl::StatusOr<UdpSocket> bind(SocketAddress address);

  // From now on only datagrams of `peer` are received, and send() sends to it. Nothing is sent, so nothing is waited
  // for.
  //
  // Errors: the errno of connect(2).
  absl::Status connect(SocketAddress peer);

  // Sends one datagram, all or nothing.
  //
  // Errors: kUnavailable - an earlier datagram to a connected peer was refused (ECONNREFUSED). Else the errno of
  //   sendmsg(2), EMSGSIZE if it is too long.
  // Requires, here and below: the socket is open.
  Task<absl::Status> send_to(std::span<const std::byte> data, SocketAddress to);
  // The same to the connected peer.
  Task<absl::Status> send(std::span<const std::byte> data);

  // Waits for a datagram.
  //
  // Errors: the errno of recvmsg(2): kUnavailable - an earlier datagram to a connected peer was refused.
  Task<absl::StatusOr<Datagram>> receive_from(std::span<std::byte> buffer);

  // Errors of all below: the errno of getsockname(2), getpeername(2) or setsockopt(2).
  absl::StatusOr<SocketAddress> local_address() const;
  absl::StatusOr<SocketAddress> peer_address() const;
  absl::Status set_broadcast(bool on);
  // In bytes; the kernel doubles what it is told, and has limits (net.core.wmem_max, rmem_max).
  absl::Status set_send_buffer_size(int bytes);
  absl::Status set_receive_buffer_size(int bytes);

  // Closes the socket; a task that waits is woken with kCancelled. No other task may be about to use it.
  void close() noexcept { source_.close(); }
  // The descriptor; -1 after close().
  int fd() const noexcept { return source_.fd(); }

 private:
  explicit UdpSocket(internal::IoSource source) noexcept : source_(std::move(source)) {}
  Task<absl::Status> send_datagram(std::span<const std::byte> data, SocketAddress to);
  Task<absl::StatusOr<Datagram>> receive_datagram(std::span<std::byte> buffer);

  internal::IoSource source_;
};

}  // namespace skua
