// SPDX-License-Identifier: Apache-2.0
//
// The command line of echo_load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skua::bench {

struct LoadServer {
  int port = 0;
  int pid = 0;  // Whose CPU time and memory are reported; 0: nobody's.
};

struct LoadOptions {
  std::vector<LoadServer> servers;  // Not empty. Several are asked in turn.
  double turn_s = 0.1;
  int connections = 50;
  int idle = 0;  // Connections that ask once and then say nothing.
  std::size_t message_size = 128;
  std::int64_t requests = 0;  // End after so many; 0: after seconds.
  double seconds = 2;         // For each server.
  double warm_up_s = 0.3;
  double rate = 0;  // Requests a second, on all connections together; 0: closed loop.
  int cpu = -1;     // Where this program runs; -1: anywhere.
};

struct LoadCommand {
  std::optional<int> exit_status;  // Nothing is to be run: print the text and end.
  std::string text;                // For stdout if the status is 0, else for stderr.
  LoadOptions options;
};

LoadCommand parse_load_command(std::span<const std::string_view> arguments);

}  // namespace skua::bench
