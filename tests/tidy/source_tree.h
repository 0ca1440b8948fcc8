// SPDX-License-Identifier: Apache-2.0
//
// The repository's own files, read from the source directory that the test was configured with.
#pragma once

#include <map>
#include <set>
#include <string>

namespace skua::tidy {

// The text of each file that a person wrote, by its path relative to the root. Builds, packaging and version control
// are left out.
const std::map<std::string, std::string>& source_files();

// The paths alone.
std::set<std::string> source_paths();

}  // namespace skua::tidy
