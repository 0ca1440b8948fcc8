// SPDX-License-Identifier: Apache-2.0
//
// Counters of one worker. Written by the worker, read by anyone.
#pragma once

#include <atomic>
#include <cstdint>

namespace skua::internal {

struct WorkerCounters {
  using Counter = std::atomic<std::uint64_t>;
  Counter runs{0};
  Counter slot_runs{0};
  Counter yields{0};
  Counter injector_takes{0};  // Tasks.
  Counter searches{0};        // Rounds of all peers.
  Counter steal_attempts{0};  // Looks at one ring of a peer.
  Counter steals{0};          // Successful ones.
  Counter stolen{0};          // Tasks.
  Counter late_steals{0};     // From the slot of a peer that was stuck.
  Counter watch_looks{0};     // Looks around while it had the watch.
  Counter overflows{0};       // Batches given to the injector.
  Counter parks{0};
  Counter driver_waits{0};
  Counter wakes{0};  // Other workers woken.
  Counter lends{0};  // Times a task has blocked in place, and a stand-in was the worker.
  Counter spawned{0};

  // Owner only, hence no read-modify-write.
  static void add(Counter& counter, std::uint64_t n = 1) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

}  // namespace skua::internal
