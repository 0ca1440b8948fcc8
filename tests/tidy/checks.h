// SPDX-License-Identifier: Apache-2.0
//
// The rules of docs/STYLE.md that a machine can check, as functions of text: they read no file, so
// their own test (checks_test.cc) can feed them violations.
//
// Paths are relative to the root of the repository, with forward slashes. Each function returns one
// sentence for each violation, and nothing if all is well.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skua::tidy {

using Violations = std::vector<std::string>;

struct Include {
  int line = 0;  // From 1.
  std::string path;
  bool quoted = false;
};

// The include directives of a source, in order.
std::vector<Include> includes_of(std::string_view source);

// `source` with comments and the contents of literals replaced by spaces; lines keep their numbers.
std::string code_of(std::string_view source);

// The names of the private modules.
const std::vector<std::string>& modules();

// The module folder that `path` is in, or nothing.
std::string_view module_of(std::string_view path);

// No include that the layering table forbids, in a header of include/ or in a file of a module.
Violations check_layering(std::string_view path, std::string_view source);

// No banned word. Which words, and where they are allowed: the table in checks.cc.
Violations check_words(std::string_view path, std::string_view source);

// The licence line, `#pragma once`, the own header first, lines and files of a readable size.
Violations check_form(std::string_view path, std::string_view source);

// Files that belong together have the same name in the mirrored folders. `paths`: all files.
// `template_only`: the headers of include/ that need no counterpart; one that has a counterpart, or
// does not exist, is a violation too, so that the list stays true.
Violations check_mirror(const std::set<std::string>& paths,
                        const std::set<std::string>& template_only);

}  // namespace skua::tidy
