// SPDX-License-Identifier: Apache-2.0
//
// How long tasks of high priority wait while tasks of low priority keep all workers busy.
//
// The pings are spawned by a thread outside, so that each has one clear moment at which it became ready, and so that
// it takes the way of work that comes from elsewhere: a ping that a task spawned would run next on that worker
// whatever its priority.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <thread>
#include <utility>
#include <vector>

#include "benches/harness/measure.h"
#include "benches/rows/countdown.h"
#include "benches/rows/rows.h"
#include "skua/spawn.h"

namespace skua::bench {
namespace {

constexpr std::int64_t kLowTasksPerWorker = 100;
constexpr std::int64_t kSliceNs = 20'000;
constexpr std::chrono::milliseconds kPingInterval{1};

// --- The load ---------------------------------------------------------------------------------

struct Load {
  explicit Load(std::int64_t tasks) : started(tasks) {}

  std::latch started;
  std::atomic<bool> stop{false};
};

// Computes until kSliceNs have passed.
void compute_slice() {
  const std::int64_t start = now_ns();
  while (now_ns() - start < kSliceNs) {
  }
}

// Returns how many slices it computed. They are counted, not timed: a slice that the kernel interrupts takes longer by
// the clock, but has not computed for longer.
Task<std::int64_t> run_low(Load* load) {
  compute_slice();
  std::int64_t slices = 1;
  load->started.count_down();
  // Relaxed: when it stops does not matter, and it hands over nothing.
  while (!load->stop.load(std::memory_order_relaxed)) {
    co_await yield_now();
    compute_slice();
    ++slices;
  }
  co_return slices;
}

// --- The pings --------------------------------------------------------------------------------

Task<> ping(std::int64_t ready_ns, std::int64_t* delay_ns, Countdown* pings) {
  *delay_ns = now_ns() - ready_ns;
  pings->count_down();
  co_return;
}

// One ping each millisecond. On a thread of its own.
void send_pings(Runtime* runtime, std::vector<std::int64_t>* delays_ns, Countdown* pings) {
  auto due = std::chrono::steady_clock::now();
  for (std::int64_t& delay_ns : *delays_ns) {
    due += kPingInterval;
    std::this_thread::sleep_until(due);
    runtime->spawn(ping(now_ns(), &delay_ns, pings), {.priority = Priority::kHigh});
  }
}

// --- The row ----------------------------------------------------------------------------------

// Waits for the pings, then ends the load. Returns how many slices the load computed.
Task<std::int64_t> finish(Countdown* pings, Load* load,
                          std::vector<JoinHandle<std::int64_t>> low_tasks) {
  co_await wait_for(pings);
  load->stop.store(true, std::memory_order_relaxed);
  std::int64_t slices = 0;
  for (JoinHandle<std::int64_t>& task : low_tasks) slices += co_await std::move(task);
  co_return slices;
}

Outcome run_priority(SkuaEngine& engine, std::int64_t ping_count) {
  constexpr std::int64_t kNotRun = -1;
  Runtime& runtime = engine.runtime();
  const std::int64_t low_count = kLowTasksPerWorker * engine.workers();
  Load load(low_count);
  Countdown pings(ping_count);
  std::vector<std::int64_t> delays_ns(static_cast<std::size_t>(ping_count), kNotRun);

  std::int64_t slices = 0;
  const Usage used = measure([&] {
    std::vector<JoinHandle<std::int64_t>> low_tasks;
    for (std::int64_t i = 0; i < low_count; ++i) {
      low_tasks.push_back(runtime.spawn(run_low(&load), {.priority = Priority::kLow}));
    }
    std::thread sender([&] {
      load.started.wait();
      send_pings(&runtime, &delays_ns, &pings);
    });
    slices = runtime.block_on(finish(&pings, &load, std::move(low_tasks)));
    sender.join();
  });

  std::sort(delays_ns.begin(), delays_ns.end());
  const double workers_ns = used.wall_s * 1e9 * engine.workers();
  std::vector<Figure> figures = latency_figures(delays_ns);
  figures.push_back({"low_share", static_cast<double>(slices * kSliceNs) / workers_ns});
  return {.ops = ping_count,
          .right = pings.left() == 0 && delays_ns.front() >= 0 && slices > 0,
          .used = used,
          .figures = std::move(figures)};
}

}  // namespace

std::span<const SkuaRow> priority_rows() {
  static constexpr std::array kRows = {
      SkuaRow{{.name = "priority",
               .size_is = "pings, one a millisecond",
               .sizes = {.full = 2000, .warm_up = 100, .smoke = 20, .min = 1, .max = 1'000'000}},
              run_priority}};
  return kRows;
}

}  // namespace skua::bench
