// SPDX-License-Identifier: Apache-2.0
//
// The definitions that rows of several programs share: sizes, numbers of tasks, right answers. benches/README.md says
// what each row does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "benches/harness/program.h"

namespace skua::bench {

// The same definition under another name.
constexpr RowInfo renamed(RowInfo row, std::string_view name) {
  row.name = name;
  return row;
}
// The same definition for who cannot do its full size. What counts is the time for each op.
constexpr RowInfo resized(RowInfo row, Sizes sizes) {
  row.sizes = sizes;
  return row;
}

// --- Tasks that do nothing ----------------------------------------------------------------------

inline constexpr std::int64_t kSpawnJoinBatch = 1000;

inline constexpr RowInfo kSpawnJoin = {
    .name = "spawn_join",
    .size_is = "tasks",
    .sizes = {.full = 1'000'000, .warm_up = 100'000, .smoke = 2'500, .min = 1, .max = 100'000'000},
};
inline constexpr RowInfo kSpawnExternal = renamed(kSpawnJoin, "spawn_external");
inline constexpr RowInfo kChainedSpawn = renamed(kSpawnJoin, "chained_spawn");

inline constexpr std::int64_t kSpawnBlockingBatch = 100;

inline constexpr RowInfo kSpawnBlocking = {
    .name = "spawn_blocking",
    .size_is = "closures",
    .sizes = {.full = 200'000, .warm_up = 20'000, .smoke = 500, .min = 1, .max = 100'000'000},
};

inline constexpr std::int64_t kYieldTasks = 1000;

inline constexpr RowInfo kYield = {
    .name = "yield",
    .size_is = "yields of each of 1000 tasks",
    .sizes = {.full = 1000, .warm_up = 100, .smoke = 10, .min = 1, .max = 1'000'000},
};

// --- Tasks that talk to each other --------------------------------------------------------------

inline constexpr std::int64_t kPingPongPairs = 1000;

inline constexpr RowInfo kPingPong = {
    .name = "ping_pong",
    .size_is = "rounds of 1000 pairs",
    .sizes = {.full = 1000, .warm_up = 100, .smoke = 3, .min = 1, .max = 1'000'000},
};
// 1 + 2 + ... + kPingPongPairs in each round: pair i answers i + 1.
constexpr std::int64_t ping_pong_sum(std::int64_t rounds) {
  return rounds * (kPingPongPairs * (kPingPongPairs + 1) / 2);
}

inline constexpr std::size_t kChannelCapacity = 1024;

inline constexpr RowInfo kMpsc11 = {
    .name = "mpsc_1_1",
    .size_is = "messages",
    .sizes =
        {.full = 10'000'000, .warm_up = 1'000'000, .smoke = 5'000, .min = 1, .max = 1'000'000'000},
};
inline constexpr RowInfo kMpsc41 = renamed(kMpsc11, "mpsc_4_1");
inline constexpr RowInfo kMpmc44 = renamed(kMpsc11, "mpmc_4_4");
// 0 + 1 + ... + (messages - 1).
constexpr std::uint64_t messages_sum(std::int64_t messages) {
  const auto count = static_cast<std::uint64_t>(messages);
  return count * (count - 1) / 2;
}

inline constexpr std::int64_t kMutexTasks = 64;

inline constexpr RowInfo kMutex = {
    .name = "mutex",
    .size_is = "locks by each of 64 tasks",
    .sizes = {.full = 100'000, .warm_up = 10'000, .smoke = 100, .min = 1, .max = 10'000'000},
};

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
