// SPDX-License-Identifier: Apache-2.0
//
// The command line.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace checksums {

extern const char* const kUsage;

struct Options {
  int workers = 0;            // 0: one per CPU.
  int blocking = 0;           // 0: one per CPU.
  std::size_t open_max = 64;  // At least 1.
  std::vector<std::string> paths;
};

// Errors: kInvalidArgument - the command line is wrong; the message says what. kCancelled - it asks
// for help.
absl::StatusOr<Options> parse_options(int argc, char** argv);

}  // namespace checksums
