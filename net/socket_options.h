// SPDX-License-Identifier: Apache-2.0
//
// What all sockets are asked and told. Any thread.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/net/socket_address.h"
#include "skua/net/tcp_stream.h"

namespace skua::internal {

absl::Status set_option(int fd, int level, int name, int value, const char* what);
absl::StatusOr<int> get_option(int fd, int level, int name, const char* what);
absl::StatusOr<SocketAddress> local_address_of(int fd);
absl::StatusOr<SocketAddress> peer_address_of(int fd);
absl::Status shut_down(int fd, Shutdown how);
// Makes a descriptor that was made elsewhere non-blocking; closes it if that fails.
absl::Status adopt(int fd);
// The AF_ constant of an address; AF_UNSPEC for Family::kNone.
int system_family(const SocketAddress& address) noexcept;

}  // namespace skua::internal
