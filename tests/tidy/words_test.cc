// SPDX-License-Identifier: Apache-2.0
//
// The form of each file, and the words that must not stand in it.
#include <string>

#include <gtest/gtest.h>

#include "tests/tidy/checks.h"
#include "tests/tidy/source_tree.h"

namespace skua::tidy {
namespace {

TEST(WordsTest, NoFileHasABannedWord) {
  for (const auto& [path, text] : source_files()) {
    for (const std::string& violation : check_words(path, text)) ADD_FAILURE() << violation;
  }
}

TEST(WordsTest, EveryFileHasTheHouseForm) {
  for (const auto& [path, text] : source_files()) {
    if (path.ends_with(".md")) continue;
    for (const std::string& violation : check_form(path, text)) ADD_FAILURE() << violation;
  }
}

}  // namespace
}  // namespace skua::tidy
