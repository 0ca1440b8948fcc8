// SPDX-License-Identifier: Apache-2.0
#include "tests/tidy/contracts.h"

#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace skua::tidy {
namespace {

bool says(std::string_view text, std::string_view what) {
  return text.find(what) != std::string_view::npos;
}

bool refers(const std::string& comment) {
  static const std::regex reference(R"(\b[Aa]s (those|\w+(::\w+)*\()|The same\b)");
  return std::regex_search(comment, reference);
}

// Reads a header line by line, and knows which comments hold for what is declared next.
class Reader {
 public:
  explicit Reader(std::string_view path) : path_(path) {}

  Violations read(std::string_view header) {
    std::istringstream stream{std::string(header)};
    bool in_head = true;
    for (std::string line; std::getline(stream, line);) {
      ++number_;
      if (line.starts_with("#pragma once")) in_head = false;
      if (in_head) head_ += line + "\n";
      take(line);
    }
    return violations_;
  }

 private:
  void take(const std::string& line) {
    if (line == "namespace internal {") internal_ = true;
    if (line == "}  // namespace internal") internal_ = false;
    if (internal_) return;
    const std::size_t text = line.find_first_not_of(' ');
    if (text == std::string::npos) {
      comment_.clear();
    } else if (line.compare(text, 2, "//") == 0) {
      if (!in_comment_) comment_.clear();
      comment_ += line + "\n";
      in_comment_ = true;
      return;
    } else {
      take_code(line);
    }
    in_comment_ = false;
  }

  void take_code(const std::string& line) {
    static const std::regex type(R"((class|struct) (\[\[.*\]\] )?\w+( final)?( : .*)? ?\{?)");
    // Of a class, or of a namespace: what stands deeper is a body.
    static const std::regex awaitable(
        R"(( {0,2})(static |inline |\[\[nodiscard\]\] )*(Task<.*>|internal::\w*Awaiter(<.*>)?) \w+\(.*)");
    static const std::regex fallible(
        R"(( {0,2})(static |inline |\[\[nodiscard\]\] )*absl::Status(Or<.*>)? \w+\(.*)");
    if (std::regex_match(line, type)) {
      class_ = comment_;
      comment_.clear();
      common_.clear();
      is_private_ = false;
    } else if (line == "};") {
      class_.clear();
      common_.clear();
    } else if (line == " private:" || line == " protected:") {
      is_private_ = true;
    } else if (line == " public:") {
      is_private_ = false;
    }
    if (says(comment_, "all below") || says(comment_, "here and below")) common_ += comment_;
    if (is_private_) return;
    if (std::regex_match(line, awaitable)) {
      require("Cancellation", line);
      if (says(line, "absl::Status")) require("Errors", line);
    } else if (std::regex_match(line, fallible)) {
      require("Errors", line);
    }
  }

  void require(std::string_view what, const std::string& line) {
    for (const std::string* comment : {&comment_, &class_, &common_, &head_}) {
      if (says(*comment, what)) return;
    }
    if (refers(comment_)) return;
    violations_.push_back(path_ + ":" + std::to_string(number_) + ": " + std::string(what) +
                          " of what? " + line);
  }

  const std::string path_;
  std::size_t number_ = 0;
  std::string head_;     // Of the file.
  std::string class_;    // Above the class.
  std::string common_;   // Comments that hold for what follows, too.
  std::string comment_;  // Above the declaration, or above those before it.
  bool in_comment_ = false;
  bool internal_ = false;
  bool is_private_ = false;
  Violations violations_;
};

}  // namespace

Violations check_contracts(std::string_view path, std::string_view header) {
  return Reader(path).read(header);
}

}  // namespace skua::tidy
