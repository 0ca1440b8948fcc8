// SPDX-License-Identifier: Apache-2.0
//
// What TCP streams, Unix streams and pipes have in common: bytes that are read and written through an IoSource.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/io_op.h"
#include "skua/internal/io_source.h"
#include "skua/task.h"

namespace skua::internal {

enum class StreamKind : std::uint8_t {
  kTcp,     // A transfer that is shorter than asked for means that the socket is empty, or full.
  kSocket,  // Or not: a Unix socket stops at a passed descriptor, kTLS at the end of a record.
  kPipe,    // As kTcp, and no socket.
  kPacketPipe,  // As kSocket, and no socket: in packet mode a read ends where a write did.
};

// Moves while nothing is pending on it. The functions check what they require when they are called, not when they are
// awaited; what they return refers to *this.
class ByteStream {
 public:
  ByteStream(IoSource source, StreamKind kind) noexcept : source_(std::move(source)), kind_(kind) {}

  IoSource& source() noexcept { return source_; }
  int fd() const noexcept { return source_.fd(); }

  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer);
  Task<absl::StatusOr<std::size_t>> peek(std::span<std::byte> buffer);
  Task<absl::StatusOr<std::size_t>> readv(std::span<const std::span<std::byte>> buffers);
  Task<absl::Status> read_exact(std::span<std::byte> buffer);
  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data);
  Task<absl::StatusOr<std::size_t>> writev(std::span<const std::span<const std::byte>> buffers);
  Task<absl::Status> write_all(std::span<const std::byte> data);

 private:
  // Buffers that one call takes; what readv(2) takes at most, 1024, would make every frame large.
  static constexpr std::size_t kBuffersMax = 16;

  void require_open() const noexcept;
  Task<absl::StatusOr<std::size_t>> receive(std::span<std::byte> buffer, int flags);
  Task<absl::StatusOr<std::size_t>> receive_into(std::span<const std::span<std::byte>> buffers);
  Task<absl::Status> receive_all(std::span<std::byte> buffer);
  Task<absl::StatusOr<std::size_t>> send(std::span<const std::byte> data);
  Task<absl::StatusOr<std::size_t>> send_from(std::span<const std::span<const std::byte>> buffers);
  Task<absl::Status> send_all(std::span<const std::byte> data);

  bool is_pipe() const noexcept {
    return kind_ == StreamKind::kPipe || kind_ == StreamKind::kPacketPipe;
  }
  // Whether to send so many bytes without copying. A worker.
  bool sends_uncopied(std::size_t size) const noexcept;
  // What an operation is for that sends them.
  IoRequest request_to_send(std::span<const std::byte> data, int flags, bool uncopied) noexcept;
  // Whether this is a socket of a runtime that uses sockets by completion. A worker.
  bool completes() const noexcept;
  // One call: a count, or -errno.
  std::ptrdiff_t receive_once(std::span<std::byte> buffer, int flags) noexcept;
  std::ptrdiff_t send_once(std::span<const std::byte> data) noexcept;
  void note_transfer(Direction direction, Readiness seen, std::size_t moved,
                     std::size_t asked) noexcept {
    const bool says_enough = kind_ == StreamKind::kTcp || kind_ == StreamKind::kPipe;
    if (moved < asked && says_enough) source_.drained(direction, seen);
  }

  IoSource source_;
  StreamKind kind_;
};

}  // namespace skua::internal
