// SPDX-License-Identifier: Apache-2.0
//
// A connection between processes of one machine, which can carry descriptors too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/byte_stream.h"
#include "skua/net/owned_fd.h"
#include "skua/net/socket_address.h"
#include "skua/net/tcp_stream.h"
#include "skua/task.h"

namespace skua {

// Who is at the other end, as of its connect or listen.
struct PeerCredentials {
  std::int32_t pid = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

// What receive_with_fds() has received.
class Received {
 public:
  Received(std::size_t bytes, std::vector<OwnedFd> descriptors, bool some_were_lost) noexcept
      : size(bytes), fds(std::move(descriptors)), fds_lost(some_were_lost) {}

  std::size_t size = 0;  // Bytes. 0: the peer has finished writing.
  std::vector<OwnedFd> fds;
  bool fds_lost =
      false;  // More came than were asked for, or than this process may open; they are closed.
};

// A connected Unix stream socket, closed by its destructor.
//
// Threads, Lifetime, Cancellation: as TcpStream.
class UnixStream {
 public:
  // Descriptors that one call passes, at most.
  static constexpr std::size_t kFdsMax = 64;

  // Connects to `address`. If its backlog is full, tries again until there is room.
  //
  // Errors: kNotFound - no such path. kUnavailable - nobody listens. kResourceExhausted - no descriptor left. Else the
  //   errno of socket(2) or connect(2).
  // Cancellation: safe; the connection is closed, or never made.
  // Requires: address.family() is kUnix; awaited on a runtime.
  static Task<absl::StatusOr<UnixStream>> connect(SocketAddress address);
  // Two that are connected to each other.
  //
  // Errors: the errno of socketpair(2).
  static absl::StatusOr<std::pair<UnixStream, UnixStream>> pair();

  // As those of TcpStream. Descriptors that come with bytes that are read so are closed.
  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer) { return io_.read(buffer); }
  Task<absl::StatusOr<std::size_t>> peek(std::span<std::byte> buffer) { return io_.peek(buffer); }
  Task<absl::StatusOr<std::size_t>> readv(std::span<const std::span<std::byte>> buffers) {
    return io_.readv(buffers);
  }
  Task<absl::Status> read_exact(std::span<std::byte> buffer) { return io_.read_exact(buffer); }
  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data) {
    return io_.write(data);
  }
  Task<absl::StatusOr<std::size_t>> writev(std::span<const std::span<const std::byte>> buffers) {
    return io_.writev(buffers);
  }
  Task<absl::Status> write_all(std::span<const std::byte> data) { return io_.write_all(data); }

  // Writes some of `data`, and with the first byte copies of `fds`. The caller keeps its own.
  //
  // Returns: how many bytes; the descriptors are sent, whatever it is.
  // Errors: as write(), and the errno of sendmsg(2), ETOOMANYREFS if too many descriptors are under way.
  // Lifetime: data and fds outlive the await.
  // Requires: data is not empty; fds.size() <= kFdsMax.
  Task<absl::StatusOr<std::size_t>> send_with_fds(std::span<const std::byte> data,
                                                  std::span<const int> fds);
  // Reads some bytes, and the descriptors that come with them, which are close-on-exec.
  //
  // Errors: as read().
  // Requires: the buffer is not empty; fds_max <= kFdsMax.
  Task<absl::StatusOr<Received>> receive_with_fds(std::span<std::byte> buffer,
                                                  std::size_t fds_max = kFdsMax);

  // As those of TcpStream.
  absl::Status shutdown(Shutdown how);
  void close() noexcept { io_.source().close(); }
  absl::StatusOr<SocketAddress> local_address() const;
  absl::StatusOr<SocketAddress> peer_address() const;
  // Errors: the errno of getsockopt(2).
  absl::StatusOr<PeerCredentials> peer_credentials() const;

  // The descriptor; -1 after close().
  int fd() const noexcept { return io_.fd(); }
  // For the library. Takes over a connected, non-blocking socket.
  explicit UnixStream(internal::IoSource source) noexcept
      : io_(std::move(source), internal::StreamKind::kSocket) {}

 private:
  Task<absl::StatusOr<std::size_t>> send_message(std::span<const std::byte> data,
                                                 std::span<const int> fds);
  Task<absl::StatusOr<Received>> receive_message(std::span<std::byte> buffer, std::size_t fds_max);

  internal::ByteStream io_;
};

}  // namespace skua
