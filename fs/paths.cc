// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/paths.h"

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "fs/directory_reader.h"
#include "fs/requests.h"
#include "skua/fs/directory.h"
#include "skua/fs/metadata.h"

namespace skua {

using internal::IoAwaiter;
using internal::path_error;

Task<absl::Status> fs::create_dir(std::string path, unsigned mode) {
  const int result = co_await IoAwaiter(internal::mkdir_request(path.c_str(), mode));
  if (result < 0) co_return path_error(result, "mkdir", path);
  co_return absl::OkStatus();
}

// From the end upwards to what is there already, or can be made, and down again. So a prefix that may not be looked at
// does no harm.
Task<absl::Status> fs::create_dir_all(std::string path, unsigned mode) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::vector<std::size_t> missing;  // Lengths of the prefixes that are still to be made.
  std::size_t length = path.size();
  for (;;) {
    const std::string prefix = path.substr(0, length);
    const int result = co_await IoAwaiter(internal::mkdir_request(prefix.c_str(), mode));
    if (result == -EEXIST) {
      const absl::StatusOr<FileMetadata> metadata =
          co_await internal::metadata_at(AT_FDCWD, prefix, 0);
      if (!metadata.ok()) co_return metadata.status();
      if (!metadata->is_directory()) co_return path_error(result, "mkdir", prefix);
    }
    if (result == 0 || result == -EEXIST) {
      if (missing.empty()) co_return absl::OkStatus();
      length = missing.back();
      missing.pop_back();
      continue;
    }
    const std::size_t slash = prefix.find_last_of('/');
    // Else nothing that a directory above it would mend.
    if (result != -ENOENT || slash == std::string::npos || slash == 0) {
      co_return path_error(result, "mkdir", prefix);
    }
    missing.push_back(length);
    length = slash;
    while (length > 1 && path[length - 1] == '/') --length;
  }
}

Task<absl::Status> fs::remove(std::string path) {
  int result = co_await IoAwaiter(internal::unlink_request(AT_FDCWD, path.c_str(), 0));
  if (result == -EISDIR) {
    result = co_await IoAwaiter(internal::unlink_request(AT_FDCWD, path.c_str(), AT_REMOVEDIR));
  }
  if (result < 0) co_return path_error(result, "unlink", path);
  co_return absl::OkStatus();
}

namespace {

// A directory that is being emptied.
struct Level {
  Level(internal::UniqueFd directory, std::string its_path, std::vector<DirectoryEntry> its_entries)
      : fd(std::move(directory)), path(std::move(its_path)), entries(std::move(its_entries)) {}

  internal::UniqueFd fd;
  std::string path;  // For messages. Its last part is its name in the level above.
  std::vector<DirectoryEntry> entries;  // From the back.
  bool keeps_something = false;
};

constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

}  // namespace

