// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/metadata.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <utility>

#include "fs/requests.h"

namespace skua {

FileType FileMetadata::type() const noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return FileType::kRegular;
    case S_IFDIR:
      return FileType::kDirectory;
    case S_IFLNK:
      return FileType::kSymlink;
    case S_IFIFO:
      return FileType::kFifo;
    case S_IFSOCK:
      return FileType::kSocket;
    case S_IFCHR:
      return FileType::kCharacterDevice;
    case S_IFBLK:
      return FileType::kBlockDevice;
    default:
      return FileType::kUnknown;
  }
}

Task<absl::StatusOr<FileMetadata>> fs::metadata(std::string path) {
  return internal::metadata_at(AT_FDCWD, std::move(path), 0);
}

Task<absl::StatusOr<FileMetadata>> fs::symlink_metadata(std::string path) {
  return internal::metadata_at(AT_FDCWD, std::move(path), AT_SYMLINK_NOFOLLOW);
}

}  // namespace skua
