// SPDX-License-Identifier: Apache-2.0
//
// skua_workloads: every row of benches/rows under Google Benchmark, with each scheduling policy, with 1, 2, 4, ...
// workers up to the number of CPUs, and for I/O with each backend. Named ROW/POLICY[/BACKEND]/workers:N.
//
//   skua_workloads --benchmark_filter='^yield/' --benchmark_repetitions=5
//   skua_workloads --row_size=smoke --benchmark_min_time=0    each once, as small as it goes
//
// Measures: what the row says, its own time; making the runtime does not count, and it is warm, unless an iteration is
// no larger than what would warm it up. An item is an op of the row. CPU is that of all threads, with what the row does
// around its work, such as checking its answer; cpu_ns_per_op is without. max_rss_kib counts from the beginning of the
// benchmark. The figures of a distribution are those of the last iteration.
// Does not measure: useful work, nor echo, for which server and client are processes of their own (echo/).
//
// Exit status: 0 done, 1 a wrong answer, 2 a mistake in the command line.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "benches/harness/measure.h"
#include "benches/harness/program.h"
#include "benches/rows/engine.h"
#include "benches/rows/rows.h"
#include "skua/runtime.h"

namespace skua::bench {
namespace {

// Which of the row's sizes an iteration has.
struct RowSize {
  std::string_view name;
  std::int64_t Sizes::* size;
};
constexpr std::array kRowSizes = {RowSize{"full", &Sizes::full},
                                  RowSize{"warm_up", &Sizes::warm_up},
                                  RowSize{"smoke", &Sizes::smoke}};

// The size that a flag asks for; nullptr: it is another flag, or there is no such size.
const RowSize* row_size_of(std::string_view flag) {
  constexpr std::string_view kFlag = "--row_size=";
  if (!flag.starts_with(kFlag)) return nullptr;
  flag.remove_prefix(kFlag.size());
  for (const RowSize& size : kRowSizes) {
    if (size.name == flag) return &size;
  }
  return nullptr;
}

bool any_wrong_answer = false;

void print_help() {
  std::puts(
      "skua_workloads [--row_size=full|warm_up|smoke]\n"
      "               an iteration is a run of the row at its full size, unless said otherwise");
  benchmark::PrintDefaultHelp();
}

struct Workload {
  SkuaRow row;
  EngineOptions options;
  std::int64_t size;
};

void run(benchmark::State& state, Workload workload) {
  const SkuaRow& row = workload.row;
  workload.options.workers = static_cast<int>(state.range(0));
  SkuaEngine engine(workload.options);
  Outcome last{.right = true};
  if (workload.size > row.info.sizes.warm_up) last = row.run(engine, row.info.sizes.warm_up);
  forget_peak_rss();
  std::int64_t ops = 0;
  double cpu_s = 0;
  for (auto _ : state) {
    if (last.right) last = row.run(engine, workload.size);
    if (!last.right) {
      any_wrong_answer = true;
      state.SkipWithError("wrong answer");
      return;
    }
    state.SetIterationTime(last.used.wall_s);
    ops += last.ops;
    cpu_s += last.used.cpu_s;
  }
  state.SetItemsProcessed(ops);
  state.counters["cpu_ns_per_op"] = cpu_s * 1e9 / static_cast<double>(ops);
  state.counters["max_rss_kib"] = static_cast<double>(peak_rss_kib());
  for (const Figure& figure : last.figures) state.counters[std::string(figure.name)] = figure.value;
}

// 1, 2, 4, ... and the number of CPUs.
std::vector<std::int64_t> worker_counts() {
  const std::int64_t cpus = std::max(std::thread::hardware_concurrency(), 1u);
  std::vector<std::int64_t> counts;
  for (std::int64_t count = 1; count < cpus; count *= 2) counts.push_back(count);
  counts.push_back(cpus);
  return counts;
}

// Where io_uring is refused, there is nothing to measure on it.
bool has_uring() {
  return Runtime::create({.flavor = Flavor::kCurrentThread, .io_backend = IoBackend::kUring}).ok();
}

void add(const SkuaRow& row, const EngineOptions& options, std::int64_t size) {
  std::string name(row.info.name);
  name.append("/").append(options.policy);
  if (row.info.does_io) name.append("/").append(options.backend);
  const Workload workload = {.row = row, .options = options, .size = size};
  benchmark::internal::Benchmark* const added =
      benchmark::RegisterBenchmark(name.c_str(), run, workload);
  added->ArgName("workers")->UseManualTime()->MeasureProcessCPUTime();
  added->Unit(benchmark::kMillisecond);
  if (SkuaEngine::is_single(options.policy)) {
    added->Arg(1);
  } else {
    for (const std::int64_t workers : worker_counts()) added->Arg(workers);
  }
}

void add_all(std::int64_t Sizes::* size) {
  const bool uring = has_uring();
  for (const SkuaRow& row : all_rows()) {
    for (const std::string_view policy : SkuaEngine::policies()) {
      for (const std::string_view backend : SkuaEngine::backends()) {
        // One backend for all rows without I/O; each that is there, by its name, for the others.
        const bool is_default = backend == SkuaEngine::backends().front();
        if (is_default == row.info.does_io || (backend == "uring" && !uring)) continue;
        add(row, {.policy = policy, .backend = backend}, row.info.sizes.*size);
      }
    }
  }
}

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  benchmark::Initialize(&argc, argv, print_help);
  const RowSize* size = kRowSizes.begin();
  for (int i = 1; i < argc; ++i) {
    size = row_size_of(argv[i]);
    if (size == nullptr) {
      std::fprintf(stderr, "skua_workloads: unknown: %s; see --help\n", argv[i]);
      return kExitUsage;
    }
  }
  add_all(size->size);
  const std::size_t matched = benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (matched == 0) return kExitUsage;
  return any_wrong_answer ? kExitWrongAnswer : 0;
}
