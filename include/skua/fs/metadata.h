// SPDX-License-Identifier: Apache-2.0
//
// What the kernel says of a file.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <absl/status/statusor.h>

#include "skua/task.h"

namespace skua {

// What stands behind a name.
enum class FileType : std::uint8_t {
  kUnknown,
  kRegular,
  kDirectory,
  kSymlink,
  kFifo,
  kSocket,
  kCharacterDevice,
  kBlockDevice,
};

// A value.
struct FileMetadata {
  using Time = std::chrono::sys_time<std::chrono::nanoseconds>;

  std::uint64_t size = 0;  // Bytes.
  std::uint64_t blocks =
      0;  // Of 512 bytes that it takes on the disk; fewer than the size says if it has holes.
  unsigned mode = 0;        // st_mode: type and permissions.
  std::uint32_t links = 0;  // Names that it has.
  std::uint32_t user = 0;   // Ids of its owner.
  std::uint32_t group = 0;
  std::uint64_t device = 0;  // Two files are the same if device and inode are.
  std::uint64_t inode = 0;
  Time accessed{};
  Time modified{};  // The content.
  Time changed{};   // The content or these data.

  // What the mode says.
  FileType type() const noexcept;
  // The permissions alone: 07777.
  unsigned permissions() const noexcept { return mode & 07777U; }
  bool is_regular() const noexcept { return type() == FileType::kRegular; }
  bool is_directory() const noexcept { return type() == FileType::kDirectory; }
  bool is_symlink() const noexcept { return type() == FileType::kSymlink; }
  bool is_same_file(const FileMetadata& other) const noexcept {
    return device == other.device && inode == other.inode;
  }
};

namespace fs {

// The metadata of what `path` names; of the target, if it is a symbolic link.
//
// Errors: the errno of statx(2), with the path. kNotFound: there is nothing, which is how to ask whether there is.
// Cancellation: safe.
// Requires, here and below: awaited on a runtime; any number of tasks may do so at the same time.
Task<absl::StatusOr<FileMetadata>> metadata(std::string path);

// The same, but of the link itself, if it is one.
Task<absl::StatusOr<FileMetadata>> symlink_metadata(std::string path);

}  // namespace fs
}  // namespace skua
