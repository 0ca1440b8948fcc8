// SPDX-License-Identifier: Apache-2.0
//
// A server that ends well: at SIGTERM or ^C it accepts no more, lets the connections finish, and cuts those off that
// have not after a time.
//
//   graceful_shutdown [ADDRESS [SECONDS]]    127.0.0.1:7779 and 5 s unless said otherwise
//
// The connections are the tasks of a JoinSet, which is drained with a time limit.
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/cancellation.h"
#include "skua/join_set.h"
#include "skua/net/signal.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/time.h"

namespace {

using Connections = skua::JoinSet<void>;

skua::Task<> echo(skua::TcpStream stream) {
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const absl::StatusOr<std::size_t> size = co_await stream.read(buffer);
    if (!size.ok() || *size == 0) co_return;
    const absl::Status written = co_await stream.write_all(std::span(buffer).first(*size));
    if (!written.ok()) co_return;
  }
}

// Until it is aborted.
skua::Task<> accept(skua::TcpListener listener, Connections* connections) {
  for (;;) {
    absl::StatusOr<skua::TcpStream> stream = co_await listener.accept();
    if (!stream.ok()) co_return;
    connections->spawn(echo(*std::move(stream)));
    while (connections->try_join_next()) continue;  // Those that have ended.
  }
}

// Waits for the connections to end. How many have ended.
skua::Task<int> drain(Connections* connections) {
  int ended = 0;
  while (auto result = co_await connections->join_next()) ++ended;
  co_return ended;
}

skua::Task<int> serve(skua::SocketAddress address, std::chrono::seconds grace) {
  absl::StatusOr<skua::Signal> signal = skua::Signal::watch({SIGTERM, SIGINT});
  absl::StatusOr<skua::TcpListener> listener = skua::TcpListener::bind(address);
  if (!signal.ok() || !listener.ok()) {
    std::fprintf(stderr, "graceful_shutdown: %s %s\n", signal.status().ToString().c_str(),
                 listener.status().ToString().c_str());
    co_return 1;
  }
  const absl::StatusOr<skua::SocketAddress> local = listener->local_address();
  if (!local.ok()) co_return 1;
  std::printf("listening at %s\n", local->to_string().c_str());
  std::fflush(stdout);

  Connections connections;
  skua::JoinHandle<void> acceptor = skua::spawn(accept(*std::move(listener), &connections));
  const absl::StatusOr<skua::SignalInfo> received = co_await signal->next();
  if (!received.ok()) co_return 1;
  acceptor.abort();  // Its listener is closed when it has ended.
  const skua::JoinResult<void> stopped = co_await std::move(acceptor).result();
  (void)stopped;
  std::printf("signal %d: %zu connections to finish\n", received->number, connections.size());
  std::fflush(stdout);

  const absl::StatusOr<int> drained = co_await skua::timeout(grace, drain(&connections));
  const std::size_t cut_off = connections.size();
  connections.abort_all();
  co_await drain(&connections);
  std::printf("%s, %zu cut off\n", drained.ok() ? "all have finished" : "time is up", cut_off);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<skua::SocketAddress> address =
      skua::SocketAddress::parse(argc > 1 ? argv[1] : "127.0.0.1:7779");
  const int seconds = argc > 2 ? std::atoi(argv[2]) : 5;
  if (!address.ok() || argc > 3 || seconds < 0) {
    std::fprintf(stderr, "usage: graceful_shutdown [ADDRESS [SECONDS]]\n%s\n",
                 address.status().ToString().c_str());
    return 2;
  }
  // Before the runtime starts: its threads inherit the mask.
  if (const absl::Status blocked = skua::block_signals({SIGTERM, SIGINT}); !blocked.ok()) return 1;
  return skua::run(serve(*address, std::chrono::seconds(seconds)));
}
