// SPDX-License-Identifier: Apache-2.0
#include "tests/tidy/checks.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <sstream>

namespace skua::tidy {
namespace {

constexpr int kLineColumnsMax = 120;
constexpr int kFileLinesMax = 600;

// --- The layering table: who may include whose private headers --------------------------------

const std::map<std::string, std::set<std::string>, std::less<>>& layering() {
  static const std::map<std::string, std::set<std::string>, std::less<>> table = {
      {"base", {}},
      {"task", {"base"}},
      {"scheduler", {"base", "task"}},
      {"time", {"base", "task"}},
      {"io_driver", {"base", "task"}},
      {"blocking_pool", {"base", "task"}},
      {"sync", {"base", "task"}},
      {"workers", {"base", "task", "scheduler", "time", "io_driver"}},
      {"io", {"base", "task"}},
      {"net", {"base", "task", "io_driver"}},
      {"fs", {"base", "task", "io_driver", "blocking_pool"}},
      {"runtime", {"base", "task", "scheduler", "time", "io_driver", "blocking_pool", "workers"}},
  };
  return table;
}

// Third-party headers that one module wraps for the others.
const std::map<std::string, std::set<std::string>>& wrapped_headers() {
  static const std::map<std::string, std::set<std::string>> table = {
      {"liburing", {"io_driver", "net", "fs"}},
      {"concurrentqueue/", {"scheduler", "blocking_pool"}},
  };
  return table;
}

// --- Small helpers ----------------------------------------------------------------------------

bool starts_with_folder(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.substr(0, folder.size()) == folder &&
         path[folder.size()] == '/';
}

std::string_view stem_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return name.substr(0, name.rfind('.'));
}

bool is_cpp(std::string_view path) { return path.ends_with(".h") || path.ends_with(".cc"); }

// What people read as code, C++ or not: the sources of the bench's peers, scripts.
bool is_code(std::string_view path, std::string_view source) {
  return is_cpp(path) || path.ends_with(".py") || path.ends_with(".rs") || path.ends_with(".go") ||
         source.starts_with("#!");
}

std::vector<std::string> lines_of(std::string_view source) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(source)};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Characters, not bytes: UTF-8's continuation bytes take no column.
int columns_of(std::string_view line) {
  return static_cast<int>(std::count_if(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string at(std::string_view path, size_t line, std::string_view what) {
  return std::string(path) + ":" + std::to_string(line) + ": " + std::string(what);
}

bool is_std_header(const std::string& path) {
  static const std::regex pattern("[a-z_0-9]+");
  return std::regex_match(path, pattern);
}

}  // namespace

const std::vector<std::string>& modules() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const auto& [name, allowed] : layering()) result.push_back(name);
    return result;
  }();
  return names;
}

std::string_view module_of(std::string_view path) {
  for (const std::string& module : modules()) {
    if (starts_with_folder(path, module)) return module;
  }
  return {};
}

std::vector<Include> includes_of(std::string_view source) {
  static const std::regex pattern(R"re(^\s*#\s*include\s*(["<])([^">]+)[">])re");
  std::vector<Include> includes;
  int number = 0;
  for (const std::string& line : lines_of(source)) {
    ++number;
    if (line.find("include") == std::string::npos) continue;
    std::smatch match;
    if (std::regex_search(line, match, pattern)) {
      includes.push_back({number, match[2].str(), match[1].str() == "\""});
    }
  }
  return includes;
}

