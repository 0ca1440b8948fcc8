// SPDX-License-Identifier: Apache-2.0
#include "walk.h"

#include <algorithm>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <iterator>
#include <memory>
#include <sys/stat.h>
#include <utility>

#include "skua/skua.h"

namespace checksums {
namespace {

using Paths = std::vector<std::string>;

struct Listing {
  Paths files;
  Paths directories;
};

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// The file type bits of st_mode; -1, with errno set, if they cannot be had.
int type_of(DIR* directory, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return DTTOIF(entry.d_type);
  struct stat status = {};
  if (fstatat(dirfd(directory), entry.d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  return static_cast<int>(status.st_mode & S_IFMT);
}

// Blocks.
Listing list_directory(const std::string& path, Progress* progress) {
  Listing listing;
  const std::unique_ptr<DIR, CloseDirectory> directory(opendir(path.c_str()));
  if (directory == nullptr) {
    progress->error(path, errno);
    return listing;
  }
  const std::string prefix = path.ends_with('/') ? path : path + "/";
  for (;;) {
    errno = 0;
    const dirent* const entry = readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) progress->error(path, errno);
      break;
    }
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    const int type = type_of(directory.get(), *entry);
    if (type == -1) {
      const int error = errno;
      progress->error(prefix + name, error);
    } else if (type == S_IFREG) {
      listing.files.push_back(prefix + name);
    } else if (type == S_IFDIR) {
      listing.directories.push_back(prefix + name);
    }
  }
  progress->add_files_found(listing.files.size());
  return listing;
}

// Not sorted. Sibling directories are listed in parallel.
skua::Task<Paths> walk(std::string path, Progress* progress) {
  auto job = skua::spawn_blocking([path, progress] { return list_directory(path, progress); });
  Listing listing = co_await std::move(job);

  std::vector<skua::Task<Paths>> subtrees;
  subtrees.reserve(listing.directories.size());
  for (std::string& directory : listing.directories) {
    subtrees.push_back(walk(std::move(directory), progress));
  }
  std::vector<Paths> below = co_await skua::when_all(std::move(subtrees));

  Paths files = std::move(listing.files);
  for (Paths& paths : below) {
    files.insert(files.end(), std::make_move_iterator(paths.begin()),
                 std::make_move_iterator(paths.end()));
  }
  co_return files;
}

}  // namespace

skua::Task<Paths> find_files(std::string path, Progress* progress) {
  Paths files;
  const absl::StatusOr<skua::FileMetadata> metadata = co_await skua::fs::metadata(path);
  if (!metadata.ok()) {
    progress->error(path, metadata.status());
  } else if (metadata->is_regular()) {
    progress->add_files_found(1);
    files.push_back(std::move(path));
  } else if (metadata->is_directory()) {
    files = co_await walk(std::move(path), progress);
    std::sort(files.begin(), files.end());
  } else {
    progress->error(path, "Not a regular file or directory");
  }
  co_return files;
}

}  // namespace checksums
