// SPDX-License-Identifier: Apache-2.0
//
// A chat: each line that a client sends goes to all the others.
//
//   chat_server [ADDRESS]     127.0.0.1:7778 unless said otherwise; port 0 takes a free one
//   nc 127.0.0.1 7778         the first line is the name
//
// One broadcast channel for all. A client that does not read falls behind in it, and is told how many lines it has
// missed; nobody waits for it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/io/buffered_reader.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/broadcast.h"
#include "skua/task.h"

namespace {

constexpr std::size_t kLineMax = 1024;
constexpr std::uint64_t kNobody = 0;
constexpr std::size_t kHistory = 64;  // Lines that a client may be behind.

struct Line {
  std::uint64_t from = 0;  // The client.
  std::string text;
};

using Lines = skua::BroadcastSender<std::shared_ptr<const Line>>;

// Writes what others say, until the chat or the connection ends.
skua::Task<> tell(skua::TcpWriteHalf out,
                  skua::BroadcastReceiver<std::shared_ptr<const Line>> lines,
                  std::uint64_t client) {
  while (auto line = co_await lines.recv()) {
    std::string text;
    if (line.missed() > 0) text = "(" + std::to_string(line.missed()) + " lines missed)\n";
    if ((*line)->from != client) text += (*line)->text;
    if (text.empty()) continue;
    const absl::Status written = co_await out.write_all(std::as_bytes(std::span(text)));
    if (!written.ok()) co_return;
  }
}

void say(const Lines& lines, std::uint64_t client, std::string text) {
  lines.send(std::make_shared<const Line>(Line{.from = client, .text = std::move(text) + "\n"}));
}

// Reads what the client says, until it goes.
skua::Task<> chat(skua::TcpStream stream, Lines lines, std::uint64_t client) {
  auto [in, out] = std::move(stream).into_split();
  skua::JoinHandle<void> teller = skua::spawn(tell(std::move(out), lines.subscribe(), client));
  skua::BufferedReader<skua::TcpReadHalf> reader(std::move(in));
  std::optional<std::string> name;
  for (;;) {
    // A line that is too long ends the connection, like any other error.
    absl::StatusOr<std::optional<std::string>> line = co_await reader.read_line(kLineMax);
    if (!line.ok() || !line->has_value()) break;
    if (name) {
      say(lines, client, *name + ": " + **line);
    } else {
      name = **line;
      say(lines, kNobody, *name + " is here");  // To this one, too: it is in.
    }
  }
  if (name) say(lines, client, *name + " has left");
  teller.abort();
  const skua::JoinResult<void> ended = co_await std::move(teller).result();
  (void)ended;
}

skua::Task<int> serve(skua::SocketAddress address) {
  absl::StatusOr<skua::TcpListener> listener = skua::TcpListener::bind(address);
  if (!listener.ok()) {
    std::fprintf(stderr, "chat_server: %s\n", listener.status().ToString().c_str());
    co_return 1;
  }
  const absl::StatusOr<skua::SocketAddress> local = listener->local_address();
  if (!local.ok()) co_return 1;
  std::printf("listening at %s\n", local->to_string().c_str());
  std::fflush(stdout);
  auto [lines, unused] = skua::broadcast<std::shared_ptr<const Line>>(kHistory);
  for (std::uint64_t client = 1;; ++client) {
    absl::StatusOr<skua::TcpStream> stream = co_await listener->accept();
    if (!stream.ok()) co_return 1;
    skua::spawn(chat(*std::move(stream), lines, client), {.name = "chat"});
  }
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<skua::SocketAddress> address =
      skua::SocketAddress::parse(argc > 1 ? argv[1] : "127.0.0.1:7778");
  if (!address.ok() || argc > 2) {
    std::fprintf(stderr, "usage: chat_server [ADDRESS]\n%s\n", address.status().ToString().c_str());
    return 2;
  }
  return skua::run(serve(*address));
}
