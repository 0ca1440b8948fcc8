// SPDX-License-Identifier: Apache-2.0
//
// Reads an open directory. There is no operation of the ring for it: the blocking pool calls getdents64(2).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "skua/fs/directory.h"
#include "skua/task.h"

namespace skua::internal {

// What becomes of entries whose type the file system does not tell: they are looked up one by one, or stay kUnknown.
enum class UnknownTypes : std::uint8_t { kLookUp, kStay };

// Appends what is in the directory `fd`; in case of an error what was read before. `path` is for messages.
//
// Lifetime: `fd` stays open, and `entries` stays, until it is done.
Task<absl::Status> read_entries(int fd, std::string path, UnknownTypes unknown,
                                std::vector<DirectoryEntry>* entries);

}  // namespace skua::internal
