// SPDX-License-Identifier: Apache-2.0
//
// http_server: answers HTTP/1.1 requests: keep-alive, pipelining, limits of size and time, a graceful end.
//
//   http_server --listen 127.0.0.1:8080 &
//   curl http://127.0.0.1:8080/hello
//
// One task per connection, which reads, answers and waits as if it were alone:
//
//   main.cc        TcpListener, Signal, Semaphore: no more than so many connections; spawn, abort
//   connection.cc  TcpStream: a connection's requests, in order
//   deadlines.cc   sleep_for, shutdown: slow clients are woken, one task for all of them
//   request_parser.cc (on Node's http_parser), responses.cc, options.cc: next to nothing of Skua
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "connection.h"
#include "deadlines.h"
#include "options.h"
#include "request_parser.h"
#include "skua/skua.h"

namespace http_server {
namespace {

// Owned by main; the tasks hold pointers to it, so it outlives the runtime.
struct Server {
  Server(Options server_options, skua::TcpListener server_listener, skua::Signal server_signal)
      : options(server_options),
        listener(std::move(server_listener)),
        signal(std::move(server_signal)),
        places(server_options.connections_max),
        deadlines(server_options.limits) {}

  const Options options;
  skua::TcpListener listener;
  skua::Signal signal;
  skua::Semaphore places;  // One for each connection.
  Deadlines deadlines;
};

void complain(const absl::Status& status) {
  std::fprintf(stderr, "http_server: %s\n", std::string(status.message()).c_str());
}

skua::Task<> accept_connections(Server* server) {
  for (;;) {
    skua::SemaphorePermit place = co_await server->places.acquire();
    absl::StatusOr<skua::TcpStream> stream = co_await server->listener.accept();
    if (!stream.ok()) {
      complain(stream.status());
      continue;
    }
    skua::spawn(
        serve(*std::move(stream), &server->deadlines, server->options.body_max, std::move(place)));
  }
}

// After the time of grace, or at the next signal, requests are not waited for any more.
skua::Task<> end_after_grace(Server* server) {
  co_await skua::sleep_for(server->options.grace);
  server->deadlines.end_all();
}

skua::Task<> end_at_signal(Server* server) {
  const absl::StatusOr<skua::SignalInfo> again = co_await server->signal.next();
  if (again.ok()) server->deadlines.end_all();
}

skua::Task<int> async_main(Server* server) {
  skua::JoinHandle<void> deadlines = skua::spawn(server->deadlines.run());
  skua::JoinHandle<void> accepting = skua::spawn(accept_connections(server));

  const absl::StatusOr<skua::SignalInfo> signal = co_await server->signal.next();
  if (!signal.ok()) {
    complain(signal.status());
    co_return EXIT_FAILURE;
  }
  accepting.abort();
  const skua::JoinResult<void> accepted = co_await std::move(accepting).result();
  if (accepted.exception() != nullptr) std::rethrow_exception(accepted.exception());
  server->listener.close();
  server->deadlines.stop();

  // Each connection gives its place back when it ends.
  skua::JoinHandle<void> grace = skua::spawn(end_after_grace(server));
  skua::JoinHandle<void> impatience = skua::spawn(end_at_signal(server));
  std::vector<skua::SemaphorePermit> places;
  while (places.size() < server->options.connections_max) {
    skua::SemaphorePermit place = co_await server->places.acquire();
    places.push_back(std::move(place));
  }
  grace.abort();
  impatience.abort();
  deadlines.abort();
  co_return EXIT_SUCCESS;
}

int run(const Options& options) {
  // Before any thread starts, so that all of them block the signals, and the one that awaits them gets them.
  const absl::Status blocked = skua::block_signals({SIGINT, SIGTERM});
  if (!blocked.ok()) {
    complain(blocked);
    return EXIT_FAILURE;
  }
  absl::StatusOr<skua::Signal> signal = skua::Signal::watch({SIGINT, SIGTERM});
  absl::StatusOr<skua::TcpListener> listener = skua::TcpListener::bind(options.address);
  for (const absl::Status& status : {signal.status(), listener.status()}) {
    if (status.ok()) continue;
    complain(status);
    return EXIT_FAILURE;
  }
  const absl::StatusOr<skua::SocketAddress> address = listener->local_address();
  RequestParser::set_headers_max(options.headers_max);

  Server server(options, *std::move(listener), *std::move(signal));
  skua::RuntimeOptions runtime_options;
  runtime_options.worker_threads = options.workers;
  runtime_options.thread_name = "http";
  absl::StatusOr<std::unique_ptr<skua::Runtime>> runtime =
      skua::Runtime::create(std::move(runtime_options));
  if (!runtime.ok()) {
    complain(runtime.status());
    return EXIT_FAILURE;
  }
  std::printf("http_server: listening at http://%s/\n", address->to_string().c_str());
  std::fflush(stdout);
  return (*runtime)->block_on(async_main(&server));
}

}  // namespace
}  // namespace http_server

int main(int argc, char** argv) {
  const absl::StatusOr<http_server::Options> options = http_server::parse_options(argc, argv);
  if (absl::IsCancelled(options.status())) {
    return std::fputs(http_server::kUsage, stdout) >= 0 && std::fflush(stdout) == 0 ? EXIT_SUCCESS
                                                                                    : EXIT_FAILURE;
  }
  if (!options.ok()) {
    std::fprintf(stderr, "http_server: %s\n%s", std::string(options.status().message()).c_str(),
                 http_server::kUsage);
    return 2;
  }
  return http_server::run(*options);
}
