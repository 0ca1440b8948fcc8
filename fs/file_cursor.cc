// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/file_cursor.h"

#include "skua/internal/check.h"

namespace skua {

FileReader::FileReader(File* file, std::uint64_t position) : file_(file), position_(position) {
  SKUA_REQUIRE(file != nullptr);
}

Task<absl::StatusOr<std::size_t>> FileReader::read(std::span<std::byte> buffer) {
  SKUA_REQUIRE(!buffer.empty());
  return read_on(buffer);
}

Task<absl::StatusOr<std::size_t>> FileReader::read_on(std::span<std::byte> buffer) {
  const absl::StatusOr<std::size_t> count = co_await file_->read_at(position_, buffer);
  if (count.ok()) position_ += *count;
  co_return count;
}

FileWriter::FileWriter(File* file, std::uint64_t position) : file_(file), position_(position) {
  SKUA_REQUIRE(file != nullptr);
}

Task<absl::StatusOr<std::size_t>> FileWriter::write(std::span<const std::byte> data) {
  SKUA_REQUIRE(!data.empty());
  return write_on(data);
}

Task<absl::StatusOr<std::size_t>> FileWriter::write_on(std::span<const std::byte> data) {
  const absl::StatusOr<std::size_t> count = co_await file_->write_at(position_, data);
  if (count.ok()) position_ += *count;
  co_return count;
}

}  // namespace skua
