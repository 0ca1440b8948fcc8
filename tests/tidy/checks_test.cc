// SPDX-License-Identifier: Apache-2.0
//
// A check that finds nothing may be blind. Each one is shown a violation here, and a text that looks
// like one and is none.
#include "tests/tidy/checks.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skua::tidy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kLicence[] = "// SPDX-License-Identifier: Apache-2.0\n";

// --- Layering ---------------------------------------------------------------------------------

TEST(ChecksTest, AnIncludeFromALayerAboveIsFound) {
  EXPECT_THAT(check_layering("base/fd.cc", "#include \"base/fd.h\"\n#include \"task/context.h\"\n"),
              ElementsAre("base/fd.cc:2: includes task/context.h: base must not know task"));
  EXPECT_THAT(check_layering("task/a.cc", "#include \"runtime/a.h\"\n"), SizeIs(1));
  EXPECT_THAT(check_layering("runtime/a.cc", "#include \"fs/a.h\"\n"), SizeIs(1));
  EXPECT_THAT(check_layering("runtime/a.cc", "#include \"workers/a.h\"\n"), IsEmpty());
}

TEST(ChecksTest, AnIncludeWithinALayerIsFound) {
  EXPECT_THAT(check_layering("scheduler/a.cc", "#include \"time/wheel.h\"\n"), SizeIs(1));
  EXPECT_THAT(check_layering("fs/a.cc", "#include \"net/a.h\"\n"), SizeIs(1));
  EXPECT_THAT(check_layering("fs/a.cc", "#include \"blocking_pool/a.h\"\n"), IsEmpty());
  EXPECT_THAT(check_layering("net/a.cc", "#include \"blocking_pool/a.h\"\n"), SizeIs(1));
}

TEST(ChecksTest, AnIncludeNotSpelledFromTheRootIsFound) {
  EXPECT_THAT(check_layering("task/a.cc", "  #  include \"context.h\"\n"), SizeIs(1));
  EXPECT_THAT(check_layering("task/a.cc", "#include \"../base/fd.h\"\n"), SizeIs(1));
  EXPECT_THAT(check_layering("task/a.cc", "#include <skua/task.h>\n"), SizeIs(1));
  EXPECT_THAT(check_layering("task/a.cc", "#include \"skua/task.h\"\n"), IsEmpty());
}

TEST(ChecksTest, APublicHeaderThatNeedsAPrivateOneIsFound) {
  EXPECT_THAT(check_layering("include/skua/a.h", "#include \"task/context.h\"\n"), SizeIs(1));
  EXPECT_THAT(check_layering("include/skua/internal/a.h", "#include \"base/fd.h\"\n"), SizeIs(1));
  EXPECT_THAT(check_layering("include/skua/a.h", "#include <liburing.h>\n"), SizeIs(1));
  EXPECT_THAT(check_layering("include/skua/a.h", "#include <absl/strings/cord.h>\n"), SizeIs(1));
  EXPECT_THAT(check_layering("include/skua/a.h",
                             "#include <absl/status/status.h>\n#include <coroutine>\n"
                             "#include \"skua/internal/check.h\"\n"),
              IsEmpty());
}

TEST(ChecksTest, AWrappedLibraryOutsideItsWrapperIsFound) {
  EXPECT_THAT(check_layering("workers/a.cc", "#include <liburing.h>\n"), SizeIs(1));
  EXPECT_THAT(check_layering("io_driver/a.cc", "#include <liburing.h>\n"), IsEmpty());
}

TEST(ChecksTest, AnIncludeInACommentIsNone) {
  EXPECT_THAT(includes_of("// #include \"task/a.h\"\n"), IsEmpty());
}

// --- Words ------------------------------------------------------------------------------------

// In parts, to keep this file clear of the rules that it tests.
const std::string kOpenPoint = std::string("// TO") + "DO";
const std::string kDefect = std::string("// FIX") + "ME";

TEST(ChecksTest, BannedWordsAreFound) {
  const std::string lines[] = {
      "std::this_thread::sleep_for(1ms);",
      "thread.detach();",
      "thread->detach();",
      "x.load(std::memory_order_consume);",
      "volatile int x;",
      "  static volatile int x;",
      "const volatile int* x;",
      kOpenPoint + ": later",
      kOpenPoint + "(me): later",
      kDefect,
  };
  for (const std::string& line : lines) {
    EXPECT_THAT(check_words("task/a.cc", line + "\n"), SizeIs(1)) << line;
  }
}

TEST(ChecksTest, WhatOnlyLooksLikeABannedWordIsNot) {
  const std::string lines[] = {
      "// No volatile here, and nobody calls .detach().",
      "log(\"volatile\");",
      "asm volatile(\"\");",
      "__asm__ __volatile__(\"\");",
      kOpenPoint + "(#12): measure it.",
      "handle.detach_from(x);",
      "co_await sleep_for(1ms);",
  };
  for (const std::string& line : lines) {
    EXPECT_THAT(check_words("task/a.cc", line + "\n"), IsEmpty()) << line;
  }
}

TEST(ChecksTest, OpenPointsAreFoundInEveryLanguage) {
  for (const char* path : {"benches/peers/go/main.go", "benches/compare/a.py", "scripts/a"}) {
    EXPECT_THAT(check_words(path, kOpenPoint + ": later\n"), SizeIs(1)) << path;
    EXPECT_THAT(check_words(path, "detach = thread.detach()\n"), IsEmpty()) << path;
  }
}

