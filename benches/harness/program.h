// SPDX-License-Identifier: Apache-2.0
//
// What the programs of the benches have in common: a command line, a warm-up, one line of JSON.
//
//   PROGRAM ROW [--size N] [--workers N] [--policy P] [--backend B]
//   {"row": "fib", "ns_per_op": 21.4, "wall_s": 4.38, "ops": 204668309, "cpu_s": 8.75, "max_rss_kib": 3120, ...}
//
// A program is a table of rows, and an engine on which they run: a runtime, an arena. It is made once; the row runs
// on it once at the size of its warm-up, and then for the figures. Nothing here knows Skua, so that the programs of
// its peers use it too.
//
// Exit status: 0 done, 1 a wrong answer, 2 a mistake in the command line, 3 not possible here: the system refuses what
// the row needs (no io_uring, no room on the disk).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "benches/harness/measure.h"

namespace skua::bench {

inline constexpr int kExitWrongAnswer = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotPossible = 3;

// Tells what has failed and why, by `error`, which is one of errno, and ends the process with kExitNotPossible.
[[noreturn]] void not_possible(const char* what, int error);

// A figure of a row beside those that every row has.
struct Figure {
  std::string_view name;  // With its unit: "p99_us".
  double value = 0;
};

// A distribution of times, as figures: "p10_us", "p50_us" and so on to "p9999_us", and "max_us". Requires: sorted, not
// empty.
std::vector<Figure> latency_figures(const std::vector<std::int64_t>& sorted_ns);

// What a run of a row gave.
struct Outcome {
  std::int64_t ops = 0;  // As benches/README.md counts them.
  bool right = false;    // Whether the answer was the expected one.
  Usage used{};
  std::vector<Figure> figures{};
};

struct Sizes {
  std::int64_t full = 0;     // Of the row's definition.
  std::int64_t warm_up = 0;  // Run before, for nothing; or the size of the run, if that is less.
  std::int64_t smoke = 0;    // The least that still does everything.
  std::int64_t min = 0;
  std::int64_t max = 0;
  bool (*fits)(std::int64_t size) = nullptr;  // Whether it is one, if not all from min to max are.
};

struct RowInfo {
  std::string_view name;
  std::string_view size_is;  // What the size counts.
  Sizes sizes;
  bool does_io = false;  // So that EngineOptions::backend matters.
};

template <typename Engine>
struct Row {
  RowInfo info;
  Outcome (*run)(Engine& engine, std::int64_t size);
};

// With what an engine is made.
struct EngineOptions {
  int workers = 2;
  std::string_view policy;   // One of ProgramInfo::policies; empty if there are none.
  std::string_view backend;  // One of ProgramInfo::backends; empty if there are none.
};

struct ProgramInfo {
  std::string_view name;
  std::string_view purpose;  // One line of --help.
  // Of what --policy and --backend take, the first one is the default. Without any, there is no such option.
  std::span<const std::string_view> policies{};
  std::span<const std::string_view> backends{};
};

// What the command line asks for: a row to run, or a text to print and a status to end with.
struct Command {
  std::optional<int> exit_status;
  std::string text;  // For stdout if the status is 0, else for stderr.

  std::size_t row = 0;  // Index.
  std::int64_t size = 0;
  EngineOptions engine;
};

Command parse_command(const ProgramInfo& program, std::span<const RowInfo> rows,
                      std::span<const std::string_view> arguments);

// The line of JSON, without its end.
std::string json_of(const RowInfo& row, const Command& command, const Outcome& outcome,
                    std::int64_t peak_rss_kib);

// Prints what the command line asked for, or what the run gave. Returns the exit status.
int print_text(const Command& command);
int print_outcome(const ProgramInfo& program, const RowInfo& row, const Command& command,
                  const Outcome& outcome);

// The whole program. Engine is made from EngineOptions.
template <typename Engine>
int run_program(const ProgramInfo& program, std::span<const Row<Engine>> rows, int argc,
                const char* const* argv) {
  std::vector<RowInfo> infos;
  for (const Row<Engine>& row : rows) infos.push_back(row.info);
  const std::vector<std::string_view> arguments(argv + std::min(argc, 1), argv + argc);

  const Command command = parse_command(program, infos, arguments);
  if (command.exit_status) return print_text(command);

  const Row<Engine>& row = rows[command.row];
  Engine engine(command.engine);
  const Outcome warm_up = row.run(engine, std::min(row.info.sizes.warm_up, command.size));
  if (!warm_up.right) return print_outcome(program, row.info, command, warm_up);
  return print_outcome(program, row.info, command, row.run(engine, command.size));
}

}  // namespace skua::bench
