// SPDX-License-Identifier: Apache-2.0
//
// A runtime for each test, in every shape a user may choose, and a look at what the test left behind.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "tests/support/leak_check.h"

namespace skua::test {

// The number of workers; 0: kCurrentThread.
class RuntimeTest : public testing::TestWithParam<int> {
 public:
  static RuntimeOptions options() {
    RuntimeOptions options;
    if (GetParam() == 0) {
      options.flavor = Flavor::kCurrentThread;
    } else {
      options.worker_threads = GetParam();
    }
    return options;
  }

  static std::string name(const testing::TestParamInfo<int>& info) {
    return info.param == 0 ? "current_thread" : std::to_string(info.param) + "_workers";
  }

 protected:
  void SetUp() override { runtime_.emplace(adjust(options())); }

  void TearDown() override {
    stop();
    EXPECT_EQ(leaks_.report(), "");
  }

  // For fixtures that want other options.
  virtual RuntimeOptions adjust(RuntimeOptions options) { return options; }

  Runtime& runtime() { return *runtime_; }
  // Ends the runtime before the test does.
  void stop() { runtime_.reset(); }
  bool multi_thread() const { return GetParam() != 0; }

 private:
  const LeakCheck leaks_;
  std::optional<Runtime> runtime_;
};

#define SKUA_TEST_ALL_RUNTIMES(suite)                                   \
  INSTANTIATE_TEST_SUITE_P(Workers, suite, testing::Values(0, 1, 2, 8), \
                           skua::test::RuntimeTest::name)

}  // namespace skua::test
