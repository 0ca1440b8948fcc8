// SPDX-License-Identifier: Apache-2.0
//
// Skua's rows, one function for each file of them. Two programs run them: skua_rows one at a time, for the comparison
// with other schedulers; skua_workloads under Google Benchmark, with each policy.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "benches/rows/engine.h"

namespace skua::bench {

// All of those below.
std::vector<SkuaRow> all_rows();

std::span<const SkuaRow>
fork_rows();  // skynet, fib: on when_all; skynet_v: on its form for vectors.
std::span<const SkuaRow> fork_n_rows();      // skynet_n, fib_n, nqueens, matmul: on when_all_n.
std::span<const SkuaRow> spawn_rows();       // spawn_join, spawn_external, chained_spawn.
std::span<const SkuaRow> spawn_tree_rows();  // skynet_spawn, fib_spawn.
std::span<const SkuaRow> yield_rows();       // yield.
std::span<const SkuaRow> ping_pong_rows();   // ping_pong: on oneshot.
std::span<const SkuaRow> channel_rows();     // mpsc_1_1, mpsc_4_1, mpmc_4_4, mutex.
std::span<const SkuaRow> priority_rows();    // priority: on SpawnOptions::priority.
std::span<const SkuaRow> blocking_rows();    // spawn_blocking, blocking_beat.
std::span<const SkuaRow> timer_rows();       // timers.
std::span<const SkuaRow> file_read_rows();   // file_read, buffered and direct.

}  // namespace skua::bench
