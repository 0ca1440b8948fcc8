// SPDX-License-Identifier: Apache-2.0
#include "io_driver/socket_choice.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <liburing.h>

#include "io_driver/ring.h"

namespace skua::internal {
namespace {

constexpr std::array<std::uint8_t, 6> kSocketOps{IORING_OP_RECV,    IORING_OP_SEND,
                                                 IORING_OP_RECVMSG, IORING_OP_SENDMSG,
                                                 IORING_OP_ACCEPT,  IORING_OP_CONNECT};

}  // namespace

absl::StatusOr<SocketEngine> demanded_engine(SocketEngine option) {
  if (option != SocketEngine::kAuto) return option;
  const char* const value = std::getenv("SKUA_SOCKETS");
  const std::string_view text(value != nullptr ? value : "");
  if (text.empty() || text == "readiness") return SocketEngine::kReadiness;
  if (text == "completion") return SocketEngine::kCompletion;
  return absl::InvalidArgumentError("the environment says SKUA_SOCKETS=" + std::string(text) +
                                    ", must be readiness or completion");
}

SocketChoice choose_engine(SocketEngine option, SocketEngine demanded, const Ring* ring) {
  SocketChoice choice;
  choice.reason = "RuntimeOptions::socket_engine";
  if (option == SocketEngine::kAuto) {
    const char* const value = std::getenv("SKUA_SOCKETS");
    choice.reason = value != nullptr && *value != '\0'
                        ? "the environment says SKUA_SOCKETS=" + std::string(value)
                        : "it takes less CPU";
  }
  if (demanded == SocketEngine::kReadiness) return choice;
  if (ring == nullptr) {
    choice.reason = "completion needs io_uring, and I/O goes through epoll";
    return choice;
  }
  const auto knows = [ring](std::uint8_t opcode) { return ring->knows(opcode); };
  if (!std::all_of(kSocketOps.begin(), kSocketOps.end(), knows)) {
    choice.reason = "the kernel's io_uring lacks operations on sockets";
    return choice;
  }
  choice.engine = SocketEngine::kCompletion;
  // There is no probe for flags; this operation came with it.
  choice.polls_first = ring->knows(IORING_OP_SOCKET);
  choice.sends_without_copy = ring->knows(IORING_OP_SEND_ZC);
  return choice;
}

}  // namespace skua::internal
