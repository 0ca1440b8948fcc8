// SPDX-License-Identifier: Apache-2.0
//
// The definitions that rows of several programs share: sizes, numbers of tasks, right answers. benches/README.md says
// what each row does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "benches/harness/program.h"

namespace skua::bench {

// --- timers: tasks that sleep at the same time --------------------------------------------------

inline constexpr RowInfo kTimers = {
    .name = "timers",
    .size_is = "tasks that sleep",
    .sizes = {.full = 1'000'000, .warm_up = 10'000, .smoke = 1'000, .min = 1, .max = 10'000'000},
};

// 1 to 1000, spread evenly, in no order.
constexpr std::int64_t sleep_of_task_ms(std::uint64_t task) {
  return 1 + static_cast<std::int64_t>((task * 2'654'435'761u >> 7) % 1000);
}

// --- skynet: a tree with ten branches at each node --------------------------------------------

inline constexpr std::int64_t kSkynetBranches = 10;

inline constexpr RowInfo kSkynet = {
    .name = "skynet",
    .size_is = "depth of the tree",
    .sizes = {.full = 8, .warm_up = 5, .smoke = 3, .min = 0, .max = 9},
};
inline constexpr RowInfo kSkynetSpawn = {
    .name = "skynet_spawn",
    .size_is = "depth of the tree",
    .sizes = {.full = 6, .warm_up = 4, .smoke = 3, .min = 0, .max = 9},
};

// 10^depth.
std::int64_t skynet_leaves(std::int64_t depth);
// Leaves and inner nodes.
std::int64_t skynet_tasks(std::int64_t depth);
// 0 + 1 + ... + (leaves - 1).
std::int64_t skynet_sum(std::int64_t depth);

// --- fib: two branches at each node above 1 ---------------------------------------------------

inline constexpr RowInfo kFib = {
    .name = "fib",
    .size_is = "which number",
    .sizes = {.full = 39, .warm_up = 25, .smoke = 10, .min = 0, .max = 60},
};
inline constexpr RowInfo kFibSpawn = {
    .name = "fib_spawn",
    .size_is = "which number",
    .sizes = {.full = 27, .warm_up = 18, .smoke = 10, .min = 0, .max = 60},
};

std::int64_t fib_number(std::int64_t n);
// 2 F(n+1) - 1.
std::int64_t fib_tasks(std::int64_t n);

// --- nqueens: a task for each queen that can be placed ----------------------------------------

inline constexpr std::int64_t kQueensMax = 15;

inline constexpr RowInfo kNqueens = {
    .name = "nqueens",
    .size_is = "queens",
    .sizes = {.full = 14, .warm_up = 10, .smoke = 6, .min = 1, .max = kQueensMax},
};

struct QueensAnswer {
  std::int64_t solutions;
  std::int64_t tasks;  // Nodes of the search tree, the empty board among them.
};
// From a table; workloads_test.cc counts the smaller ones again.
QueensAnswer queens_answer(std::int64_t queens);

// Queens on the first rows of a board, none attacking another. A value: each task has its own.
class QueensBoard {
 public:
  explicit QueensBoard(std::int64_t queens) : queens_(static_cast<std::int8_t>(queens)) {}

  bool is_full() const { return placed_ == queens_; }

  // Where the next queen may stand: the columns, and how many of them there are.
  struct Columns {
    std::array<std::int8_t, kQueensMax> column;
    std::size_t count = 0;
  };
  Columns free_columns() const {
    Columns free;
    for (std::int8_t column = 0; column < queens_; ++column) {
      if (is_free(column)) free.column[free.count++] = column;
    }
    return free;
  }

  // The board with one more queen.
  QueensBoard with(std::int8_t column) const {
    QueensBoard next = *this;
    next.column_of_row_[static_cast<std::size_t>(next.placed_++)] = column;
    return next;
  }

 private:
  bool is_free(std::int8_t column) const {
    for (std::int8_t row = 0; row < placed_; ++row) {
      const int other = column_of_row_[static_cast<std::size_t>(row)];
      const int distance = placed_ - row;
      if (other == column || other - column == distance || column - other == distance) return false;
    }
    return true;
  }

  std::array<std::int8_t, kQueensMax> column_of_row_{};
  std::int8_t placed_ = 0;
  std::int8_t queens_;
};

}  // namespace skua::bench
