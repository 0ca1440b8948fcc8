// SPDX-License-Identifier: Apache-2.0
//
// Starting and ending child processes. All of it may block.
#pragma once

#include <optional>

#include <absl/status/statusor.h>

#include "skua/net/process.h"

namespace skua::internal {

// Starts the command, and waits until its program is loaded. Any thread.
absl::StatusOr<Process> start_process(const Command& command);

// Takes the exit status of the child of `pidfd`. nullopt: it has not ended. Any thread.
//
// Errors: the errno of waitid(2).
absl::StatusOr<std::optional<ExitStatus>> try_reap(int pidfd);

// 0 or an errno. Any thread.
int signal_process(int pidfd, int number) noexcept;

// Kills the child of `pidfd`, and sees to it that it is reaped: at once, or by a blocking job. Takes the pidfd over.
void kill_and_reap(int pidfd) noexcept;

}  // namespace skua::internal
