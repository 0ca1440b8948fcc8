// SPDX-License-Identifier: Apache-2.0
//
// Files that belong together are found by their name: sync/mutex.cc, include/skua/sync/mutex.h and
// tests/sync/mutex_test.cc.
#include <algorithm>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/tidy/checks.h"
#include "tests/tidy/source_tree.h"

namespace skua::tidy {
namespace {

constexpr int kReadmeLinesMax = 200;

// Headers of include/ that are complete in themselves: templates, macros, declarations of what
// another module implements.
const std::set<std::string>& template_only_headers() {
  static const std::set<std::string> paths = {
      "include/skua/internal/atomic.h",
      "include/skua/internal/channel_state.h",
      "include/skua/internal/chunk_queue.h",
      "include/skua/internal/config.h",
      "include/skua/internal/executor.h",
      "include/skua/internal/final_awaiter.h",
      "include/skua/internal/frame.h",
      "include/skua/internal/io_op.h",
      "include/skua/internal/io_result.h",
      "include/skua/internal/selection.h",
      "include/skua/internal/timed_channel.h",
      "include/skua/internal/task_factory.h",
      "include/skua/internal/timer.h",
      "include/skua/internal/wait_list.h",
      "include/skua/internal/worker_core.h",
      "include/skua/io/buffered_reader.h",
      "include/skua/io/copy.h",
      "include/skua/io/stream.h",
      "include/skua/io_backend.h",
      "include/skua/priority.h",
      "include/skua/this_task.h",
      "include/skua/time.h",
      "include/skua/internal/promise_base.h",
      "include/skua/internal/result_slot.h",
      "include/skua/generator.h",
      "include/skua/join.h",
      "include/skua/join_handle.h",
      "include/skua/join_set.h",
      "include/skua/for_each_concurrent.h",
      "include/skua/scope.h",
      "include/skua/skua.h",
      "include/skua/socket_engine.h",
      "include/skua/internal/worker_core.h",
      "include/skua/sync/broadcast.h",
      "include/skua/sync/channel.h",
      "include/skua/sync/once_cell.h",
      "include/skua/sync/watch.h",
      "include/skua/task.h",
      "include/skua/unconstrained.h",
      "include/skua/when_any.h",
  };
  return paths;
}

TEST(MirrorTest, EveryFileHasTheNameOfItsCounterpart) {
  for (const std::string& violation : check_mirror(source_paths(), template_only_headers())) {
    ADD_FAILURE() << violation;
  }
}

TEST(MirrorTest, ModulesWithAProtocolExplainItInAShortReadme) {
  for (const char* module :
       {"task", "scheduler", "workers", "io_driver", "blocking_pool", "sync", "fs"}) {
    const auto readme = source_files().find(std::string(module) + "/README.md");
    ASSERT_NE(readme, source_files().end()) << module;
    const std::string& text = readme->second;
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), kReadmeLinesMax) << readme->first;
  }
}

}  // namespace
}  // namespace skua::tidy
