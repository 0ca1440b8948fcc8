// SPDX-License-Identifier: Apache-2.0
#include "benches/echo/server.h"

#include <arpa/inet.h>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include "benches/harness/program.h"

namespace skua::bench {
namespace {

constexpr int kWorkersMax = 1024;

std::string usage_of(std::string_view name, EchoFeatures features) {
  std::string usage("usage: ");
  usage.append(name).append(" [--workers N]");
  if (features.hogs) usage.append(" [--hog]");
  if (features.is_skua) usage.append(" [--eager] [--engine readiness|completion]");
  if (features.is_asio) usage.append(" [--per-thread]");
  return usage.append("\n");
}

[[noreturn]] void refuse(std::string_view name, EchoFeatures features, std::string_view what,
                         std::string_view why) {
  std::string text(name);
  text.append(": ").append(what).append(why).append("\n").append(usage_of(name, features));
  std::fputs(text.c_str(), stderr);
  std::exit(kExitUsage);
}

[[noreturn]] void print_help(std::string_view name, EchoFeatures features) {
  std::string text = usage_of(name, features);
  text.append(
      "\nAn echo server on 127.0.0.1 for echo_load. Says where it listens, and serves until its "
      "stdin ends.\n"
      "\n  --workers N  threads; 2 unless said otherwise\n");
  if (features.hogs)
    text.append("  --hog        one task computes for 100 ms, sleeps for 20 ms, and so on\n");
  if (features.is_skua) {
    text.append(
        "  --eager      DriverHandover::kEager instead of kWatch\n"
        "  --engine E   how sockets are used; what SKUA_SOCKETS says unless said otherwise\n");
  }
  if (features.is_asio) text.append("  --per-thread  an io_context for each thread\n");
  std::fputs(text.c_str(), stdout);
  std::exit(0);
}

}  // namespace

EchoOptions parse_echo_command(std::string_view name, EchoFeatures features, int argc,
                               char** argv) {
  EchoOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") print_help(name, features);
    if (argument == "--hog" && features.hogs) {
      options.hog = true;
    } else if (argument == "--eager" && features.is_skua) {
      options.eager = true;
    } else if (argument == "--per-thread" && features.is_asio) {
      options.per_thread = true;
    } else if (argument == "--engine" && features.is_skua && i + 1 < argc) {
      const std::string_view value = argv[++i];
      if (value != "readiness" && value != "completion") {
        refuse(name, features, "--engine is readiness or completion, not ", value);
      }
      options.engine =
          value == "readiness" ? EchoOptions::Engine::kReadiness : EchoOptions::Engine::kCompletion;
    } else if (argument == "--workers" && i + 1 < argc) {
      const std::string_view value = argv[++i];
      const char* const end = value.data() + value.size();
      const auto [stop, error] = std::from_chars(value.data(), end, options.workers);
      if (error != std::errc() || stop != end || options.workers < 1 ||
          options.workers > kWorkersMax) {
        refuse(name, features, "--workers is from 1 to ", std::to_string(kWorkersMax));
      }
    } else {
      refuse(name, features, "unknown option, or one that needs a value: ", argument);
    }
  }
  return options;
}

void announce_port(int port) {
  std::printf("listening on %d\n", port);
  std::fflush(stdout);
}

void wait_for_end_of_stdin() {
  char ignored[64];
  ssize_t count = 0;
  do {
    count = ::read(STDIN_FILENO, ignored, sizeof ignored);
  } while (count > 0 || (count < 0 && errno == EINTR));
}

int listen_on_loopback(int port, int type_flags) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0);
  if (fd < 0) die("socket");
  const int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) die("SO_REUSEPORT");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (::listen(fd, kEchoBacklog) != 0) die("listen");
  return fd;
}

int port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) die("getsockname");
  return ntohs(address.sin_port);
}

void set_no_delay(int fd) {
  const int on = 1;
  if (::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) die("TCP_NODELAY");
}

void die(const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

}  // namespace skua::bench
