// SPDX-License-Identifier: Apache-2.0
//
// Two connected ends in memory: for tests of what speaks over a connection, and between tasks.
//
//   auto [client, server] = skua::duplex(4096);
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/task.h"

namespace skua {
namespace internal {

class DuplexPipe;

}  // namespace internal

// One end: what is written here is read there. Moves, does not copy; must not move while a task uses it. An AsyncRead
// and an AsyncWrite.
//
// When it goes, the other end reads what is still on the way, then the end; its writes fail with EPIPE.
//
// Threads: one task may read and another one write at the same time, on any workers, of any runtimes.
// Lifetime: the end and the buffers outlive what is awaited.
// Cancellation: safe; bytes are in the buffer of a call that has returned, or still on the way.
class DuplexStream {
 public:
  DuplexStream(DuplexStream&& other) noexcept;
  DuplexStream& operator=(DuplexStream&& other) noexcept;
  ~DuplexStream();

  // Reads 1 to buffer.size() bytes.
  //
  // Returns: how many. 0: the other end has finished, or is gone.
  // Errors: none.
  // Requires: the buffer is not empty; the stream was not moved from.
  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer);

  // Writes 1 to data.size() bytes, as many as fit; waits while the other end has `capacity` bytes to read.
  //
  // Returns: how many.
  // Errors: kFailedPrecondition - EPIPE: the other end is gone, or shutdown() was called.
  // Requires: data is not empty; the stream was not moved from.
  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data);

  // Nothing more will be written: the other end reads the end. Reading goes on.
  void shutdown() noexcept;

 private:
  friend std::pair<DuplexStream, DuplexStream> duplex(std::size_t capacity);
  DuplexStream(std::shared_ptr<internal::DuplexPipe> in,
               std::shared_ptr<internal::DuplexPipe> out) noexcept;
  void close() noexcept;

  std::shared_ptr<internal::DuplexPipe> in_;
  std::shared_ptr<internal::DuplexPipe> out_;
};

// A new pair. `capacity`: bytes on the way in each direction.
//
// Requires: capacity > 0.
std::pair<DuplexStream, DuplexStream> duplex(std::size_t capacity);

}  // namespace skua
