// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <sys/uio.h>

#include "io_driver/system_calls.h"

namespace skua::internal {

// writev(2) on a pipe, without the SIGPIPE that ends a process which writes to a pipe that nobody reads: pipes have no
// MSG_NOSIGNAL. A count, or -errno; EPIPE: nobody reads. Any thread.
std::ptrdiff_t write_pipe(SystemCalls& calls, int fd, const iovec* buffers, int count) noexcept;

}  // namespace skua::internal
