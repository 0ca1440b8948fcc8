// SPDX-License-Identifier: Apache-2.0
//
// Pairs of tasks that ask and answer once, over channels made for that.
#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "benches/harness/workloads.h"
#include "benches/rows/rows.h"
#include "skua/spawn.h"
#include "skua/sync/oneshot.h"

namespace skua::bench {
namespace {

// Answers a question with the next number.
Task<> answer(OneshotReceiver<std::int64_t> questions, OneshotSender<std::int64_t> answers) {
  const std::optional<std::int64_t> question = co_await questions.recv();
  // If there is none, or nobody wants the answer, the asker's sum is wrong.
  if (question) answers.send(*question + 1);
}

Task<std::int64_t> ask(std::int64_t question) {
  auto [question_sender, question_receiver] = oneshot<std::int64_t>();
  auto [answer_sender, answer_receiver] = oneshot<std::int64_t>();
  spawn(answer(std::move(question_receiver), std::move(answer_sender)));
  if (!question_sender.send(question)) co_return 0;
  const std::optional<std::int64_t> number = co_await answer_receiver.recv();
  co_return number.value_or(0);
}

Task<std::int64_t> play(std::int64_t rounds) {
  std::int64_t sum = 0;
  std::vector<JoinHandle<std::int64_t>> pairs;
  pairs.reserve(kPingPongPairs);
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (std::int64_t i = 0; i < kPingPongPairs; ++i) pairs.push_back(spawn(ask(i)));
    for (JoinHandle<std::int64_t>& pair : pairs) sum += co_await std::move(pair);
    pairs.clear();
  }
  co_return sum;
}

Outcome run_ping_pong(SkuaEngine& engine, std::int64_t rounds) {
  std::int64_t sum = 0;
  const Usage used = measure([&] { sum = engine.runtime().block_on(play(rounds)); });
  return {.ops = rounds * kPingPongPairs, .right = sum == ping_pong_sum(rounds), .used = used};
}

}  // namespace

std::span<const SkuaRow> ping_pong_rows() {
  static constexpr std::array kRows = {SkuaRow{kPingPong, run_ping_pong}};
  return kRows;
}

}  // namespace skua::bench
