// SPDX-License-Identifier: Apache-2.0
//
// Measures: locks, permits and channels in one task, where nothing ever waits. Each run's answer is checked.
// Does not measure: contention; see the rows `mutex` and `mpsc_*`.
#include <cstdint>
#include <optional>

#include <benchmark/benchmark.h>

#include "skua/runtime.h"
#include "skua/sync/channel.h"
#include "skua/sync/mutex.h"
#include "skua/sync/rw_lock.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"

namespace skua {
namespace {

constexpr std::int64_t kTimes = 1'000'000;

void run_rounds(benchmark::State& state, Task<std::int64_t> (*make)(std::int64_t)) {
  Runtime runtime({.worker_threads = 1});
  for (auto _ : state) {
    if (runtime.block_on(make(kTimes)) != kTimes) {
      state.SkipWithError("wrong answer");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * kTimes);
}

Task<std::int64_t> lock_mutex(std::int64_t times) {
  Mutex mutex;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < times; ++i) {
    const MutexGuard guard = co_await mutex.lock();
    benchmark::DoNotOptimize(++count);
  }
  co_return count;
}

Task<std::int64_t> lock_for_reading(std::int64_t times) {
  RwLock lock;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < times; ++i) {
    const RwLockReadGuard guard = co_await lock.read();
    benchmark::DoNotOptimize(++count);
  }
  co_return count;
}

Task<std::int64_t> acquire_permit(std::int64_t times) {
  Semaphore semaphore(1);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < times; ++i) {
    const SemaphorePermit permit = co_await semaphore.acquire();
    benchmark::DoNotOptimize(++count);
  }
  co_return count;
}

Task<std::int64_t> send_and_receive(std::int64_t times) {
  ChannelPair<std::int64_t> ends = channel<std::int64_t>(16);
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < times; ++i) {
    co_await ends.sender.send(1);
    const std::optional<std::int64_t> value = co_await ends.receiver.recv();
    sum += *value;
  }
  co_return sum;
}

BENCHMARK_CAPTURE(run_rounds, mutex_lock_unlock, lock_mutex)->UseRealTime();
BENCHMARK_CAPTURE(run_rounds, rw_lock_read_unlock, lock_for_reading)->UseRealTime();
BENCHMARK_CAPTURE(run_rounds, semaphore_acquire_release, acquire_permit)->UseRealTime();
BENCHMARK_CAPTURE(run_rounds, channel_send_receive, send_and_receive)->UseRealTime();

}  // namespace
}  // namespace skua
