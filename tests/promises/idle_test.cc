// SPDX-License-Identifier: Apache-2.0
//
// An idle runtime uses no CPU: its threads are asleep, and stay so. (P8 of the design.)
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <dirent.h>
#include <fstream>
#include <memory>
#include <semaphore>
#include <span>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/time.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

struct Switches {
  bool operator==(const Switches&) const = default;
  int threads = 0;
  std::uint64_t switches = 0;  // Whoever makes a system call that waits, or wakes up, is switched.
};

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of all threads whose name begins with `prefix`.
Switches switches_of(const std::string& prefix) {
  Switches sum;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir("/proc/self/task"), &closedir);
  while (const dirent* const entry = readdir(dir.get())) {
    const std::string path = std::string("/proc/self/task/") + entry->d_name;
    if (first_line(path + "/comm").rfind(prefix, 0) != 0) continue;
    ++sum.threads;
    std::ifstream status(path + "/status");
    for (std::string line; std::getline(status, line);) {
      const std::size_t at = line.find("ctxt_switches:");
      if (at != std::string::npos) sum.switches += std::stoull(line.substr(line.find(':') + 1));
    }
  }
  return sum;
}

// Goal: no thread of an idle runtime wakes up in two seconds. Method: the context switches that the kernel counts. The
// first window may still see the threads fall asleep, and the watch linger; a periodic wake-up would be in all of them.
bool sleeps_for_two_seconds(int threads) {
  for (int window = 0; window < 5; ++window) {
    const Switches before = switches_of("idle");
    std::binary_semaphore nobody(0);
    EXPECT_FALSE(nobody.try_acquire_for(2s));
    // A thread gets its name when it runs for the first time.
    if (before.threads == threads && switches_of("idle") == before) return true;
  }
  return false;
}

Task<> sleeps_and_spawns(int tasks) {
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < tasks; ++i) {
    handles.push_back(spawn([]() -> Task<> { co_await sleep_for(1ms); }()));
  }
  for (JoinHandle<void>& handle : handles) co_await std::move(handle);
}

// An echo server, and a plain client for each of its connections, which has had one answer and now says nothing.
class QuietClients {
 public:
  QuietClients(Runtime& runtime, int count) {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    EXPECT_TRUE(listener.ok()) << listener.status();
    const SocketAddress address = *listener->local_address();
    runtime.spawn(serve(*std::move(listener)));
    for (int i = 0; i < count; ++i) {
      fds_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      char byte = 'x';
      EXPECT_EQ(::connect(fds_.back(), static_cast<const sockaddr*>(address.system_address()),
                          static_cast<socklen_t>(address.system_size())),
                0);
      EXPECT_EQ(::send(fds_.back(), &byte, 1, MSG_NOSIGNAL), 1);
      EXPECT_EQ(::recv(fds_.back(), &byte, 1, 0), 1);
    }
  }
  QuietClients(const QuietClients&) = delete;
  QuietClients& operator=(const QuietClients&) = delete;
  ~QuietClients() {
    for (const int fd : fds_) ::close(fd);
  }

 private:
  static Task<> echo(TcpStream stream) {
    std::byte byte{};
    for (;;) {
      const absl::StatusOr<std::size_t> count = co_await stream.read(std::span(&byte, 1));
      if (!count.ok() || *count == 0) co_return;
      const absl::Status written = co_await stream.write_all(std::span(&byte, 1));
      if (!written.ok()) co_return;
    }
  }
  static Task<> serve(TcpListener listener) {
    for (;;) {
      absl::StatusOr<TcpStream> stream = co_await listener.accept();
      if (!stream.ok()) co_return;
      spawn(echo(*std::move(stream)));
    }
  }

  std::vector<int> fds_;
};

class IdleTest : public testing::TestWithParam<int> {};

TEST_P(IdleTest, NoThreadOfAnIdleRuntimeWakesUpInTwoSeconds) {
  Runtime runtime({.worker_threads = GetParam(), .thread_name = "idle"});
  EXPECT_TRUE(sleeps_for_two_seconds(GetParam()));
  // Nor after it has been at work, with a watch over the busy ones, and while it has connections on which nothing
  // comes.
  runtime.block_on(sleeps_and_spawns(100));
  const QuietClients clients(runtime, 100);
  EXPECT_TRUE(sleeps_for_two_seconds(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Workers, IdleTest, testing::Values(2, 8));

}  // namespace
}  // namespace skua
