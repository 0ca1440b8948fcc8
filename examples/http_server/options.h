// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <absl/status/statusor.h>

#include "deadlines.h"
#include "skua/skua.h"

namespace http_server {

extern const char* const kUsage;

struct Options {
  skua::SocketAddress address = skua::SocketAddress::loopback_v4(8080);
  int workers = 0;  // 0: one per CPU.
  std::size_t connections_max = 10'000;
  std::uint32_t headers_max = 16 << 10;  // Bytes.
  std::uint64_t body_max = 1 << 20;      // Bytes.
  TimeLimits limits;
  std::chrono::milliseconds grace{10'000};  // What requests get to end when the server does.
};

// Errors: kCancelled - help is asked for. kInvalidArgument - the message says what is wrong.
absl::StatusOr<Options> parse_options(int argc, char** argv);

}  // namespace http_server
