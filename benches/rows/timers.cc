// SPDX-License-Identifier: Apache-2.0
//
// Very many tasks that sleep at the same time, each for another number of milliseconds.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "benches/harness/workloads.h"
#include "benches/rows/countdown.h"
#include "benches/rows/rows.h"
#include "skua/spawn.h"
#include "skua/time.h"

namespace skua::bench {
namespace {

Task<> sleep_once(std::int64_t sleep_ms, std::int64_t* late_ns, Countdown* countdown) {
  const std::int64_t due_ns = now_ns() + sleep_ms * 1'000'000;
  co_await sleep_for(std::chrono::milliseconds(sleep_ms));
  *late_ns = now_ns() - due_ns;
  countdown->count_down();
}

Task<> sleep_all(std::vector<std::int64_t>* late_ns) {
  Countdown countdown(static_cast<std::int64_t>(late_ns->size()));
  for (std::size_t i = 0; i < late_ns->size(); ++i) {
    spawn(sleep_once(sleep_of_task_ms(i), &(*late_ns)[i], &countdown));
  }
  co_await wait_for(&countdown);
}

Outcome run_timers(SkuaEngine& engine, std::int64_t tasks) {
  std::vector<std::int64_t> late_ns(static_cast<std::size_t>(tasks));
  const Usage used = measure([&] { engine.runtime().block_on(sleep_all(&late_ns)); });
  std::sort(late_ns.begin(), late_ns.end());
  return {.ops = tasks,
          .right = late_ns.front() >= 0,  // Nobody was woken too early.
          .used = used,
          .figures = latency_figures(late_ns)};
}

}  // namespace

std::span<const SkuaRow> timer_rows() {
  static constexpr std::array kRows = {SkuaRow{kTimers, run_timers}};
  return kRows;
}

}  // namespace skua::bench
