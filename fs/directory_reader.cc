// SPDX-License-Identifier: Apache-2.0
#include "fs/directory_reader.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <string_view>

#include "fs/requests.h"
#include "skua/status.h"

namespace skua::internal {
namespace {

struct Getdents {
  static constexpr std::size_t kSize = 32768;

  explicit Getdents(int directory)
      : fd(directory), buffer(std::make_unique_for_overwrite<std::byte[]>(kSize)) {}
  static std::int32_t call(void* self) noexcept {
    auto* const getdents = static_cast<Getdents*>(self);
    const ssize_t size = ::getdents64(getdents->fd, getdents->buffer.get(), kSize);
    return size < 0 ? -errno : static_cast<std::int32_t>(size);
  }

  const int fd;
  const std::unique_ptr<std::byte[]> buffer;
};

FileType type_of(unsigned char type) noexcept {
  switch (type) {
    case DT_REG:
      return FileType::kRegular;
    case DT_DIR:
      return FileType::kDirectory;
    case DT_LNK:
      return FileType::kSymlink;
    case DT_FIFO:
      return FileType::kFifo;
    case DT_SOCK:
      return FileType::kSocket;
    case DT_CHR:
      return FileType::kCharacterDevice;
    case DT_BLK:
      return FileType::kBlockDevice;
    default:
      return FileType::kUnknown;
  }
}

void parse(const std::byte* buffer, std::size_t size, std::vector<DirectoryEntry>* entries) {
  for (std::size_t at = 0; at < size;) {
    const auto* const record = reinterpret_cast<const dirent64*>(buffer + at);
    const std::string_view name(record->d_name);
    if (name != "." && name != "..") {
      entries->push_back({.name = std::string(name), .type = type_of(record->d_type)});
    }
    at += record->d_reclen;
  }
}

}  // namespace

Task<absl::Status> read_entries(int fd, std::string path, UnknownTypes unknown,
                                std::vector<DirectoryEntry>* entries) {
  const std::size_t before = entries->size();
  absl::Status status;
  {
    Getdents getdents(fd);
    for (;;) {
      const int size = co_await IoAwaiter(IoRequest::call(&Getdents::call, &getdents));
      if (size < 0) status = path_error(size, "getdents", path);
      if (size <= 0) break;
      parse(getdents.buffer.get(), static_cast<std::size_t>(size), entries);
    }
  }
  if (unknown == UnknownTypes::kStay) co_return status;
  for (std::size_t i = before; i < entries->size(); ++i) {
    if ((*entries)[i].type != FileType::kUnknown) continue;
    const std::string name = (*entries)[i].name;
    const absl::StatusOr<FileMetadata> metadata =
        co_await metadata_at(fd, name, AT_SYMLINK_NOFOLLOW);
    if (metadata.ok()) {
      (*entries)[i].type = metadata->type();
    } else if (errno_of(metadata.status()) != ENOENT && status.ok()) {
      status = metadata.status();
    }
  }
  co_return status;
}

}  // namespace skua::internal
