// SPDX-License-Identifier: Apache-2.0
#include "io_driver/backend.h"

#include <cerrno>
#include <sys/uio.h>

#include <liburing.h>

namespace skua::internal {

std::int32_t Backend::try_at_once(const IoRequest& request) noexcept {
  if (request.opcode != IORING_OP_READ) return -EAGAIN;
  const iovec whole{reinterpret_cast<void*>(request.addr), request.len};
  const ssize_t count =
      ::preadv2(request.fd, &whole, 1, static_cast<off_t>(request.offset), RWF_NOWAIT);
  return count >= 0 ? static_cast<std::int32_t>(count) : -errno;
}

}  // namespace skua::internal
