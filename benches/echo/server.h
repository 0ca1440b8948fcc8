// SPDX-License-Identifier: Apache-2.0
//
// What the echo servers have in common: a command line, how they say where they listen, and when they end. Knows
// nothing of Skua.
//
//   SERVER [--workers N] [--hog] [--eager] [--engine readiness|completion] [--per-thread]
//   listening on PORT
//
// A server serves until its stdin ends, so that none survives whoever has started it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace skua::bench {

// Larger than a message: a read that is shorter than its buffer tells that nothing is left.
inline constexpr std::size_t kEchoBuffer = 1024;
inline constexpr int kEchoBacklog = 4096;

struct EchoOptions {
  int workers = 2;
  bool hog = false;         // One task computes for 100 ms at a time.
  bool eager = false;       // DriverHandover::kEager.
  bool per_thread = false;  // An io_context for each thread.
  // SocketEngine.
  enum class Engine : std::uint8_t { kAny, kReadiness, kCompletion } engine = Engine::kAny;
};

// What a server can do beside echoing.
struct EchoFeatures {
  bool hogs = false;
  bool is_skua = false;
  bool is_asio = false;
};

// Ends the process if the command line says --help, or is wrong.
EchoOptions parse_echo_command(std::string_view name, EchoFeatures features, int argc, char** argv);

// Tells where the server listens. Once.
void announce_port(int port);
// Returns when stdin has ended.
void wait_for_end_of_stdin();

// A socket that listens on 127.0.0.1, blocking or not as `type_flags` (SOCK_NONBLOCK) says. A port of 0 is any; others
// may listen on the same one. Ends the process on errors.
int listen_on_loopback(int port, int type_flags);
int port_of(int fd);
void set_no_delay(int fd);
// Says what has failed, with errno, and ends the process.
[[noreturn]] void die(const char* what);

}  // namespace skua::bench
