// SPDX-License-Identifier: Apache-2.0
//
// Measures: oneshot channels, alone and between tasks; the runtime is warm. Each run's answer is checked.
// Does not measure: large values, contention of more than two tasks (there is none).
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/oneshot.h"

namespace skua {
namespace {

// Runs `make(n)` once for each iteration and checks that it gives `expected`.
template <typename Make>
void run_rounds(benchmark::State& state, std::int64_t n, std::int64_t expected, Make make) {
  Runtime runtime({.worker_threads = static_cast<int>(state.range(0))});
  for (auto _ : state) {
    if (runtime.block_on(make(n)) != expected) {
      state.SkipWithError("wrong answer");
      return;
    }
  }
  state.SetItemsProcessed(state.iterations() * n);
}

// One task makes a channel, sends and receives: nothing suspends.
Task<std::int64_t> send_to_itself(std::int64_t times) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < times; ++i) {
    auto [tx, rx] = oneshot<std::int64_t>();
    benchmark::DoNotOptimize(&tx);
    benchmark::DoNotOptimize(&rx);
    tx.send(1);
    const std::optional<std::int64_t> received = co_await rx.recv();
    sum += *received;
  }
  co_return sum;
}

void BM_CreateSendReceive(benchmark::State& state) {
  run_rounds(state, 1'000'000, 1'000'000, send_to_itself);
}
BENCHMARK(BM_CreateSendReceive)->ArgName("workers")->Arg(1)->UseRealTime();

// ping_pong: pairs of tasks; for each pair two channels, created, answered and dropped. For each pair.
Task<> pong(OneshotReceiver<std::int64_t> request, OneshotSender<std::int64_t> answer) {
  const std::optional<std::int64_t> asked = co_await request.recv();
  answer.send(*asked + 1);
}

Task<std::int64_t> ping() {
  auto [request_tx, request_rx] = oneshot<std::int64_t>();
  auto [answer_tx, answer_rx] = oneshot<std::int64_t>();
  spawn(pong(std::move(request_rx), std::move(answer_tx)));
  request_tx.send(0);
  const std::optional<std::int64_t> answer = co_await answer_rx.recv();
  co_return *answer;
}

Task<std::int64_t> ping_pong(std::int64_t pairs) {
  constexpr std::int64_t kPairs = 1000;  // At a time.
  std::int64_t sum = 0;
  std::vector<JoinHandle<std::int64_t>> handles;
  handles.reserve(kPairs);
  for (std::int64_t done = 0; done < pairs; done += kPairs) {
    for (std::int64_t i = 0; i < kPairs; ++i) handles.push_back(spawn(ping()));
    for (auto& handle : handles) sum += co_await std::move(handle);
    handles.clear();
  }
  co_return sum;
}

void BM_PingPong(benchmark::State& state) { run_rounds(state, 100'000, 100'000, ping_pong); }
BENCHMARK(BM_PingPong)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

// volley: two tasks send a ball to and fro, with the channel to send it back on: a channel and a suspension for
// each flight.
struct Ball {
  Ball(std::int64_t n, OneshotSender<Ball> reply) noexcept : flights(n), back(std::move(reply)) {}
  std::int64_t flights;
  OneshotSender<Ball> back;
};

Task<std::int64_t> play(OneshotReceiver<Ball> first, std::int64_t last) {
  OneshotReceiver<Ball> next = std::move(first);
  for (;;) {
    std::optional<Ball> ball = co_await next.recv();
    if (!ball.has_value()) co_return 0;  // The other one has seen the last flight.
    if (ball->flights == last) co_return last;
    auto [tx, rx] = oneshot<Ball>();
    next = std::move(rx);
    ball->back.send(Ball(ball->flights + 1, std::move(tx)));
  }
}

Task<std::int64_t> volley(std::int64_t flights) {
  auto [a_tx, a_rx] = oneshot<Ball>();
  auto [b_tx, b_rx] = oneshot<Ball>();
  JoinHandle<std::int64_t> a = spawn(play(std::move(a_rx), flights));
  JoinHandle<std::int64_t> b = spawn(play(std::move(b_rx), flights));
  a_tx.send(Ball(1, std::move(b_tx)));
  const std::int64_t a_saw = co_await std::move(a);
  const std::int64_t b_saw = co_await std::move(b);
  co_return a_saw + b_saw;
}

void BM_Volley(benchmark::State& state) { run_rounds(state, 100'000, 100'000, volley); }
BENCHMARK(BM_Volley)->ArgName("workers")->Arg(1)->Arg(2)->UseRealTime();

}  // namespace
}  // namespace skua
