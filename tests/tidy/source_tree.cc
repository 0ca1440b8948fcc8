// SPDX-License-Identifier: Apache-2.0
#include "tests/tidy/source_tree.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/tidy/checks.h"

namespace skua::tidy {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// What Python and Cargo leave in a source tree. It is not ours to judge.
bool is_left_by_a_tool(const fs::path& path) {
  const fs::path name = path.filename();
  return name == "__pycache__" || name == "target" || name == "Cargo.lock";
}

std::map<std::string, std::string> read_tree() {
  const fs::path root = SKUA_SOURCE_DIR;
  std::map<std::string, std::string> files;
  const auto add = [&](const fs::path& path) {
    files.emplace(path.lexically_relative(root).generic_string(), read(path));
  };
  std::vector<std::string> folders = modules();
  folders.insert(folders.end(),
                 {"include", "tests", "benches", "examples", "cmake", "docs", "scripts", ".ci"});
  for (const std::string& folder : folders) {
    if (!fs::is_directory(root / folder)) continue;  // net/ may not be there yet.
    auto entry = fs::recursive_directory_iterator(root / folder);
    for (; entry != fs::recursive_directory_iterator(); ++entry) {
      if (is_left_by_a_tool(entry->path())) {
        entry.disable_recursion_pending();
      } else if (entry->is_regular_file()) {
        add(entry->path());
      }
    }
  }
  for (const char* name : {"CMakeLists.txt", "CHANGELOG.md", "CONTRIBUTING.md", "README.md"}) {
    add(root / name);
  }
  return files;
}

}  // namespace

const std::map<std::string, std::string>& source_files() {
  static const std::map<std::string, std::string> files = read_tree();
  return files;
}

std::set<std::string> source_paths() {
  std::set<std::string> paths;
  for (const auto& [path, text] : source_files()) paths.insert(path);
  return paths;
}

}  // namespace skua::tidy
