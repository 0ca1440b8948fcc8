// SPDX-License-Identifier: Apache-2.0
#include "tests/tidy/guide.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <limits>
#include <optional>
#include <regex>
#include <sstream>
#include <utility>
#include <vector>

namespace skua::tidy {
namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string at(std::string_view path, std::size_t line, std::string_view what) {
  return std::string(path) + ":" + std::to_string(line) + ": " + std::string(what);
}

std::string joined_without_indentation(const std::vector<std::string>& lines) {
  std::size_t indentation = std::numeric_limits<std::size_t>::max();
  for (const std::string& line : lines) {
    if (!line.empty()) indentation = std::min(indentation, line.find_first_not_of(' '));
  }
  std::string text;
  for (const std::string& line : lines) {
    text += (line.empty() ? line : line.substr(indentation)) + "\n";
  }
  return text;
}

// Its lines; those in blocks of code are empty: there are no links and no headings.
std::vector<std::string> lines_of_prose(std::string_view document) {
  std::vector<std::string> lines = lines_of(document);
  bool in_block = false;
  for (std::string& line : lines) {
    const bool fence = line.starts_with("```");
    if (fence) in_block = !in_block;
    if (fence || in_block) line.clear();
  }
  return lines;
}

// As GitHub makes it of a heading.
std::string anchor_of(std::string_view heading) {
  std::string anchor;
  for (const char c : heading) {
    if (c == ' ') {
      anchor += '-';
    } else if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_') {
      anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return anchor;
}

bool has_anchor(std::string_view document, std::string_view anchor) {
  for (const std::string& line : lines_of_prose(document)) {
    const std::size_t text = line.find_first_not_of('#');
    if (text == 0 || text == std::string::npos || line[text] != ' ') continue;
    if (anchor_of(std::string_view(line).substr(text + 1)) == anchor) return true;
  }
  return false;
}

}  // namespace

Excerpts excerpts_of(std::string_view path, std::string_view source) {
  static const std::regex mark(R"( *// \[(/?)([a-z0-9_]+)\])");
  Excerpts excerpts;
  std::optional<std::string> name;  // Of the one that is open.
  std::vector<std::string> text;
  std::size_t number = 0;
  const auto report = [&](std::string_view what) {
    excerpts.violations.push_back(at(path, number, what));
  };
  for (const std::string& line : lines_of(source)) {
    ++number;
    std::smatch match;
    if (!std::regex_match(line, match, mark)) {
      if (name) text.push_back(line);
    } else if (!match[1].length()) {
      if (name) report("[" + *name + "] is still open");
      if (excerpts.by_name.contains(match[2].str())) report("a second one of this name");
      name = match[2].str();
      text.clear();
    } else if (name != match[2].str()) {
      report("ends an excerpt that is not open");
    } else {
      excerpts.by_name.emplace(*std::exchange(name, std::nullopt),
                               joined_without_indentation(text));
    }
  }
  if (name) report("[" + *name + "] is not closed");
  return excerpts;
}

Violations check_blocks(std::string_view path, std::string_view chapter,
                        const std::map<std::string, Excerpts>& programs,
                        std::set<std::string>* shown) {
  static const std::regex source(R"(<!-- (\S+) \[([a-z0-9_]+)\] -->)");
  Violations violations;
  const std::vector<std::string> lines = lines_of(chapter);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].starts_with("```")) continue;
    const std::size_t opening = i;
    std::string block;
    for (++i; i < lines.size() && lines[i] != "```"; ++i) block += lines[i] + "\n";
    if (lines[opening] != "```cpp") continue;
    std::smatch match;
    if (opening == 0 || !std::regex_match(lines[opening - 1], match, source)) {
      violations.push_back(at(path, opening + 1, "the line above does not name a source"));
      continue;
    }
    const auto program = programs.find(match[1].str());
    const std::string name = match[1].str() + " [" + match[2].str() + "]";
    if (program == programs.end() || !program->second.by_name.contains(match[2].str())) {
      violations.push_back(at(path, opening + 1, "there is no " + name));
      continue;
    }
    shown->insert(name);
    const std::string& excerpt = program->second.by_name.at(match[2].str());
    if (block != excerpt) {
      violations.push_back(at(path, opening + 1, "is not equal to " + name + ":\n" + excerpt));
    }
  }
  return violations;
}

Violations check_links(std::string_view path, std::string_view document,
                       const std::map<std::string, std::string>& documents,
                       bool (*is_there)(const std::string& path)) {
  static const std::regex link(R"(\]\(([^)#\s]*)(#([^)\s]*))?\))");
  static const std::regex code("`[^`]*`(?!\\])");  // But [`name`](path) is a link.
  namespace fs = std::filesystem;
  Violations violations;
  std::size_t number = 0;
  for (const std::string& with_code : lines_of_prose(document)) {
    ++number;
    const std::string line = std::regex_replace(with_code, code, "");
    for (std::sregex_iterator it(line.begin(), line.end(), link), end; it != end; ++it) {
      const std::string to = (*it)[1].str();
      if (to.find("://") != std::string::npos) continue;
      const fs::path beside = fs::path(std::string(path)).parent_path() / to;
      const std::string target =
          to.empty() ? std::string(path) : beside.lexically_normal().generic_string();
      const auto found = documents.find(target);
      if (found == documents.end() && !is_there(target)) {
        violations.push_back(at(path, number, "leads nowhere: " + to));
      } else if ((*it)[3].length() != 0 &&
                 (found == documents.end() || !has_anchor(found->second, (*it)[3].str()))) {
        violations.push_back(at(path, number, "there is no such heading: " + it->str()));
      }
    }
  }
  return violations;
}

}  // namespace skua::tidy
