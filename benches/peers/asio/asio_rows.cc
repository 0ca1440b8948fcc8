// SPDX-License-Identifier: Apache-2.0
//
// asio_rows: the rows on standalone Asio, with its C++20 coroutines on a thread_pool, whose executor is in their type:
// any_io_executor, which it is by default, took 1.4 times as long, or more. co_spawn gives no handle that another
// coroutine could await from any thread. So two or ten children are a parallel_group; more send their results into a
// concurrent_channel with room for all of them, from which the parent takes as many as it has children. A oneshot is a
// channel with room for one. And co_spawn runs a coroutine on the spot until it waits for the first time: to be tasks
// of their own, for any thread, they begin with being queued.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <future>
#include <tuple>
#include <utility>
#include <vector>

#include <asio.hpp>
#include <asio/experimental/concurrent_channel.hpp>
#include <asio/experimental/deferred.hpp>
#include <asio/experimental/parallel_group.hpp>

#include "benches/harness/measure.h"
#include "benches/harness/program.h"
#include "benches/harness/workloads.h"

namespace skua::bench {
namespace {

using Executor = asio::thread_pool::executor_type;
template <typename T>
using awaitable = asio::awaitable<T, Executor>;
constexpr asio::use_awaitable_t<Executor> use_awaitable;

template <typename T>
using Channel = asio::experimental::concurrent_channel<Executor, void(asio::error_code, T)>;
using Results = Channel<std::int64_t>;

class AsioEngine {
 public:
  explicit AsioEngine(const EngineOptions& options)
      : pool_(static_cast<std::size_t>(options.workers)) {}

  asio::thread_pool& pool() { return pool_; }

  // What the coroutine gives, and in `used` what it took.
  std::int64_t run(awaitable<std::int64_t> root, Usage& used) {
    std::int64_t result = 0;
    used =
        measure([&] { result = asio::co_spawn(pool_, std::move(root), asio::use_future).get(); });
    return result;
  }

 private:
  asio::thread_pool pool_;
};

// What every task awaits first, and what a yield is.
auto queued() { return asio::post(use_awaitable); }

// For a child: sends its result to its parent.
auto send_to(Results* results) {
  return [results](const std::exception_ptr& /*none throws*/, std::int64_t result) {
    results->try_send(asio::error_code(), result);
  };
}

// The sum of what so many children send.
awaitable<std::int64_t> sum_of(Results* results, std::int64_t children) {
  std::int64_t sum = 0;
  for (; children > 0; --children) sum += co_await results->async_receive(use_awaitable);
  co_return sum;
}

// --- Tasks that do nothing --------------------------------------------------------------------

awaitable<std::int64_t> one() {
  co_await queued();
  co_return 1;
}

awaitable<std::int64_t> spawn_and_join(std::int64_t tasks) {
  const auto executor = co_await asio::this_coro::executor;
  Results results(executor, static_cast<std::size_t>(kSpawnJoinBatch));
  std::int64_t sum = 0;
  for (std::int64_t left = tasks; left > 0; left -= kSpawnJoinBatch) {
    const std::int64_t batch = std::min(left, kSpawnJoinBatch);
    for (std::int64_t i = 0; i < batch; ++i) asio::co_spawn(executor, one(), send_to(&results));
    sum += co_await sum_of(&results, batch);
  }
  co_return sum;
}

Outcome run_spawn_join(AsioEngine& engine, std::int64_t tasks) {
  Usage used;
  const std::int64_t sum = engine.run(spawn_and_join(tasks), used);
  return {.ops = tasks, .right = sum == tasks, .used = used};
}

struct Countdown {
  std::atomic<std::int64_t> left;
  std::promise<void> end{};

