// SPDX-License-Identifier: Apache-2.0
//
// A TCP connection.
//
//   absl::StatusOr<skua::TcpStream> stream = co_await skua::TcpStream::connect(address);
//   if (!stream.ok()) co_return stream.status();
//   co_await stream->write_all(request);
//   absl::StatusOr<std::size_t> count = co_await stream->read(buffer);    // 0: the peer has finished
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/byte_stream.h"
#include "skua/net/socket_address.h"
#include "skua/task.h"

namespace skua {

class TcpReadHalf;
class TcpWriteHalf;

// Which direction of a connection ends.
enum class Shutdown : std::uint8_t { kRead, kWrite, kBoth };

// How the kernel finds out that a silent peer is gone.
struct KeepAlive {
  std::chrono::seconds idle{7200};    // Silence before the first probe. At least 1 s.
  std::chrono::seconds interval{75};  // Between two probes. At least 1 s.
  int probes = 9;  // Unanswered ones, after which the connection is reset. At least 1.
};

// A connected TCP socket, closed by its destructor. Moves, does not copy; must not move while a task uses it.
//
// Threads: one task may read and another one write at the same time, on any workers. A second reader, or writer, that
//   has to wait is a caller's bug (SKUA_REQUIRE).
// Lifetime: the stream and the buffers outlive what is awaited. It may be made on one runtime and used on another one,
//   as long as the first that it has waited on lives; then a wait ends with kCancelled.
// Cancellation of all that is awaited here: safe; bytes are either in the buffer of a call that has returned, or still
//   in the socket. What takes more than one call (read_exact, write_all) may have moved a part. With
//   SocketEngine::kCompletion (see there) what came as the call was cancelled is lost with its result, and a write
//   without copying (RuntimeOptions::zero_copy_min) resets the connection.
class TcpStream {
 public:
  // Connects to `address`.
  //
  // Errors: kUnavailable - refused or unreachable. kDeadlineExceeded - no answer within the kernel's limit, about two
  //   minutes. kResourceExhausted - no descriptor left. Else the errno of socket(2) or connect(2).
  // Cancellation: safe; the connection is closed, or never made.
  // Requires: address.is_ip(); awaited on a runtime.
  static Task<absl::StatusOr<TcpStream>> connect(SocketAddress address);
  // Looks the host up, and connects to the first of its addresses that answers: one after the other, each until its
  // own limit of time.
  //
  // Errors: as resolve(); if no address answers, the error of the last one.
  // Cancellation: as resolve() and connect().
  // Requires: awaited on a runtime.
  static Task<absl::StatusOr<TcpStream>> connect(std::string host, std::uint16_t port);

  // Takes over a connected TCP socket, and makes it non-blocking. Requires: fd >= 0.
  //
  // Errors: the errno of fcntl(2); the descriptor is closed then.
  static absl::StatusOr<TcpStream> from_fd(int fd);

  // Reads 1 to buffer.size() bytes.
  //
  // Returns: how many. 0: the peer has finished writing.
  // Errors: kAborted - the connection was reset. Else the errno of recv(2).
  // Requires, here and below: the stream is open (neither moved from nor closed). The buffer is not empty.
  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer) { return io_.read(buffer); }
  // The same, and leaves the bytes where they are, for the next read. It waits only if there are none. Returns, Errors:
  // as read().
  Task<absl::StatusOr<std::size_t>> peek(std::span<std::byte> buffer) { return io_.peek(buffer); }
  // Reads into several buffers, one after the other. Of those that are not empty, the first 16 are used.
  //
  // Returns, Errors: as read().
  // Lifetime: the span of spans outlives the await, too.
  // Requires: not all buffers are empty.
  Task<absl::StatusOr<std::size_t>> readv(std::span<const std::span<std::byte>> buffers) {
    return io_.readv(buffers);
  }
  // Fills the buffer.
  //
  // Errors: as read(). kOutOfRange - the peer has finished before that; the message says after how many bytes.
  Task<absl::Status> read_exact(std::span<std::byte> buffer) { return io_.read_exact(buffer); }

