// SPDX-License-Identifier: Apache-2.0
//
// Collects small writes and hands large ones to a stream.
//
//   skua::BufferedWriter out(stream);
//   for (const std::string& line : lines) { ... co_await out.write_all(bytes_of(line)); ... }
//   co_return co_await out.flush();
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/check.h"
#include "skua/io/stream.h"
#include "skua/task.h"

namespace skua {
namespace internal {

// One line on stderr, once for each process.
void report_unflushed(std::size_t bytes) noexcept;

}  // namespace internal

// W: a stream that it owns, or a reference to one, which outlives it. Moves, does not copy; must not move while a task
// uses it. Is an AsyncWrite itself.
//
// Await flush() before it goes: the destructor cannot wait, and what is still in the buffer then goes with it. It says
// so on stderr, once for each process, unless a write had failed, or discard() has given it up.
//
// Errors of all below: those of W's write(); what the stream has not taken stays in the buffer, in order, for another
//   flush(). (Of a write_all() that failed a part may be there.)
// Threads: one task at a time.
// Lifetime: it outlives what is awaited, and so do the data.
// Cancellation: as that of W's write(); what the stream has not taken stays in the buffer.
template <AsyncWrite W>
class BufferedWriter {
 public:
  static constexpr std::size_t kDefaultCapacity = 8192;

  // Requires: capacity > 0.
  explicit BufferedWriter(W inner, std::size_t capacity = kDefaultCapacity)
      : inner_(std::forward<W>(inner)),
        buffer_(std::make_unique_for_overwrite<std::byte[]>(capacity)),
        capacity_(capacity) {
    SKUA_REQUIRE(capacity > 0, capacity);
  }
  BufferedWriter(BufferedWriter&& other) noexcept
      : inner_(std::forward<W>(other.inner_)),
        buffer_(std::move(other.buffer_)),
        capacity_(std::exchange(other.capacity_, 0)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)),
        failed_(other.failed_) {}
  BufferedWriter& operator=(BufferedWriter&&) = delete;
  ~BufferedWriter() {
    if (begin_ != end_ && !failed_) internal::report_unflushed(end_ - begin_);
  }

  // Takes 1 to data.size() bytes: into the buffer, or, if they are more than that holds, to the stream.
  //
  // Returns: how many.
  // Requires: data is not empty.
  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data) {
    SKUA_REQUIRE(!data.empty());
    return write_some(data);
  }
  // Takes all of it.
  Task<absl::Status> write_all(std::span<const std::byte> data) {
    return internal::write_all_to(this, data);
  }
  // Hands to the stream what is buffered. A stream that has a flush() is flushed, too.
  Task<absl::Status> flush() { return flush_all(); }

  // What is not handed on yet.
  std::span<const std::byte> buffered() const noexcept {
    return {buffer_.get() + begin_, end_ - begin_};
  }
  // Gives up what is buffered.
  void discard() noexcept { begin_ = end_ = 0; }

  // The stream. What is written to it past the buffer overtakes what is in there.
  std::remove_reference_t<W>& inner() noexcept { return inner_; }

 private:
  Task<absl::StatusOr<std::size_t>> write_some(std::span<const std::byte> data) {
    if (data.size() > capacity_ - end_) {
      const absl::Status emptied = co_await empty_buffer();
      if (!emptied.ok()) co_return emptied;
      if (data.size() >= capacity_) {
        const absl::StatusOr<std::size_t> count = co_await inner_.write(data);
        failed_ = !count.ok();
        co_return count;
      }
    }
    std::memcpy(buffer_.get() + end_, data.data(), data.size());
    end_ += data.size();
    co_return data.size();
  }

  Task<absl::Status> empty_buffer() {
    while (begin_ != end_) {
      const std::span<const std::byte> left = buffered();
      const absl::StatusOr<std::size_t> count = co_await inner_.write(left);
      failed_ = !count.ok();
      if (!count.ok()) co_return count.status();
      begin_ += *count;
    }
    begin_ = end_ = 0;
    co_return absl::OkStatus();
  }

  Task<absl::Status> flush_all() {
    absl::Status status = co_await empty_buffer();
    if constexpr (requires { inner_.flush(); }) {
      if (status.ok()) status = co_await inner_.flush();
    }
    co_return status;
  }

  W inner_;
  // What was taken and not handed on yet stands from begin_ to end_.
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool failed_ = false;
};

// An lvalue is referred to, anything else moved in.
template <typename W>
BufferedWriter(W&&) -> BufferedWriter<W>;
template <typename W>
BufferedWriter(W&&, std::size_t) -> BufferedWriter<W>;

}  // namespace skua
