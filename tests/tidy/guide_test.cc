// SPDX-License-Identifier: Apache-2.0
//
// The guide shows what is compiled and run, and the documents' links lead somewhere.
#include "tests/tidy/guide.h"

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tidy/source_tree.h"

namespace skua::tidy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr std::string_view kGuide = "docs/guide/";
// Its own marks must not be taken for some of this file.
constexpr char kProgram[] =
    "int a;\n  // [one]\n  int b;\n\n    int c;\n  // [/one]\nint d;\n// [two]\nint e;\n// "
    "[/two]\n";
constexpr char kChapter[] =
    "# A\n\n<!-- code/a.cc [one] -->\n```cpp\nint b;\n\n  int c;\n```\n\n```sh\nls\n```\n";

bool is_in_the_repository(const std::string& path) {
  return std::filesystem::exists(std::filesystem::path(SKUA_SOURCE_DIR) / path);
}
// "tasks", of "code/tasks.cc".
std::string stem_of(const std::string& name) { return std::filesystem::path(name).stem().string(); }
bool is_nowhere(const std::string&) { return false; }

TEST(GuideTest, EveryBlockOfTheGuideIsAnExcerptOfAProgramThatIsRun) {
  std::map<std::string, Excerpts> programs;
  std::set<std::string> excerpts;
  for (const auto& [path, text] : source_files()) {
    if (!path.starts_with(kGuide) || !path.ends_with(".cc")) continue;
    const std::string name = path.substr(kGuide.size());
    programs[name] = excerpts_of(path, text);
    for (const std::string& violation : programs[name].violations) ADD_FAILURE() << violation;
    for (const auto& [excerpt, lines] : programs[name].by_name) {
      excerpts.insert(name + " [" + excerpt + "]");
    }
  }
  std::set<std::string> shown;
  for (const auto& [path, text] : source_files()) {
    if (!path.starts_with(kGuide) || !path.ends_with(".md")) continue;
    for (const std::string& violation : check_blocks(path, text, programs, &shown)) {
      ADD_FAILURE() << violation;
    }
  }
  EXPECT_EQ(shown, excerpts) << "an excerpt that no chapter shows";
  // Each program is built, and run by ctest.
  const std::string& run = source_files().at("tests/guide/CMakeLists.txt");
  for (const auto& [name, program] : programs) EXPECT_THAT(run, HasSubstr(stem_of(name))) << name;
}

TEST(GuideTest, EveryLinkOfTheDocumentsLeadsSomewhere) {
  std::map<std::string, std::string> documents;
  for (const auto& [path, text] : source_files()) {
    if (path.ends_with(".md")) documents.emplace(path, text);
  }
  EXPECT_TRUE(documents.contains("README.md"));
  for (const auto& [path, text] : documents) {
    for (const std::string& violation : check_links(path, text, documents, &is_in_the_repository)) {
      ADD_FAILURE() << violation;
    }
  }
}

TEST(GuideTest, TheTableOfContentsHasEveryChapter) {
  const std::string& contents = source_files().at("docs/guide/README.md");
  for (const auto& [path, text] : source_files()) {
    if (!path.starts_with(kGuide) || !path.ends_with(".md")) continue;
    const std::string name = path.substr(kGuide.size());
    if (name != "README.md") EXPECT_THAT(contents, HasSubstr("](" + name + ")"));
  }
}

// --- The checks themselves --------------------------------------------------------------------

TEST(GuideTest, ExcerptsStandBetweenTheirMarks) {
  const Excerpts excerpts = excerpts_of("a.cc", kProgram);
  EXPECT_THAT(excerpts.violations, IsEmpty());
  EXPECT_THAT(excerpts.by_name,
              ElementsAre(Pair("one", "int b;\n\n  int c;\n"), Pair("two", "int e;\n")));
}

TEST(GuideTest, MarksThatDoNotMatchAreFound) {
  EXPECT_THAT(excerpts_of("a.cc", "// [one]\n").violations, SizeIs(1));
  EXPECT_THAT(excerpts_of("a.cc", "// [/one]\n").violations, SizeIs(1));
  EXPECT_THAT(excerpts_of("a.cc", "// [one]\n// [two]\n// [/two]\n").violations, SizeIs(1));
  EXPECT_THAT(excerpts_of("a.cc", "// [one]\n// [/one]\n// [one]\n// [/one]\n").violations,
              SizeIs(1));
}

TEST(GuideTest, ABlockThatIsNotItsExcerptIsFound) {
  const std::map<std::string, Excerpts> programs = {{"code/a.cc", excerpts_of("a.cc", kProgram)}};
  std::set<std::string> shown;
  EXPECT_THAT(check_blocks("a.md", kChapter, programs, &shown), IsEmpty());
  EXPECT_THAT(shown, ElementsAre("code/a.cc [one]"));
  for (const char* bad : {
           "```cpp\nint b;\n```\n",
           "<!-- code/a.cc [one] -->\n\n```cpp\nint b;\n\n  int c;\n```\n",
           "<!-- code/a.cc [one] -->\n```cpp\nint b;\n  int c;\n```\n",
           "<!-- code/a.cc [three] -->\n```cpp\nint b;\n```\n",
           "<!-- code/b.cc [one] -->\n```cpp\nint b;\n```\n",
       }) {
    EXPECT_THAT(check_blocks("a.md", bad, programs, &shown), SizeIs(1)) << bad;
  }
}

TEST(GuideTest, LinksThatLeadNowhereAreFound) {
  const std::map<std::string, std::string> documents = {{"docs/a.md", "# Two words, and `code`\n"},
                                                        {"README.md", "# A\n```\n# B\n```\n"}};
  for (const char* good :
       {"[x](a.md)", "[x](../README.md#a)", "[x](a.md#two-words-and-code)",
        "[x](#two-words-and-code)", "[x](https://example.org/y)", "`[x](y)`", "```\n[x](y)\n```"}) {
    EXPECT_THAT(check_links("docs/a.md", good, documents, &is_nowhere), IsEmpty()) << good;
  }
  for (const char* bad : {"[x](b.md)", "[x](README.md)", "[x](../README.md#b)", "[`x`](b.md)",
                          "two: [x](a.md), [y](c.md)"}) {
    EXPECT_THAT(check_links("docs/a.md", bad, documents, &is_nowhere), SizeIs(1)) << bad;
  }
}

}  // namespace
}  // namespace skua::tidy