TEST(ChecksTest, SleepingIsAllowedWhereItIsTheSubject) {
  const std::string sleep = "std::this_thread::sleep_for(1ms);\n";
  EXPECT_THAT(check_words("tests/support/pauses.cc", sleep), IsEmpty());
  EXPECT_THAT(check_words("tests/task/a_test.cc", sleep), SizeIs(1));
}

TEST(ChecksTest, CommentsAndLiteralsAreNoCode) {
  EXPECT_EQ(code_of("a; // b\nc /* d\ne */ f"), "a;     \nc     \n     f");
  EXPECT_EQ(code_of(R"(f("x\"y", 'z', 10'000);)"), R"(f("    ", ' ', 10'000);)");
  EXPECT_EQ(code_of("R\"(a \" b)\" c"), "           c");
}

// --- Form -------------------------------------------------------------------------------------

TEST(ChecksTest, AMissingLicenceLineIsFound) {
  EXPECT_THAT(check_form("cmake/a.cmake", "set(x 1)\n"), SizeIs(1));
  EXPECT_THAT(check_form("cmake/a.cmake", ""), SizeIs(1));
  EXPECT_THAT(check_form("scripts/a", "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"),
              IsEmpty());
}

TEST(ChecksTest, AHeaderWithoutPragmaOnceIsFound) {
  EXPECT_THAT(check_form("task/a.h", kLicence), ElementsAre(HasSubstr("#pragma once")));
  EXPECT_THAT(check_form("task/a.h", std::string(kLicence) + "#pragma once\n"), IsEmpty());
}

TEST(ChecksTest, AnOwnHeaderThatIsNotTheFirstIsFound) {
  EXPECT_THAT(check_form("task/a.cc", std::string(kLicence) + "#include <new>\n"), SizeIs(1));
  EXPECT_THAT(check_form("task/a.cc", std::string(kLicence) + "#include \"task/b.h\"\n"),
              SizeIs(1));
  EXPECT_THAT(check_form("task/a.cc", std::string(kLicence) + "#include \"skua/internal/a.h\"\n"),
              IsEmpty());
}

TEST(ChecksTest, LongLinesAndLongFilesAreFound) {
  const std::string own = std::string(kLicence) + "#include \"task/a.h\"\n";
  EXPECT_THAT(check_form("task/a.cc", own + std::string(121, 'x') + "\n"), SizeIs(1));
  EXPECT_THAT(check_form("task/a.cc", own + std::string(120, 'x') + "\n"), IsEmpty());
  EXPECT_THAT(check_form("task/a.cc", own + std::string(598, '\n')), IsEmpty());
  EXPECT_THAT(check_form("task/a.cc", own + std::string(599, '\n')), SizeIs(1));
  for (const char* path : {"benches/a.py", "benches/a.rs", "benches/a.go"}) {
    EXPECT_THAT(check_form(path, kLicence + std::string(121, 'x') + "\n"), SizeIs(1)) << path;
    EXPECT_THAT(check_form(path, kLicence + std::string(600, '\n')), SizeIs(1)) << path;
  }
  EXPECT_THAT(check_form("benches/Cargo.toml", kLicence + std::string(121, 'x')), IsEmpty());
  const std::string script = "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n";
  EXPECT_THAT(check_form("scripts/a", script + std::string(121, 'x') + "\n"), SizeIs(1));
  // 61 characters of two bytes each.
  std::string umlauts;
  for (int i = 0; i < 61; ++i) umlauts += "\u00e4";
  EXPECT_THAT(check_form("task/a.cc", own + umlauts + "\n"), IsEmpty());
}

// --- Mirror -----------------------------------------------------------------------------------

TEST(ChecksTest, FilesWithoutACounterpartAreFound) {
  EXPECT_THAT(check_mirror({"task/a.cc"}, {}), SizeIs(1));
  EXPECT_THAT(check_mirror({"task/a.cc", "task/a.h"}, {}), IsEmpty());
  EXPECT_THAT(check_mirror({"task/a.cc", "include/skua/internal/a.h"}, {}), IsEmpty());
  EXPECT_THAT(check_mirror({"include/skua/b.h"}, {}), SizeIs(1));
  EXPECT_THAT(check_mirror({"include/skua/b.h"}, {"include/skua/b.h"}), IsEmpty());
}

TEST(ChecksTest, ATestOfNothingIsFound) {
  EXPECT_THAT(check_mirror({"tests/task/a_test.cc"}, {}), SizeIs(1));
  EXPECT_THAT(check_mirror({"tests/task/a_test.cc", "task/a.h"}, {}), IsEmpty());
  EXPECT_THAT(check_mirror({"tests/stress/any_name_test.cc"}, {}), IsEmpty());
}

TEST(ChecksTest, AnOutdatedListOfTemplatesIsFound) {
  EXPECT_THAT(check_mirror({}, {"include/skua/gone.h"}), SizeIs(1));
  EXPECT_THAT(check_mirror({"include/skua/a.h", "task/a.cc"}, {"include/skua/a.h"}), SizeIs(1));
}

}  // namespace
}  // namespace skua::tidy
