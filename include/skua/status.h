// SPDX-License-Identifier: Apache-2.0
//
// Errors of the outside world: absl::Status, with the errno kept readable.
#pragma once

#include <string_view>

#include <absl/status/status.h>

namespace skua {

// The errno that `status` was made from; 0 if it was made from none.
//
// Threads: any.
int errno_of(const absl::Status& status);

namespace internal {

// A status for `error` (an errno, > 0) of `operation`. The code follows the table in base/errno.cc; an errno
// that is not in it becomes kUnknown. Either way errno_of() gives it back and the message names it.
absl::Status errno_to_status(int error, std::string_view operation);

}  // namespace internal
}  // namespace skua
