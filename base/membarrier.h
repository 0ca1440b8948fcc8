// SPDX-License-Identifier: Apache-2.0
//
// membarrier(2): a full barrier in other threads, so that they need none themselves. Worth it where one side of a
// protocol is taken all the time and the other one hardly ever.
//
// Limit: a process that begins to refuse the call to itself later, by a seccomp filter, ends with a message at the next
// one, for there are threads then that rely on it. Install such a filter before the first runtime.
#pragma once

namespace skua::internal {

// True if the kernel offers the private expedited form to this process, which is registered for it then. Containers may
// forbid it. Any thread; the answer does not change.
bool membarrier_available() noexcept;

// When it returns, every thread of the process that was running has passed a full barrier since the call; the others
// have done so by not running. Requires: membarrier_available(). Any thread.
void membarrier() noexcept;

}  // namespace skua::internal
