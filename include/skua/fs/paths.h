// SPDX-License-Identifier: Apache-2.0
//
// What is done to names: create, remove, rename, link.
//
// Errors of all below: the errno of the system call (skua::errno_of), with the path.
// Cancellation of all below: safe; it was done, or it was not. remove_all() may have removed a part.
// Requires, of all below: awaited on a runtime; any number of tasks may do so at the same time.
#pragma once

#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/task.h"

namespace skua::fs {

// Creates a directory. `mode`: its permissions, less the umask.
//
// Errors: kAlreadyExists - something has that name.
Task<absl::Status> create_dir(std::string path, unsigned mode = 0777);

// The same, with all the directories above it that are missing. No error if it is there already.
//
// Errors: ENOTDIR, EEXIST - a part of the path is something else than a directory.
Task<absl::Status> create_dir_all(std::string path, unsigned mode = 0777);

// Removes a file, a symbolic link itself, or an empty directory.
//
// Errors: ENOTEMPTY - a directory with something in it.
Task<absl::Status> remove(std::string path);

// Removes what `path` names, with all that is below it, as rm -r does. Symbolic links are removed, not followed, also
// if somebody puts one in the place of a directory meanwhile: all is done relative to open directories, of which it
// takes one descriptor for each level.
//
// Returns: how many files and directories were removed. 0: there is nothing of that name.
// Errors: the first one; what can be removed all the same is removed.
Task<absl::StatusOr<std::uint64_t>> remove_all(std::string path);

// How a name is given.
struct RenameOptions {
  bool no_replace =
      false;  // EEXIST if there is something at the new name, which is replaced otherwise.
};

// Gives a file or directory another name on the same file system, in one step for everybody who looks.
//
// Errors: EXDEV - another file system: copy and remove.
Task<absl::Status> rename(std::string from, std::string to, RenameOptions options = {});

// Another name for the file `existing`.
Task<absl::Status> hard_link(std::string existing, std::string path);
// Makes `path` a symbolic link to `target`, which need not exist.
Task<absl::Status> symlink(std::string target, std::string path);
// What the symbolic link says.
//
// Errors: EINVAL - it is none.
Task<absl::StatusOr<std::string>> read_link(std::string path);

}  // namespace skua::fs
