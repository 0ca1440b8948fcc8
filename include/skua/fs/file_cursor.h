// SPDX-License-Identifier: Apache-2.0
//
// A file with a position, so that it can be read or written as a stream: AsyncRead and AsyncWrite (skua/io/stream.h).
//
//   skua::FileReader cursor(&file);
//   skua::BufferedReader lines(std::move(cursor));
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/fs/file.h"
#include "skua/task.h"

namespace skua {

// Reads a file from a position on. A value; copies have positions of their own.
//
// Threads: one task at a time.
// Lifetime: the File outlives it, and does not move. The cursor and the buffer outlive what is awaited.
// Cancellation: safe; the position is behind the reads that have returned.
class FileReader {
 public:
  // Requires: file != nullptr.
  explicit FileReader(File* file, std::uint64_t position = 0);

  // As File::read_at(), at the position. 0: the end of the file, for now.
  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer);

  std::uint64_t position() const noexcept { return position_; }
  void set_position(std::uint64_t position) noexcept { position_ = position; }

 private:
  Task<absl::StatusOr<std::size_t>> read_on(std::span<std::byte> buffer);

  File* file_;
  std::uint64_t position_;
};

// Writes a file from a position on. Otherwise as FileReader.
class FileWriter {
 public:
  // Requires: file != nullptr.
  explicit FileWriter(File* file, std::uint64_t position = 0);

  // As File::write_at(), at the position.
  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data);

  std::uint64_t position() const noexcept { return position_; }
  void set_position(std::uint64_t position) noexcept { position_ = position; }

 private:
  Task<absl::StatusOr<std::size_t>> write_on(std::span<const std::byte> data);

  File* file_;
  std::uint64_t position_;
};

}  // namespace skua
