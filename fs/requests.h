// SPDX-License-Identifier: Apache-2.0
//
// The requests of fs/, by the names of their system calls, with their arguments. Paths and buffers are the caller's,
// and outlive the operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/fs/metadata.h"
#include "skua/internal/io_op.h"
#include "skua/task.h"

struct iovec;
struct statx;

namespace skua::internal {

// The most that the kernel moves by one call.
inline constexpr std::size_t kTransferMax = 0x7ffff000;

// The address of a buffer or a path, as requests have it.
inline std::uint64_t address_of(const void* pointer) noexcept {
  return reinterpret_cast<std::uint64_t>(pointer);
}

// Close-on-exec always.
IoRequest open_request(int directory, const char* path, int flags, unsigned mode) noexcept;
IoRequest close_request(int fd) noexcept;
// `size` may be larger than what one call moves.
// `cached`: the page cache may have it, so a read that is not large is tried at once.
IoRequest read_request(int fd, void* buffer, std::size_t size, std::uint64_t offset,
                       bool cached) noexcept;
IoRequest write_request(int fd, const void* data, std::size_t size, std::uint64_t offset,
                        std::uint32_t flags) noexcept;
IoRequest readv_request(int fd, const iovec* buffers, unsigned count,
                        std::uint64_t offset) noexcept;
IoRequest writev_request(int fd, const iovec* buffers, unsigned count,
                         std::uint64_t offset) noexcept;
IoRequest fsync_request(int fd) noexcept;
IoRequest fdatasync_request(int fd) noexcept;
IoRequest ftruncate_request(int fd, std::uint64_t size) noexcept;
IoRequest fallocate_request(int fd, std::uint64_t offset, std::uint64_t length) noexcept;
IoRequest statx_request(int directory, const char* path, int flags, unsigned mask,
                        struct statx* result) noexcept;
IoRequest mkdir_request(const char* path, unsigned mode) noexcept;
IoRequest unlink_request(int directory, const char* path, int flags) noexcept;
IoRequest rename_request(int from_directory, const char* from, int to_directory, const char* to,
                         unsigned flags) noexcept;
IoRequest symlink_request(const char* target, const char* path) noexcept;
IoRequest link_request(const char* from, const char* to) noexcept;

// "open path: No such file or directory (errno 2)". `result` is -errno.
absl::Status path_error(std::int32_t result, const char* call, const std::string& path);

// As statx(2); `path` empty: of the descriptor.
Task<absl::StatusOr<FileMetadata>> metadata_at(int directory, std::string path, int flags);

}  // namespace skua::internal
