// SPDX-License-Identifier: Apache-2.0
//
// What can be read and written as a stream of bytes: TcpStream and its halves, UnixStream, PipeReader and PipeWriter,
// FileReader and FileWriter, DuplexStream, BufferedReader and BufferedWriter, and whatever else has the functions.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/status.h"
#include "skua/task.h"

namespace skua {
namespace internal {

// What `co_await` gives for an expression of type A: a Task, or an awaiter.
template <typename A>
decltype(auto) await_result(A&& awaitable) {
  if constexpr (requires { std::forward<A>(awaitable).operator co_await(); }) {
    return std::forward<A>(awaitable).operator co_await().await_resume();
  } else {
    return awaitable.await_resume();
  }
}
template <typename A>
using AwaitResult = decltype(await_result(std::declval<A>()));

inline constexpr char kStreamEnded[] = "the stream ends after ";

}  // namespace internal

// `read(buffer)` gives 1 to buffer.size() bytes, as soon as there are any: how many, or an error. 0: the end. The
// buffer is not empty, and outlives the await. One reads at a time.
template <typename R>
concept AsyncRead = requires(std::remove_reference_t<R>& reader, std::span<std::byte> buffer) {
  reader.read(buffer);
  requires std::same_as<internal::AwaitResult<decltype(reader.read(buffer))>,
                        absl::StatusOr<std::size_t>>;
};

// `write(data)` takes 1 to data.size() bytes, as many as there is room for: how many, or an error. The data are not
// empty, and outlive the await. One writes at a time.
template <typename W>
concept AsyncWrite = requires(std::remove_reference_t<W>& writer, std::span<const std::byte> data) {
  writer.write(data);
  requires std::same_as<internal::AwaitResult<decltype(writer.write(data))>,
                        absl::StatusOr<std::size_t>>;
};

namespace internal {

template <typename R>
Task<absl::Status> read_exact_from(R* reader, std::span<std::byte> buffer) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const absl::StatusOr<std::size_t> count = co_await reader->read(buffer.subspan(done));
    if (!count.ok()) co_return count.status();
    if (*count == 0) {
      co_return absl::OutOfRangeError(kStreamEnded + std::to_string(done) + " of " +
                                      std::to_string(buffer.size()) + " bytes");
    }
    done += *count;
  }
  co_return absl::OkStatus();
}

template <typename W>
Task<absl::Status> write_all_to(W* writer, std::span<const std::byte> data) {
  while (!data.empty()) {
    const absl::StatusOr<std::size_t> count = co_await writer->write(data);
    if (!count.ok()) co_return count.status();
    data = data.subspan(*count);
  }
  co_return absl::OkStatus();
}

}  // namespace internal

// Fills the buffer.
//
// Errors: as reader.read(). kOutOfRange without an errno - the stream has ended before that; the message says after how
//   many bytes.
// Cancellation: as that of reader.read(); a part may have been read.
// Threads: as reader.read().
// Lifetime: the reader and the buffer outlive the await.
template <AsyncRead R>
Task<absl::Status> read_exact(R& reader, std::span<std::byte> buffer) {
  return internal::read_exact_from(&reader, buffer);
}

// Writes all of it.
//
// Errors: as writer.write(); a part may have been written.
// Cancellation, Threads, Lifetime: as those of read_exact().
template <AsyncWrite W>
Task<absl::Status> write_all(W& writer, std::span<const std::byte> data) {
  return internal::write_all_to(&writer, data);
}

}  // namespace skua
