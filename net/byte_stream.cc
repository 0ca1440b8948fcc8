// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/byte_stream.h"

#include <array>
#include <cerrno>
#include <string>
#include <sys/socket.h>
#include <sys/uio.h>

#include "io_driver/driver.h"
#include "io_driver/socket_op.h"
#include "net/pipe_calls.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua::internal {
namespace {

// What the loops below do after a call that gave -errno: EAGAIN waits, EINTR tries again, the rest is for the caller.
bool is_error(std::ptrdiff_t result) noexcept {
  return result < 0 && result != -EAGAIN && result != -EINTR;
}

// The kernel's documentation (msg_zerocopy.rst) expects a gain from about 10 KB, whatever the network card.
constexpr std::size_t kUncopiedMin = 16 << 10;

// The socket cannot be sent to without copying, or not now.
bool must_copy(std::ptrdiff_t result) noexcept {
  return result == -EOPNOTSUPP || result == -ENOBUFS || result == -ENOMEM;
}

std::ptrdiff_t result_of(ssize_t count) noexcept { return count >= 0 ? count : -errno; }

}  // namespace

void ByteStream::require_open() const noexcept {
  const bool the_stream_is_open = source_.fd() >= 0;
  SKUA_REQUIRE(the_stream_is_open, source_.fd());
}

bool ByteStream::completes() const noexcept { return !is_pipe() && completes_sockets(); }

bool ByteStream::sends_uncopied(std::size_t size) const noexcept {
  // The first two are for all that are not concerned.
  return size >= kUncopiedMin && kind_ == StreamKind::kTcp && internal::sends_uncopied(size);
}

IoRequest ByteStream::request_to_send(std::span<const std::byte> data, int flags,
                                      bool uncopied) noexcept {
  return uncopied ? send_uncopied_request(source_, data, flags)
                  : send_request(source_, data, flags);
}

std::ptrdiff_t ByteStream::receive_once(std::span<std::byte> buffer, int flags) noexcept {
  SystemCalls& calls = current_driver()->calls();
  if (is_pipe()) {
    const iovec whole{buffer.data(), buffer.size()};
    return result_of(calls.readv(fd(), &whole, 1));
  }
  return result_of(calls.recv(fd(), buffer.data(), buffer.size(), flags));
}

std::ptrdiff_t ByteStream::send_once(std::span<const std::byte> data) noexcept {
  SystemCalls& calls = current_driver()->calls();
  if (is_pipe()) {
    const iovec whole{const_cast<std::byte*>(data.data()), data.size()};
    return write_pipe(calls, fd(), &whole, 1);
  }
  return result_of(calls.send(fd(), data.data(), data.size(), MSG_NOSIGNAL));
}

// --- Reading ------------------------------------------------------------------------------------

Task<absl::StatusOr<std::size_t>> ByteStream::read(std::span<std::byte> buffer) {
  require_open();
  SKUA_REQUIRE(!buffer.empty());  // A result of 0 means the end.
  return receive(buffer, 0);
}

Task<absl::StatusOr<std::size_t>> ByteStream::peek(std::span<std::byte> buffer) {
  require_open();
  SKUA_REQUIRE(!buffer.empty());
  SKUA_REQUIRE(!is_pipe());
  return receive(buffer, MSG_PEEK);
}

Task<absl::StatusOr<std::size_t>> ByteStream::receive(std::span<std::byte> buffer, int flags) {
  const int closed = co_await source_.turn();
  if (closed != 0) co_return errno_to_status(closed, "read");
  for (;;) {
    const Readiness seen = source_.readiness(Direction::kRead);
    std::ptrdiff_t result = -EAGAIN;
    if (seen.ready()) result = receive_once(buffer, flags);
    if (result == -EAGAIN && completes()) {
      result = co_await SocketAwaiter(&source_, Direction::kRead,
                                      receive_request(source_, buffer, flags));
    }
    if (result >= 0) {
      const auto count = static_cast<std::size_t>(result);
      if (count > 0 && flags == 0) note_transfer(Direction::kRead, seen, count, buffer.size());
      co_return count;
    }
    if (is_error(result)) co_return errno_to_status(static_cast<int>(-result), "read");
    if (result == -EINTR) continue;
    const int error = co_await source_.wait(Direction::kRead, seen);
    if (error != 0) co_return errno_to_status(error, "read");
  }
}

