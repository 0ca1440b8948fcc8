// SPDX-License-Identifier: Apache-2.0
//
// Who is the worker of a current-thread runtime: one thread at a time, of all that block on it.
//
// A thread that waits for the seat waits for its own task at the same time, since whoever sits there runs that too:
// it leaves with the seat, or without it because its task has ended.
#pragma once

#include <cstdint>
#include <deque>

#include "skua/internal/mutex.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

class Seat {
 public:
  Seat() = default;
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;

  // Waits for the seat. True: the caller has it, and must leave() it. False: `joiner` was notified first, or
  // `deadline_ns` (CLOCK_MONOTONIC; INT64_MAX: none) has passed. Any thread; `joiner` is the caller's own.
  [[nodiscard]] bool take(ThreadJoiner& joiner, std::int64_t deadline_ns) SKUA_EXCLUDES(mu_);
  // Gives the seat to whoever has waited for it the longest. The thread that has it.
  void leave() SKUA_EXCLUDES(mu_);

 private:
  Mutex mu_;
  bool taken_ SKUA_GUARDED_BY(mu_) = false;
  std::deque<ThreadJoiner*> waiting_ SKUA_GUARDED_BY(mu_);
};

}  // namespace skua::internal
