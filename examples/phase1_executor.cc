// SPDX-License-Identifier: Apache-2.0
//
// An executor: run a task to its end, and spawn others from within.
//
//   phase1_executor
//
// Twice: on the thread of main alone, and on a pool of workers that steal from each other.
#include <cstdio>
#include <utility>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/this_task.h"

namespace {

skua::Task<int> add(int a, int b) { co_return a + b; }

skua::Task<int> spawns() {
  skua::JoinHandle<int> handle = skua::spawn(add(1, 2), {.name = "add"});
  // The task is on its way. What it returns, or throws, comes out of the handle.
  const int sum = co_await std::move(handle);
  co_return sum;
}

// A handle that is dropped leaves its task alone; one that is told to abort ends it.
skua::Task<bool> aborts() {
  skua::JoinHandle<void> endless = skua::spawn([]() -> skua::Task<> {
    for (;;) co_await skua::yield_now();
  }());
  endless.abort();
  const skua::JoinResult<void> result = co_await std::move(endless).result();
  co_return result.cancelled();
}

void show(const char* flavor, const skua::RuntimeOptions& options) {
  skua::Runtime runtime(options);
  std::printf("%s: run 1+2 = %d\n", flavor, runtime.block_on(add(1, 2)));
  std::printf("%s: spawn 1+2 = %d\n", flavor, runtime.block_on(spawns()));
  std::printf("%s: aborted: %s\n", flavor, runtime.block_on(aborts()) ? "yes" : "no");
}

}  // namespace

int main() {
  show("current thread", {.flavor = skua::Flavor::kCurrentThread});
  show("multi-thread", {.worker_threads = 2});
}
