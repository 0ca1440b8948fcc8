// SPDX-License-Identifier: Apache-2.0
//
// Tasks spawned from main.
//
//   hello            Hello, world!
//   hello Ada Grace  greets each from a task of its own
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"

namespace {

skua::Task<std::string> greet(std::string name) { co_return "Hello, " + name + "!"; }

skua::Task<> async_main(std::vector<std::string> names) {
  // Spawned tasks run at once, on any worker; a Task that is only called has not begun.
  std::vector<skua::JoinHandle<std::string>> greetings;
  for (std::string& name : names) greetings.push_back(skua::spawn(greet(std::move(name))));
  for (skua::JoinHandle<std::string>& greeting : greetings) {
    const std::string text = co_await std::move(greeting);
    std::puts(text.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names(argv + 1, argv + argc);
  if (names.empty()) names.emplace_back("world");
  skua::run(async_main(std::move(names)));
}
