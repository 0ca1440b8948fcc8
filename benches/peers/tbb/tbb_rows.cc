// SPDX-License-Identifier: Apache-2.0
//
// The fork-join rows on oneTBB, each in the fastest of its forms that makes every child a task. Two children:
// parallel_invoke. More: a task_group, of which one child runs by run_and_wait, at once and on this thread.
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include <tbb/global_control.h>
#include <tbb/parallel_invoke.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include "benches/harness/matrices.h"
#include "benches/harness/program.h"
#include "benches/harness/workloads.h"

namespace skua::bench {
namespace {

class TbbEngine {
 public:
  explicit TbbEngine(const EngineOptions& options)
      : parallelism_(tbb::global_control::max_allowed_parallelism,
                     static_cast<std::size_t>(options.workers)),
        arena_(options.workers) {}

  // Runs `work()` in the arena: this thread is one of the workers meanwhile.
  template <typename Work>
  Usage run(const Work& work) {
    return measure([&] { arena_.execute(work); });
  }

 private:
  tbb::global_control parallelism_;
  tbb::task_arena arena_;
};

// Runs child(0) to child(count - 1) in parallel and waits for all.
template <typename Child>
void fork(std::size_t count, const Child& child) {
  tbb::task_group group;
  for (std::size_t i = 1; i < count; ++i) {
    group.run([&child, i] { child(i); });
  }
  group.run_and_wait([&child] { child(0); });
}

std::int64_t skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) return first;
  const std::int64_t share = leaves / kSkynetBranches;
  std::array<std::int64_t, kSkynetBranches> parts;
  fork(parts.size(), [&](std::size_t i) {
    parts[i] = skynet(first + static_cast<std::int64_t>(i) * share, share);
  });
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
}

Outcome run_skynet(TbbEngine& engine, std::int64_t depth) {
  std::int64_t sum = 0;
  const Usage used = engine.run([&] { sum = skynet(0, skynet_leaves(depth)); });
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

std::int64_t fib(std::int64_t n) {
  if (n < 2) return n;
  std::int64_t a = 0;
  std::int64_t b = 0;
  tbb::parallel_invoke([&] { a = fib(n - 1); }, [&] { b = fib(n - 2); });
  return a + b;
}

Outcome run_fib(TbbEngine& engine, std::int64_t n) {
  std::int64_t number = 0;
  const Usage used = engine.run([&] { number = fib(n); });
  return {.ops = fib_tasks(n), .right = number == fib_number(n), .used = used};
}

std::int64_t queens(const QueensBoard& board) {
  if (board.is_full()) return 1;
  const QueensBoard::Columns free = board.free_columns();
  if (free.count == 0) return 0;
  std::array<std::int64_t, kQueensMax> parts;
  fork(free.count, [&](std::size_t i) { parts[i] = queens(board.with(free.column[i])); });
  return std::accumulate(parts.begin(), parts.begin() + free.count, std::int64_t{0});
}

Outcome run_nqueens(TbbEngine& engine, std::int64_t n) {
  std::int64_t solutions = 0;
  const Usage used = engine.run([&] { solutions = queens(QueensBoard(n)); });
  const QueensAnswer answer = queens_answer(n);
  return {.ops = answer.tasks, .right = solutions == answer.solutions, .used = used};
}

void multiply(const Product& product) {
  if (product.is_block()) {
    multiply_block(product);
    return;
  }
  for (int step = 0; step < 2; ++step) {
    fork(kQuadrants, [&](std::size_t i) { multiply(product.part(step, i)); });
  }
}

Outcome run_matmul(TbbEngine& engine, std::int64_t edge) {
  Matrices matrices(edge);
  const Usage used = engine.run([&] { multiply(matrices.whole()); });
  return {.ops = matmul_tasks(edge), .right = matrices.is_product(), .used = used};
}

constexpr std::array kRows = {Row<TbbEngine>{kSkynet, run_skynet}, Row<TbbEngine>{kFib, run_fib},
                              Row<TbbEngine>{kNqueens, run_nqueens},
                              Row<TbbEngine>{kMatmul, run_matmul}};

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const ProgramInfo program = {.name = "tbb_rows",
                               .purpose = "Runs one row of the scheduler comparison on oneTBB."};
  return run_program<TbbEngine>(program, kRows, argc, argv);
}
