// SPDX-License-Identifier: Apache-2.0
//
// Whole files at once.
//
//   absl::StatusOr<std::string> config = co_await skua::fs::read_file("app.conf");
//   co_await skua::fs::write_file("app.conf", *std::move(config), {.atomic = true});
//
// Requires, of all below: awaited on a runtime; any number of tasks may do so at the same time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/task.h"

namespace skua::fs {

// How much is read.
struct ReadFileOptions {
  std::size_t size_max = SIZE_MAX;  // Bytes.
};

// What is in the file.
//
// Errors: the errno of the system call, with the path. kResourceExhausted without an errno - more than size_max bytes.
// Cancellation: safe.
Task<absl::StatusOr<std::string>> read_file(std::string path, ReadFileOptions options = {});

// How a file is written.
struct WriteFileOptions {
  // Permissions of a file that is created, less the umask.
  unsigned mode = 0666;
  // The file is on the disk when this returns (fsync).
  bool sync = false;
  // Whoever opens the path sees the old content or the new one, never a part, also after a crash, and the new one is on
  // the disk when this returns: it is written to another file of the directory (.skua-*.tmp), synced, put in the place
  // of the old one by a rename, and the directory is synced. The file is a new one: permissions, owner, and other names
  // of the old one are not kept, and a symbolic link is replaced, not followed.
  bool atomic = false;
};

// Makes `data` the content of the file, which is created if there is none.
//
// Errors: the errno of the system call, with the path. Atomic: the old content is there, and the temporary file is not;
//   but if only the last step has failed (the message says: fsync of the directory), the new one is there, and perhaps
//   not after a crash. Not atomic: a part may have been written.
// Cancellation: safe. Atomic: the old content is there, or the new one, and no temporary file is left: it is removed
//   at once, by a call on the worker. (A process that is killed leaves it behind.)
Task<absl::Status> write_file(std::string path, std::string data, WriteFileOptions options = {});

// Copies the content of a regular file, and its permissions (0777). The kernel copies, or shares the blocks, where it
// can; holes stay holes. What was at `to` is overwritten, and its owner stays.
//
// Returns: the size, in bytes.
// Errors: the errno of the system call, with the path; `to` may have a part then. EINVAL - the two are the same file,
//   or `from` is no regular file.
// Cancellation: safe; `to` may have a part.
Task<absl::StatusOr<std::uint64_t>> copy(std::string from, std::string to);

}  // namespace skua::fs
