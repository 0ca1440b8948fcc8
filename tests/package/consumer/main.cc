// SPDX-License-Identifier: Apache-2.0
//
// What a program outside this repository looks like. Built against an installed Skua, and as a part of the same build;
// with RTTI and without.
#include <chrono>
#include <cstdio>
#include <optional>
#include <utility>

#include <skua/skua.h>

namespace {

skua::Task<int> three() { co_return 3; }

skua::Task<> send(skua::Sender<int> out, int value) { co_await out.send(value); }

// Something of each part of the API whose templates the program instantiates.
skua::Task<int> answer() {
  auto [out, in] = skua::channel<int>(2);
  int sum = 0;
  co_await skua::Scope::run([&](skua::Scope& scope) -> skua::Task<> {
    scope.spawn(send(out, 30));
    const std::optional<int> value = co_await in.recv();
    sum += value.value_or(0);
  });
  const auto [a, b] = co_await skua::when_all(three(), three());
  sum += a + b;
  auto next = co_await skua::select(in.recv(), skua::sleep_for(std::chrono::milliseconds(1)));
  if (next.index() == 1) sum += 1;
  const absl::StatusOr<int> timed = co_await skua::timeout(std::chrono::seconds(60), three());
  sum += timed.value_or(0);
  skua::JoinHandle<int> spawned = skua::spawn(three());
  auto job = skua::spawn_blocking([] { return -1; });
  sum += co_await std::move(spawned);
  sum += co_await std::move(job);
  co_return sum;
}

}  // namespace

int main() {
  const int value = skua::run(answer());
  std::printf("The answer is %d.\n", value);
  return value == 42 ? 0 : 1;
}
