// SPDX-License-Identifier: Apache-2.0
#include "fs/requests.h"

#include <algorithm>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include <liburing.h>

#include "skua/status.h"

namespace skua::internal {
namespace {

std::uint32_t length_of(std::size_t size) noexcept {
  return static_cast<std::uint32_t>(std::min(size, kTransferMax));
}

FileMetadata::Time time_of(const statx_timestamp& time) noexcept {
  return FileMetadata::Time(std::chrono::seconds(time.tv_sec) +
                            std::chrono::nanoseconds(time.tv_nsec));
}

// So many take about 6 us to copy, and the 128 that a run has the budget for less than 1 ms. With four times as many
// bytes eight tasks that read kept another one waiting for 0.4 s.
constexpr std::size_t kAtOnceBytesMax = 64 * 1024;

}  // namespace

IoRequest open_request(int directory, const char* path, int flags, unsigned mode) noexcept {
  return IoRequest(IORING_OP_OPENAT, directory, address_of(path), mode, 0,
                   static_cast<std::uint32_t>(flags | O_CLOEXEC));
}

IoRequest close_request(int fd) noexcept { return IoRequest(IORING_OP_CLOSE, fd, 0, 0, 0, 0); }

IoRequest read_request(int fd, void* buffer, std::size_t size, std::uint64_t offset,
                       bool cached) noexcept {
  IoRequest request(IORING_OP_READ, fd, address_of(buffer), length_of(size), offset, 0);
  request.at_once = cached && size <= kAtOnceBytesMax;
  return request;
}

IoRequest write_request(int fd, const void* data, std::size_t size, std::uint64_t offset,
                        std::uint32_t flags) noexcept {
  return IoRequest(IORING_OP_WRITE, fd, address_of(data), length_of(size), offset, flags);
}

IoRequest readv_request(int fd, const iovec* buffers, unsigned count,
                        std::uint64_t offset) noexcept {
  return IoRequest(IORING_OP_READV, fd, address_of(buffers), count, offset, 0);
}

IoRequest writev_request(int fd, const iovec* buffers, unsigned count,
                         std::uint64_t offset) noexcept {
  return IoRequest(IORING_OP_WRITEV, fd, address_of(buffers), count, offset, 0);
}

IoRequest fsync_request(int fd) noexcept { return IoRequest(IORING_OP_FSYNC, fd, 0, 0, 0, 0); }

IoRequest fdatasync_request(int fd) noexcept {
  return IoRequest(IORING_OP_FSYNC, fd, 0, 0, 0, IORING_FSYNC_DATASYNC);
}

IoRequest ftruncate_request(int fd, std::uint64_t size) noexcept {
  return IoRequest(kFtruncateOpcode, fd, 0, 0, size, 0);
}

IoRequest fallocate_request(int fd, std::uint64_t offset, std::uint64_t length) noexcept {
  return IoRequest(IORING_OP_FALLOCATE, fd, length, 0, offset, 0);
}

IoRequest statx_request(int directory, const char* path, int flags, unsigned mask,
                        struct statx* result) noexcept {
  return IoRequest(IORING_OP_STATX, directory, address_of(path), mask, address_of(result),
                   static_cast<std::uint32_t>(flags));
}

IoRequest mkdir_request(const char* path, unsigned mode) noexcept {
  return IoRequest(IORING_OP_MKDIRAT, AT_FDCWD, address_of(path), mode, 0, 0);
}

IoRequest unlink_request(int directory, const char* path, int flags) noexcept {
  return IoRequest(IORING_OP_UNLINKAT, directory, address_of(path), 0, 0,
                   static_cast<std::uint32_t>(flags));
}

IoRequest rename_request(int from_directory, const char* from, int to_directory, const char* to,
                         unsigned flags) noexcept {
  return IoRequest(IORING_OP_RENAMEAT, from_directory, address_of(from),
                   static_cast<std::uint32_t>(to_directory), address_of(to), flags);
}

IoRequest symlink_request(const char* target, const char* path) noexcept {
  return IoRequest(IORING_OP_SYMLINKAT, AT_FDCWD, address_of(target), 0, address_of(path), 0);
}

IoRequest link_request(const char* from, const char* to) noexcept {
  return IoRequest(IORING_OP_LINKAT, AT_FDCWD, address_of(from),
                   static_cast<std::uint32_t>(AT_FDCWD), address_of(to), 0);
}

absl::Status path_error(std::int32_t result, const char* call, const std::string& path) {
  return errno_to_status(-result, std::string(call) + " " + path);
}

Task<absl::StatusOr<FileMetadata>> metadata_at(int directory, std::string path, int flags) {
  struct statx buffer = {};
  if (path.empty() && directory != AT_FDCWD) flags |= AT_EMPTY_PATH;
  const int result =
      co_await IoAwaiter(statx_request(directory, path.c_str(), flags, STATX_BASIC_STATS, &buffer));
  if (result < 0) co_return path_error(result, "statx", path);
  FileMetadata metadata;
  metadata.size = buffer.stx_size;
  metadata.blocks = buffer.stx_blocks;
  metadata.mode = buffer.stx_mode;
  metadata.links = buffer.stx_nlink;
  metadata.user = buffer.stx_uid;
  metadata.group = buffer.stx_gid;
  metadata.device = gnu_dev_makedev(buffer.stx_dev_major, buffer.stx_dev_minor);
  metadata.inode = buffer.stx_ino;
  metadata.accessed = time_of(buffer.stx_atime);
  metadata.modified = time_of(buffer.stx_mtime);
  metadata.changed = time_of(buffer.stx_ctime);
  co_return metadata;
}

}  // namespace skua::internal
