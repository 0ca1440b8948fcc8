// SPDX-License-Identifier: Apache-2.0
//
// What is in a directory, and in all below it.
#pragma once

#include <climits>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/fs/metadata.h"
#include "skua/task.h"

namespace skua {

// A name in a directory.
struct DirectoryEntry {
  std::string name;  // Without the directory.
  // Of the entry itself, not of what a symbolic link leads to. kUnknown: it was gone again.
  FileType type = FileType::kUnknown;
};

// One thing that a walk has met.
struct WalkEntry {
  std::string path;  // The root's, with the names below it.
  FileType type = FileType::kUnknown;
  int depth = 0;  // The root: 0.
  // Not ok: what stands at `path` could not be looked at, or, a directory, not be read (to its end).
  absl::Status status;
};

// How far a walk goes.
struct WalkOptions {
  // Directories at this depth are given, but not entered.
  int depth_max = INT_MAX;
};

namespace fs {

// Goes through a tree of files, depth first: a directory, then what is in it, in the order of the names, each before
// the next. Symbolic links are given, not followed; but who may put one in the place of a directory
// above, meanwhile, can lead the walk elsewhere. The directories are opened by their paths: below PATH_MAX, 4096
// bytes, the walk meets ENAMETOOLONG, and says so.
//
//   skua::fs::Walker walker = skua::fs::walk("src");
//   while (std::optional<skua::WalkEntry> entry = co_await walker.next()) { ... }
//
// Threads: one task at a time.
class Walker {
 public:
  // Looks at nothing yet, and may be made outside a runtime.
  explicit Walker(std::string root, WalkOptions options = {});

  // The next entry; nullopt: there is no more. An error is an entry, with a status: the walk goes on behind it, and
  // what could be read of a directory is given. A directory that could not be read is given twice, first as an entry.
  //
  // Cancellation: safe; nothing is skipped.
  // Lifetime: the Walker outlives the await.
  Task<std::optional<WalkEntry>> next();

  // The directory that next() has given last is not entered.
  void skip_children() noexcept { enter_.reset(); }

 private:
  struct Place {
    std::string path;
    FileType type;
    int depth;
  };

  const WalkOptions options_;
  std::optional<std::string> root_;  // Not looked at yet.
  std::optional<Place> enter_;       // The directory that was given last.
  std::vector<Place> pending_;       // From the back.
};

// A walk of the tree at `root`.
inline Walker walk(std::string root, WalkOptions options = {}) {
  return Walker(std::move(root), options);
}

// What is in a directory, without "." and "..", in no particular order, all at once: a directory of a million files
// takes their names' memory.
//
// Errors: the errno of openat(2) or getdents64(2), with the path.
// Cancellation: safe.
// Requires: awaited on a runtime.
Task<absl::StatusOr<std::vector<DirectoryEntry>>> read_dir(std::string path);

}  // namespace fs
}  // namespace skua
