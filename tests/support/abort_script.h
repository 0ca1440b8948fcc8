// SPDX-License-Identifier: Apache-2.0
//
// Aborts a task of a script at every moment of it: suspended, woken, not started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/worker_core.h"
#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "tests/support/leak_check.h"
#include "tests/support/manual_executor.h"

namespace skua::test {

// A script makes a `Script` anew for each run. It has
//
//   std::vector<Task<>> tasks()            that are spawned in this order, and end by themselves if none is aborted,
//                                          and also if one is
//   void check(std::size_t victim, bool cancelled)   what must hold when all have ended; `cancelled`: the victim was
//
// For each task, and each number of steps until it has ended: runs so many steps of the script, aborts the task,
// runs the rest. Returns the number of runs.
template <typename Script>
std::size_t abort_everywhere(std::int32_t run_budget = internal::kRunBudget) {
  std::size_t runs = 0;
  bool more = true;
  for (std::size_t victim = 0; more; ++victim) {
    for (std::size_t steps = 0;; ++steps) {
      const LeakCheck leaks;
      bool ended_before = false;
      {
        ManualExecutor executor;
        executor.run_budget = run_budget;
        Script script;
        std::vector<JoinHandle<void>> handles;
        for (Task<>& task : script.tasks()) {
          handles.push_back(internal::spawn_on(executor, std::move(task), {}));
        }
        SCOPED_TRACE("task " + std::to_string(victim) + " aborted after " + std::to_string(steps) +
                     " steps");
        for (std::size_t i = 0; i < steps; ++i) executor.run_one();
        ended_before = handles[victim].is_finished();
        handles[victim].abort();
        executor.drain();
        bool all_ended = true;
        for (std::size_t i = 0; i < handles.size(); ++i) {
          EXPECT_TRUE(handles[i].is_finished()) << "task " << i << " hangs";
          all_ended &= handles[i].is_finished();
        }
        if (!all_ended) return runs;  // The tasks that hang cannot be destroyed.
        script.check(victim, std::move(handles[victim]).release_share().slot().empty());
        more = victim + 1 < handles.size();
      }
      EXPECT_EQ(leaks.report(), "");
      ++runs;
      if (ended_before) break;
    }
  }
  return runs;
}

}  // namespace skua::test
