// SPDX-License-Identifier: Apache-2.0
//
// Executor pools: runtimes of one worker, each bound to a CPU, that share nothing and pass messages.
//
//   phase4_pools [POOLS]    4 unless said otherwise
//
// A counter goes round from pool to pool; each adds its number.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sched.h>
#include <string>
#include <utility>
#include <vector>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/channel.h"
#include "skua/task.h"

namespace {

constexpr int kRounds = 1000;

// A runtime whose worker stays on the CPU that the calling thread is bound to while it starts.
std::unique_ptr<skua::Runtime> start_pool(int cpu, const std::string& name) {
  cpu_set_t before;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(cpu), &one);
  const bool bound = sched_getaffinity(0, sizeof(before), &before) == 0 &&
                     sched_setaffinity(0, sizeof(one), &one) == 0;
  auto runtime = std::make_unique<skua::Runtime>(
      skua::RuntimeOptions{.worker_threads = 1, .thread_name = name, .pin_workers = bound});
  if (bound) sched_setaffinity(0, sizeof(before), &before);
  return runtime;
}

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

// Adds `number` to what comes in, and passes it on. Ends with its channel.
skua::Task<> pass_on(skua::Receiver<std::int64_t> in, skua::Sender<std::int64_t> out, int number) {
  while (std::optional<std::int64_t> value = co_await in.recv()) {
    const bool sent = co_await out.send(*value + number);
    if (!sent) break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int pools = argc > 1 ? std::atoi(argv[1]) : 4;
  if (pools < 1 || pools > 64 || argc > 2) {
    std::fputs("usage: phase4_pools [POOLS]    1 to 64\n", stderr);
    return 2;
  }
  const std::vector<int> cpus = allowed_cpus();
  auto [first_in, in] = skua::channel<std::int64_t>(1);
  std::vector<std::unique_ptr<skua::Runtime>> runtimes;
  for (int i = 0; i < pools; ++i) {
    const int cpu = cpus[static_cast<std::size_t>(i) % cpus.size()];
    runtimes.push_back(start_pool(cpu, "pool" + std::to_string(i)));
    auto [out, next_in] = skua::channel<std::int64_t>(1);
    runtimes.back()->spawn(pass_on(std::move(in), std::move(out), i + 1));
    in = std::move(next_in);
  }
  // Main is no task: the blocking forms do.
  std::int64_t counter = 0;
  for (int round = 0; round < kRounds; ++round) {
    first_in.blocking_send(counter);
    counter = in.blocking_recv().value_or(-1);
  }
  std::printf("%d pools, %d rounds: %lld\n", pools, kRounds, static_cast<long long>(counter));
  return counter == std::int64_t{kRounds} * pools * (pools + 1) / 2 ? 0 : 1;
}
