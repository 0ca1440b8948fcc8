// SPDX-License-Identifier: Apache-2.0
//
// The echo server that one would write in C with epoll: each thread has a listener and an epoll descriptor of its own,
// and calls the system for what is ready.
#include <array>
#include <cerrno>
#include <cstddef>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "benches/echo/server.h"

namespace skua::bench {
namespace {

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

// False: the connection is over.
bool echo(int fd) {
  std::array<char, kEchoBuffer> buffer;
  const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  // Answers are smaller than the socket's buffer, and the client reads one before it asks again.
  return ::send(fd, buffer.data(), static_cast<std::size_t>(count), MSG_NOSIGNAL) == count;
}

void accept_all(int listener, int epoll) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN) return;
    if (fd < 0) die("accept");
    set_no_delay(fd);
    watch(epoll, fd);
  }
}

void serve(int listener) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll_create1");
  watch(epoll, listener);
  std::array<epoll_event, 256> events;
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        accept_all(listener, epoll);
      } else if (!echo(fd)) {
        ::close(fd);
      }
    }
  }
}

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const EchoOptions options = parse_echo_command("epoll_echo", {}, argc, argv);
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
