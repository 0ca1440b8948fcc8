// SPDX-License-Identifier: Apache-2.0
//
// Files, read and written by the kernel through the driver: no thread waits for the disk. Where io_uring is refused, or
// has no such operation, a thread of the blocking pool does.
//
//   absl::StatusOr<skua::File> file = co_await skua::File::open("log", {.append = true, .create = true});
//   if (!file.ok()) co_return file.status();
//   co_await file->append(line);
//   co_await file->sync_data();
//   co_return co_await file->close();
//
// Whole files in one line: skua/fs/contents.h. A file with a position, for skua/io/: skua/fs/file_cursor.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/fs/aligned_buffer.h"
#include "skua/fs/metadata.h"
#include "skua/internal/io_result.h"
#include "skua/task.h"

namespace skua {

// How a file is opened. The defaults open an existing file for reading.
struct OpenOptions {
  bool read = true;  // With neither: EINVAL.
  bool write = false;
  // Writes go to the end, wherever that is by then: the offset of a write is ignored. Implies write.
  bool append = false;
  bool create = false;  // If there is none. Needs write or append.
  bool create_new =
      false;               // There must be none (EEXIST), not even a symbolic link. Implies create.
  bool truncate = false;   // What is in it goes. Needs write.
  bool no_follow = false;  // ELOOP if the last part of the path is a symbolic link.
  // Past the page cache (O_DIRECT): buffers, offsets and lengths must be aligned, see File::direct_alignment().
  bool direct = false;
  // Permissions of a file that is created, less the umask.
  unsigned mode = 0666;
  // More flags of open(2), from <fcntl.h>; O_CLOEXEC is always set. Not the access mode, which is said above.
  int flags = 0;
};

// A part of a file, in bytes.
struct FileRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// An open file. Moves, does not copy; must not move while an operation is pending. The destructor closes what
// close() has not, at once and without a report: await close() where its error matters.
//
// Errors of all below: the errno of the system call (skua::errno_of); what is particular is said.
// Threads: any number of operations may be pending at a time, from any tasks.
// Cancellation of all below: safe; the task stays suspended until the kernel has given back the buffer. What was read
//   or written by then stays so.
// Lifetime: the File and the buffers outlive what is awaited.
// Requires, of all below: the file is open.
class File {
 public:
  // Opens `path`, relative to the current directory. Whatever the name leads to is opened: a directory too, and
  // a FIFO, for reading without waiting for its other end (for writing: ENXIO if there is none), which is how
  // io_uring opens.
  //
  // Errors: the errno of openat(2) (kNotFound, kPermissionDenied, kResourceExhausted, ...), with the path. EINVAL if
  //   the options contradict each other.
  // Cancellation: safe; a file that was opened all the same is closed.
  static Task<absl::StatusOr<File>> open(std::string path, OpenOptions options = {});

  // Takes over a descriptor. Requires: fd >= 0.
  explicit File(int fd) noexcept;
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), cached_(other.cached_) {}
  File& operator=(File&& other) noexcept;
  ~File();

  // --- Reading ---

  // Reads up to buffer.size() bytes from `offset` (bytes from the start; of no meaning for a pipe or a terminal).
  //
  // Returns: how many. Fewer come at the end of the file, and may come before. 0: `offset` is at the end or beyond.
  // Requires: the buffer is not empty.
  internal::IoCountAwaiter read_at(std::uint64_t offset, std::span<std::byte> buffer) noexcept;
  // Reads into several buffers, one after the other. Of those that are not empty, the first 16 are used.
  //
  // Returns: as read_at().
  // Lifetime: the span of spans outlives the await, too.
  // Requires: not all buffers are empty.
  Task<absl::StatusOr<std::size_t>> readv_at(std::uint64_t offset,
                                             std::span<const std::span<std::byte>> buffers);
  // Fills the buffer.
  //
  // Errors: kOutOfRange without an errno - the file ends before; the message says after how many bytes.
  Task<absl::Status> read_exact_at(std::uint64_t offset, std::span<std::byte> buffer);
  // Reads from the start to the end.
  //
  // Errors: kResourceExhausted without an errno - there is more than `size_max` bytes.
  Task<absl::StatusOr<std::string>> read_all(std::size_t size_max = SIZE_MAX);