std::string code_of(std::string_view source) {
  std::string code(source);
  const auto blank = [&](size_t from, size_t to) {
    for (size_t i = from; i < std::min(to, code.size()); ++i) {
      if (code[i] != '\n') code[i] = ' ';
    }
  };
  const auto end_of = [&](std::string_view mark, size_t from) {
    const size_t found = source.find(mark, from);
    return found == std::string_view::npos ? source.size() : found;
  };
  for (size_t i = 0; i < source.size();) {
    const std::string_view rest = source.substr(i);
    const bool in_word = i > 0 && (std::isalnum(static_cast<unsigned char>(source[i - 1])) != 0);
    size_t end = i + 1;
    if (rest.starts_with("//")) {
      end = end_of("\n", i);
      blank(i, end);
    } else if (rest.starts_with("/*")) {
      end = end_of("*/", i + 2) + 2;
      blank(i, end);
    } else if (rest.starts_with("R\"")) {
      const size_t open = end_of("(", i);
      const std::string close = ")" + std::string(source.substr(i + 2, open - i - 2)) + "\"";
      end = end_of(close, open) + close.size();
      blank(i, end);
    } else if (rest[0] == '"' || (rest[0] == '\'' && !in_word)) {  // 10'000 is no literal.
      while (end < source.size() && source[end] != rest[0] && source[end] != '\n') {
        end += source[end] == '\\' ? 2 : 1;
      }
      blank(i + 1, end);
      ++end;
    }
    i = end;
  }
  return code;
}

Violations check_layering(std::string_view path, std::string_view source) {
  Violations violations;
  const std::string module(module_of(path));
  const bool is_public = starts_with_folder(path, "include");
  if (module.empty() && !is_public) return violations;

  for (const Include& include : includes_of(source)) {
    const auto report = [&](std::string_view why) {
      violations.push_back(at(path, static_cast<size_t>(include.line),
                              "includes " + include.path + ": " + std::string(why)));
    };
    const bool is_ours = starts_with_folder(include.path, "skua");
    if (is_public) {
      if (!is_ours && (include.quoted || (!is_std_header(include.path) &&
                                          !starts_with_folder(include.path, "absl/status")))) {
        report("a public header includes skua/, the standard library and absl/status only");
      } else if (include.path == "skua/skua.h") {
        report("it includes every public header");
      }
      continue;
    }
    if (!include.quoted) {
      if (is_ours) report("our own headers are included with quotes");
      for (const auto& [prefix, users] : wrapped_headers()) {
        if (include.path.starts_with(prefix) && !users.contains(module)) {
          report("another module wraps it");
        }
      }
      continue;
    }
    if (is_ours) {
      if (include.path == "skua/skua.h") report("it includes every public header");
      continue;
    }
    const std::string_view target = module_of(include.path);
    if (target.empty()) {
      report("private headers are spelled from the root, as \"module/header.h\"");
    } else if (target != module && !layering().at(module).contains(std::string(target))) {
      report(module + " must not know " + std::string(target));
    }
  }
  return violations;
}

Violations check_words(std::string_view path, std::string_view source) {
  struct BannedWord {
    std::string_view part;  // Of each match: few lines need the slow search.
    std::regex pattern;
    bool in_comments_too;
    std::vector<std::string> allowed_in;  // Folders.
    std::string_view why;
  };
  // [T] and [F] keep this file clear of its own rules.
  static const std::vector<BannedWord> words = {
      {"ODO", std::regex(R"([T]ODO(?!\(#\d+\)))"), true, {}, "an open point names its issue"},
      {"IXME", std::regex("[F]IXME"), true, {}, "mend it, or open an issue"},
      {"this_thread",
       std::regex("this_thread::sleep_(for|until)"),
       false,
       {"tests/support", "benches"},
       "sleeping synchronizes nothing"},
      {"detach", std::regex(R"((\.|->)detach\(\))"), false, {}, "every thread is joined"},
      {"consume", std::regex("memory_order(_|::)consume"), false, {}, "no compiler implements it"},
      // "asm volatile" is another word.
      {"volatile", std::regex(R"((^|[^m_ ]) *\bvolatile\b)"), false, {}, "use atomics"},
  };
  Violations violations;
  const std::vector<std::string> text = lines_of(source);
  const std::vector<std::string> code = lines_of(is_cpp(path) ? code_of(source) : "");
  for (const BannedWord& word : words) {
    const bool allowed =
        std::any_of(word.allowed_in.begin(), word.allowed_in.end(),
                    [&](const std::string& folder) { return starts_with_folder(path, folder); });
    if (allowed) continue;
    const std::vector<std::string>& lines = word.in_comments_too ? text : code;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].find(word.part) == std::string::npos) continue;
      std::smatch match;
      if (std::regex_search(lines[i], match, word.pattern)) {
        violations.push_back(at(path, i + 1, "\"" + match.str() + "\": " + std::string(word.why)));
      }
    }
  }
  return violations;
}

