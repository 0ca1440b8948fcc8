// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <charconv>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <absl/status/status.h>

namespace http_server {
namespace {

using std::chrono::milliseconds;

// A number that an option sets.
struct Number {
  std::int64_t min;
  std::int64_t max;
  std::function<void(std::int64_t)> set;
};

constexpr std::int64_t kMsMax = 86'400'000;  // A day.

std::map<std::string_view, Number> numbers_of(Options& options) {
  const auto time = [](milliseconds& limit) {
    return Number{1, kMsMax, [&limit](std::int64_t ms) { limit = milliseconds(ms); }};
  };
  return {
      {"--workers", {1, 1024, [&](std::int64_t n) { options.workers = static_cast<int>(n); }}},
      {"--connections",
       {1, 1'000'000,
        [&](std::int64_t n) { options.connections_max = static_cast<std::size_t>(n); }}},
      {"--headers-bytes",
       {64, 1 << 20, [&](std::int64_t n) { options.headers_max = static_cast<std::uint32_t>(n); }}},
      {"--body-bytes",
       {0, std::int64_t{1} << 40,
        [&](std::int64_t n) { options.body_max = static_cast<std::uint64_t>(n); }}},
      {"--idle-ms", time(options.limits.idle)},
      {"--request-ms", time(options.limits.request)},
      {"--write-ms", time(options.limits.write)},
      {"--grace-ms", time(options.grace)},
  };
}

absl::Status set_number(std::string_view option, std::string_view text, const Number& number) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || value < number.min || value > number.max) {
    return absl::InvalidArgumentError(std::string(option) + ": '" + std::string(text) +
                                      "' is not a number from " + std::to_string(number.min) +
                                      " to " + std::to_string(number.max));
  }
  number.set(value);
  return absl::OkStatus();
}

}  // namespace

const char* const kUsage =
    "Usage: http_server [OPTION]...\n"
    "Answers HTTP/1.1 requests until it gets SIGINT or SIGTERM; then it ends the requests that "
    "have\n"
    "begun, and itself. A second signal ends it at once.\n"
    "\n"
    "  --listen ADDRESS   IP:PORT or [IPv6]:PORT; port 0: a free one (default: 127.0.0.1:8080)\n"
    "  --workers N        threads that run tasks (default: one per CPU)\n"
    "  --connections N    open at a time; more wait to be accepted (default: 10000)\n"
    "  --headers-bytes N  longest request line with headers, else 431 (default: 16384)\n"
    "  --body-bytes N     longest body, else 413 (default: 1048576)\n"
    "  --idle-ms N        time between two requests of a connection (default: 60000)\n"
    "  --request-ms N     time for all bytes of a request, else 408 (default: 10000)\n"
    "  --write-ms N       time to take an answer (default: 30000)\n"
    "  --grace-ms N       time for open requests at the end (default: 10000)\n"
    "  --help             prints this and exits\n"
    "\n"
    "Exit status: 0 after a signal, 1 if it cannot listen, 2 if the command line is wrong.\n";

absl::StatusOr<Options> parse_options(int argc, char** argv) {
  Options options;
  const std::map<std::string_view, Number> numbers = numbers_of(options);
  for (int index = 1; index < argc; ++index) {
    const std::string_view argument = argv[index];
    if (argument == "--help") return absl::CancelledError("help");
    // --option VALUE or --option=VALUE.
    const std::string_view option = argument.substr(0, argument.find('='));
    const auto number = numbers.find(option);
    if (option != "--listen" && number == numbers.end()) {
      return absl::InvalidArgumentError("unknown option '" + std::string(argument) + "'");
    }
    std::string_view value;
    if (option.size() < argument.size()) {
      value = argument.substr(option.size() + 1);
    } else if (index + 1 < argc) {
      value = argv[++index];
    } else {
      return absl::InvalidArgumentError(std::string(option) + " needs a value");
    }
    if (option == "--listen") {
      absl::StatusOr<skua::SocketAddress> address = skua::SocketAddress::parse(value);
      if (!address.ok()) return address.status();
      if (!address->is_ip()) {
        return absl::InvalidArgumentError("--listen: '" + std::string(value) +
                                          "' is no IP address");
      }
      options.address = *address;
    } else if (const absl::Status set = set_number(option, value, number->second); !set.ok()) {
      return set;
    }
  }
  return options;
}

}  // namespace http_server
