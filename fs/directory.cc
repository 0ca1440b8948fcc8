// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/directory.h"

#include <algorithm>
#include <fcntl.h>
#include <utility>

#include "base/unique_fd.h"
#include "fs/directory_reader.h"
#include "fs/requests.h"

namespace skua::fs {

using internal::IoAwaiter;
using internal::path_error;
using internal::UniqueFd;
using internal::UnknownTypes;

Task<absl::StatusOr<std::vector<DirectoryEntry>>> read_dir(std::string path) {
  const UniqueFd directory(co_await IoAwaiter(
      internal::open_request(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY, 0)));
  if (!directory) {
    const int error = directory.get();
    co_return path_error(error, "open", path);
  }
  std::vector<DirectoryEntry> entries;
  const absl::Status status =
      co_await internal::read_entries(directory.get(), path, UnknownTypes::kLookUp, &entries);
  if (!status.ok()) co_return status;
  co_return entries;
}

Walker::Walker(std::string root, WalkOptions options) : options_(options), root_(std::move(root)) {}

// What has been done is written down after the last await, so that an abort skips nothing.
Task<std::optional<WalkEntry>> Walker::next() {
  std::optional<WalkEntry> found;
  if (root_.has_value()) {
    const std::string path = *root_;
    const absl::StatusOr<FileMetadata> metadata = co_await symlink_metadata(path);
    found.emplace();
    found->path = path;
    if (metadata.ok()) {
      found->type = metadata->type();
    } else {
      found->status = metadata.status();
    }
    root_.reset();
  } else {
    if (enter_.has_value()) {
      const Place here = *enter_;
      const UniqueFd directory(co_await IoAwaiter(internal::open_request(
          AT_FDCWD, here.path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)));
      absl::Status status;
      std::vector<DirectoryEntry> entries;
      if (directory) {
        status = co_await internal::read_entries(directory.get(), here.path, UnknownTypes::kLookUp,
                                                 &entries);
      } else {
        const int error = directory.get();
        status = path_error(error, "open", here.path);
      }
      std::sort(entries.begin(), entries.end(),
                [](const DirectoryEntry& a, const DirectoryEntry& b) { return b.name < a.name; });
      const std::string prefix = here.path.ends_with('/') ? here.path : here.path + "/";
      for (const DirectoryEntry& entry : entries) {
        pending_.push_back(
            {.path = prefix + entry.name, .type = entry.type, .depth = here.depth + 1});
      }
      enter_.reset();
      if (!status.ok()) {
        found.emplace();
        found->path = here.path;
        found->type = here.type;
        found->depth = here.depth;
        found->status = status;
        co_return found;
      }
    }
    if (pending_.empty()) co_return std::nullopt;
    Place place = std::move(pending_.back());
    pending_.pop_back();
    found.emplace();
    found->path = std::move(place.path);
    found->type = place.type;
    found->depth = place.depth;
  }
  if (found->status.ok() && found->type == FileType::kDirectory &&
      found->depth < options_.depth_max) {
    enter_.emplace(Place{.path = found->path, .type = found->type, .depth = found->depth});
  }
  co_return found;
}

}  // namespace skua::fs