Violations check_form(std::string_view path, std::string_view source) {
  Violations violations;
  const std::vector<std::string> lines = lines_of(source);

  // The first line; the second of a script, after #!.
  const size_t licence_line = source.starts_with("#!") ? 1 : 0;
  if (lines.size() <= licence_line ||
      lines[licence_line].find("SPDX-License-Identifier: Apache-2.0") == std::string::npos) {
    violations.push_back(at(path, licence_line + 1, "expected the SPDX line of the licence"));
  }
  if (!is_code(path, source)) return violations;

  if (path.ends_with(".h") &&
      std::find(lines.begin(), lines.end(), "#pragma once") == lines.end()) {
    violations.push_back(at(path, 1, "a header needs #pragma once"));
  }
  if (path.ends_with(".cc") && !module_of(path).empty()) {
    const std::vector<Include> includes = includes_of(source);
    if (includes.empty() || !includes[0].quoted || stem_of(includes[0].path) != stem_of(path)) {
      violations.push_back(at(path, 1, "the first include is the file's own header"));
    }
  }
  if (static_cast<int>(lines.size()) > kFileLinesMax) {
    violations.push_back(at(path, lines.size(), "more than 600 lines: is there a second concept?"));
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    if (columns_of(lines[i]) > kLineColumnsMax) {
      violations.push_back(at(path, i + 1, "longer than 120 columns"));
    }
  }
  return violations;
}

Violations check_mirror(const std::set<std::string>& paths,
                        const std::set<std::string>& template_only) {
  Violations violations;
  std::set<std::string, std::less<>> private_stems;  // Of the modules' files.
  std::set<std::string, std::less<>> public_stems;   // Of the headers in include/.
  for (const std::string& path : paths) {
    if (!is_cpp(path)) continue;
    if (!module_of(path).empty()) private_stems.emplace(stem_of(path));
    if (starts_with_folder(path, "include")) public_stems.emplace(stem_of(path));
  }

  for (const std::string& path : paths) {
    if (!is_cpp(path)) continue;
    const std::string module(module_of(path));
    const std::string stem(stem_of(path));
    if (!module.empty() && path.ends_with(".cc")) {
      if (!paths.contains(path.substr(0, path.size() - 3) + ".h") && !public_stems.contains(stem)) {
        violations.push_back(path + ": no header of this name, here or in include/skua");
      }
    } else if (starts_with_folder(path, "include")) {
      if (!private_stems.contains(stem) && !template_only.contains(path)) {
        violations.push_back(path +
                             ": no module has a file of this name, and it is not listed as "
                             "template-only");
      }
    } else if (starts_with_folder(path, "tests")) {
      const std::string mirrored = path.substr(std::string_view("tests/").size());
      const std::string tested_module(module_of(mirrored));
      if (tested_module.empty() || !stem.ends_with("_test")) continue;
      const std::string subject = stem.substr(0, stem.size() - std::string_view("_test").size());
      const std::string beside = tested_module + "/" + subject;
      if (!paths.contains(beside + ".cc") && !paths.contains(beside + ".h") &&
          !public_stems.contains(subject)) {
        violations.push_back(path + ": tests no file: " + beside + ".{h,cc} is missing");
      }
    }
  }

  for (const std::string& path : template_only) {
    if (!paths.contains(path)) {
      violations.push_back(path + ": is listed as template-only and does not exist");
    } else if (private_stems.contains(stem_of(path))) {
      violations.push_back(path + ": is listed as template-only and has a counterpart");
    }
  }
  return violations;
}

}  // namespace skua::tidy
