// SPDX-License-Identifier: Apache-2.0
//
// The load generator of the echo rows: one thread, epoll, and one request at a time on each connection.
//
//   closed loop   each answer is followed by the next request; the time to the answer counts from its sending
//   open loop     request k of all is due at start + k / rate, on connection k mod n. It counts from then, whether or
//                 not the connection could send it: a server that stalls is charged for all that it held up
//
// Several servers are asked in turn, for 0.1 s at a time. Between its turns a server has nothing to do, and its CPU
// time is what it used from the begin of its first turn to the end of all.
#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <random>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "benches/echo/load_options.h"
#include "benches/harness/histogram.h"
#include "benches/harness/measure.h"

namespace skua::bench {
namespace {

constexpr int kExitServerFailed = 1;
constexpr std::int64_t kSecond = 1'000'000'000;
// A server that says nothing for so long, though it was asked, is broken.
constexpr std::int64_t kSilenceMaxNs = 10 * kSecond;
// Connections from one address: of the ports that the kernel gives out, no more than it surely has.
constexpr std::size_t kConnectionsPerAddress = 20'000;

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "echo_load: %s\n", why.c_str());
  std::exit(kExitServerFailed);
}

[[noreturn]] void fail_with_errno(const std::string& what) {
  fail(what + ": " + std::strerror(errno));
}

// --- The server's process -----------------------------------------------------------------------

class Process {
 public:
  explicit Process(int pid) : pid_(pid) {
    if (pid_ == 0) return;
    const int error = ::clock_getcpuclockid(pid_, &clock_);
    if (error != 0) fail("--server-pid " + std::to_string(pid_) + ": " + std::strerror(error));
  }

  bool is_known() const { return pid_ != 0; }

  // Of all its threads; 0 if nobody asked.
  double cpu_s() const {
    timespec used{};
    if (pid_ == 0) return 0;
    if (::clock_gettime(clock_, &used) != 0) fail_with_errno("the server's CPU time");
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
  }

  // A line of /proc/PID/status, "VmRSS:" or "VmHWM:"; 0 if nobody asked.
  std::int64_t memory_kib(std::string_view line) const {
    if (pid_ == 0) return 0;
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string key; status >> key;) {
      std::int64_t kib = 0;
      if (key == line && status >> kib) return kib;
      std::getline(status, key);
    }
    return 0;
  }

 private:
  const int pid_;
  clockid_t clock_{};
};

// --- The connections ----------------------------------------------------------------------------

struct Connection {
  int fd = -1;
  std::uint64_t asked = 0;          // Requests so far.
  std::size_t received = 0;         // Bytes of the answer that is under way.
  bool busy = false;                // An answer is under way.
  std::int64_t counts_from_ns = 0;  // The request that is under way.
  // Open loop: requests that were due while it was busy, and when the first of them was.
  std::int64_t owed = 0;
  std::int64_t owed_from_ns = 0;
};

// What the run gave, from its measured part.
struct Figures {
  Histogram latency;
  Histogram lateness;  // Open loop: how late this program sent what it could have sent.
};

class Load {
 public:
  // `options` outlives it.
  Load(const LoadOptions& options, const LoadServer& server)
      : options_(options),
        port_(server.port),
        server_(server.pid),
        message_(options.message_size),
        answer_(options.message_size + 1),
        connections_(static_cast<std::size_t>(options.connections)) {
    if (epoll_ < 0) fail_with_errno("epoll_create1");
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Opens the connections.
  void open_all() {
    for (std::size_t i = 0; i < connections_.size(); ++i) open(connections_[i], i);
    open_idle();
  }

  // All of it, for the only server.
  void run() {
    resume();
    run_until(start_ns_ + ns_of(options_.warm_up_s), INT64_MAX);
    forget_figures();
    const Stopwatch watch;
    const std::int64_t begin_ns = now_ns();
    if (options_.requests > 0) {
      run_until(INT64_MAX, options_.requests);
    } else {
      run_until(begin_ns + ns_of(options_.seconds), INT64_MAX);
      run_until(INT64_MAX, 1);  // However slow the server is.
    }
    usage_ = watch.read();
    const double server_cpu_s = server_.cpu_s() - cpu_before_s_;
    const std::int64_t answers = answers_;
    drain();
    print(server_cpu_s, answers);
  }

  // Asks for so long, and leaves nothing under way.
  void take_turn(double seconds) {
    const Stopwatch watch;
    resume();
    counts_from_ns_ = start_ns_ + ns_of(seconds) / 10;
    run_until(start_ns_ + ns_of(seconds), INT64_MAX);
    drain();
    const Usage used = watch.read();
    usage_.wall_s += used.wall_s;
    usage_.cpu_s += used.cpu_s;
  }

  // What comes now is measured.
  void forget_figures() {
    figures_ = {};
    answers_ = 0;
    usage_ = {};
    cpu_before_s_ = server_.cpu_s();
  }

  // After the turns.
  void print_turns() const { print(server_.cpu_s() - cpu_before_s_, answers_); }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    bench::fail("port " + std::to_string(port_) + ": " + why);
  }

