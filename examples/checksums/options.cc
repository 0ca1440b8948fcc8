// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <charconv>
#include <string_view>

#include <absl/status/status.h>

namespace checksums {
namespace {

struct Range {
  int min;
  int max;
};

absl::StatusOr<int> parse_number(std::string_view option, std::string_view text, Range range) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end || number < range.min || number > range.max) {
    return absl::InvalidArgumentError(std::string(option) + ": '" + std::string(text) +
                                      "' is not a number from " + std::to_string(range.min) +
                                      " to " + std::to_string(range.max));
  }
  return number;
}

}  // namespace

const char* const kUsage =
    "Usage: checksums [OPTION]... [--] PATH...\n"
    "Prints the SHA-256 of every regular file in the trees PATH, as sha256sum does.\n"
    "\n"
    "  --workers N   threads that run tasks (default: one per CPU)\n"
    "  --blocking N  threads that list directories and hash (default: one per CPU)\n"
    "  --open K      files open at a time (default: 64)\n"
    "  --help        prints this and exits\n"
    "\n"
    "Exit status: 0 if all went well, 1 if something could not be read or written,\n"
    "2 if the command line is wrong.\n";

absl::StatusOr<Options> parse_options(int argc, char** argv) {
  Options options;
  int index = 1;
  for (; index < argc; ++index) {
    const std::string_view argument = argv[index];
    if (argument == "--help") return absl::CancelledError("help");
    if (argument == "--") {
      ++index;
      break;
    }
    if (!argument.starts_with('-') || argument == "-") {
      options.paths.emplace_back(argument);
      continue;
    }

    // --option N or --option=N.
    const std::string_view option = argument.substr(0, argument.find('='));
    if (option != "--workers" && option != "--blocking" && option != "--open") {
      return absl::InvalidArgumentError("unknown option '" + std::string(argument) + "'");
    }
    std::string_view value;
    if (option.size() < argument.size()) {
      value = argument.substr(option.size() + 1);
    } else if (index + 1 < argc) {
      value = argv[++index];
    } else {
      return absl::InvalidArgumentError(std::string(option) + " needs a number");
    }
    const absl::StatusOr<int> number = parse_number(option, value, {.min = 1, .max = 1024});
    if (!number.ok()) return number.status();
    if (option == "--workers") {
      options.workers = *number;
    } else if (option == "--blocking") {
      options.blocking = *number;
    } else {
      options.open_max = static_cast<std::size_t>(*number);
    }
  }
  for (; index < argc; ++index) options.paths.emplace_back(argv[index]);
  if (options.paths.empty()) return absl::InvalidArgumentError("no PATH given");
  return options;
}

}  // namespace checksums
