// SPDX-License-Identifier: Apache-2.0
//
// From one stream to another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/io/stream.h"
#include "skua/task.h"

namespace skua {
namespace internal {

template <typename R, typename W>
Task<absl::StatusOr<std::uint64_t>> copy_between(R* reader, W* writer) {
  constexpr std::size_t kBufferSize = 64 << 10;
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
  std::uint64_t copied = 0;
  for (;;) {
    const std::span<std::byte> whole(buffer.get(), kBufferSize);
    const absl::StatusOr<std::size_t> count = co_await reader->read(whole);
    if (!count.ok()) co_return count.status();
    if (*count == 0) break;
    const absl::Status written = co_await write_all_to(writer, whole.first(*count));
    if (!written.ok()) co_return written;
    copied += *count;
  }
  if constexpr (requires { writer->flush(); }) {
    const absl::Status flushed = co_await writer->flush();
    if (!flushed.ok()) co_return flushed;
  }
  co_return copied;
}

}  // namespace internal

// Writes all that comes from `reader`, until its end. A writer that has a flush() is flushed, but not closed.
//
// Returns: how many bytes.
// Errors: those of the reader and the writer; a part was copied then, and what was read last may not be written.
// Cancellation: as theirs; what was read last may not be written.
// Threads: one task reads and writes; others may use the other directions of the two.
// Lifetime: both outlive the await.
template <AsyncRead R, AsyncWrite W>
Task<absl::StatusOr<std::uint64_t>> copy(R& reader, W& writer) {
  return internal::copy_between(&reader, &writer);
}

}  // namespace skua
