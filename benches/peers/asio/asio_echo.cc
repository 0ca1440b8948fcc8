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
#include <vector>

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

// All threads run one context: any of them serves any connection. Returns the port.
int serve_together(int count, std::vector<std::thread>& threads) {
  static asio::io_context context(count);
  tcp::acceptor acceptor(context, tcp::v4(), listen_on_loopback(0, 0));
  const int port = acceptor.local_endpoint().port();
  asio::co_spawn(context, serve(std::move(acceptor)), asio::detached);
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([] { context.run(); });
  }
  return port;
}

// Each thread runs a context of its own, which takes no locks if told so. Returns the port.
int serve_apart(int count, std::vector<std::thread>& threads) {
  int port = 0;
  for (int i = 0; i < count; ++i) {
    const int listener = listen_on_loopback(port, 0);
    port = port_of(listener);
    threads.emplace_back([listener] {
      asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
      asio::co_spawn(context, serve(tcp::acceptor(context, tcp::v4(), listener)), asio::detached);
      context.run();
    });
  }
  return port;
}

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const EchoOptions options = parse_echo_command("asio_echo", {.is_asio = true}, argc, argv);
  std::vector<std::thread> threads;  // Not joined: they end with the process.
  const auto serve = options.per_thread ? serve_apart : serve_together;
  announce_port(serve(options.workers, threads));
  wait_for_end_of_stdin();
  _exit(0);
}
