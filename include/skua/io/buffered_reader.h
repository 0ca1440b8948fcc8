// SPDX-License-Identifier: Apache-2.0
//
// Reads from a stream in large pieces and gives small ones: lines, fields, headers.
//
//   skua::BufferedReader lines(std::move(stream));            // Owns it; BufferedReader lines(stream) refers to it.
//   for (;;) {
//     absl::StatusOr<std::optional<std::string>> line = co_await lines.read_line(8192);
//     if (!line.ok()) co_return line.status();
//     if (!line->has_value()) break;                          // The end.
//   }
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/check.h"
#include "skua/io/stream.h"
#include "skua/task.h"

namespace skua {

// R: a stream that it owns, or a reference to one, which outlives it. Moves, does not copy; must not move while a task
// uses it. Is an AsyncRead itself.
//
// Errors of all below: those of R's read(); nothing is lost by them. What is particular is said.
// Threads: one task at a time.
// Lifetime: it outlives what is awaited, and so do the buffers.
// Cancellation: as that of R's read(); what is in the buffer stays there. read_exact() may have given a part.
template <AsyncRead R>
class BufferedReader {
 public:
  static constexpr std::size_t kDefaultCapacity = 8192;

  // Requires: capacity > 0.
  explicit BufferedReader(R inner, std::size_t capacity = kDefaultCapacity)
      : inner_(std::forward<R>(inner)),
        buffer_(std::make_unique_for_overwrite<std::byte[]>(capacity)),
        capacity_(capacity) {
    SKUA_REQUIRE(capacity > 0, capacity);
  }
  BufferedReader(BufferedReader&& other) noexcept
      : inner_(std::forward<R>(other.inner_)),
        buffer_(std::move(other.buffer_)),
        capacity_(std::exchange(other.capacity_, 0)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  BufferedReader& operator=(BufferedReader&&) = delete;

  // Reads 1 to buffer.size() bytes: what was buffered, or else from the stream, past the buffer if that is no larger.
  //
  // Returns: how many. 0: the end.
  // Requires: the buffer is not empty.
  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer) {
    SKUA_REQUIRE(!buffer.empty());
    return read_some(buffer);
  }
  // Fills the buffer.
  //
  // Errors: kOutOfRange without an errno - the stream has ended before; the message says after how many bytes.
  Task<absl::Status> read_exact(std::span<std::byte> buffer) {
    return internal::read_exact_from(this, buffer);
  }

  // Reads up to the next `delimiter`.
  //
  // Returns: all before it, and the delimiter. At the end of the stream what is left, without one; nullopt: nothing is.
  // Errors: kResourceExhausted without an errno - no delimiter in the next `limit` bytes; they stay where they are.
  // Requires: limit > 0.
  Task<absl::StatusOr<std::optional<std::string>>> read_until(char delimiter, std::size_t limit) {
    SKUA_REQUIRE(limit > 0, limit);
    return read_through(delimiter, limit);
  }
  // The same for a line, which is given without its end, "\n" or "\r\n"; both count for the limit.
  Task<absl::StatusOr<std::optional<std::string>>> read_line(std::size_t limit) {
    SKUA_REQUIRE(limit > 0, limit);
    return read_text_line(limit);
  }

  // For parsers: what is buffered; valid until the next read. consume() takes the first so many bytes, fill() adds some
  // from the stream.
  std::span<const std::byte> buffered() const noexcept {
    return {buffer_.get() + begin_, end_ - begin_};
  }
  // Requires: count <= buffered().size().
  void consume(std::size_t count) noexcept {
    SKUA_REQUIRE(count <= end_ - begin_, count, end_ - begin_);
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Returns: how many bytes. 0: the end.
  // Requires: buffered().size() < capacity().
  Task<absl::StatusOr<std::size_t>> fill() {
    SKUA_REQUIRE(end_ - begin_ < capacity_, capacity_);
    return fill_up_to(capacity_);
  }
  // Bytes that the buffer holds: what it was made with, or more after a read_until() that needed it.
  std::size_t capacity() const noexcept { return capacity_; }

  // The stream. What is read from it past the buffer is missing here.
  std::remove_reference_t<R>& inner() noexcept { return inner_; }

 private:
  Task<absl::StatusOr<std::size_t>> read_some(std::span<std::byte> buffer) {
    if (begin_ == end_) {
      if (buffer.size() >= capacity_) co_return co_await inner_.read(buffer);
      const absl::StatusOr<std::size_t> filled = co_await fill_up_to(capacity_);
      if (!filled.ok()) co_return filled.status();
    }
    const std::size_t count = std::min(buffer.size(), end_ - begin_);
    if (count > 0) std::memcpy(buffer.data(), buffer_.get() + begin_, count);
    consume(count);
    co_return count;
  }

  // Has room for at least one more byte, and for no more than `limit`, or the capacity, if that is more.
  void make_room(std::size_t limit) {
    if (end_ < capacity_) return;
    if (begin_ == 0) {
      const std::size_t larger = std::min(2 * capacity_, std::max(limit, capacity_ + 1));
      auto moved = std::make_unique_for_overwrite<std::byte[]>(larger);
      std::memcpy(moved.get(), buffer_.get(), end_);
      buffer_ = std::move(moved);
      capacity_ = larger;
      return;
    }
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }

  Task<absl::StatusOr<std::size_t>> fill_up_to(std::size_t limit) {
    make_room(limit);
    const std::span<std::byte> room(buffer_.get() + end_, capacity_ - end_);
    const absl::StatusOr<std::size_t> count = co_await inner_.read(room);
    if (count.ok()) end_ += *count;
    co_return count;
  }

  Task<absl::StatusOr<std::optional<std::string>>> read_through(char delimiter, std::size_t limit) {
    std::size_t searched = 0;
    for (;;) {
      const std::size_t size = std::min(end_ - begin_, limit);
      const auto* const text = reinterpret_cast<const char*>(buffer_.get() + begin_);
      const auto* const found =
          static_cast<const char*>(std::memchr(text + searched, delimiter, size - searched));
      if (found != nullptr) co_return take(static_cast<std::size_t>(found - text) + 1);
      if (size == limit) {
        co_return absl::ResourceExhaustedError("no delimiter in " + std::to_string(limit) +
                                               " bytes");
      }
      searched = size;
      const absl::StatusOr<std::size_t> filled = co_await fill_up_to(limit);
      if (!filled.ok()) co_return filled.status();
      if (*filled == 0) {
        if (begin_ == end_) co_return std::optional<std::string>();
        co_return take(end_ - begin_);
      }
    }
  }

  Task<absl::StatusOr<std::optional<std::string>>> read_text_line(std::size_t limit) {
    absl::StatusOr<std::optional<std::string>> line = co_await read_through('\n', limit);
    if (line.ok() && line->has_value() && (*line)->ends_with('\n')) {
      (*line)->pop_back();
      if ((*line)->ends_with('\r')) (*line)->pop_back();
    }
    co_return line;
  }

  std::optional<std::string> take(std::size_t count) {
    std::optional<std::string> text(std::in_place,
                                    reinterpret_cast<const char*>(buffer_.get() + begin_), count);
    consume(count);
    return text;
  }

  R inner_;
  // What was read and not given yet stands from begin_ to end_.
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// An lvalue is referred to, anything else moved in.
template <typename R>
BufferedReader(R&&) -> BufferedReader<R>;
template <typename R>
BufferedReader(R&&, std::size_t) -> BufferedReader<R>;

}  // namespace skua