  // Opens a connection, from an address of its own for each kConnectionsPerAddress of them.
  int connect(std::size_t index) const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail_with_errno("connection " + std::to_string(index) + ": socket");
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(index / kConnectionsPerAddress));
    sockaddr_in server{};
    server.sin_family = AF_INET;
    server.sin_port = htons(static_cast<std::uint16_t>(port_));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    // The port is chosen by connect(), which may use it towards another server at the same time.
    if (::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        ::bind(fd, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
        ::connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0) {
      fail_with_errno("connection " + std::to_string(index) + " to port " + std::to_string(port_));
    }
    return fd;
  }

  void open(Connection& connection, std::size_t index) {
    connection.fd = connect(index);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) != 0) {
      fail_with_errno("epoll_ctl");
    }
  }

  // The server has to take each of them in and read from it, and waits for it ever after.
  void open_idle() {
    if (options_.idle == 0) return;
    // Once for the active ones, so that what the server keeps for them is not counted.
    for (Connection& connection : connections_) ask_and_wait(connection);
    const std::int64_t before_kib = server_.memory_kib("VmRSS:");
    for (int i = 0; i < options_.idle; ++i) {
      Connection idle;
      idle.fd = connect(connections_.size() + static_cast<std::size_t>(i));
      ask_and_wait(idle);
      idle_fds_.push_back(idle.fd);
    }
    idle_bytes_ = (server_.memory_kib("VmRSS:") - before_kib) * 1024 / options_.idle;
  }

  void ask_and_wait(Connection& connection) {
    ask(connection, 0);
    const ssize_t count = ::recv(connection.fd, answer_.data(), message_.size(), MSG_WAITALL);
    if (count < 0) fail_with_errno("recv");
    take_bytes(connection, static_cast<std::size_t>(count));
    if (connection.received != message_.size()) fail("the server closed a connection");
    connection.busy = false;
  }

  // --- One request --------------------------------------------------------------------------------

  // The bytes of the connection's current request: each differs from those before and from other connections'.
  void compose(const Connection& connection) {
    const std::uint64_t head[2] = {connection.asked, static_cast<std::uint64_t>(connection.fd)};
    std::memcpy(message_.data(), head, sizeof head);
    std::memset(message_.data() + sizeof head, static_cast<int>(connection.asked & 0xff),
                message_.size() - sizeof head);
  }

  void ask(Connection& connection, std::int64_t counts_from_ns) {
    ++connection.asked;
    compose(connection);
    connection.busy = true;
    connection.received = 0;
    connection.counts_from_ns = counts_from_ns;
    // It fits into the socket's buffer, in which nothing else is.
    const ssize_t count = ::send(connection.fd, message_.data(), message_.size(), MSG_NOSIGNAL);
    if (count < 0) fail_with_errno("send");
    if (static_cast<std::size_t>(count) != message_.size()) fail("send: incomplete");
  }

  // The next bytes of the connection's answer are at the begin of answer_.
  void take_bytes(Connection& connection, std::size_t size) {
    if (size == 0) fail("the server closed a connection");
    if (!connection.busy || size > message_.size() - connection.received) {
      fail("wrong answer: more bytes than were sent");
    }
    compose(connection);
    if (std::memcmp(answer_.data(), message_.data() + connection.received, size) != 0) {
      fail("wrong answer: other bytes than were sent");
    }
    connection.received += size;
  }

  void take(Connection& connection) {
    // One byte more than may come.
    const std::size_t room = message_.size() - connection.received + 1;
    const ssize_t count = ::recv(connection.fd, answer_.data(), room, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count < 0) fail_with_errno("recv");
    take_bytes(connection, static_cast<std::size_t>(count));
    if (connection.received < message_.size()) return;
    const std::int64_t now = now_ns();
    connection.busy = false;
    ++answers_;
    last_answer_ns_ = now;
    if (connection.counts_from_ns >= counts_from_ns_) {
      figures_.latency.add(now - connection.counts_from_ns);
    }
    if (stopping_) return;
    if (options_.rate == 0) {
      ask(connection, now);
    } else if (connection.owed > 0) {
      --connection.owed;
      const std::int64_t due_ns = connection.owed_from_ns;
      connection.owed_from_ns += interval_ns(connections_.size());
      ask(connection, due_ns);
    }
  }

  // --- The loop -----------------------------------------------------------------------------------

  static std::int64_t ns_of(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

  // Asks again, on connections that are all silent.
  void resume() {
    stopping_ = false;
    next_request_ = 0;
    start_ns_ = now_ns();
    last_answer_ns_ = start_ns_;
    if (options_.rate > 0) return;
    for (Connection& connection : connections_) ask(connection, start_ns_);
  }

  // Between `requests` requests of the open loop.
  std::int64_t interval_ns(std::size_t requests) const {
    return static_cast<std::int64_t>(static_cast<double>(requests) * 1e9 / options_.rate);
  }
  std::int64_t due_ns(std::uint64_t request) const {
    return start_ns_ +
           static_cast<std::int64_t>(static_cast<double>(request) * 1e9 / options_.rate);
  }

  // Sends what is due. Returns when the next one is.
  std::int64_t send_due(std::int64_t now) {
    std::int64_t due = due_ns(next_request_);
    while (due <= now) {
      Connection& connection = connections_[next_request_ % connections_.size()];
      if (connection.busy) {
        if (connection.owed++ == 0) connection.owed_from_ns = due;
      } else {
        if (due >= counts_from_ns_) figures_.lateness.add(now - due);
        ask(connection, due);
      }
      due = due_ns(++next_request_);
    }
    return due;
  }

  // Until then, or until so many answers were taken.
  void run_until(std::int64_t end_ns, std::int64_t answers) {
    for (;;) {
      const std::int64_t now = now_ns();
      if (now >= end_ns || answers_ >= answers) return;
      std::int64_t wake_ns = std::min(end_ns, now + kSecond);
      if (options_.rate > 0) wake_ns = std::min(wake_ns, send_due(now));
      take_ready(wake_ns - now);
    }
  }

  void take_ready(std::int64_t timeout_ns) {
    const timespec timeout{.tv_sec = timeout_ns / kSecond, .tv_nsec = timeout_ns % kSecond};
    const int count =
        ::epoll_pwait2(epoll_, events_.data(), static_cast<int>(events_.size()), &timeout, nullptr);
    if (count < 0 && errno != EINTR) fail_with_errno("epoll_pwait2");
    for (int i = 0; i < count; ++i) {
      take(connections_[events_[static_cast<std::size_t>(i)].data.u64]);
    }
    if (count == 0 && now_ns() - last_answer_ns_ > kSilenceMaxNs && any_busy()) {
      fail("the server has not answered for 10 s");
    }
  }

  bool any_busy() const {
    return std::any_of(connections_.begin(), connections_.end(),
                       [](const Connection& connection) { return connection.busy; });
  }

  // What is under way or owed counts too, else the slowest requests would not.
  void drain() {
    stopping_ = true;
    while (any_busy()) take_ready(kSecond);
    if (options_.rate == 0) return;
    const std::int64_t now = now_ns();
    for (Connection& connection : connections_) {
      for (; connection.owed > 0; --connection.owed) {
        if (connection.owed_from_ns >= counts_from_ns_) {
          figures_.latency.add(now - connection.owed_from_ns);
        }
        connection.owed_from_ns += interval_ns(connections_.size());
      }
    }
  }

  // --- The figures --------------------------------------------------------------------------------

  void print(double server_cpu_s, std::int64_t answers) const {
    if (figures_.latency.count() == 0) fail("no answer that counts: the turns are too short");
    const auto requests = static_cast<double>(answers);
    const auto us = [](std::int64_t ns) { return static_cast<double>(ns) * 1e-3; };
    const auto quantile_us = [&](double fraction) {
      return us(figures_.latency.quantile_ns(fraction));
    };
    std::printf(
        "{\"port\": %d, \"connections\": %d, \"ns_per_op\": %.3f, \"wall_s\": %.6f, \"ops\": %lld, "
        "\"requests_per_s\": %.1f, \"p10_us\": %.3f, \"p50_us\": %.3f, \"p90_us\": %.3f, "
        "\"p99_us\": %.3f, \"p999_us\": %.3f, \"p9999_us\": %.3f, \"max_us\": %.3f, "
        "\"load_cpu_us\": %.4f",
        port_, options_.connections, usage_.wall_s * 1e9 / requests, usage_.wall_s,
        static_cast<long long>(answers), requests / usage_.wall_s, quantile_us(0.1),
        quantile_us(0.5), quantile_us(0.9), quantile_us(0.99), quantile_us(0.999),
        quantile_us(0.9999), us(figures_.latency.max_ns()), usage_.cpu_s * 1e6 / requests);
    if (options_.rate > 0) {
      std::printf(", \"rate\": %.1f, \"load_late_p99_us\": %.3f", options_.rate,
                  us(figures_.lateness.quantile_ns(0.99)));
    }
    if (server_.is_known()) {
      std::printf(", \"cpu_s\": %.6f, \"cpu_us\": %.4f, \"max_rss_kib\": %lld", server_cpu_s,
                  server_cpu_s * 1e6 / requests,
                  static_cast<long long>(server_.memory_kib("VmHWM:")));
    }
    if (options_.idle > 0) {
      std::printf(", \"idle\": %d, \"idle_bytes\": %lld", options_.idle,
                  static_cast<long long>(idle_bytes_));
    }
    std::printf("}\n");
  }

  const LoadOptions& options_;
  const int port_;
  const Process server_;
  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::array<epoll_event, 256> events_{};
  std::vector<char> message_;
  std::vector<char> answer_;
  std::vector<Connection> connections_;
  std::vector<int> idle_fds_;
  std::int64_t idle_bytes_ = 0;
  std::int64_t start_ns_ = 0;
  std::int64_t last_answer_ns_ = 0;
  std::int64_t answers_ = 0;
  std::uint64_t next_request_ = 0;   // Open loop.
  bool stopping_ = false;            // No further requests.
  std::int64_t counts_from_ns_ = 0;  // Requests of before are not among the latencies.
  Figures figures_;
  Usage usage_;
  double cpu_before_s_ = 0;  // The server's.
};

