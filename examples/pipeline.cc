// SPDX-License-Identifier: Apache-2.0
//
// A pipeline of channels with back-pressure: a fast source, several slow stages in parallel, one sink.
//
//   pipeline [ITEMS]    1000 unless said otherwise
//
// The channels are short, so the source waits whenever the stages are behind, and memory stays bounded however many
// items there are. Each stage ends when its input does: the last sender of a channel that goes closes it.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/channel.h"
#include "skua/task.h"
#include "skua/time.h"

namespace {

using Item = std::int64_t;

constexpr std::size_t kCapacity = 4;
constexpr int kStages = 8;

// Returns how often it found the channel full.
skua::Task<std::int64_t> produce(skua::Sender<Item> out, Item items) {
  std::int64_t waits = 0;
  for (Item item = 1; item <= items; ++item) {
    if (out.try_send(item)) continue;
    ++waits;
    const bool sent = co_await out.send(item);
    if (!sent) break;  // The stages are gone.
  }
  co_return waits;
}

// One of several that take from the same channel.
skua::Task<> square(skua::Receiver<Item> in, skua::Sender<Item> out) {
  while (std::optional<Item> item = co_await in.recv()) {
    co_await skua::sleep_for(std::chrono::milliseconds(1));  // Asks a slow service.
    const bool sent = co_await out.send(*item * *item);
    if (!sent) break;
  }
}

skua::Task<Item> sum_up(skua::Receiver<Item> in) {
  Item sum = 0;
  while (std::optional<Item> item = co_await in.recv()) sum += *item;
  co_return sum;
}

skua::Task<int> async_main(Item items) {
  auto [source_end, stage_in] = skua::channel<Item>(kCapacity);
  auto [stage_out, sink_end] = skua::channel<Item>(kCapacity);
  skua::JoinHandle<std::int64_t> source = skua::spawn(produce(std::move(source_end), items));
  for (int i = 0; i < kStages; ++i) skua::spawn(square(stage_in, stage_out));
  // Only the stages are to keep the channels open.
  {
    const auto dropped = std::pair(std::move(stage_in), std::move(stage_out));
  }
  const Item sum = co_await sum_up(std::move(sink_end));
  const std::int64_t waits = co_await std::move(source);
  std::printf("sum of the squares of 1 to %lld: %lld\n", static_cast<long long>(items),
              static_cast<long long>(sum));
  std::printf("the source waited %s\n", waits > 0 ? "for the stages" : "for nobody");
  co_return sum == items*(items + 1) * (2 * items + 1) / 6 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const long long items = argc > 1 ? std::atoll(argv[1]) : 1000;
  if (items < 1 || items > 1'000'000 || argc > 2) {
    std::fputs("usage: pipeline [ITEMS]    1 to 1000000\n", stderr);
    return 2;
  }
  return skua::run(async_main(items));
}
