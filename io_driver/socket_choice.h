// SPDX-License-Identifier: Apache-2.0
//
// Which of the two socket engines runs, and why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/status/statusor.h>

#include "skua/socket_engine.h"

namespace skua::internal {

class Ring;

struct SocketChoice {
  SocketEngine engine = SocketEngine::kReadiness;
  std::string reason;
  // Whether the kernel can be told that a socket is empty, so that it waits before it tries (Linux 5.19).
  bool polls_first = false;
  // Whether it can send without copying (Linux 6.0), and how many bytes it takes to do so.
  bool sends_without_copy = false;
  std::size_t zero_copy_min = SIZE_MAX;
};

// What `option` demands, or SKUA_SOCKETS if it leaves that open: kReadiness or kCompletion.
//
// Errors: kInvalidArgument - SKUA_SOCKETS says something else.
absl::StatusOr<SocketEngine> demanded_engine(SocketEngine option);
// The choice, for a runtime with `ring`, or without one.
SocketChoice choose_engine(SocketEngine option, SocketEngine demanded, const Ring* ring);

}  // namespace skua::internal
