// SPDX-License-Identifier: Apache-2.0
//
// membarrier(2): a full barrier on every thread of this process that runs, so that code which runs often can do without
// one of its own. Costs the caller about a microsecond, and each running thread an interrupt.
#pragma once

namespace skua::internal {

// The barrier, or nullptr where the kernel has none (before 4.14) or refuses it (a seccomp filter). Registers the
// process with its first call. Any thread.
using ProcessBarrier = void (*)() noexcept;
ProcessBarrier process_barrier() noexcept;

}  // namespace skua::internal
