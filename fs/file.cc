// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <linux/stat.h>
#include <memory>
#include <sys/uio.h>

#include "base/unique_fd.h"
#include "fs/requests.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {
namespace {

using internal::errno_to_status;
using internal::IoAwaiter;
using internal::IoCountAwaiter;
using internal::IoStatusAwaiter;

// The flags of open(2), or -EINVAL.
int flags_of(const OpenOptions& options) noexcept {
  const bool writes = options.write || options.append;
  const bool creates = options.create || options.create_new;
  if (!options.read && !writes) return -EINVAL;
  if ((creates || options.truncate) && !writes) return -EINVAL;
  if (options.truncate && options.append && !options.write) return -EINVAL;
  if ((options.flags & O_ACCMODE) != 0) return -EINVAL;
  int flags = options.flags;
  if (writes) flags |= options.read ? O_RDWR : O_WRONLY;
  if (options.append) flags |= O_APPEND;
  if (creates) flags |= O_CREAT;
  if (options.create_new) flags |= O_EXCL;
  if (options.truncate) flags |= O_TRUNC;
  if (options.no_follow) flags |= O_NOFOLLOW;
  if (options.direct) flags |= O_DIRECT;
  return flags;
}

// Owns the descriptor until the kernel has it: `fd` closes it if the task is aborted before the close has begun, or if
// the close was refused (in a shutdown, or for want of a thread).
Task<absl::Status> close_of(internal::UniqueFd fd) {
  const int result = co_await IoAwaiter(internal::close_request(fd.get()));
  if (result != -ECANCELED && result != -EAGAIN) fd.release();
  if (result < 0) co_return errno_to_status(-result, "close");
  co_return absl::OkStatus();
}

// Those that are not empty, as the kernel wants them. Returns how many.
template <typename Byte, std::size_t kMax>
unsigned fill_iovecs(std::span<const std::span<Byte>> buffers, std::array<iovec, kMax>& out) {
  unsigned count = 0;
  for (const std::span<Byte> buffer : buffers) {
    if (buffer.empty()) continue;
    if (count == kMax) break;
    out[count++] = {const_cast<std::byte*>(buffer.data()), buffer.size()};
  }
  return count;
}

template <typename Byte>
bool all_empty(std::span<const std::span<Byte>> buffers) {
  return std::all_of(buffers.begin(), buffers.end(), [](std::span<Byte> b) { return b.empty(); });
}

}  // namespace

File::File(int fd) noexcept : fd_(fd), cached_((::fcntl(fd, F_GETFL) & O_DIRECT) == 0) {
  SKUA_REQUIRE(fd >= 0, fd);
}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    internal::UniqueFd closed(fd_);
    fd_ = std::exchange(other.fd_, -1);
    cached_ = other.cached_;
  }
  return *this;
}

File::~File() { internal::UniqueFd closed(fd_); }

void File::require_open(int fd) noexcept {
  const bool the_file_is_open = fd >= 0;
  SKUA_REQUIRE(the_file_is_open, fd);
}

// A descriptor that came although the task was aborted reaches the task all the same (a result wins over an abort),
// and so its owner.
Task<absl::StatusOr<File>> File::open(std::string path, OpenOptions options) {
  const int flags = flags_of(options);
  if (flags < 0) {
    co_return internal::path_error(flags, "open (with options that contradict each other)", path);
  }
  const int fd =
      co_await IoAwaiter(internal::open_request(AT_FDCWD, path.c_str(), flags, options.mode));
  if (fd < 0) co_return internal::path_error(fd, "open", path);
  co_return File(fd);
}

// --- Reading ------------------------------------------------------------------------------------

IoCountAwaiter File::read_at(std::uint64_t offset, std::span<std::byte> buffer) noexcept {
  require_open();
  SKUA_REQUIRE(!buffer.empty());  // A result of 0 means the end.
  return IoCountAwaiter(internal::read_request(fd_, buffer.data(), buffer.size(), offset, cached_),
                        "read");
}

Task<absl::StatusOr<std::size_t>> File::readv_at(std::uint64_t offset,
                                                 std::span<const std::span<std::byte>> buffers) {
  require_open();
  SKUA_REQUIRE(!all_empty(buffers));
  return read_vectored(fd_, offset, buffers);
}

Task<absl::StatusOr<std::size_t>> File::read_vectored(
    int fd, std::uint64_t offset, std::span<const std::span<std::byte>> buffers) {
  std::array<iovec, kBuffersMax> iovecs;
  const unsigned count = fill_iovecs(buffers, iovecs);
  co_return co_await IoCountAwaiter(internal::readv_request(fd, iovecs.data(), count, offset),
                                    "readv");
}

Task<absl::Status> File::read_exact_at(std::uint64_t offset, std::span<std::byte> buffer) {
  require_open();
  return read_exactly(fd_, offset, buffer, cached_);
}

Task<absl::Status> File::read_exactly(int fd, std::uint64_t offset, std::span<std::byte> buffer,
                                      bool cached) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const int count = co_await IoAwaiter(internal::read_request(
        fd, buffer.data() + done, buffer.size() - done, offset + done, cached));
    if (count < 0) co_return errno_to_status(-count, "read");
    if (count == 0) {
      co_return absl::OutOfRangeError("the file ends after " + std::to_string(done) + " of " +
                                      std::to_string(buffer.size()) + " bytes");
    }
    done += static_cast<std::size_t>(count);
  }
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::string>> File::read_all(std::size_t size_max) {
  require_open();
  return read_to_end(fd_, size_max, cached_);
}

