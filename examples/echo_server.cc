// SPDX-License-Identifier: Apache-2.0
//
// A TCP server that sends back what it receives.
//
//   echo_server [ADDRESS]     127.0.0.1:7777 unless said otherwise; port 0 takes a free one
//   nc 127.0.0.1 7777
//
// A task for each connection, and no limit but the descriptors: accept() waits when there are none left. See
// graceful_shutdown for how to end a server.
#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"

namespace {

skua::Task<> echo(skua::TcpStream stream) {
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const absl::StatusOr<std::size_t> size = co_await stream.read(buffer);
    if (!size.ok() || *size == 0) co_return;  // The peer has gone.
    const absl::Status written = co_await stream.write_all(std::span(buffer).first(*size));
    if (!written.ok()) co_return;
  }
}

skua::Task<int> serve(skua::SocketAddress address) {
  absl::StatusOr<skua::TcpListener> listener = skua::TcpListener::bind(address);
  if (!listener.ok()) {
    std::fprintf(stderr, "echo_server: %s\n", listener.status().ToString().c_str());
    co_return 1;
  }
  const absl::StatusOr<skua::SocketAddress> local = listener->local_address();
  if (!local.ok()) co_return 1;
  std::printf("listening at %s\n", local->to_string().c_str());
  std::fflush(stdout);
  for (;;) {
    absl::StatusOr<skua::TcpStream> stream = co_await listener->accept();
    if (!stream.ok()) {
      std::fprintf(stderr, "echo_server: %s\n", stream.status().ToString().c_str());
      co_return 1;
    }
    stream->set_no_delay(true).IgnoreError();  // Slower without, but right.
    skua::spawn(echo(*std::move(stream)), {.name = "echo"});
  }
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<skua::SocketAddress> address =
      skua::SocketAddress::parse(argc > 1 ? argv[1] : "127.0.0.1:7777");
  if (!address.ok() || argc > 2) {
    std::fprintf(stderr, "usage: echo_server [ADDRESS]\n%s\n", address.status().ToString().c_str());
    return 2;
  }
  return skua::run(serve(*address));
}