void run_in_turns(const LoadOptions& options) {
  std::vector<std::unique_ptr<Load>> loads;
  for (const LoadServer& server : options.servers) {
    loads.push_back(std::make_unique<Load>(options, server));
  }
  for (const auto& load : loads) {
    load->open_all();
    if (options.warm_up_s > 0) load->take_turn(options.warm_up_s);
  }
  for (const auto& load : loads) load->forget_figures();
  const auto turns = static_cast<std::size_t>(std::ceil(options.seconds / options.turn_s));
  const double turn_s = options.seconds / static_cast<double>(turns);
  // In an order of its own each time, so that nobody always comes after the same one.
  std::vector<Load*> order;
  for (const auto& load : loads) order.push_back(load.get());
  std::minstd_rand random(1);
  for (std::size_t turn = 0; turn < turns; ++turn) {
    std::shuffle(order.begin(), order.end(), random);
    for (Load* const load : order) load->take_turn(turn_s);
  }
  for (const auto& load : loads) load->print_turns();
}

// A descriptor for each connection, as far as the system allows.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void run_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    fail_with_errno("--cpu " + std::to_string(cpu));
  }
}

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const std::vector<std::string_view> arguments(argv + std::min(argc, 1), argv + argc);
  const LoadCommand command = parse_load_command(arguments);
  if (command.exit_status) {
    std::fputs(command.text.c_str(), *command.exit_status == 0 ? stdout : stderr);
    return *command.exit_status;
  }
  raise_descriptor_limit();
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // Waits of the open loop end when they are due.
  if (command.options.cpu >= 0) run_on(command.options.cpu);
  if (command.options.servers.size() > 1) {
    run_in_turns(command.options);
    return 0;
  }
  Load load(command.options, command.options.servers.front());
  load.open_all();
  load.run();
  return 0;
}
