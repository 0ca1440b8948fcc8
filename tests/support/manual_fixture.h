// SPDX-License-Identifier: Apache-2.0
//
// An executor for each test that runs tasks when the test says so, and a look at what the test left behind.
#pragma once

#include <utility>

#include <gtest/gtest.h>

#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "tests/support/leak_check.h"
#include "tests/support/manual_executor.h"

namespace skua::test {

class ManualTest : public testing::Test {
 protected:
  explicit ManualTest(int workers = 1) : executor_(workers) {}
  void TearDown() override { EXPECT_EQ(leaks_.report(), ""); }

  template <typename T>
  JoinHandle<T> spawn(Task<T> task) {
    return internal::spawn_on(executor_, std::move(task), {});
  }

  const LeakCheck leaks_;
  ManualExecutor executor_;
};

}  // namespace skua::test
