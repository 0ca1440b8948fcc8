// SPDX-License-Identifier: Apache-2.0
//
// Which TCP ports of a host are open.
//
//   port_scanner                          127.0.0.1, ports 1 to 1024
//   port_scanner 127.0.0.1 8000-8100
//   port_scanner --any example.org 80-90  of hosts other than this one: only if you may scan them
//
// Open ports are printed as they are found, progress goes to stderr. At most 100 connections are tried at a time, each
// for 3 s: for_each_concurrent, timeout; what is found goes through a bounded channel to the task that prints.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/for_each_concurrent.h"
#include "skua/net/resolve.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/channel.h"
#include "skua/task.h"
#include "skua/time.h"

namespace {

constexpr std::size_t kAtOnce = 100;

struct Scan {
  std::string host = "127.0.0.1";
  int first = 1;
  int last = 1024;
  bool any_host = false;
  std::atomic<int> done{0};
};

skua::SocketAddress with_port(const skua::SocketAddress& host, int port) {
  const std::string text = host.to_string();
  return *skua::SocketAddress::parse(text.substr(0, text.rfind(':') + 1) + std::to_string(port));
}

skua::Task<> try_port(skua::SocketAddress address, int port, skua::Sender<int> open, Scan* scan) {
  // The outer status says whether it took too long, the inner one whether the host refused.
  auto stream = co_await skua::timeout(std::chrono::seconds(3), skua::TcpStream::connect(address));
  if (stream.ok() && stream->ok()) {
    const bool sent = co_await open.send(port);
    if (!sent) co_return;
  }
  const int done = scan->done.fetch_add(1) + 1;
  const int total = scan->last - scan->first + 1;
  if (done % 100 == 0 || done == total) std::fprintf(stderr, "\r%d of %d ports", done, total);
}

skua::Task<int> print_open(skua::Receiver<int> open, std::string host) {
  int count = 0;
  while (const std::optional<int> port = co_await open.recv()) {
    ++count;
    std::printf("%s:%d is open\n", host.c_str(), *port);
  }
  co_return count;
}

skua::Task<int> async_main(Scan* scan) {
  const absl::StatusOr<std::vector<skua::SocketAddress>> addresses =
      co_await skua::resolve(scan->host, 1);
  if (!addresses.ok()) {
    std::fprintf(stderr, "port_scanner: %s\n", addresses.status().ToString().c_str());
    co_return 1;
  }
  const skua::SocketAddress host = addresses->front();
  const std::string text = host.to_string();
  if (!scan->any_host && text.rfind("127.", 0) != 0 && text.rfind("[::1]", 0) != 0) {
    std::fputs("port_scanner: scans this machine only, unless you say --any\n", stderr);
    co_return 2;
  }
  auto [open, found] = skua::channel<int>(16);
  skua::JoinHandle<int> printer = skua::spawn(print_open(std::move(found), scan->host));
  auto scan_one = [host, scan, sender = std::move(open)](int port) {
    return try_port(with_port(host, port), port, sender, scan);
  };
  co_await skua::for_each_concurrent(std::views::iota(scan->first, scan->last + 1), kAtOnce,
                                     std::move(scan_one));
  // The last sender went with the function above, so the printer ends.
  const int count = co_await std::move(printer);
  std::fprintf(stderr, "\n%d open\n", count);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Scan scan;
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "--any") {
    scan.any_host = true;
    words.erase(words.begin());
  }
  if (!words.empty()) scan.host = words[0];
  const bool range_ok =
      words.size() < 2 || std::sscanf(words[1].c_str(), "%d-%d", &scan.first, &scan.last) == 2;
  if (words.size() > 2 || !range_ok || scan.first < 1 || scan.last > 65535 ||
      scan.first > scan.last) {
    std::fputs("usage: port_scanner [--any] [HOST [FIRST-LAST]]\n", stderr);
    return 2;
  }
  return skua::run(async_main(&scan));
}
