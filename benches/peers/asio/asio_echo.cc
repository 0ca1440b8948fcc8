// SPDX-License-Identifier: Apache-2.0
//
// The echo server on standalone Asio, with its C++20 coroutines: one io_context for all threads.
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

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const EchoOptions options = parse_echo_command("asio_echo", {}, argc, argv);
  asio::io_context context(options.workers);
  tcp::acceptor acceptor(context, tcp::v4(), listen_on_loopback(0, 0));
  announce_port(acceptor.local_endpoint().port());
  asio::co_spawn(context, serve(std::move(acceptor)), asio::detached);
  std::vector<std::thread> threads;  // Not joined: they end with the process.
  for (int i = 0; i < options.workers; ++i) {
    threads.emplace_back([&context] { context.run(); });
  }
  wait_for_end_of_stdin();
  _exit(0);
}
