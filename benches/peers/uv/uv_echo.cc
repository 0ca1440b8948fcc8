// SPDX-License-Identifier: Apache-2.0
//
// The echo server on libuv: each thread has a loop and a listener of its own. An answer is written at once, where it is
// read; it always fits, see epoll_echo.cc.
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <uv.h>
#include <vector>

#include "benches/echo/server.h"

namespace skua::bench {
namespace {

void check(int result, const char* what) {
  if (result >= 0) return;
  std::fprintf(stderr, "%s: %s\n", what, uv_strerror(result));
  std::exit(1);
}

struct Connection {
  uv_tcp_t socket;
  std::array<char, kEchoBuffer> buffer;
};

void close_connection(Connection* connection) {
  uv_close(reinterpret_cast<uv_handle_t*>(&connection->socket),
           [](uv_handle_t* handle) { delete static_cast<Connection*>(handle->data); });
}

void lend_buffer(uv_handle_t* handle, std::size_t /*suggested*/, uv_buf_t* buffer) {
  auto* const connection = static_cast<Connection*>(handle->data);
  *buffer = uv_buf_init(connection->buffer.data(), kEchoBuffer);
}

void echo(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
  if (count == 0) return;  // Nothing was there after all.
  auto* const connection = static_cast<Connection*>(stream->data);
  if (count < 0) return close_connection(connection);
  const uv_buf_t answer = uv_buf_init(buffer->base, static_cast<unsigned>(count));
  if (uv_try_write(stream, &answer, 1) != count) close_connection(connection);
}

void accept(uv_stream_t* listener, int status) {
  check(status, "accept");
  auto connection = std::make_unique<Connection>();
  check(uv_tcp_init(listener->loop, &connection->socket), "uv_tcp_init");
  connection->socket.data = connection.get();
  auto* const stream = reinterpret_cast<uv_stream_t*>(&connection->socket);
  check(uv_accept(listener, stream), "uv_accept");
  check(uv_tcp_nodelay(&connection->socket, 1), "uv_tcp_nodelay");
  check(uv_read_start(stream, lend_buffer, echo), "uv_read_start");
  connection.release();  // Its socket has it, until it is closed.
}

void serve(int listener_fd) {
  uv_loop_t loop;
  uv_tcp_t listener;
  check(uv_loop_init(&loop), "uv_loop_init");
  check(uv_tcp_init(&loop, &listener), "uv_tcp_init");
  check(uv_tcp_open(&listener, listener_fd), "uv_tcp_open");
  check(uv_listen(reinterpret_cast<uv_stream_t*>(&listener), kEchoBacklog, accept), "uv_listen");
  uv_run(&loop, UV_RUN_DEFAULT);
}

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const EchoOptions options = parse_echo_command("uv_echo", {}, argc, argv);
  int port = 0;
  std::vector<std::thread> threads;  // Not joined: they end with the process.
  for (int i = 0; i < options.workers; ++i) {
    const int listener = listen_on_loopback(port, SOCK_NONBLOCK);
    port = port_of(listener);
    threads.emplace_back([listener] { serve(listener); });
  }
  announce_port(port);
  wait_for_end_of_stdin();
  _exit(0);
}
