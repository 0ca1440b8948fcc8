// SPDX-License-Identifier: Apache-2.0
//
// The echo server on Skua. SKUA_IO chooses the backend; --engine or SKUA_SOCKETS the way sockets are used.
#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <utility>

#include "benches/echo/server.h"
#include "benches/harness/measure.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/time.h"

namespace skua::bench {
namespace {

using namespace std::chrono_literals;

Task<> echo(TcpStream stream) {
  std::array<std::byte, kEchoBuffer> buffer;
  if (!stream.set_no_delay(true).ok()) co_return;
  for (;;) {
    const absl::StatusOr<std::size_t> count = co_await stream.read(buffer);
    if (!count.ok() || *count == 0) co_return;
    const absl::Status written = co_await stream.write_all(std::span(buffer).first(*count));
    if (!written.ok()) co_return;
  }
}

Task<> serve(TcpListener listener) {
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener.accept();
    if (!stream.ok()) co_return;
    spawn(echo(*std::move(stream)));
  }
}

// Keeps a worker for 100 ms at a time.
Task<> hog() {
  for (;;) {
    const std::int64_t end_ns = now_ns() + 100'000'000;
    while (now_ns() < end_ns) {
    }
    co_await sleep_for(20ms);
  }
}

SocketEngine engine_of(EchoOptions::Engine engine) {
  switch (engine) {
    case EchoOptions::Engine::kReadiness:
      return SocketEngine::kReadiness;
    case EchoOptions::Engine::kCompletion:
      return SocketEngine::kCompletion;
    case EchoOptions::Engine::kAny:
      break;
  }
  return SocketEngine::kAuto;
}

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua;
  using namespace skua::bench;
  const EchoOptions options =
      parse_echo_command("skua_echo", {.hogs = true, .is_skua = true}, argc, argv);
  Runtime runtime(
      {.worker_threads = options.workers,
       .socket_engine = engine_of(options.engine),
       .driver_handover = options.eager ? DriverHandover::kEager : DriverHandover::kWatch});
  absl::StatusOr<TcpListener> listener =
      TcpListener::bind(SocketAddress::loopback_v4(0), {.backlog = kEchoBacklog});
  if (!listener.ok()) die("bind");
  announce_port((*listener->local_address()).port());
  runtime.spawn(serve(*std::move(listener)));
  if (options.hog) runtime.spawn(hog());
  wait_for_end_of_stdin();
  return 0;
}
