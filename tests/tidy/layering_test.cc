// SPDX-License-Identifier: Apache-2.0
//
// Who may include whom. The table stands in checks.cc:
//
//   runtime                                           all but net, fs, io, sync
//   workers        net  fs  io                        workers: scheduler, time, io_driver
//   scheduler  time  io_driver  blocking_pool  sync   net: io_driver; fs: io_driver, blocking_pool
//   task
//   base
//
// Modules of one layer never include each other. Public headers know no private one.
#include <string>

#include <gtest/gtest.h>

#include "tests/tidy/checks.h"
#include "tests/tidy/source_tree.h"

namespace skua::tidy {
namespace {

TEST(LayeringTest, EveryModuleIncludesOnlyWhatStandsBelowIt) {
  for (const auto& [path, text] : source_files()) {
    for (const std::string& violation : check_layering(path, text)) ADD_FAILURE() << violation;
  }
}

TEST(LayeringTest, EveryModuleOfTheTableHasFiles) {
  for (const std::string& module : modules()) {
    EXPECT_TRUE(source_files().contains(module + "/CMakeLists.txt")) << module;
  }
}

}  // namespace
}  // namespace skua::tidy