Task<absl::StatusOr<std::uint64_t>> fs::remove_all(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::uint64_t removed = 0;
  absl::Status first_error;
  std::vector<Level> levels;
  std::string name = path;  // Relative to the innermost level.
  for (;;) {
    // Removes `name`, or goes down into it.
    const int at = levels.empty() ? AT_FDCWD : levels.back().fd.get();
    const std::string name_path = levels.empty() ? path : levels.back().path + "/" + name;
    absl::Status error;
    const int unlinked = co_await IoAwaiter(internal::unlink_request(at, name.c_str(), 0));
    if (unlinked == 0) {
      ++removed;
    } else if (unlinked == -EISDIR || unlinked == -EACCES || unlinked == -EPERM) {
      // Permissions are looked at first: it may be a directory all the same, and what is in it may go.
      internal::UniqueFd opened(
          co_await IoAwaiter(internal::open_request(at, name.c_str(), kOpenDirectory, 0)));
      if (opened) {
        const int fd = opened.get();
        std::vector<DirectoryEntry> entries;
        const absl::Status listed =
            co_await internal::read_entries(fd, name_path, internal::UnknownTypes::kStay, &entries);
        levels.emplace_back(std::move(opened), name_path, std::move(entries));
        if (!listed.ok() && first_error.ok()) first_error = listed;
      } else {
        const int denied = opened.get();
        const bool no_directory = denied == -ENOTDIR || denied == -ELOOP;
        if (no_directory && unlinked == -EISDIR) continue;  // It has just become something else.
        if (no_directory) {
          error = path_error(unlinked, "unlink", name_path);
        } else if (denied != -ENOENT) {
          error = path_error(denied, "open", name_path);
        }
      }
    } else if (unlinked != -ENOENT) {  // Else somebody else was faster, or there is none.
      error = path_error(unlinked, "unlink", name_path);
    }
    // Goes up as long as levels are empty.
    for (;;) {
      if (!error.ok()) {
        if (first_error.ok()) first_error = error;
        if (!levels.empty()) levels.back().keeps_something = true;
      }
      if (levels.empty() || !levels.back().entries.empty()) break;
      error = absl::OkStatus();
      const std::string level_path = std::move(levels.back().path);
      const bool keeps_something = levels.back().keeps_something;
      levels.pop_back();
      if (keeps_something) {
        if (!levels.empty()) levels.back().keeps_something = true;
        continue;
      }
      const int above = levels.empty() ? AT_FDCWD : levels.back().fd.get();
      const std::string level_name =
          levels.empty() ? level_path : level_path.substr(level_path.find_last_of('/') + 1);
      const int result =
          co_await IoAwaiter(internal::unlink_request(above, level_name.c_str(), AT_REMOVEDIR));
      if (result == 0) {
        ++removed;
      } else if (result != -ENOENT) {
        error = path_error(result, "rmdir", level_path);
      }
    }
    if (levels.empty()) break;
    name = std::move(levels.back().entries.back().name);
    levels.back().entries.pop_back();
  }
  if (!first_error.ok()) co_return first_error;
  co_return removed;
}

Task<absl::Status> fs::rename(std::string from, std::string to, RenameOptions options) {
  const unsigned flags = options.no_replace ? RENAME_NOREPLACE : 0;
  const int result = co_await IoAwaiter(
      internal::rename_request(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags));
  if (result < 0) co_return path_error(result, "rename", from + " to " + to);
  co_return absl::OkStatus();
}

Task<absl::Status> fs::hard_link(std::string existing, std::string path) {
  const int result = co_await IoAwaiter(internal::link_request(existing.c_str(), path.c_str()));
  if (result < 0) co_return path_error(result, "link", existing + " as " + path);
  co_return absl::OkStatus();
}

Task<absl::Status> fs::symlink(std::string target, std::string path) {
  const int result = co_await IoAwaiter(internal::symlink_request(target.c_str(), path.c_str()));
  if (result < 0) co_return path_error(result, "symlink", path + " to " + target);
  co_return absl::OkStatus();
}

namespace {

struct ReadLink {
  explicit ReadLink(std::string link) : path(std::move(link)), target(PATH_MAX, '\0') {}
  static std::int32_t call(void* self) noexcept {
    auto* const link = static_cast<ReadLink*>(self);
    const ssize_t size = ::readlink(link->path.c_str(), link->target.data(), link->target.size());
    return size < 0 ? -errno : static_cast<std::int32_t>(size);
  }

  const std::string path;
  std::string target;  // The kernel takes no longer one.
};

}  // namespace

Task<absl::StatusOr<std::string>> fs::read_link(std::string path) {
  ReadLink link(std::move(path));
  const int size = co_await IoAwaiter(internal::IoRequest::call(&ReadLink::call, &link));
  if (size < 0) co_return path_error(size, "readlink", link.path);
  link.target.resize(static_cast<std::size_t>(size));
  co_return std::move(link.target);
}

}  // namespace skua
