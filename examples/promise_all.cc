// SPDX-License-Identifier: Apache-2.0
//
// Two waits at once, and one for both: a file is written while a server is asked.
//
//   promise_all FILE
//
// What JavaScript writes as `await Promise.all([writeToFile(), writeToExternalServer()])`. The server is a task of this
// program.
#include <array>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/fs/contents.h"
#include "skua/join.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"

namespace {

using absl::Status;
using absl::StatusOr;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// The "external server": answers one request with its length.
skua::Task<> serve_one(skua::TcpListener listener) {
  StatusOr<skua::TcpStream> stream = co_await listener.accept();
  if (!stream.ok()) co_return;
  std::array<std::byte, 256> buffer;
  const StatusOr<std::size_t> size = co_await stream->read(buffer);
  if (!size.ok()) co_return;
  const std::string answer = "received " + std::to_string(*size) + " bytes";
  (co_await stream->write_all(bytes_of(answer))).IgnoreError();  // The client tells.
}

skua::Task<StatusOr<std::string>> write_to_server(skua::SocketAddress address) {
  StatusOr<skua::TcpStream> stream = co_await skua::TcpStream::connect(address);
  if (!stream.ok()) co_return stream.status();
  const Status written = co_await stream->write_all(bytes_of("to the server"));
  if (!written.ok()) co_return written;
  std::array<std::byte, 256> buffer;
  const StatusOr<std::size_t> size = co_await stream->read(buffer);
  if (!size.ok()) co_return size.status();
  co_return std::string(reinterpret_cast<const char*>(buffer.data()), *size);
}

skua::Task<Status> write_to_file(std::string path) {
  return skua::fs::write_file(std::move(path), "to the file\n");
}

skua::Task<int> async_main(std::string path) {
  StatusOr<skua::TcpListener> listener =
      skua::TcpListener::bind(skua::SocketAddress::loopback_v4(0));
  if (!listener.ok()) co_return 1;
  const StatusOr<skua::SocketAddress> address = listener->local_address();
  if (!address.ok()) co_return 1;
  skua::spawn(serve_one(*std::move(listener)));

  const auto [file, answer] =
      co_await skua::when_all(write_to_file(path), write_to_server(*address));

  std::printf("file: %s\n", file.ok() ? "written" : file.ToString().c_str());
  std::printf("server: %s\n", answer.ok() ? answer->c_str() : answer.status().ToString().c_str());
  co_return file.ok() && answer.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: promise_all FILE\n", stderr);
    return 2;
  }
  return skua::run(async_main(argv[1]));
}
