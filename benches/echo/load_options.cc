// SPDX-License-Identifier: Apache-2.0
#include "benches/echo/load_options.h"

#include <charconv>
#include <cmath>
#include <system_error>

#include "benches/harness/program.h"

namespace skua::bench {
namespace {

constexpr std::string_view kUsage =
    "usage: echo_load --port P [--server-pid PID] [--port P [--server-pid PID]]... [--turn S]\n"
    "                 [--connections N] [--requests N | --seconds S] [--rate R] [--warm-up S]\n"
    "                 [--size N] [--idle N] [--cpu N]\n";

constexpr std::string_view kHelp =
    "\n"
    "Asks an echo server on 127.0.0.1, on one thread, and checks every byte of the answers.\n"
    "\n"
    "  --port P          where the server listens. Several servers are asked in turn, each on\n"
    "                    connections of its own: what drifts on the machine meets all of them\n"
    "  --server-pid PID  also reports the CPU time and the memory of this process, which is the\n"
    "                    server of the --port before it\n"
    "  --turn S          how long one of several servers is asked at a time; 0.1 unless said\n"
    "                    otherwise. In its first tenth, in which the server wakes up, the time to\n"
    "                    the answer does not count\n"
    "  --connections N   that ask, each one request at a time; 50 unless said otherwise\n"
    "  --requests N      ends after so many answers\n"
    "  --seconds S       ends after so long, for each server; 2 unless said otherwise\n"
    "  --rate R          open loop: R requests a second on all connections together, evenly; the "
    "time to the\n"
    "                    answer counts from when the request was due, also if the connection was "
    "still busy.\n"
    "                    Without it: closed loop, each answer is followed by the next request\n"
    "  --warm-up S       for so long before, the figures do not count; 0.3 unless said otherwise\n"
    "  --size N          bytes of a message, 16 to 65536; 128 unless said otherwise\n"
    "  --idle N          opens N more connections before, which ask once and then stay silent\n"
    "  --cpu N           runs on this CPU alone\n"
    "\n"
    "Prints a line of JSON for each server: requests and their time, quantiles of the time to\n"
    "the answer, and with --server-pid the server's CPU time. Exit status: 0 done, 1 the server\n"
    "failed or gave a wrong answer, 2 a mistake in the command line.\n";

std::optional<double> number_of(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || !std::isfinite(number)) return std::nullopt;
  return number;
}

struct Option {
  std::string_view name;
  double min;
  double max;
  bool whole;  // No fraction.
  void (*set)(LoadOptions& options, double value);
};

constexpr Option kOptions[] = {
    {"--port", 1, 65535, true,
     [](LoadOptions& o, double v) { o.servers.push_back({.port = static_cast<int>(v)}); }},
    {"--server-pid", 1, 1 << 30, true,
     [](LoadOptions& o, double v) { o.servers.back().pid = static_cast<int>(v); }},
    {"--turn", 0.01, 1e6, false, [](LoadOptions& o, double v) { o.turn_s = v; }},
    {"--connections", 1, 100'000, true,
     [](LoadOptions& o, double v) { o.connections = static_cast<int>(v); }},
    {"--idle", 0, 1'000'000, true, [](LoadOptions& o, double v) { o.idle = static_cast<int>(v); }},
    {"--size", 16, 65536, true,
     [](LoadOptions& o, double v) { o.message_size = static_cast<std::size_t>(v); }},
    {"--requests", 1, 1e12, true,
     [](LoadOptions& o, double v) { o.requests = static_cast<std::int64_t>(v); }},
    {"--seconds", 0.01, 1e6, false, [](LoadOptions& o, double v) { o.seconds = v; }},
    {"--warm-up", 0, 1e6, false, [](LoadOptions& o, double v) { o.warm_up_s = v; }},
    {"--rate", 1, 1e8, false, [](LoadOptions& o, double v) { o.rate = v; }},
    {"--cpu", 0, 1023, true, [](LoadOptions& o, double v) { o.cpu = static_cast<int>(v); }},
};

const Option* find(std::string_view name) {
  for (const Option& option : kOptions) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

// "0.01", "65535".
std::string text_of(double bound) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, bound);
  return std::string(digits, end);
}

LoadCommand refusal(std::string_view what, std::string_view why = "") {
  LoadCommand command;
  command.exit_status = kExitUsage;
  command.text.append("echo_load: ").append(what).append(why).append("\n").append(kUsage);
  return command;
}

}  // namespace

LoadCommand parse_load_command(std::span<const std::string_view> arguments) {
  LoadCommand command;
  bool has_seconds = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view name = arguments[i];
    if (name == "--help" || name == "-h") {
      LoadCommand help;
      help.exit_status = 0;
      help.text.append(kUsage).append(kHelp);
      return help;
    }
    const Option* const option = find(name);
    if (option == nullptr) return refusal("unknown option ", name);
    if (i + 1 == arguments.size()) return refusal(name, " needs a value");
    const std::optional<double> value = number_of(arguments[++i]);
    if (!value || (option->whole && *value != std::floor(*value))) {
      return refusal(name, " needs a number");
    }
    if (*value < option->min || *value > option->max) {
      std::string range = " is from ";
      range.append(text_of(option->min)).append(" to ").append(text_of(option->max));
      return refusal(name, range);
    }
    if (name == "--server-pid" && command.options.servers.empty()) {
      return refusal("--server-pid belongs behind the --port of that server");
    }
    option->set(command.options, *value);
    has_seconds = has_seconds || name == "--seconds";
  }
  if (command.options.servers.empty()) return refusal("which port? See --help");
  if (has_seconds && command.options.requests > 0) {
    return refusal("either --requests or --seconds");
  }
  if (command.options.servers.size() > 1 && command.options.requests > 0) {
    return refusal("--requests is for one server");
  }
  return command;
}

}  // namespace skua::bench
