// SPDX-License-Identifier: Apache-2.0
//
// Signals as something that tasks await.
//
//   int main() {
//     skua::block_signals({SIGINT, SIGTERM});               // before the runtime starts: its threads inherit it
//     return skua::run(async_main());
//   }
//   skua::Task<int> async_main() {
//     absl::StatusOr<skua::Signal> stop = skua::Signal::watch({SIGINT, SIGTERM});
//     const absl::StatusOr<skua::SignalInfo> signal = co_await stop->next();
//     ...
//
// A signal is awaited by signalfd(2), which sees only what is *blocked*: as long as one thread of the process does not
// block it, the kernel may hand it to that thread, and do what it does by default. So it is blocked before any other
// thread exists. Threads inherit what the thread blocks that starts them; what Process starts does not.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/net/async_fd.h"
#include "skua/task.h"

namespace skua {

// Blocks signals on this thread, and so on those that it starts from now on. At the beginning of main().
//
// Errors: kInvalidArgument - no number of a signal that can be awaited: not from 1 to 64, SIGKILL, SIGSTOP, those of
//   the C library (32, 33), and those of faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL), which the thread itself causes.
absl::Status block_signals(std::initializer_list<int> numbers);

// A signal that has come.
struct SignalInfo {
  int number = 0;
  // Of the sender; 0 if the kernel has sent it (as for ^C).
  std::int32_t pid = 0;
  std::uint32_t uid = 0;
  // SI_USER, SI_QUEUE, SI_KERNEL, CLD_EXITED, ... : sigaction(2).
  int code = 0;
};

// Receives some signals, in place of what they do by default. Moves, does not copy; must not move while a task waits.
//
// A signal that comes while nobody watches stays pending, and is received by the next one who does. A signal that
// comes again before it is received comes once, as signals do (but for SIGRTMIN to SIGRTMAX, which are queued). Only
// what is sent to the process is seen (kill(2), the terminal), not what is sent to a thread (raise(3), tgkill(2)).
//
// Threads: one task may wait (SKUA_REQUIRE).
// Lifetime: it outlives what is awaited.
class Signal {
 public:
  // Watches `numbers` from now on. Does not block, and may be called outside a runtime.
  //
  // Errors: kAlreadyExists - another Signal of this process watches one of them: each comes to one only. Let it tell
  //   the others (skua/sync/watch.h, skua/cancellation.h). kFailedPrecondition - a thread of this process does not
  //   block one of them; the message names the thread. kInvalidArgument - as block_signals(). Else the errno of
  //   signalfd(2).
  static absl::StatusOr<Signal> watch(std::initializer_list<int> numbers);
  Signal(Signal&& other) noexcept
      : fd_(std::move(other.fd_)), watched_(std::exchange(other.watched_, 0)) {}
  Signal& operator=(Signal&& other) noexcept;
  ~Signal() { close(); }

  // Waits for the next one.
  //
  // Errors: kCancelled - closed, or the runtime has ended.
  // Cancellation: safe; no signal is lost.
  // Requires: is open; awaited on a runtime.
  Task<absl::StatusOr<SignalInfo>> next();

  // Watches no more; a task that waits is woken with kCancelled. What comes from now on stays pending. No other task
  // may be about to use it.
  void close() noexcept;

 private:
  Signal(AsyncFd fd, std::uint64_t watched) noexcept : fd_(std::move(fd)), watched_(watched) {}

  AsyncFd fd_;
  std::uint64_t watched_;  // Bit n - 1: signal n.
};

// Waits for ^C: SIGINT, once.
//
// Errors, Cancellation, Requires: as Signal::watch({SIGINT}) and next().
Task<absl::Status> ctrl_c();

}  // namespace skua
