// SPDX-License-Identifier: Apache-2.0
//
// An event loop with callbacks, in the manner of Node.js, on a runtime of one thread and a pool of four.
//
//   event_loop
//
// Reads a file, computes in the pool, asks a slow server and sets timers; each calls back when it is done: timers, then
// what was completed, then immediates. It ends when nothing is pending. Six jobs for four threads: two of them queue.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include <absl/status/statusor.h>

#include "skua/skua.h"

namespace {

using std::chrono::milliseconds;
using Callback = std::function<void(std::string)>;

// All on one thread: the tasks below and the callbacks take turns, so nothing needs a lock.
class EventLoop {
 public:
  enum Phase : std::size_t { kTimers, kCompleted, kImmediates, kPhases };

  // Starts `task`; what it returns is given to `done`, in that phase of the loop.
  void start(Phase phase, skua::Task<std::string> task, Callback done) {
    ++pending_;
    skua::spawn(finish(this, std::move(task), phase, std::move(done)));
  }
  // Calls back until nothing is pending.
  skua::Task<> run() {
    while (pending_ > 0) {
      co_await changed_.notified();
      for (Queue& phase : ready_) {
        for (Queue now = std::exchange(phase, {}); !now.empty(); now.pop_front(), --pending_) {
          now.front()();
        }
      }
    }
  }

 private:
  using Queue = std::deque<std::function<void()>>;

  static skua::Task<> finish(EventLoop* loop, skua::Task<std::string> task, Phase phase,
                             Callback done) {
    std::string result = co_await std::move(task);
    loop->ready_[phase].emplace_back([done, result] { done(result); });
    loop->changed_.notify_one();
  }

  int pending_ = 0;
  std::array<Queue, kPhases> ready_;
  skua::Notify changed_;
};

skua::Task<std::string> nothing() { co_return ""; }

skua::Task<std::string> wait(milliseconds delay) {
  co_await skua::sleep_for(delay);
  co_return std::to_string(delay.count()) + " ms";
}

skua::Task<std::string> read_line(std::string path) {
  const absl::StatusOr<std::string> text = co_await skua::fs::read_file(path);
  co_return text.ok() ? text->substr(0, text->find('\n')) : text.status().ToString();
}

skua::Task<std::string> encrypt(std::uint64_t x) {
  auto job = skua::spawn_blocking([x]() mutable {
    for (int i = 0; i < 20'000'000; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
    return x;
  });
  const std::uint64_t encrypted = co_await std::move(job);
  co_return std::to_string(encrypted % 1000);
}

skua::Task<std::string> http_get_slow(skua::SocketAddress server) {
  absl::StatusOr<skua::TcpStream> stream = co_await skua::TcpStream::connect(server);
  if (!stream.ok()) co_return stream.status().ToString();
  std::array<std::byte, 64> buffer;
  const absl::StatusOr<std::size_t> size = co_await stream->read(buffer);
  if (!size.ok()) co_return size.status().ToString();
  co_return std::string(reinterpret_cast<const char*>(buffer.data()), *size);
}

// Answers one client after 100 ms.
skua::Task<> slow_server(skua::TcpListener listener) {
  absl::StatusOr<skua::TcpStream> stream = co_await listener.accept();
  if (!stream.ok()) co_return;
  co_await skua::sleep_for(milliseconds(100));
  static constexpr std::string_view kAnswer = "a slow answer";
  (co_await stream->write_all(std::as_bytes(std::span(kAnswer)))).IgnoreError();
}

skua::Task<int> async_main() {
  auto listener = skua::TcpListener::bind(skua::SocketAddress::loopback_v4(0));
  const auto address = listener.ok() ? listener->local_address() : listener.status();
  if (!address.ok()) co_return 1;
  skua::spawn(slow_server(*std::move(listener)));

  EventLoop loop;
  const auto print = [](const char* what) {
    return [what](const std::string& result) { std::printf("%s: %s\n", what, result.c_str()); };
  };
  loop.start(EventLoop::kCompleted, read_line("/etc/hostname"), print("file"));
  for (std::uint64_t i = 0; i < 6; ++i) {
    loop.start(EventLoop::kCompleted, encrypt(i), print("crypto"));
  }
  loop.start(EventLoop::kCompleted, http_get_slow(*address), print("http"));
  loop.start(EventLoop::kTimers, wait(milliseconds(30)), [&](const std::string& result) {
    std::printf("timer: %s\n", result.c_str());
    loop.start(EventLoop::kTimers, wait(milliseconds(10)), print("timer set by a timer"));
    loop.start(EventLoop::kImmediates, nothing(), print("immediate"));
  });
  std::puts("main is through");
  co_await loop.run();
  std::puts("nothing is pending");
  co_return 0;
}

}  // namespace

int main() {
  return skua::run(async_main(),
                   {.flavor = skua::Flavor::kCurrentThread, .max_blocking_threads = 4});
}
