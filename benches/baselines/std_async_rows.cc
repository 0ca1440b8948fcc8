// SPDX-License-Identifier: Apache-2.0
//
// std_async_rows: the rows with std::async and its futures. The C++ libraries of GCC and LLVM start a thread for each
// call, so what a future adds to that is seen beside threads_rows. Sizes are smaller for the same reason.
#include <algorithm>
#include <array>
#include <cstdint>
#include <future>
#include <utility>
#include <vector>

#include "benches/baselines/cpus.h"
#include "benches/harness/measure.h"
#include "benches/harness/program.h"
#include "benches/harness/workloads.h"

namespace skua::bench {
namespace {

template <typename Work>
auto start(Work work) {
  return std::async(std::launch::async, std::move(work));
}

std::int64_t start_and_get(std::int64_t tasks, std::int64_t batch_max) {
  std::int64_t sum = 0;
  std::vector<std::future<std::int64_t>> batch;
  for (std::int64_t left = tasks; left > 0; left -= batch_max) {
    for (std::int64_t i = std::min(left, batch_max); i > 0; --i) {
      batch.push_back(start([] { return std::int64_t{1}; }));
    }
    for (std::future<std::int64_t>& result : batch) sum += result.get();
    batch.clear();
  }
  return sum;
}

template <std::int64_t kBatch>
Outcome run_batches(ConfinedThreads& /*threads*/, std::int64_t tasks) {
  std::int64_t sum = 0;
  const Usage used = measure([&] { sum = start_and_get(tasks, kBatch); });
  return {.ops = tasks, .right = sum == tasks, .used = used};
}

std::int64_t fib(std::int64_t n) {
  if (n < 2) return n;
  std::future<std::int64_t> a = start([n] { return fib(n - 1); });
  std::future<std::int64_t> b = start([n] { return fib(n - 2); });
  return a.get() + b.get();
}

Outcome run_fib(ConfinedThreads& /*threads*/, std::int64_t n) {
  std::int64_t number = 0;
  const Usage used = measure([&] { number = fib(n); });
  return {.ops = fib_tasks(n), .right = number == fib_number(n), .used = used};
}

std::int64_t skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) return first;
  const std::int64_t share = leaves / kSkynetBranches;
  std::vector<std::future<std::int64_t>> children;
  for (std::int64_t i = 0; i < kSkynetBranches; ++i) {
    children.push_back(start([=] { return skynet(first + i * share, share); }));
  }
  std::int64_t sum = 0;
  for (std::future<std::int64_t>& child : children) sum += child.get();
  return sum;
}

Outcome run_skynet(ConfinedThreads& /*threads*/, std::int64_t depth) {
  std::int64_t sum = 0;
  const Usage used = measure([&] { sum = skynet(0, skynet_leaves(depth)); });
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

constexpr Sizes kTasks = {
    .full = 10'000, .warm_up = 1'000, .smoke = 1'200, .min = 1, .max = 1'000'000};
constexpr Sizes kSkynetDepth = {.full = 3, .warm_up = 2, .smoke = 2, .min = 0, .max = 3};
constexpr Sizes kFibNumber = {.full = 15, .warm_up = 10, .smoke = 8, .min = 0, .max = 18};

using AsyncRow = Row<ConfinedThreads>;
constexpr std::array kRows = {
    AsyncRow{resized(kSkynet, kSkynetDepth), run_skynet},
    AsyncRow{resized(kFib, kFibNumber), run_fib},
    AsyncRow{resized(kSpawnJoin, kTasks), run_batches<kSpawnJoinBatch>},
    AsyncRow{resized(kSkynetSpawn, kSkynetDepth), run_skynet},
    AsyncRow{resized(kFibSpawn, kFibNumber), run_fib},
    AsyncRow{resized(kSpawnBlocking, kTasks), run_batches<kSpawnBlockingBatch>},
};

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const ProgramInfo program = {.name = "std_async_rows",
                               .purpose =
                                   "Runs one row of the scheduler comparison with "
                                   "std::async, on as many CPUs as there are workers."};
  return run_program<ConfinedThreads>(program, kRows, argc, argv);
}
