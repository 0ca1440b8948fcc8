// SPDX-License-Identifier: Apache-2.0
//
// Measures: an echo server on one and two workers, on each backend that is there and with each socket engine, and at 50
// connections with each scheduling policy, alone and beside a task that computes for 100 ms at a time; asked by one
// plain thread over 127.0.0.1, 128 bytes at a time, each connection waiting for its answer before it asks again; an
// answer that is not what was sent ends the benchmark as an error. Per request: the time by the clock, the server's CPU
// time (all threads of the process but the asking one, a hog's included), and quantiles of the time to the answer. The
// asking thread's CPU time, for the same number of calls of plain C, is the measure of the machine.
// Does not measure: many clients, large messages, a network. The asking thread shares the machine with the server, and
// at 50 connections it is the one that is saturated: compare CPU times, in turn, on one machine.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/time.h"

namespace skua {
namespace {

constexpr std::size_t kMessage = 128;
// Larger than a message: a read that is shorter than its buffer tells that nothing is left.
constexpr std::size_t kBuffer = 512;

Task<> echo(TcpStream stream) {
  std::array<std::byte, kBuffer> buffer;
  if (!stream.set_no_delay(true).ok()) co_return;
  for (;;) {
    const absl::StatusOr<std::size_t> count = co_await stream.read(buffer);
    if (!count.ok() || *count == 0) co_return;
    const absl::Status written = co_await stream.write_all(std::span(buffer).first(*count));
    if (!written.ok()) co_return;
  }
}

Task<> serve(TcpListener listener) {
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener.accept();
    if (!stream.ok()) co_return;
    spawn(echo(*std::move(stream)));
  }
}

// Keeps a worker for 100 ms at a time.
Task<> hog() {
  for (;;) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    while (std::chrono::steady_clock::now() < end) {
    }
    co_await sleep_for(std::chrono::milliseconds(20));
  }
}

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Plain sockets and epoll, on the calling thread.
class Clients {
 public:
  Clients(const SocketAddress& address, std::size_t connections)
      : sent_at_(connections), asked_(connections) {
    for (std::size_t i = 0; i < connections; ++i) {
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(fd, static_cast<const sockaddr*>(address.system_address()),
                    static_cast<socklen_t>(address.system_size())) != 0) {
        std::abort();
      }
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) std::abort();
      fds_.push_back(fd);
    }
  }
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;
  ~Clients() {
    for (const int fd : fds_) ::close(fd);
    ::close(epoll_);
  }

  // Every connection has asked for the first time.
  void begin() {
    for (std::size_t i = 0; i < fds_.size(); ++i) ask(i);
  }
  // Takes so many answers, and asks again for each.
  void take(std::size_t answers) {
    std::array<epoll_event, 64> events;
    while (answers > 0) {
      const int ready = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int e = 0; e < ready && answers > 0; ++e, --answers) {
        const std::size_t i = events[static_cast<std::size_t>(e)].data.u64;
        Message message;
        if (::recv(fds_[i], message.data(), message.size(), MSG_WAITALL) != kMessage) std::abort();
        all_right_ = all_right_ && message == asked_[i];
        latencies_us.push_back(
            std::chrono::duration<double, std::micro>(Clock::now() - sent_at_[i]).count());
        ask(i);
      }
    }
  }

  // Whether each answer was what its connection had sent.
  bool all_right() const { return all_right_; }

  std::vector<double> latencies_us;

 private:
  using Clock = std::chrono::steady_clock;
  using Message = std::array<char, kMessage>;

  // Each question differs from the connection's last one, and from the others'.
  void ask(std::size_t i) {
    asked_[i].fill(static_cast<char>(++questions_));
    std::memcpy(asked_[i].data(), &i, sizeof(i));
    sent_at_[i] = Clock::now();
    if (::send(fds_[i], asked_[i].data(), kMessage, MSG_NOSIGNAL) != kMessage) std::abort();
  }

  const int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<int> fds_;
  std::vector<Clock::time_point> sent_at_;
  std::vector<Message> asked_;
  unsigned questions_ = 0;
  bool all_right_ = true;
};

// How the server does its I/O.
struct Io {
  IoBackend backend;
  SocketEngine engine;
  const char* label;
};
constexpr std::array kIos = {
    Io{IoBackend::kUring, SocketEngine::kReadiness, "io_uring, readiness"},
    Io{IoBackend::kUring, SocketEngine::kCompletion, "io_uring, completion"},
    Io{IoBackend::kEpoll, SocketEngine::kReadiness, "epoll"},
};

