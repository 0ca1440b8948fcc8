// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace skua {

// How sockets (TCP, UDP, Unix) are read, written, accepted and connected. Everything behaves the same on either;
// io_driver/README.md compares them. Pipes, signals, processes and AsyncFd wait for readiness in both.
enum class SocketEngine : std::uint8_t {
  kAuto,  // What the environment variable SKUA_SOCKETS says (readiness or completion); without it kReadiness.
  kReadiness,  // The call is tried at once, and the task waits until the socket is ready if there is nothing to do.
  kCompletion,  // Each call is an operation of the io_uring. On epoll, which has none, kReadiness runs.
};

}  // namespace skua
