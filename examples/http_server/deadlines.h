// SPDX-License-Identifier: Apache-2.0
//
// Time limits for many connections by one task that looks at all of them now and then: a request costs a store, not a
// timer. A connection whose time is up is shut down, which wakes the task that reads or writes there.
//
//   tasks of connections -- Watched::enter(phase) --> deadline --+
//   main: run() -- every tick, and stop() ----------------------+--> TcpStream::shutdown()
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "skua/skua.h"

namespace http_server {

struct TimeLimits {
  std::chrono::milliseconds idle{60'000};     // Between two requests.
  std::chrono::milliseconds request{10'000};  // From the first byte of a request to its last.
  std::chrono::milliseconds write{30'000};    // Until an answer is in the kernel's buffers.
  std::chrono::milliseconds linger{2'000};    // To hear out a client whose request was refused.
};

class Watched;

class Deadlines {
 public:
  explicit Deadlines(TimeLimits limits);
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  // Looks after the connections, until it is aborted. Once.
  skua::Task<> run();

  // From now on no connection waits for another request. Any thread.
  void stop();
  bool stopping() const noexcept { return stopping_.load(std::memory_order_relaxed); }
  // Ends all connections, in whatever they are. Any thread.
  void end_all();

 private:
  friend Watched;
  void sweep();

  const TimeLimits limits_;
  const std::chrono::milliseconds tick_;
  // As of the last look: a tick late at most. Relaxed: a number.
  std::atomic<std::int64_t> now_ms_;
  std::atomic<bool> stopping_{false};
  // Held for the time of a look; no task waits with it.
  std::mutex mu_;
  Watched* first_ = nullptr;
};

// A connection that is looked after. Lives in its task.
class Watched {
 public:
  enum class Phase : std::uint8_t { kIdle, kRequest, kWrite, kLinger };

  // The stream outlives it.
  Watched(Deadlines* deadlines, skua::TcpStream* stream);
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  ~Watched();

  // The time of the phase begins now, unless it is the one that was. The connection's task.
  void enter(Phase phase) noexcept;
  // The time of a phase was up: what is read now is the end. The connection's task.
  bool expired() const noexcept { return expired_.load(std::memory_order_relaxed); }

 private:
  friend Deadlines;

  Deadlines* const deadlines_;
  skua::TcpStream* const stream_;
  // Any thread. Relaxed: whoever reads an old phase looks again a tick later.
  std::atomic<Phase> phase_{Phase::kIdle};
  std::atomic<std::int64_t> deadline_ms_;
  std::atomic<bool> expired_{false};
  // Under the lock of deadlines_.
  Watched* prev_ = nullptr;
  Watched* next_ = nullptr;
};

}  // namespace http_server
