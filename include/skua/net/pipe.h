// SPDX-License-Identifier: Apache-2.0
//
// Pipes: between tasks, or to and from another process.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/byte_stream.h"
#include "skua/task.h"

namespace skua {

class PipeWriter;

// The end that reads. Moves, does not copy; closed by its destructor.
//
// Threads: one task may read (SKUA_REQUIRE if a second one has to wait).
// Lifetime: the end and the buffers outlive what is awaited.
// Cancellation: safe; bytes are in the buffer of a call that has returned, or still in the pipe. read_exact() may have
//   read a part.
class PipeReader {
 public:
  // Takes over the reading end of a pipe, or a FIFO, and makes it non-blocking. So it becomes for whoever shares the
  // open file: another process that has inherited it, say.
  //
  // Errors: the errno of fcntl(2); the descriptor is closed then. Requires: fd >= 0.
  static absl::StatusOr<PipeReader> from_fd(int fd);

  // Reads 1 to buffer.size() bytes.
  //
  // Returns: how many. 0: all writers are gone.
  // Errors: the errno of read(2).
  // Requires: the end is open, the buffer not empty.
  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer) { return io_.read(buffer); }
  // As those of TcpStream.
  Task<absl::StatusOr<std::size_t>> readv(std::span<const std::span<std::byte>> buffers) {
    return io_.readv(buffers);
  }
  Task<absl::Status> read_exact(std::span<std::byte> buffer) { return io_.read_exact(buffer); }

  // Closes the end; a task that waits is woken with kCancelled. No other task may be about to use it.
  void close() noexcept { io_.source().close(); }
  int fd() const noexcept { return io_.fd(); }

 private:
  friend absl::StatusOr<std::pair<PipeReader, PipeWriter>> make_pipe();
  explicit PipeReader(int fd, internal::StreamKind kind) noexcept
      : io_(internal::IoSource(fd), kind) {}

  internal::ByteStream io_;
};

// The end that writes. Otherwise as PipeReader; so are Threads, Lifetime, Cancellation, with write_all() in place of
// read_exact().
class PipeWriter {
 public:
  // As PipeReader::from_fd().
  static absl::StatusOr<PipeWriter> from_fd(int fd);

  // Writes 1 to data.size() bytes, as many as fit.
  //
  // Returns: how many.
  // Errors: kFailedPrecondition - all readers are gone (EPIPE; there is no SIGPIPE). Else the errno of write(2).
  // Requires: the end is open, data not empty.
  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data) {
    return io_.write(data);
  }
  // As those of TcpStream.
  Task<absl::StatusOr<std::size_t>> writev(std::span<const std::span<const std::byte>> buffers) {
    return io_.writev(buffers);
  }
  Task<absl::Status> write_all(std::span<const std::byte> data) { return io_.write_all(data); }

  // Closes the end; a task that waits is woken with kCancelled. No other task may be about to use it.
  void close() noexcept { io_.source().close(); }
  int fd() const noexcept { return io_.fd(); }

 private:
  friend absl::StatusOr<std::pair<PipeReader, PipeWriter>> make_pipe();
  explicit PipeWriter(int fd, internal::StreamKind kind) noexcept
      : io_(internal::IoSource(fd), kind) {}

  internal::ByteStream io_;
};

// A new pipe, close-on-exec. Does not block, and may be called outside a runtime.
//
// Errors: kResourceExhausted - no descriptor left.
absl::StatusOr<std::pair<PipeReader, PipeWriter>> make_pipe();

// Both ends of a pipe by name. Moves, does not copy; each end may be moved out.
class Pipe {
 public:
  // As make_pipe().
  static absl::StatusOr<Pipe> create();

  PipeReader reader;
  PipeWriter writer;

 private:
  Pipe(PipeReader r, PipeWriter w) noexcept : reader(std::move(r)), writer(std::move(w)) {}
};

}  // namespace skua
