// SPDX-License-Identifier: Apache-2.0
//
// The echo server that one would write in C with io_uring: each thread has a listener and a ring of its own, which it
// alone uses (SINGLE_ISSUER, DEFER_TASKRUN), a multishot accept, and for each connection a receive or a send.
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <liburing.h>

#include "benches/echo/server.h"

namespace skua::bench {
namespace {

constexpr unsigned kEntries = 4096;

struct Connection {
  explicit Connection(int socket) : fd(socket) {}
  const int fd;
  bool sending = false;
  std::array<char, kEchoBuffer> buffer;
};

class Server {
 public:
  explicit Server(int listener) : listener_(listener) {
    // The second set is for kernels before 6.1.
    if (start(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN) != 0 &&
        start(IORING_SETUP_COOP_TASKRUN) != 0) {
      die("io_uring_queue_init");
    }
  }

  [[noreturn]] void run() {
    accept();
    for (;;) {
      const int result = io_uring_submit_and_wait(&ring_, 1);
      if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN) {
        errno = -result;
        die("io_uring_submit_and_wait");
      }
      unsigned head = 0;
      unsigned count = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++count;
        completed(*cqe);
      }
      io_uring_cq_advance(&ring_, count);
    }
  }

 private:
  int start(unsigned flags) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = 4 * kEntries;
    const int result = io_uring_queue_init_params(kEntries, &ring_, &params);
    errno = -result;
    return result;
  }

  io_uring_sqe* next_sqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    return sqe;
  }

  void accept() {
    io_uring_sqe* const sqe = next_sqe();
    io_uring_prep_multishot_accept(sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, nullptr);
  }

  void receive(Connection* connection) {
    connection->sending = false;
    io_uring_sqe* const sqe = next_sqe();
    io_uring_prep_recv(sqe, connection->fd, connection->buffer.data(), connection->buffer.size(),
                       0);
    // Nothing is there yet: the client has not seen the answer.
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    io_uring_sqe_set_data(sqe, connection);
  }

  void completed(const io_uring_cqe& cqe) {
    auto* const connection = static_cast<Connection*>(io_uring_cqe_get_data(&cqe));
    if (connection == nullptr) {
      if (cqe.res >= 0) {
        set_no_delay(cqe.res);
        receive(new Connection(cqe.res));
      }
      if ((cqe.flags & IORING_CQE_F_MORE) == 0) accept();
      return;
    }
    if (cqe.res <= 0) {
      ::close(connection->fd);
      delete connection;
    } else if (connection->sending) {
      receive(connection);
    } else {
      connection->sending = true;
      io_uring_sqe* const sqe = next_sqe();
      io_uring_prep_send(sqe, connection->fd, connection->buffer.data(),
                         static_cast<std::size_t>(cqe.res), MSG_NOSIGNAL | MSG_WAITALL);
      io_uring_sqe_set_data(sqe, connection);
    }
  }

  const int listener_;
  io_uring ring_{};
};

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const EchoOptions options = parse_echo_command("uring_echo", {}, argc, argv);
  int port = 0;
  std::vector<std::thread> threads;  // Not joined: they end with the process.
  for (int i = 0; i < options.workers; ++i) {
    const int listener = listen_on_loopback(port, 0);
    port = port_of(listener);
    threads.emplace_back([listener] { Server(listener).run(); });
  }
  announce_port(port);
  wait_for_end_of_stdin();
  _exit(0);
}
