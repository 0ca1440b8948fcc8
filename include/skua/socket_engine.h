// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace skua {

// How sockets (TCP, UDP, Unix) wait that are read, written, accepted and connected. In both the call is tried directly
// first, and pipes, signals, processes, AsyncFd, connects of Unix sockets and the passing of descriptors wait for
// readiness. io_driver/README.md compares the two. What a program sees of them differs in this:
//
//   an abort that meets data     By readiness the data, or the connection, stay in the kernel, unless the task is at
//   or a connection              its call on another worker just then. By completion the kernel may have taken them
//                                already. The task keeps them if it was awaited by its handle or under a timeout;
//                                they are dropped with it if it is the loser of a when_any, or its handle is dropped.
//   an abort, or a close,        By readiness it has ended at once. By completion the task ends, or is told, when the
//   of what waits                kernel has given the operation back, and only then is the descriptor closed: a
//                                listener takes connections until then.
//   the paused clock of tests    See skua/test_clock.h.
enum class SocketEngine : std::uint8_t {
  kAuto,  // What the environment variable SKUA_SOCKETS says (readiness or completion); without it kReadiness.
  kReadiness,  // If there is nothing to do, the task waits until the socket is ready, and tries again.
  // If there is nothing to do, an operation of the io_uring waits and does it; a connect is one from the beginning. On
  // epoll, which has none, kReadiness runs.
  kCompletion,
};

}  // namespace skua