Task<absl::StatusOr<std::size_t>> ByteStream::readv(std::span<const std::span<std::byte>> buffers) {
  require_open();
  std::size_t size = 0;
  for (const std::span<std::byte> buffer : buffers) size += buffer.size();
  SKUA_REQUIRE(size > 0, size);
  return receive_into(buffers);
}

Task<absl::StatusOr<std::size_t>> ByteStream::receive_into(
    std::span<const std::span<std::byte>> buffers) {
  std::array<iovec, kBuffersMax> parts;
  int count = 0;
  std::size_t size = 0;
  for (const std::span<std::byte> buffer : buffers) {
    if (buffer.empty()) continue;
    if (count == static_cast<int>(kBuffersMax)) break;
    parts[static_cast<std::size_t>(count++)] = iovec{buffer.data(), buffer.size()};
    size += buffer.size();
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = static_cast<std::size_t>(count);
  const int closed = co_await source_.turn();
  if (closed != 0) co_return errno_to_status(closed, "readv");
  for (;;) {
    const Readiness seen = source_.readiness(Direction::kRead);
    std::ptrdiff_t result = -EAGAIN;
    if (seen.ready()) {
      result = result_of(current_driver()->calls().readv(fd(), parts.data(), count));
    }
    if (result == -EAGAIN && completes()) {
      result = co_await SocketAwaiter(&source_, Direction::kRead,
                                      receive_message_request(source_, &message));
    }
    if (result >= 0) {
      const auto moved = static_cast<std::size_t>(result);
      if (moved > 0) note_transfer(Direction::kRead, seen, moved, size);
      co_return moved;
    }
    if (is_error(result)) co_return errno_to_status(static_cast<int>(-result), "readv");
    if (result == -EINTR) continue;
    const int error = co_await source_.wait(Direction::kRead, seen);
    if (error != 0) co_return errno_to_status(error, "readv");
  }
}

Task<absl::Status> ByteStream::read_exact(std::span<std::byte> buffer) {
  require_open();
  return receive_all(buffer);
}

Task<absl::Status> ByteStream::receive_all(std::span<std::byte> buffer) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const int closed = co_await source_.turn();
    if (closed != 0) co_return errno_to_status(closed, "read_exact");
    const Readiness seen = source_.readiness(Direction::kRead);
    const std::span<std::byte> rest = buffer.subspan(done);
    std::ptrdiff_t result = -EAGAIN;
    if (seen.ready()) result = receive_once(rest, 0);
    if (result == -EAGAIN && completes()) {
      // The kernel goes on until all of it is there.
      result = co_await SocketAwaiter(&source_, Direction::kRead,
                                      receive_request(source_, rest, MSG_WAITALL));
    }
    if (result == 0) {
      const std::string text = "read_exact: the stream ended after " + std::to_string(done) +
                               " of " + std::to_string(buffer.size()) + " bytes";
      co_return absl::OutOfRangeError(text);
    }
    if (result > 0) {
      const auto count = static_cast<std::size_t>(result);
      note_transfer(Direction::kRead, seen, count, rest.size());
      done += count;
      continue;
    }
    if (is_error(result)) co_return errno_to_status(static_cast<int>(-result), "read_exact");
    if (result == -EINTR) continue;
    const int error = co_await source_.wait(Direction::kRead, seen);
    if (error != 0) co_return errno_to_status(error, "read_exact");
  }
  co_return absl::OkStatus();
}

// --- Writing ------------------------------------------------------------------------------------

Task<absl::StatusOr<std::size_t>> ByteStream::write(std::span<const std::byte> data) {
  require_open();
  SKUA_REQUIRE(!data.empty());
  return send(data);
}