  // --- Writing ---

  // Writes up to data.size() bytes at `offset`; a gap before it reads as zeros.
  //
  // Returns: how many; fewer if the disk is full or a limit is met on the way, the next write then says so.
  // Requires: data is not empty.
  internal::IoCountAwaiter write_at(std::uint64_t offset, std::span<const std::byte> data) noexcept;
  // Writes from several buffers, as readv_at() reads.
  Task<absl::StatusOr<std::size_t>> writev_at(std::uint64_t offset,
                                              std::span<const std::span<const std::byte>> buffers);
  // Writes all of it.
  //
  // Errors: a part may have been written.
  Task<absl::Status> write_all_at(std::uint64_t offset, std::span<const std::byte> data);
  // Writes all of it at the end of the file, wherever that is by then. What is taken by one call of the kernel, as a
  // rule all of it, is in one piece, whoever else appends.
  //
  // Errors: a part may have been written.
  Task<absl::Status> append(std::span<const std::byte> data);

  // --- To the disk ---

  // Waits until what was written and the metadata are on the disk (fsync), or what was written and of the metadata
  // only what is needed to read it (fdatasync).
  //
  // Errors: EIO, ENOSPC, EDQUOT - an earlier write failed; it is told once, and what is in the file is uncertain.
  internal::IoStatusAwaiter sync() noexcept;
  internal::IoStatusAwaiter sync_data() noexcept;

  // --- Size and metadata ---

  // Cuts the file, or extends it by zeros.
  internal::IoStatusAwaiter set_len(std::uint64_t size) noexcept;
  // Reserves disk space for the range, and extends the file to its end: writes there do not fail for want of space.
  //
  // Errors: EOPNOTSUPP - the file system cannot.
  // Requires: range.length > 0.
  internal::IoStatusAwaiter allocate(FileRange range) noexcept;
  Task<absl::StatusOr<std::uint64_t>> size();
  Task<absl::StatusOr<FileMetadata>> metadata();
  // What direct I/O on this file asks for, as the kernel tells it (Linux 6.1); else 4096 for both.
  Task<absl::StatusOr<DirectAlignment>> direct_alignment();

  // Closes the file and says what close(2) says: on some file systems the first report of a failed write. The
  // descriptor is gone either way, and belongs to the returned task from the call on: the File may go.
  //
  // Cancellation: safe; the file is closed.
  Task<absl::Status> close();

  // The descriptor, or -1 after close().
  int fd() const noexcept { return fd_; }

 private:
  // Buffers that one call takes; what the kernel takes at most, 1024, would make every frame large.
  static constexpr std::size_t kBuffersMax = 16;

  void require_open() const noexcept { require_open(fd_); }
  static void require_open(int fd) noexcept;
  // All about an open descriptor; the public functions check what they require when they are called.
  static Task<absl::StatusOr<std::size_t>> read_vectored(
      int fd, std::uint64_t offset, std::span<const std::span<std::byte>> buffers);
  static Task<absl::StatusOr<std::size_t>> write_vectored(
      int fd, std::uint64_t offset, std::span<const std::span<const std::byte>> buffers);
  static Task<absl::Status> read_exactly(int fd, std::uint64_t offset, std::span<std::byte> buffer,
                                         bool cached);
  static Task<absl::StatusOr<std::string>> read_to_end(int fd, std::size_t size_max, bool cached);
  static Task<absl::Status> write_everything(int fd, std::uint64_t offset,
                                             std::span<const std::byte> data, std::uint32_t flags);
  static Task<absl::StatusOr<std::uint64_t>> size_of(int fd);
  static Task<absl::StatusOr<DirectAlignment>> alignment_of(int fd);

  int fd_;
  // Its reads go through the page cache.
  bool cached_;
};

}  // namespace skua
