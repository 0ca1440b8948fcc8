// SPDX-License-Identifier: Apache-2.0
//
// Files, read by the kernel through the driver: no thread waits for the disk. Where io_uring is refused, a thread of
// the blocking pool does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/io_op.h"
#include "skua/status.h"
#include "skua/task.h"

namespace skua {

// How a file is opened. The defaults open an existing file for reading.
struct OpenOptions {
  // Flags of open(2), from <fcntl.h>; O_CLOEXEC is added. 0: O_RDONLY.
  int flags = 0;
  // Permissions of a file that is created (O_CREAT), less the umask.
  unsigned mode = 0644;
};

// What the kernel says of a file.
struct FileMetadata {
  std::uint64_t size = 0;  // Bytes.
  unsigned mode = 0;       // st_mode: type and permissions.
  bool is_regular() const noexcept;
  bool is_directory() const noexcept;
};

namespace internal {

// Returned by File::read_at(). Lives in the awaiting frame, and with it until the kernel is done.
class [[nodiscard("co_await it; nothing is read otherwise")]] ReadAtAwaiter {
 public:
  ReadAtAwaiter(int fd, std::uint64_t offset, std::span<std::byte> buffer) noexcept;
  ReadAtAwaiter(const ReadAtAwaiter&) = delete;
  ReadAtAwaiter& operator=(const ReadAtAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return io_.await_suspend(awaiting);
  }
  absl::StatusOr<std::size_t> await_resume() const {
    const std::int32_t result = io_.await_resume();
    if (result < 0) return errno_to_status(-result, "read");
    return static_cast<std::size_t>(result);
  }

 private:
  IoAwaiter io_;
};

}  // namespace internal

// An open file. Moves, does not copy; must not move while an operation is pending. The destructor closes what
// close() has not, at once and without a report: await close() where its error matters.
//
// Threads: any number of operations may be pending at a time, from any tasks.
class File {
 public:
  // Opens `path`, relative to the current directory. Whatever the name leads to is opened: a directory too, and
  // a FIFO, for reading without waiting for its other end (for writing: ENXIO if there is none), which is how
  // io_uring opens.
  //
  // Errors: the errno of openat(2) (kNotFound, kPermissionDenied, kResourceExhausted, ...), with the path.
  // Cancellation: safe; a file that was opened all the same is closed.
  static Task<absl::StatusOr<File>> open(std::string path, OpenOptions options = {});

  // Takes over a descriptor. Requires: fd >= 0.
  explicit File(int fd) noexcept;
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept;
  ~File();

  // Reads up to buffer.size() bytes from `offset` (bytes from the start) and returns how many. Fewer come at the
  // end of the file, and may come before; 0: `offset` is at the end or beyond.
  //
  // Requires: buffer.size() is 1 byte to 2^31 - 1; the file is open.
  // Errors: the errno of pread(2).
  // Cancellation: safe; the task stays suspended until the kernel has given `buffer` back.
  // Lifetime: `buffer` and the File outlive the await.
  internal::ReadAtAwaiter read_at(std::uint64_t offset, std::span<std::byte> buffer) noexcept;

  // The metadata of the open file.
  //
  // Errors: the errno of statx(2).
  // Cancellation: safe.
  // Lifetime: the File outlives the await.
  Task<absl::StatusOr<FileMetadata>> metadata();

  // Closes the file and says what close(2) says: on some file systems the first report of a failed write. The
  // descriptor is gone either way, and belongs to the returned task from the call on: the File may go.
  //
  // Cancellation: safe; the file is closed.
  Task<absl::Status> close();

  // The descriptor, or -1 after close().
  int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

namespace fs {

// The metadata of what `path` names; of the target, if it is a symbolic link.
//
// Errors: the errno of statx(2), with the path.
// Cancellation: safe.
Task<absl::StatusOr<FileMetadata>> metadata(std::string path);

}  // namespace fs
}  // namespace skua