  void count_down() {
    if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) end.set_value();
  }
};

awaitable<void> count_down(Countdown* countdown) {
  co_await queued();
  countdown->count_down();
}

Outcome run_spawn_external(AsioEngine& engine, std::int64_t tasks) {
  Countdown countdown{.left = tasks};
  const Usage used = measure([&] {
    for (std::int64_t i = 0; i < tasks; ++i) {
      asio::co_spawn(engine.pool(), count_down(&countdown), asio::detached);
    }
    countdown.end.get_future().wait();
  });
  return {.ops = tasks, .right = countdown.left.load(std::memory_order_acquire) == 0, .used = used};
}

struct Chain {
  std::int64_t links = 0;  // Written by one task after the other.
  std::promise<void> end{};
};

awaitable<void> link(Chain* chain, std::int64_t left) {
  co_await queued();
  ++chain->links;
  if (left == 1) {
    chain->end.set_value();
  } else {
    asio::co_spawn(co_await asio::this_coro::executor, link(chain, left - 1), asio::detached);
  }
}

Outcome run_chained_spawn(AsioEngine& engine, std::int64_t length) {
  Chain chain;
  const Usage used = measure([&] {
    asio::co_spawn(engine.pool(), link(&chain, length), asio::detached);
    chain.end.get_future().wait();
  });
  return {.ops = length, .right = chain.links == length, .used = used};
}

awaitable<std::int64_t> yield(std::int64_t times) {
  co_await queued();
  std::int64_t yields = 0;
  for (; yields < times; ++yields) co_await queued();
  co_return yields;
}

awaitable<std::int64_t> yield_all(std::int64_t times) {
  const auto executor = co_await asio::this_coro::executor;
  Results results(executor, static_cast<std::size_t>(kYieldTasks));
  for (std::int64_t i = 0; i < kYieldTasks; ++i) {
    asio::co_spawn(executor, yield(times), send_to(&results));
  }
  co_return co_await sum_of(&results, kYieldTasks);
}

Outcome run_yield(AsioEngine& engine, std::int64_t times) {
  Usage used;
  const std::int64_t yields = engine.run(yield_all(times), used);
  return {.ops = kYieldTasks * times, .right = yields == kYieldTasks * times, .used = used};
}

// --- Trees ------------------------------------------------------------------------------------

auto child_of(const Executor& executor, awaitable<std::int64_t> child) {
  return asio::co_spawn(executor, std::move(child), asio::experimental::deferred);
}

// Starts the children, and waits for all.
template <typename... Children>
auto all_of(Children... children) {
  return asio::experimental::make_parallel_group(std::move(children)...)
      .async_wait(asio::experimental::wait_for_all(), use_awaitable);
}

// A group's results are the order of the ends, and for each child an exception, if it threw one, and what it gave.
template <typename Results, std::size_t... kChildren>
std::int64_t sum_of(const Results& results, std::index_sequence<kChildren...>) {
  return (std::get<2 * kChildren + 2>(results) + ...);
}

awaitable<std::int64_t> skynet(std::int64_t first, std::int64_t leaves) {
  co_await queued();
  if (leaves == 1) co_return first;
  const auto executor = co_await asio::this_coro::executor;
  const std::int64_t share = leaves / kSkynetBranches;
  const auto all = [&]<std::size_t... kChildren>(std::index_sequence<kChildren...>) {
    return all_of(
        child_of(executor, skynet(first + static_cast<std::int64_t>(kChildren) * share, share))...);
  };
  constexpr std::make_index_sequence<kSkynetBranches> kChildren;
  co_return sum_of(co_await all(kChildren), kChildren);
}

Outcome run_skynet(AsioEngine& engine, std::int64_t depth) {
  Usage used;
  const std::int64_t sum = engine.run(skynet(0, skynet_leaves(depth)), used);
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

awaitable<std::int64_t> fib(std::int64_t n) {
  co_await queued();
  if (n < 2) co_return n;
  const auto executor = co_await asio::this_coro::executor;
  const auto results =
      co_await all_of(child_of(executor, fib(n - 1)), child_of(executor, fib(n - 2)));
  co_return sum_of(results, std::make_index_sequence<2>());
}

Outcome run_fib(AsioEngine& engine, std::int64_t n) {
  Usage used;
  const std::int64_t number = engine.run(fib(n), used);
  return {.ops = fib_tasks(n), .right = number == fib_number(n), .used = used};
}

// --- Tasks that talk to each other ------------------------------------------------------------

awaitable<void> answer(Results* questions, Results* answers) {
  co_await queued();
  const std::int64_t question = co_await questions->async_receive(use_awaitable);
  answers->try_send(asio::error_code(), question + 1);
}

awaitable<std::int64_t> ask(std::int64_t question) {
  co_await queued();
  const auto executor = co_await asio::this_coro::executor;
  Results questions(executor, 1);
  Results answers(executor, 1);
  asio::co_spawn(executor, answer(&questions, &answers), asio::detached);
  questions.try_send(asio::error_code(), question);
  co_return co_await answers.async_receive(use_awaitable);
}

awaitable<std::int64_t> play(std::int64_t rounds) {
  const auto executor = co_await asio::this_coro::executor;
  Results results(executor, static_cast<std::size_t>(kPingPongPairs));
  std::int64_t sum = 0;
  for (; rounds > 0; --rounds) {
    for (std::int64_t i = 0; i < kPingPongPairs; ++i) {
      asio::co_spawn(executor, ask(i), send_to(&results));
    }
    sum += co_await sum_of(&results, kPingPongPairs);
  }
  co_return sum;
}

Outcome run_ping_pong(AsioEngine& engine, std::int64_t rounds) {
  Usage used;
  const std::int64_t sum = engine.run(play(rounds), used);
  return {.ops = rounds * kPingPongPairs, .right = sum == ping_pong_sum(rounds), .used = used};
}

struct Queue {
  Channel<std::uint64_t> values;
  std::atomic<int> producers;
  int consumers;
};
// Tells a consumer that this was all. Not close(): with Asio 1.22 that throws away what is still in the channel.
constexpr std::uint64_t kEnd = UINT64_MAX;

awaitable<std::int64_t> produce(Queue* queue, std::uint64_t first, std::uint64_t end) {
  co_await queued();
  for (std::uint64_t value = first; value < end; ++value) {
    co_await queue->values.async_send(asio::error_code(), value, use_awaitable);
  }
  if (queue->producers.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    for (int i = 0; i < queue->consumers; ++i) {
      co_await queue->values.async_send(asio::error_code(), kEnd, use_awaitable);
    }
  }
  co_return 0;
}

awaitable<std::int64_t> consume(Queue* queue) {
  co_await queued();
  std::uint64_t sum = 0;
  for (;;) {
    const std::uint64_t value = co_await queue->values.async_receive(use_awaitable);
    if (value == kEnd) co_return static_cast<std::int64_t>(sum);
    sum += value;
  }
}

awaitable<std::int64_t> pass(int producers, int consumers, std::int64_t messages) {
  const auto executor = co_await asio::this_coro::executor;
  Queue queue{
      .values = {executor, kChannelCapacity}, .producers = producers, .consumers = consumers};
  Results results(executor, static_cast<std::size_t>(producers + consumers));
  for (int i = 0; i < consumers; ++i) asio::co_spawn(executor, consume(&queue), send_to(&results));
  for (int i = 0; i < producers; ++i) {
    const auto first = static_cast<std::uint64_t>(messages * i / producers);
    const auto end = static_cast<std::uint64_t>(messages * (i + 1) / producers);
    asio::co_spawn(executor, produce(&queue, first, end), send_to(&results));
  }
  co_return co_await sum_of(&results, producers + consumers);
}

template <int kProducers, int kConsumers>
Outcome run_channel(AsioEngine& engine, std::int64_t messages) {
  Usage used;
  const std::int64_t sum = engine.run(pass(kProducers, kConsumers, messages), used);
  return {.ops = messages,
          .right = static_cast<std::uint64_t>(sum) == messages_sum(messages),
          .used = used};
}

// --- Timers -----------------------------------------------------------------------------------

awaitable<void> sleep_once(std::int64_t sleep_ms, std::int64_t* late_ns, Countdown* countdown) {
  co_await queued();
  const std::int64_t due_ns = now_ns() + sleep_ms * 1'000'000;
  using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                           asio::wait_traits<std::chrono::steady_clock>, Executor>;
  Timer timer(co_await asio::this_coro::executor, std::chrono::milliseconds(sleep_ms));
  co_await timer.async_wait(use_awaitable);
  *late_ns = now_ns() - due_ns;
  countdown->count_down();
}

awaitable<void> sleep_all(std::vector<std::int64_t>* late_ns, Countdown* countdown) {
  const auto executor = co_await asio::this_coro::executor;
  for (std::size_t i = 0; i < late_ns->size(); ++i) {
    asio::co_spawn(executor, sleep_once(sleep_of_task_ms(i), &(*late_ns)[i], countdown),
                   asio::detached);
  }
}

Outcome run_timers(AsioEngine& engine, std::int64_t tasks) {
  std::vector<std::int64_t> late_ns(static_cast<std::size_t>(tasks));
  Countdown countdown{.left = tasks};
  const Usage used = measure([&] {
    asio::co_spawn(engine.pool(), sleep_all(&late_ns, &countdown), asio::detached);
    countdown.end.get_future().wait();
  });
  std::sort(late_ns.begin(), late_ns.end());
  return {.ops = tasks,
          .right = late_ns.front() >= 0,
          .used = used,
          .figures = latency_figures(late_ns)};
}

// Smaller where the whole row would take a quarter of a minute.
constexpr Sizes kRounds = {.full = 100, .warm_up = 10, .smoke = 3, .min = 1, .max = 1'000'000};
constexpr Sizes kMessages = {
    .full = 2'000'000, .warm_up = 200'000, .smoke = 5'000, .min = 1, .max = 1'000'000'000};

using AsioRow = Row<AsioEngine>;
constexpr std::array kRows = {
    AsioRow{kSpawnJoin, run_spawn_join},
    AsioRow{kSpawnExternal, run_spawn_external},
    AsioRow{kChainedSpawn, run_chained_spawn},
    AsioRow{kSkynetSpawn, run_skynet},
    AsioRow{kFibSpawn, run_fib},
    AsioRow{kYield, run_yield},
    AsioRow{resized(kPingPong, kRounds), run_ping_pong},
    AsioRow{resized(kMpsc11, kMessages), run_channel<1, 1>},
    AsioRow{resized(kMpsc41, kMessages), run_channel<4, 1>},
    AsioRow{resized(kMpmc44, kMessages), run_channel<4, 4>},
    AsioRow{kTimers, run_timers},
};

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const ProgramInfo program = {.name = "asio_rows",
                               .purpose = "Runs one row of the scheduler comparison on Asio."};
  return run_program<AsioEngine>(program, kRows, argc, argv);
}
