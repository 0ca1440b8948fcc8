// SPDX-License-Identifier: Apache-2.0
//
// Asynchronous I/O: a listener, a client and a server in one process.
//
//   phase2_tcp_accept [ADDRESS]    127.0.0.1:8080 unless said otherwise; port 0 takes a free one
//
// Shows also which backend does the I/O: io_uring, or epoll (as with SKUA_IO=epoll).
#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/join.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/task.h"

namespace {

skua::Task<absl::Status> connect_and_write(skua::SocketAddress address) {
  absl::StatusOr<skua::TcpStream> stream = co_await skua::TcpStream::connect(address);
  if (!stream.ok()) co_return stream.status();
  static constexpr std::string_view kText = "hello over TCP";
  absl::Status written = co_await stream->write_all(std::as_bytes(std::span(kText)));
  co_return written;
}

// The listener outlives the await.
skua::Task<absl::Status> accept_and_read(skua::TcpListener* listener) {
  absl::StatusOr<skua::TcpStream> stream = co_await listener->accept();
  if (!stream.ok()) co_return stream.status();
  std::string text;
  std::array<std::byte, 64> buffer;
  for (;;) {
    const absl::StatusOr<std::size_t> count = co_await stream->read(buffer);
    if (!count.ok()) co_return count.status();
    if (*count == 0) break;  // The client has closed.
    text.append(reinterpret_cast<const char*>(buffer.data()), *count);
  }
  std::printf("accepted, and read: %s\n", text.c_str());
  co_return absl::OkStatus();
}

skua::Task<int> async_main(skua::SocketAddress address) {
  absl::StatusOr<skua::TcpListener> listener = skua::TcpListener::bind(address);
  if (!listener.ok()) {
    std::fprintf(stderr, "phase2_tcp_accept: %s\n", listener.status().ToString().c_str());
    co_return 1;
  }
  const absl::StatusOr<skua::SocketAddress> local = listener->local_address();
  if (!local.ok()) co_return 1;
  std::printf("listening at %s\n", local->to_string().c_str());
  // Both at once: neither could end without the other.
  const auto [accepted, written] =
      co_await skua::when_all(accept_and_read(&*listener), connect_and_write(*local));
  for (const absl::Status& status : {accepted, written}) {
    if (status.ok()) continue;
    std::fprintf(stderr, "phase2_tcp_accept: %s\n", status.ToString().c_str());
    co_return 1;
  }
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<skua::SocketAddress> address =
      skua::SocketAddress::parse(argc > 1 ? argv[1] : "127.0.0.1:8080");
  if (!address.ok() || argc > 2) {
    std::fprintf(stderr, "usage: phase2_tcp_accept [ADDRESS]\n%s\n",
                 address.status().ToString().c_str());
    return 2;
  }
  skua::Runtime runtime;
  return runtime.block_on(async_main(*address));
}
