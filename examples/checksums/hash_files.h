// SPDX-License-Identifier: Apache-2.0
//
// The digests of many files, a bounded number of them open at a time.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "progress.h"
#include "sha256.h"
#include "skua/task.h"

namespace checksums {

// Hashes each file of `paths`, one task per file, at most `open_max` (at least 1) of them at a
// time. Each needs two chunks of 256 KiB at most, whatever the size of the file.
//
// Returns: the digests in the order of `paths`; none where a file could not be read.
// Errors: reported to `progress`.
// Cancellation: the tasks of the files that are open run on.
// Lifetime: `paths` and `progress` outlive the runtime.
skua::Task<std::vector<std::optional<Digest>>> hash_files(const std::vector<std::string>* paths,
                                                          std::size_t open_max, Progress* progress);

}  // namespace checksums
