// SPDX-License-Identifier: Apache-2.0
#include "skua/net/owned_fd.h"

#include <unistd.h>

namespace skua {

// Linux closes it even if close() reports an error, so there is nothing to try again.
void OwnedFd::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace skua
