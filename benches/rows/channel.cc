// SPDX-License-Identifier: Apache-2.0
//
// Many values through one channel with room for 1024; and many tasks that fight for one lock.
#include "skua/sync/channel.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "benches/harness/workloads.h"
#include "benches/rows/rows.h"
#include "skua/spawn.h"
#include "skua/sync/mutex.h"

namespace skua::bench {
namespace {

Task<> produce(Sender<std::uint64_t> tx, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t value = first; value < end; ++value) {
    if (!co_await tx.send(value)) co_return;  // The sum is wrong then.
  }
}

Task<std::uint64_t> consume(Receiver<std::uint64_t> rx) {
  std::uint64_t sum = 0;
  while (const std::optional<std::uint64_t> value = co_await rx.recv()) sum += *value;
  co_return sum;
}

struct Ends {
  std::uint64_t producers;
  std::uint64_t consumers;
};

Task<std::uint64_t> pass(Ends ends, std::uint64_t messages) {
  ChannelPair<std::uint64_t> pair = channel<std::uint64_t>(kChannelCapacity);
  std::vector<JoinHandle<std::uint64_t>> consumers;
  for (std::uint64_t i = 1; i < ends.consumers; ++i) {
    consumers.push_back(spawn(consume(pair.receiver)));
  }
  consumers.push_back(spawn(consume(std::move(pair.receiver))));
  for (std::uint64_t i = 0; i < ends.producers; ++i) {
    spawn(produce(pair.sender, messages * i / ends.producers, messages * (i + 1) / ends.producers));
  }
  {
    const Sender<std::uint64_t> dropped = std::move(pair.sender);
  }
  std::uint64_t sum = 0;
  for (JoinHandle<std::uint64_t>& consumer : consumers) sum += co_await std::move(consumer);
  co_return sum;
}

template <std::uint64_t kProducers, std::uint64_t kConsumers>
Outcome run_channel(SkuaEngine& engine, std::int64_t messages) {
  const auto count = static_cast<std::uint64_t>(messages);
  std::uint64_t sum = 0;
  const Ends ends = {.producers = kProducers, .consumers = kConsumers};
  const Usage used = measure([&] { sum = engine.runtime().block_on(pass(ends, count)); });
  return {.ops = messages, .right = sum == messages_sum(messages), .used = used};
}

Task<> lock_many(Mutex* mutex, std::int64_t times, std::int64_t* counter) {
  for (std::int64_t i = 0; i < times; ++i) {
    const MutexGuard guard = co_await mutex->lock();
    ++*counter;
  }
}

Task<std::int64_t> lock_all(std::int64_t times) {
  Mutex mutex;
  std::int64_t counter = 0;
  std::vector<JoinHandle<void>> lockers;
  for (std::int64_t i = 0; i < kMutexTasks; ++i) {
    lockers.push_back(spawn(lock_many(&mutex, times, &counter)));
  }
  for (JoinHandle<void>& locker : lockers) co_await std::move(locker);
  co_return counter;
}

Outcome run_mutex(SkuaEngine& engine, std::int64_t times) {
  std::int64_t locks = 0;
  const Usage used = measure([&] { locks = engine.runtime().block_on(lock_all(times)); });
  return {.ops = kMutexTasks * times, .right = locks == kMutexTasks * times, .used = used};
}

}  // namespace

std::span<const SkuaRow> channel_rows() {
  static constexpr std::array kRows = {
      SkuaRow{kMpsc11, run_channel<1, 1>}, SkuaRow{kMpsc41, run_channel<4, 1>},
      SkuaRow{kMpmc44, run_channel<4, 4>}, SkuaRow{kMutex, run_mutex}};
  return kRows;
}

}  // namespace skua::bench
