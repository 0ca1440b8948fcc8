// SPDX-License-Identifier: Apache-2.0
//
// The answers and numbers of tasks that the rows are checked by, counted again by plain recursion.
#include "benches/harness/workloads.h"

#include <cstddef>
#include <cstdint>

#include <gtest/gtest.h>

#include "benches/harness/matrices.h"

namespace skua::bench {
namespace {

struct Count {
  std::int64_t tasks = 0;
  std::int64_t answer = 0;
};

void walk_skynet(std::int64_t first, std::int64_t leaves, Count& count) {
  ++count.tasks;
  if (leaves == 1) count.answer += first;
  if (leaves == 1) return;
  const std::int64_t share = leaves / kSkynetBranches;
  for (std::int64_t i = 0; i < kSkynetBranches; ++i) walk_skynet(first + i * share, share, count);
}

TEST(WorkloadsTest, SkynetsTasksAndSumAreThoseOfItsTree) {
  for (std::int64_t depth = 0; depth <= 5; ++depth) {
    Count count;
    walk_skynet(0, skynet_leaves(depth), count);
    EXPECT_EQ(skynet_tasks(depth), count.tasks) << depth;
    EXPECT_EQ(skynet_sum(depth), count.answer) << depth;
  }
  EXPECT_EQ(skynet_tasks(kSkynet.sizes.full), 111'111'111);
  EXPECT_EQ(skynet_sum(kSkynet.sizes.full), 4'999'999'950'000'000);
  EXPECT_EQ(skynet_tasks(kSkynetSpawn.sizes.full), 1'111'111);
}

std::int64_t walk_fib(std::int64_t n, Count& count) {
  ++count.tasks;
  return n < 2 ? n : walk_fib(n - 1, count) + walk_fib(n - 2, count);
}

TEST(WorkloadsTest, FibsTasksAndNumberAreThoseOfItsTree) {
  for (std::int64_t n = 0; n <= 20; ++n) {
    Count count;
    EXPECT_EQ(fib_number(n), walk_fib(n, count)) << n;
    EXPECT_EQ(fib_tasks(n), count.tasks) << n;
  }
  EXPECT_EQ(fib_number(kFib.sizes.full), 63'245'986);
  EXPECT_EQ(fib_tasks(kFibSpawn.sizes.full), 635'621);
}

void walk_queens(const QueensBoard& board, Count& count) {
  ++count.tasks;
  if (board.is_full()) ++count.answer;
  if (board.is_full()) return;
  const QueensBoard::Columns free = board.free_columns();
  for (std::size_t i = 0; i < free.count; ++i) walk_queens(board.with(free.column[i]), count);
}

TEST(WorkloadsTest, TheQueensTableIsRightAsFarAsItIsCountedHere) {
  for (std::int64_t queens = 1; queens <= 9; ++queens) {
    Count count;
    walk_queens(QueensBoard(queens), count);
    EXPECT_EQ(queens_answer(queens).solutions, count.answer) << queens;
    EXPECT_EQ(queens_answer(queens).tasks, count.tasks) << queens;
  }
  EXPECT_EQ(queens_answer(kNqueens.sizes.full).solutions, 365'596);
}

void multiply(const Product& product, Count& count) {
  ++count.tasks;
  if (product.is_block()) {
    multiply_block(product);
    return;
  }
  for (int step = 0; step < 2; ++step) {
    for (std::size_t i = 0; i < kQuadrants; ++i) multiply(product.part(step, i), count);
  }
}

TEST(MatricesTest, TheRecursionGivesTheProduct) {
  for (const std::int64_t edge : {32, 64, 256}) {
    Matrices matrices(edge);
    Count count;
    multiply(matrices.whole(), count);
    EXPECT_TRUE(matrices.is_product()) << edge;
    EXPECT_EQ(matmul_tasks(edge), count.tasks) << edge;
  }
  EXPECT_EQ(matmul_tasks(kMatmul.sizes.full), 299'593);
}

TEST(MatricesTest, AProductThatLacksABlockIsFound) {
  Matrices matrices(128);
  for (int step = 0; step < 2; ++step) {
    for (std::size_t i = 0; i < kQuadrants; ++i) {
      Count ignored;
      if (step == 0 || i != 3) multiply(matrices.whole().part(step, i), ignored);
    }
  }
  EXPECT_FALSE(matrices.is_product());
}

TEST(MatricesTest, AProductWithABlockTwiceIsFound) {
  Matrices matrices(64);
  Count ignored;
  multiply(matrices.whole(), ignored);
  multiply_block(matrices.whole().part(1, 2));
  EXPECT_FALSE(matrices.is_product());
}

TEST(MatricesTest, OnlyPowersOfTwoAreEdges) {
  EXPECT_TRUE(is_matrix_edge(32));
  EXPECT_TRUE(is_matrix_edge(2048));
  EXPECT_FALSE(is_matrix_edge(48));
}

}  // namespace
}  // namespace skua::bench