// Not kCurrentThread: its worker would be the thread that asks.
struct Policy {
  Flavor flavor;
  SchedulerPolicy scheduler;
  const char* label;
};
constexpr std::array kPolicies = {
    Policy{Flavor::kMultiThread, SchedulerPolicy::kWorkStealing, "work_stealing"},
    Policy{Flavor::kMultiThread, SchedulerPolicy::kWorkStealingNoSlot, "no_slot"},
    Policy{Flavor::kMultiThread, SchedulerPolicy::kGlobalQueue, "global_queue"},
    Policy{Flavor::kThreadPerCore, SchedulerPolicy::kWorkStealing, "thread_per_core"},
};

// What an argument of the benchmark says: an index of the tables above, or 0 and 1 for no and yes.
enum Argument : std::uint8_t { kConnections, kWorkers, kIo, kEager, kPolicy, kHog };

void BM_Echo(benchmark::State& state) {
  const auto connections = static_cast<std::size_t>(state.range(kConnections));
  const Io& io = kIos[static_cast<std::size_t>(state.range(kIo))];
  const Policy& policy = kPolicies[static_cast<std::size_t>(state.range(kPolicy))];
  absl::StatusOr<std::unique_ptr<Runtime>> made =
      Runtime::create({.flavor = policy.flavor,
                       .scheduler = policy.scheduler,
                       .worker_threads = static_cast<int>(state.range(kWorkers)),
                       .io_backend = io.backend,
                       .socket_engine = io.engine,
                       .driver_handover = state.range(kEager) == 0 ? DriverHandover::kWatch
                                                                   : DriverHandover::kEager});
  state.SetLabel(std::string(io.label) + ", " + policy.label);
  if (!made.ok()) {
    state.SkipWithError(made.status().ToString().c_str());
    return;
  }
  Runtime& runtime = **made;
  absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
  if (!listener.ok()) {
    state.SkipWithError(listener.status().ToString().c_str());
    return;
  }
  const SocketAddress address = *listener->local_address();
  runtime.spawn(serve(*std::move(listener)));
  if (state.range(kHog) != 0) runtime.spawn(hog());
  Clients clients(address, connections);
  clients.begin();
  clients.take(5000);  // Warm.
  clients.latencies_us.clear();
  constexpr std::size_t kRequests = 20'000;
  const double process_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double thread_before = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  std::int64_t requests = 0;
  for (auto _ : state) {
    clients.take(kRequests);
    requests += static_cast<std::int64_t>(kRequests);
  }
  const double client_s = seconds_of(CLOCK_THREAD_CPUTIME_ID) - thread_before;
  const double server_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - process_before - client_s;
  if (!clients.all_right()) {
    state.SkipWithError("wrong answer");
    return;
  }
  state.SetItemsProcessed(requests);
  std::vector<double>& latencies = clients.latencies_us;
  std::sort(latencies.begin(), latencies.end());
  const auto quantile = [&](double fraction) {
    return latencies[static_cast<std::size_t>(fraction *
                                              static_cast<double>(latencies.size() - 1))];
  };
  state.counters["client_cpu_us"] = client_s * 1e6 / static_cast<double>(requests);
  state.counters["server_cpu_us"] = server_s * 1e6 / static_cast<double>(requests);
  state.counters["p50_us"] = quantile(0.5);
  state.counters["p99_us"] = quantile(0.99);
  state.counters["p99.9_us"] = quantile(0.999);
}

// Where io_uring is refused, there is nothing to measure on it.
bool has_uring() {
  return Runtime::create({.flavor = Flavor::kCurrentThread, .io_backend = IoBackend::kUring}).ok();
}

void add_all() {
  benchmark::internal::Benchmark* const echo = benchmark::RegisterBenchmark("BM_Echo", BM_Echo);
  echo->ArgNames({"connections", "workers", "io", "eager", "policy", "hog"})
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
  const bool uring = has_uring();
  for (std::size_t i = 0; i < kIos.size(); ++i) {
    if (kIos[i].backend == IoBackend::kUring && !uring) continue;
    const auto io = static_cast<std::int64_t>(i);
    echo->ArgsProduct({{1, 50, 500}, {1, 2}, {io}, {0, 1}, {0}, {0}});
  }
  const std::int64_t io = uring ? 0 : std::int64_t{kIos.size()} - 1;
  echo->ArgsProduct({{50}, {2}, {io}, {0}, {1, 2, 3}, {0}});
  echo->ArgsProduct({{50}, {2}, {io}, {0}, {0, 1, 2, 3}, {1}});
}

}  // namespace
}  // namespace skua

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  skua::add_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
