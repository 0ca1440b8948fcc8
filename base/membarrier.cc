// SPDX-License-Identifier: Apache-2.0
#include "base/membarrier.h"

#include <cerrno>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "skua/internal/check.h"

namespace skua::internal {
namespace {

// There is no wrapper in glibc. 0, a mask of commands, or -1 with errno.
long call_membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0); }

bool register_process() noexcept {
  const long commands = call_membarrier(MEMBARRIER_CMD_QUERY);
  return commands >= 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
         call_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

}  // namespace

bool membarrier_available() noexcept {
  static const bool available = register_process();
  return available;
}

void membarrier() noexcept {
  const long result = call_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  SKUA_CHECK(result == 0, result, errno);
}

}  // namespace skua::internal