  // Writes 1 to data.size() bytes, as many as the socket takes at once.
  //
  // Returns: how many.
  // Errors: kAborted - the connection was reset. kFailedPrecondition - it was shut down for writing (EPIPE; there is no
  //   SIGPIPE). Else the errno of send(2).
  // Requires: data is not empty.
  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data) {
    return io_.write(data);
  }
  // Writes from several buffers, one after the other. Of those that are not empty, the first 16 are used.
  //
  // Returns, Errors: as write().
  // Lifetime: the span of spans outlives the await, too.
  // Requires: not all buffers are empty.
  Task<absl::StatusOr<std::size_t>> writev(std::span<const std::span<const std::byte>> buffers) {
    return io_.writev(buffers);
  }
  // Writes all of it.
  //
  // Errors: as write(); a part may have been written.
  Task<absl::Status> write_all(std::span<const std::byte> data) { return io_.write_all(data); }

  // Ends one direction or both. The peer reads the end of the stream after what was written; a task of this process
  // that waits to read or to write is woken.
  //
  // Errors: the errno of shutdown(2): kFailedPrecondition - not connected any more.
  // Threads: any, while other tasks use the stream.
  absl::Status shutdown(Shutdown how);
  // Closes the socket; a task that waits is woken with kCancelled. No other task may be about to use it: on several
  // workers one that waits may be, if data comes just now; end its wait by shutdown() or abort() then.
  void close() noexcept { io_.source().close(); }

  // Two objects for one connection, for a task that reads and another one that writes. The socket is closed when both
  // are gone.
  std::pair<TcpReadHalf, TcpWriteHalf> into_split() &&;

  // Errors of all below: the errno of getsockname(2), getpeername(2), setsockopt(2) or getsockopt(2).
  absl::StatusOr<SocketAddress> local_address() const;
  absl::StatusOr<SocketAddress> peer_address() const;
  // Whether small writes are sent at once (TCP_NODELAY), instead of waiting for an acknowledgement of those before.
  absl::Status set_no_delay(bool on);
  absl::StatusOr<bool> no_delay() const;
  // nullopt: off.
  absl::Status set_keep_alive(std::optional<KeepAlive> keep_alive);
  absl::StatusOr<std::optional<KeepAlive>> keep_alive() const;
  // What closing does with bytes that are not sent yet. nullopt: the kernel goes on sending. 0 s: they are dropped,
  // and the peer sees a reset. More is refused (kInvalidArgument): closing would block the worker.
  absl::Status set_linger(std::optional<std::chrono::seconds> linger);
  // In bytes; the kernel doubles what it is told, and has limits (net.core.wmem_max, rmem_max).
  absl::Status set_send_buffer_size(int bytes);
  absl::Status set_receive_buffer_size(int bytes);

  // The descriptor; -1 after close().
  int fd() const noexcept { return io_.fd(); }
  // For the library. Takes over a connected, non-blocking socket.
  explicit TcpStream(internal::IoSource source,
                     internal::StreamKind kind = internal::StreamKind::kTcp) noexcept
      : io_(std::move(source), kind) {}

 private:
  internal::ByteStream io_;
};

// The reading side of a TcpStream.
//
// Threads, Lifetime, Cancellation: as TcpStream.
class TcpReadHalf {
 public:
  TcpReadHalf(TcpReadHalf&&) noexcept = default;
  TcpReadHalf& operator=(TcpReadHalf&&) noexcept = default;

  // As those of TcpStream.
  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer) {
    return stream_->read(buffer);
  }
  Task<absl::StatusOr<std::size_t>> peek(std::span<std::byte> buffer) {
    return stream_->peek(buffer);
  }
  Task<absl::StatusOr<std::size_t>> readv(std::span<const std::span<std::byte>> buffers) {
    return stream_->readv(buffers);
  }
  Task<absl::Status> read_exact(std::span<std::byte> buffer) { return stream_->read_exact(buffer); }
  // What both halves are of.
  const TcpStream& stream() const noexcept { return *stream_; }

 private:
  friend TcpStream;
  explicit TcpReadHalf(std::shared_ptr<TcpStream> stream) noexcept : stream_(std::move(stream)) {}

  std::shared_ptr<TcpStream> stream_;
};

// The writing side of a TcpStream. When it goes, the connection is shut down for writing: the peer reads the end of the
// stream, though the reading side may live on.
//
// Threads, Lifetime, Cancellation: as TcpStream.
class TcpWriteHalf {
 public:
  TcpWriteHalf(TcpWriteHalf&&) noexcept = default;
  TcpWriteHalf& operator=(TcpWriteHalf&& other) noexcept;
  ~TcpWriteHalf();

  // As those of TcpStream.
  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data) {
    return stream_->write(data);
  }
  Task<absl::StatusOr<std::size_t>> writev(std::span<const std::span<const std::byte>> buffers) {
    return stream_->writev(buffers);
  }
  Task<absl::Status> write_all(std::span<const std::byte> data) { return stream_->write_all(data); }
  // Ends the direction now, and says whether that worked. Errors: as TcpStream::shutdown().
  absl::Status shutdown() { return stream_->shutdown(Shutdown::kWrite); }
  // What both halves are of.
  const TcpStream& stream() const noexcept { return *stream_; }

 private:
  friend TcpStream;
  explicit TcpWriteHalf(std::shared_ptr<TcpStream> stream) noexcept : stream_(std::move(stream)) {}

  std::shared_ptr<TcpStream> stream_;
};

}  // namespace skua
