// SPDX-License-Identifier: Apache-2.0
//
// What a program outside this repository looks like. Built against an installed Skua, and as a part
// of the same build.
#include <cstdio>

#include <skua/skua.h>

namespace {

skua::Task<int> answer() { co_return 42; }

}  // namespace

int main() {
  const int value = skua::run(answer());
  std::printf("The answer is %d.\n", value);
  return value == 42 ? 0 : 1;
}
