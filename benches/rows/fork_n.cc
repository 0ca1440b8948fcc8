// SPDX-License-Identifier: Apache-2.0
//
// Trees by when_all_n: a child's task is made when it is about to run.
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "benches/harness/matrices.h"
#include "benches/harness/workloads.h"
#include "benches/rows/rows.h"
#include "skua/join.h"

namespace skua::bench {
namespace {

// In the coroutines below, what makes the children is named before it is awaited: see docs/compilers.md on GCC 12.

Task<std::int64_t> skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) co_return first;
  const std::int64_t share = leaves / kSkynetBranches;
  const auto child = [first, share](std::size_t i) {
    return skynet(first + static_cast<std::int64_t>(i) * share, share);
  };
  const std::array<std::int64_t, kSkynetBranches> parts =
      co_await when_all_n<kSkynetBranches>(child);
  co_return std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
}

Outcome run_skynet(SkuaEngine& engine, std::int64_t depth) {
  std::int64_t sum = 0;
  const Usage used =
      measure([&] { sum = engine.runtime().block_on(skynet(0, skynet_leaves(depth))); });
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

Task<std::int64_t> fib(std::int64_t n) {
  if (n < 2) co_return n;
  const auto child = [n](std::size_t i) { return fib(n - 1 - static_cast<std::int64_t>(i)); };
  const auto [a, b] = co_await when_all_n<2>(child);
  co_return a + b;
}

Outcome run_fib(SkuaEngine& engine, std::int64_t n) {
  std::int64_t number = 0;
  const Usage used = measure([&] { number = engine.runtime().block_on(fib(n)); });
  return {.ops = fib_tasks(n), .right = number == fib_number(n), .used = used};
}

Task<std::int64_t> queens(QueensBoard board) {
  if (board.is_full()) co_return 1;
  const QueensBoard::Columns free = board.free_columns();
  if (free.count == 0) co_return 0;
  const auto child = [&board, &free](std::size_t i) { return queens(board.with(free.column[i])); };
  const std::vector<std::int64_t> parts = co_await when_all_n(free.count, child);
  co_return std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
}

Outcome run_nqueens(SkuaEngine& engine, std::int64_t n) {
  std::int64_t solutions = 0;
  const Usage used =
      measure([&] { solutions = engine.runtime().block_on(queens(QueensBoard(n))); });
  const QueensAnswer answer = queens_answer(n);
  return {.ops = answer.tasks, .right = solutions == answer.solutions, .used = used};
}

Task<> multiply(Product product) {
  if (product.is_block()) {
    multiply_block(product);
    co_return;
  }
  for (int step = 0; step < 2; ++step) {
    const auto child = [&product, step](std::size_t i) { return multiply(product.part(step, i)); };
    co_await when_all_n<kQuadrants>(child);
  }
}

Outcome run_matmul(SkuaEngine& engine, std::int64_t edge) {
  Matrices matrices(edge);
  const Usage used = measure([&] { engine.runtime().block_on(multiply(matrices.whole())); });
  return {.ops = matmul_tasks(edge), .right = matrices.is_product(), .used = used};
}

}  // namespace

std::span<const SkuaRow> fork_n_rows() {
  static constexpr std::array kRows = {
      SkuaRow{renamed(kSkynet, "skynet_n"), run_skynet}, SkuaRow{renamed(kFib, "fib_n"), run_fib},
      SkuaRow{kNqueens, run_nqueens}, SkuaRow{kMatmul, run_matmul}};
  return kRows;
}

}  // namespace skua::bench
