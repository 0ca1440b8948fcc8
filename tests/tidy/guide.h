// SPDX-License-Identifier: Apache-2.0
//
// The documents: each block of C++ in the guide is an excerpt of a program, and each link leads somewhere. As checks.h:
// functions of text.
//
//   in a chapter        <!-- code/tasks.cc [spawn] -->
//                       ```cpp
//                       ...
//                       ```
//   in code/tasks.cc    // [spawn]
//                       ...
//                       // [/spawn]
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "tests/tidy/checks.h"

namespace skua::tidy {

struct Excerpts {
  std::map<std::string, std::string>
      by_name;            // Without the indentation that their lines have in common.
  Violations violations;  // Marks that do not match, names that stand twice.
};

// What stands between the marks of the source at `path`.
Excerpts excerpts_of(std::string_view path, std::string_view source);

// Each block of C++ in a chapter names its excerpt, and is equal to it. `programs`: the sources by the names that
// chapters use ("code/tasks.cc"). The excerpts that are shown ("code/tasks.cc [spawn]") are added to `shown`.
Violations check_blocks(std::string_view path, std::string_view chapter,
                        const std::map<std::string, Excerpts>& programs,
                        std::set<std::string>* shown);

// Each link of a document that leads to a file or a folder of the repository finds it, and a heading, if it names one.
// `documents`: the text of each file by its path relative to the root; `is_there` says the same of what is no document.
Violations check_links(std::string_view path, std::string_view document,
                       const std::map<std::string, std::string>& documents,
                       bool (*is_there)(const std::string& path));

}  // namespace skua::tidy
