// SPDX-License-Identifier: Apache-2.0
//
// The echo server on standalone Asio, with its C++20 coroutines: one io_context for all threads, or, with --per-thread,
// a listener and an io_context for each of them, as the servers in C have.
#include <array>
#include <cstddef>
#include <cstdlib>
#include <thread>
#include <unistd.h>
#include <utility>

#include <asio.hpp>

#include "benches/echo/server.h"

namespace skua::bench {
namespace {

using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket socket) {
  try {
    socket.set_option(tcp::no_delay(true));
    std::array<char, kEchoBuffer> buffer;
    for (;;) {
      const std::size_t count =
          co_await socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
      co_await asio::async_write(socket, asio::buffer(buffer, count), asio::use_awaitable);
    }
  } catch (const asio::system_error&) {
    // The end of the connection.
  }
}

asio::awaitable<void> serve(tcp::acceptor acceptor) {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
    const auto executor = socket.get_executor();
    asio::co_spawn(executor, echo(std::move(socket)), asio::detached);
  }
}

// All threads run one context: any of them serves any connection.
int serve_together(int threads) {
  static asio::io_context context(threads);
  tcp::acceptor acceptor(context, tcp::v4(), listen_on_loopback(0, 0));
  const int port = acceptor.local_endpoint().port();
  asio::co_spawn(context, serve(std::move(acceptor)), asio::detached);
  for (int i = 0; i < threads; ++i) {
    std::thread([] { context.run(); }).detach();  // Ends with the process.
  }
  return port;
}

// A context that only one thread runs takes no locks, if told so.
int serve_apart(int threads) {
  int port = 0;
  for (int i = 0; i < threads; ++i) {
    const int listener = listen_on_loopback(port, 0);
    port = port_of(listener);
    std::thread([listener] {
      asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
      asio::co_spawn(context, serve(tcp::acceptor(context, tcp::v4(), listener)), asio::detached);
      context.run();
    }).detach();  // Ends with the process.
  }
  return port;
}

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const EchoOptions options = parse_echo_command("asio_echo", {.is_asio = true}, argc, argv);
  announce_port(options.per_thread ? serve_apart(options.workers)
                                   : serve_together(options.workers));
  wait_for_end_of_stdin();
  _exit(0);
}
