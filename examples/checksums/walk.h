// SPDX-License-Identifier: Apache-2.0
//
// Which files a PATH argument stands for.
#pragma once

#include <string>
#include <vector>

#include "progress.h"
#include "skua/task.h"

namespace checksums {

// The regular files of the tree `path`, sorted by the bytes of their paths; `path` itself if it is
// a file. Symbolic links inside the tree are not followed, and what is neither a file nor a
// directory is left out.
//
// Errors: what cannot be listed is reported to `progress` and left out.
// Cancellation: safe.
// Lifetime: `progress` outlives the runtime: a directory that is being listed is listed to its end.
skua::Task<std::vector<std::string>> find_files(std::string path, Progress* progress);

}  // namespace checksums
