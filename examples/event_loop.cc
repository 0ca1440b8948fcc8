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
#include <span>
#include <string>
#include <utility>

#include <absl/status/statusor.h>

#include "skua/skua.h"

namespace {

// All on one thread: the tasks below and the callbacks take turns, so nothing needs a lock.
class EventLoop {
 public:
  enum Phase : std::size_t { kTimers, kCompleted, kImmediates, kPhases };

  // Starts `task`; what it returns is given to `done`, in that phase of the loop.
  void start(Phase phase, skua::Task<std::string> task, std::function<void(std::string)> done) {
    ++pending_;
    skua::spawn([this, phase, task = std::move(task), done]() mutable -> skua::Task<> {
      const std::string result = co_await std::move(task);
      ready_[phase].emplace_back([done, result] { done(result); });
      changed_.notify_one();
    });
  }
  // Calls back until nothing is pending.
  skua::Task<> run() {
    while (pending_ > 0) {
      co_await changed_.notified();
      for (auto& phase : ready_) {
        for (auto now = std::exchange(phase, {}); !now.empty(); now.pop_front(), --pending_)
          now.front()();
      }
    }
  }

 private:
  int pending_ = 0;
  std::array<std::deque<std::function<void()>>, kPhases> ready_;
  skua::Notify changed_;
};

skua::Task<std::string> wait(int ms) {
  co_await skua::sleep_for(std::chrono::milliseconds(ms));
  co_return std::to_string(ms) + " ms";
}

skua::Task<std::string> read_line(std::string path) {
  const absl::StatusOr<std::string> text = co_await skua::fs::read_file(std::move(path));
  co_return text.ok() ? text->substr(0, text->find('\n')) : text.status().ToString();
}

skua::Task<std::string> encrypt(std::uint64_t x) {
  auto job = skua::spawn_blocking([x]() mutable {
    for (int i = 0; i < 20'000'000; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
    return x;
  });
  co_return std::to_string(co_await std::move(job) % 1000);
}

skua::Task<std::string> http_get_slow(skua::SocketAddress server) {
  absl::StatusOr<skua::TcpStream> stream = co_await skua::TcpStream::connect(server);
  if (!stream.ok()) co_return stream.status().ToString();
  std::string answer(13, ' ');
  const absl::Status read = co_await stream->read_exact(std::as_writable_bytes(std::span(answer)));
  co_return read.ok() ? answer : read.ToString();
}

// Answers one client after 100 ms.
skua::Task<> slow_server(skua::TcpListener listener) {
  absl::StatusOr<skua::TcpStream> stream = co_await listener.accept();
  if (!stream.ok()) co_return;
  co_await skua::sleep_for(std::chrono::milliseconds(100));
  (co_await stream->write_all(std::as_bytes(std::span("a slow answer", 13)))).IgnoreError();
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
  for (int i = 0; i < 6; ++i) loop.start(EventLoop::kCompleted, encrypt(i), print("crypto"));
  loop.start(EventLoop::kCompleted, http_get_slow(*address), print("http"));
  loop.start(EventLoop::kTimers, wait(30), [&](const std::string& result) {
    std::printf("timer: %s\n", result.c_str());
    loop.start(EventLoop::kTimers, wait(10), print("timer set by a timer"));
    loop.start(EventLoop::kImmediates, wait(0), print("immediate"));
  });
  std::puts("main is through");
  co_await loop.run();
  std::puts("nothing is pending");
  co_return 0;
}

}  // namespace

int main() {
  using skua::Flavor;
  return skua::run(async_main(), {.flavor = Flavor::kCurrentThread, .max_blocking_threads = 4});
}
