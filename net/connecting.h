// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/statusor.h>

#include "base/unique_fd.h"
#include "skua/internal/io_source.h"
#include "skua/net/socket_address.h"
#include "skua/task.h"

namespace skua::internal {

// A new stream socket, connected to `address`. `fd` is one that was prepared (bound, say); -1: one is made.
Task<absl::StatusOr<IoSource>> connect_stream(SocketAddress address, UniqueFd fd);

// The next connection of a listening socket. Errors that are the connection's own are skipped; while descriptors or
// memory are lacking, it waits, 5 ms at first and up to a second, and tries again.
Task<absl::StatusOr<IoSource>> accept_stream(IoSource* listener);

// A socket that listens at `address`.
absl::StatusOr<IoSource> listen_at(const SocketAddress& address, UniqueFd fd, int backlog);

}  // namespace skua::internal
