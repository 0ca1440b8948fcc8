// SPDX-License-Identifier: Apache-2.0
//
// Every public declaration says what its caller must know.
#include "tests/tidy/contracts.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tidy/source_tree.h"

namespace skua::tidy {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(ContractsTest, EveryPublicDeclarationSaysWhatCancellationLeavesAndWhichErrorsThereAre) {
  for (const auto& [path, text] : source_files()) {
    if (!path.starts_with("include/skua/") || path.find("/internal/") != std::string::npos)
      continue;
    if (!path.ends_with(".h")) continue;
    for (const std::string& violation : check_contracts(path, text)) ADD_FAILURE() << violation;
  }
}

TEST(ContractsTest, ADeclarationThatSaysNothingIsFound) {
  for (const char* bad : {
           "#pragma once\n// Reads.\nTask<> read();\n",
           "#pragma once\n// Reads.\n//\n// Cancellation: safe.\nTask<absl::StatusOr<int>> "
           "read();\n",
           "#pragma once\n// Errors: x.\nabsl::Status a();\n\nabsl::Status b();\n",
           "#pragma once\n// Errors: x.\nabsl::Status a();\n// Does b.\nabsl::Status b();\n",
           "#pragma once\n// Cancellation: x.\nclass A {\n public:\n};\nTask<> b();\n",
           "class A {\n public:\n  internal::FooAwaiter<T> wait() noexcept { return x; }\n};\n",
       }) {
    EXPECT_THAT(check_contracts("a.h", bad), SizeIs(1)) << bad;
  }
}

TEST(ContractsTest, WhereItMayBeSaid) {
  for (const char* good : {
           "#pragma once\n// Cancellation: safe.\nTask<> a();\nTask<> b();\n",
           "#pragma once\n// Cancellation: safe.\n// Errors: x.\nclass A {\n public:\n  "
           "Task<absl::Status> "
           "a();\n};\n",
           "// Of all below: Cancellation: safe.\n#pragma once\nTask<> a();\n\nTask<> b();\n",
           "#pragma once\n// As read().\nTask<> a();\n",
           "#pragma once\n// The same for writing.\nTask<> a();\n",
           "namespace internal {\nTask<> a();\n}  // namespace internal\n",
           "class A {\n private:\n  Task<> a();\n};\n",
           "#pragma once\n// Errors of all below: x.\nabsl::Status a();\n\nabsl::Status b();\n",
       }) {
    EXPECT_THAT(check_contracts("a.h", good), IsEmpty()) << good;
  }
}

}  // namespace
}  // namespace skua::tidy