Task<absl::StatusOr<std::size_t>> ByteStream::send(std::span<const std::byte> data) {
  bool uncopied = sends_uncopied(data.size());
  const int closed = co_await source_.turn();
  if (closed != 0) co_return errno_to_status(closed, "write");
  for (;;) {
    const Readiness seen = source_.readiness(Direction::kWrite);
    std::ptrdiff_t result = -EAGAIN;
    if (seen.ready() && !uncopied) result = send_once(data);
    if (result == -EAGAIN && completes()) {
      result =
          co_await SocketAwaiter(&source_, Direction::kWrite, request_to_send(data, 0, uncopied));
    }
    if (uncopied && must_copy(result)) {
      uncopied = false;
      continue;
    }
    if (result >= 0) {
      const auto count = static_cast<std::size_t>(result);
      note_transfer(Direction::kWrite, seen, count, data.size());
      co_return count;
    }
    if (is_error(result)) co_return errno_to_status(static_cast<int>(-result), "write");
    if (result == -EINTR) continue;
    const int error = co_await source_.wait(Direction::kWrite, seen);
    if (error != 0) co_return errno_to_status(error, "write");
  }
}

Task<absl::StatusOr<std::size_t>> ByteStream::writev(
    std::span<const std::span<const std::byte>> buffers) {
  require_open();
  std::size_t size = 0;
  for (const std::span<const std::byte> buffer : buffers) size += buffer.size();
  SKUA_REQUIRE(size > 0, size);
  return send_from(buffers);
}

Task<absl::StatusOr<std::size_t>> ByteStream::send_from(
    std::span<const std::span<const std::byte>> buffers) {
  std::array<iovec, kBuffersMax> parts;
  int count = 0;
  std::size_t size = 0;
  for (const std::span<const std::byte> buffer : buffers) {
    if (buffer.empty()) continue;
    if (count == static_cast<int>(kBuffersMax)) break;
    parts[static_cast<std::size_t>(count++)] =
        iovec{const_cast<std::byte*>(buffer.data()), buffer.size()};
    size += buffer.size();
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = static_cast<std::size_t>(count);
  const int closed = co_await source_.turn();
  if (closed != 0) co_return errno_to_status(closed, "writev");
  for (;;) {
    const Readiness seen = source_.readiness(Direction::kWrite);
    std::ptrdiff_t result = -EAGAIN;
    if (seen.ready()) {
      SystemCalls& calls = current_driver()->calls();
      result = is_pipe() ? write_pipe(calls, fd(), parts.data(), count)
                         : result_of(calls.sendmsg(fd(), &message, MSG_NOSIGNAL));
    }
    if (result == -EAGAIN && completes()) {
      result = co_await SocketAwaiter(&source_, Direction::kWrite,
                                      send_message_request(source_, &message));
    }
    if (result >= 0) {
      const auto moved = static_cast<std::size_t>(result);
      note_transfer(Direction::kWrite, seen, moved, size);
      co_return moved;
    }
    if (is_error(result)) co_return errno_to_status(static_cast<int>(-result), "writev");
    if (result == -EINTR) continue;
    const int error = co_await source_.wait(Direction::kWrite, seen);
    if (error != 0) co_return errno_to_status(error, "writev");
  }
}

Task<absl::Status> ByteStream::write_all(std::span<const std::byte> data) {
  require_open();
  return send_all(data);
}

Task<absl::Status> ByteStream::send_all(std::span<const std::byte> data) {
  bool uncopied = sends_uncopied(data.size());
  std::size_t done = 0;
  while (done < data.size()) {
    const int closed = co_await source_.turn();
    if (closed != 0) co_return errno_to_status(closed, "write_all");
    const Readiness seen = source_.readiness(Direction::kWrite);
    const std::span<const std::byte> rest = data.subspan(done);
    std::ptrdiff_t result = -EAGAIN;
    if (seen.ready() && !uncopied) result = send_once(rest);
    if (result == -EAGAIN && completes()) {
      // The kernel goes on until all of it is taken.
      result = co_await SocketAwaiter(&source_, Direction::kWrite,
                                      request_to_send(rest, MSG_WAITALL, uncopied));
    }
    if (uncopied && must_copy(result)) {
      uncopied = false;
      continue;
    }
    if (result >= 0) {
      const auto count = static_cast<std::size_t>(result);
      note_transfer(Direction::kWrite, seen, count, rest.size());
      done += count;
      continue;
    }
    if (is_error(result)) co_return errno_to_status(static_cast<int>(-result), "write_all");
    if (result == -EINTR) continue;
    const int error = co_await source_.wait(Direction::kWrite, seen);
    if (error != 0) co_return errno_to_status(error, "write_all");
  }
  co_return absl::OkStatus();
}

}  // namespace skua::internal
