// SPDX-License-Identifier: Apache-2.0
#include "base/membarrier.h"

#include <cerrno>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "skua/internal/check.h"

namespace skua::internal {
namespace {

long membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0); }

void barrier() noexcept {
  const long result = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  SKUA_CHECK(result == 0, errno);  // The process is registered.
}

}  // namespace

ProcessBarrier process_barrier() noexcept {
  static const bool registered = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
  return registered ? &barrier : nullptr;
}

}  // namespace skua::internal
