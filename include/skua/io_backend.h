// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace skua {

// Through what a runtime does its I/O. Everything works on either; see io_driver/README.md for the differences.
enum class IoBackend : std::uint8_t {
  kAuto,   // io_uring if the kernel lets it be used, else epoll.
  kUring,  // io_uring: files by completions, but for cached reads; sockets as SocketEngine says.
  kEpoll,  // epoll for sockets, the blocking pool for files.
};

}  // namespace skua
