// SPDX-License-Identifier: Apache-2.0
//
// Eleven requests at once, and their answers as they come: fetched, failed, or thrown.
//
//   joinset_fetch
//
// A JoinSet gives results in the order in which the tasks end. The server is a task of this program: it has no number
// 7, and answers number 3 with something that is no JSON, at which the task that asked throws.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/skua.h"

namespace {

using absl::StatusOr;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// All that the peer sends until it closes.
skua::Task<StatusOr<std::string>> read_all(skua::TcpStream* stream) {
  std::string text;
  std::array<std::byte, 512> buffer;
  for (;;) {
    const StatusOr<std::size_t> size = co_await stream->read(buffer);
    if (!size.ok()) co_return size.status();
    if (*size == 0) co_return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), *size);
  }
}

skua::Task<> answer(skua::TcpStream stream) {
  const StatusOr<std::string> request = co_await read_all(&stream);
  if (!request.ok()) co_return;
  const int id = std::atoi(request->c_str() + std::string_view("GET /todos/").size());
  co_await skua::sleep_for(std::chrono::milliseconds(id * 7 % 11));
  std::string response = "HTTP/1.0 200 OK\r\n\r\n{\"id\": " + std::to_string(id) + "}";
  if (id == 7) response = "HTTP/1.0 404 Not Found\r\n\r\n";
  if (id == 3) response = "HTTP/1.0 200 OK\r\n\r\n<html>";
  (co_await stream.write_all(bytes_of(response))).IgnoreError();  // The client tells.
}

skua::Task<> serve(skua::TcpListener listener) {
  for (;;) {
    StatusOr<skua::TcpStream> stream = co_await listener.accept();
    if (!stream.ok()) co_return;
    skua::spawn(answer(*std::move(stream)));
  }
}

skua::Task<StatusOr<std::string>> fetch(skua::SocketAddress server, int id) {
  StatusOr<skua::TcpStream> stream = co_await skua::TcpStream::connect(server);
  if (!stream.ok()) co_return stream.status();
  const std::string request = "GET /todos/" + std::to_string(id) + " HTTP/1.0\r\n\r\n";
  const absl::Status written = co_await stream->write_all(bytes_of(request));
  if (!written.ok()) co_return written;
  if (const absl::Status ended = stream->shutdown(skua::Shutdown::kWrite); !ended.ok())
    co_return ended;
  const StatusOr<std::string> response = co_await read_all(&*stream);
  if (!response.ok()) co_return response.status();
  const std::string body = response->substr(response->find("\r\n\r\n") + 4);
  if (response->rfind("HTTP/1.0 200", 0) != 0) {
    co_return absl::NotFoundError("todo " + std::to_string(id));
  }
  if (body.front() != '{') throw std::runtime_error("todo " + std::to_string(id) + " is no JSON");
  co_return body;
}

skua::Task<int> async_main() {
  StatusOr<skua::TcpListener> listener =
      skua::TcpListener::bind(skua::SocketAddress::loopback_v4(0));
  if (!listener.ok()) co_return 1;
  const StatusOr<skua::SocketAddress> server = listener->local_address();
  if (!server.ok()) co_return 1;
  skua::spawn(serve(*std::move(listener)));

  skua::JoinSet<StatusOr<std::string>> set;
  for (int id = 0; id <= 10; ++id) set.spawn(fetch(*server, id));
  while (auto result = co_await set.join_next()) {
    if (result->ok()) {
      const StatusOr<std::string>& body = result->value();
      if (body.ok()) {
        std::printf("Fetched: %s\n", body->c_str());
      } else {
        std::printf("Request failed: %s\n", body.status().ToString().c_str());
      }
      continue;
    }
    try {
      std::rethrow_exception(result->exception());
    } catch (const std::exception& error) {
      std::printf("Task failed: %s\n", error.what());
    }
  }
  co_return 0;
}

}  // namespace

int main() { return skua::run(async_main()); }