Task<absl::StatusOr<std::string>> File::read_to_end(int fd, std::size_t size_max, bool cached) {
  constexpr std::size_t kChunkMin = 4096;
  const absl::StatusOr<FileMetadata> metadata = co_await internal::metadata_at(fd, "", 0);
  if (!metadata.ok()) co_return metadata.status();
  // What the size says is a hint: the file may grow, and files of the kernel (/proc) say 0. One byte more, so that the
  // read that finds the end needs no more room; and one more than may be, to find out that there is.
  const auto expected = static_cast<std::size_t>(std::min<std::uint64_t>(metadata->size, size_max));
  std::string content;
  std::size_t size = 0;
  std::size_t room = std::max(expected, kChunkMin - 1) + 1;
  for (;;) {
    if (size == content.size()) content.resize(std::max(room, 2 * content.size()));
    room = 0;
    const int count = co_await IoAwaiter(
        internal::read_request(fd, content.data() + size, content.size() - size, size, cached));
    if (count < 0) co_return errno_to_status(-count, "read");
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
    if (size > size_max) {
      co_return absl::ResourceExhaustedError("the file has more than " + std::to_string(size_max) +
                                             " bytes");
    }
  }
  content.resize(size);
  co_return content;
}

// --- Writing ------------------------------------------------------------------------------------

IoCountAwaiter File::write_at(std::uint64_t offset, std::span<const std::byte> data) noexcept {
  require_open();
  SKUA_REQUIRE(!data.empty());
  return IoCountAwaiter(internal::write_request(fd_, data.data(), data.size(), offset, 0), "write");
}

Task<absl::StatusOr<std::size_t>> File::writev_at(
    std::uint64_t offset, std::span<const std::span<const std::byte>> buffers) {
  require_open();
  SKUA_REQUIRE(!all_empty(buffers));
  return write_vectored(fd_, offset, buffers);
}

Task<absl::StatusOr<std::size_t>> File::write_vectored(
    int fd, std::uint64_t offset, std::span<const std::span<const std::byte>> buffers) {
  std::array<iovec, kBuffersMax> iovecs;
  const unsigned count = fill_iovecs(buffers, iovecs);
  co_return co_await IoCountAwaiter(internal::writev_request(fd, iovecs.data(), count, offset),
                                    "writev");
}

Task<absl::Status> File::write_all_at(std::uint64_t offset, std::span<const std::byte> data) {
  require_open();
  return write_everything(fd_, offset, data, 0);
}

// By RWF_APPEND: also a file that was not opened for appending.
Task<absl::Status> File::append(std::span<const std::byte> data) {
  require_open();
  return write_everything(fd_, 0, data, RWF_APPEND);
}

Task<absl::Status> File::write_everything(int fd, std::uint64_t offset,
                                          std::span<const std::byte> data, std::uint32_t flags) {
  std::size_t done = 0;
  while (done < data.size()) {
    const int count = co_await IoAwaiter(
        internal::write_request(fd, data.data() + done, data.size() - done, offset + done, flags));
    if (count < 0) co_return errno_to_status(-count, "write");
    // No regular file does so; a device that does would be asked for ever.
    if (count == 0) co_return errno_to_status(EIO, "write (which wrote nothing)");
    done += static_cast<std::size_t>(count);
  }
  co_return absl::OkStatus();
}

// --- The rest -----------------------------------------------------------------------------------

IoStatusAwaiter File::sync() noexcept {
  require_open();
  return IoStatusAwaiter(internal::fsync_request(fd_), "fsync");
}

IoStatusAwaiter File::sync_data() noexcept {
  require_open();
  return IoStatusAwaiter(internal::fdatasync_request(fd_), "fdatasync");
}

IoStatusAwaiter File::set_len(std::uint64_t size) noexcept {
  require_open();
  return IoStatusAwaiter(internal::ftruncate_request(fd_, size), "ftruncate");
}

IoStatusAwaiter File::allocate(FileRange range) noexcept {
  require_open();
  SKUA_REQUIRE(range.length > 0, range.length);
  return IoStatusAwaiter(internal::fallocate_request(fd_, range.offset, range.length), "fallocate");
}

Task<absl::StatusOr<FileMetadata>> File::metadata() {
  require_open();
  return internal::metadata_at(fd_, "", 0);
}

Task<absl::StatusOr<std::uint64_t>> File::size() {
  require_open();
  return size_of(fd_);
}

Task<absl::StatusOr<std::uint64_t>> File::size_of(int fd) {
  const absl::StatusOr<FileMetadata> metadata = co_await internal::metadata_at(fd, "", 0);
  if (!metadata.ok()) co_return metadata.status();
  co_return metadata->size;
}

Task<absl::StatusOr<DirectAlignment>> File::direct_alignment() {
  require_open();
  return alignment_of(fd_);
}

Task<absl::StatusOr<DirectAlignment>> File::alignment_of(int fd) {
  struct statx buffer = {};
  const int result =
      co_await IoAwaiter(internal::statx_request(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &buffer));
  if (result < 0) co_return errno_to_status(-result, "statx");
  DirectAlignment alignment;
  // A kernel before 6.1 does not set the bit; a file system that cannot do it says 0.
  if ((buffer.stx_mask & STATX_DIOALIGN) != 0 && buffer.stx_dio_offset_align != 0) {
    alignment.memory = buffer.stx_dio_mem_align;
    alignment.offset = buffer.stx_dio_offset_align;
  }
  co_return alignment;
}

Task<absl::Status> File::close() {
  require_open();
  return close_of(internal::UniqueFd(std::exchange(fd_, -1)));
}

}  // namespace skua
