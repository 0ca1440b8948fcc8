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

#include "benches/rows/rows.h"
#include "skua/spawn.h"
#include "skua/sync/mutex.h"

namespace skua::bench {
namespace {

constexpr std::size_t kCapacity = 1024;
constexpr std::int64_t kLockers = 64;

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
  ChannelPair<std::uint64_t> pair = channel<std::uint64_t>(kCapacity);
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
  return {.ops = messages, .right = sum == count * (count - 1) / 2, .used = used};
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
  for (std::int64_t i = 0; i < kLockers; ++i) {
    lockers.push_back(spawn(lock_many(&mutex, times, &counter)));
  }
  for (JoinHandle<void>& locker : lockers) co_await std::move(locker);
  co_return counter;
}

Outcome run_mutex(SkuaEngine& engine, std::int64_t times) {
  std::int64_t locks = 0;
  const Usage used = measure([&] { locks = engine.runtime().block_on(lock_all(times)); });
  return {.ops = kLockers * times, .right = locks == kLockers * times, .used = used};
}

}  // namespace

std::span<const SkuaRow> channel_rows() {
  static constexpr Sizes kMessages = {
      .full = 10'000'000, .warm_up = 1'000'000, .smoke = 5'000, .min = 1, .max = 1'000'000'000};
  static constexpr std::array kRows = {
      SkuaRow{{.name = "mpsc_1_1", .size_is = "messages", .sizes = kMessages}, run_channel<1, 1>},
      SkuaRow{{.name = "mpsc_4_1", .size_is = "messages", .sizes = kMessages}, run_channel<4, 1>},
      SkuaRow{{.name = "mpmc_4_4", .size_is = "messages", .sizes = kMessages}, run_channel<4, 4>},
      SkuaRow{{.name = "mutex",
               .size_is = "locks by each of 64 tasks",
               .sizes =
                   {.full = 100'000, .warm_up = 10'000, .smoke = 100, .min = 1, .max = 10'000'000}},
              run_mutex}};
  return kRows;
}

}  // namespace skua::bench
