// SPDX-License-Identifier: Apache-2.0
#include "skua/net/tcp_stream.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/net/tcp_listener.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/time.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Byte i of a long stream.
std::byte pattern(std::size_t i) { return static_cast<std::byte>(i * 31 + i / 251); }

struct Connection {
  Connection(TcpStream c, TcpStream s) noexcept : client(std::move(c)), server(std::move(s)) {}
  TcpStream client;
  TcpStream server;
};

Task<Connection> connect_pair(SocketAddress at) {
  absl::StatusOr<TcpListener> listener = TcpListener::bind(at);
  if (!listener.ok()) std::abort();
  absl::StatusOr<TcpStream> client = co_await TcpStream::connect(*listener->local_address());
  absl::StatusOr<TcpStream> server = co_await listener->accept();
  if (!client.ok() || !server.ok()) std::abort();
  Connection both(*std::move(client), *std::move(server));
  co_return std::move(both);
}

// The next bytes as text, "<end>", or "<errno>".
Task<std::string> read_text(TcpStream* stream, std::size_t size = 64) {
  std::vector<std::byte> buffer(size);
  const absl::StatusOr<std::size_t> count = co_await stream->read(buffer);
  if (!count.ok()) co_return "<" + std::to_string(errno_of(count.status())) + ">";
  if (*count == 0) co_return "<end>";
  co_return text_of(std::span(buffer).first(*count));
}

class TcpTest : public test::RuntimeTest {};
SKUA_TEST_ALL_RUNTIMES(TcpTest);

// --- Connections ------------------------------------------------------------------------------------

Task<> echo_until_end(TcpStream stream) {
  std::array<std::byte, 512> buffer;
  for (;;) {
    const absl::StatusOr<std::size_t> count = co_await stream.read(buffer);
    if (!count.ok() || *count == 0) co_return;
    const absl::Status written = co_await stream.write_all(std::span(buffer).first(*count));
    if (!written.ok()) co_return;
  }
}

Task<int> call_echo(SocketAddress address, int requests) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::connect(address);
  if (!stream.ok()) co_return 0;
  int answered = 0;
  for (int i = 0; i < requests; ++i) {
    const std::string request = "request " + std::to_string(i);
    std::vector<std::byte> answer(request.size());
    absl::Status status = co_await stream->write_all(bytes_of(request));
    if (status.ok()) status = co_await stream->read_exact(answer);
    if (status.ok() && text_of(answer) == request) ++answered;
  }
  co_return answered;
}

TEST_P(TcpTest, ManyClientsAreEchoed) {
  constexpr int kClients = 50;
  constexpr int kRequests = 20;
  const auto main = []() -> Task<int> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    JoinHandle<void> server = spawn([](TcpListener* at) -> Task<> {
      for (int i = 0; i < kClients; ++i) {
        absl::StatusOr<TcpStream> stream = co_await at->accept();
        EXPECT_TRUE(stream.ok()) << stream.status();
        spawn(echo_until_end(*std::move(stream)));
      }
    }(&*listener));
    std::vector<JoinHandle<int>> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(spawn(call_echo(*listener->local_address(), kRequests)));
    }
    int answered = 0;
    for (JoinHandle<int>& client : clients) answered += co_await std::move(client);
    co_await std::move(server);
    co_return answered;
  };
  EXPECT_EQ(runtime().block_on(main()), kClients * kRequests);
}

TEST_P(TcpTest, ConnectsOverV6AndKnowsBothAddresses) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v6(0));
    EXPECT_EQ(*both.client.local_address(), *both.server.peer_address());
    EXPECT_EQ(*both.server.local_address(), *both.client.peer_address());
    EXPECT_EQ(both.client.peer_address()->family(), SocketAddress::Family::kV6);
  };
  runtime().block_on(main());
}

TEST_P(TcpTest, ARefusedConnectionIsAnErrorWithTheAddress) {
  const auto main = []() -> Task<absl::Status> {
    SocketAddress address;
    {
      absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
      address = *listener->local_address();
    }
    absl::StatusOr<TcpStream> stream = co_await TcpStream::connect(address);
    co_return stream.status();
  };
  const absl::Status status = runtime().block_on(main());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(errno_of(status), ECONNREFUSED);
  EXPECT_NE(std::string(status.message()).find("127.0.0.1:"), std::string::npos) << status;
}

TEST_P(TcpTest, AnAddressInUseIsAnError) {
  absl::StatusOr<TcpListener> first = TcpListener::bind(SocketAddress::loopback_v4(0));
  const absl::StatusOr<TcpListener> second = TcpListener::bind(*first->local_address());
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  TcpListenOptions options;
  options.reuse_port = true;
  absl::StatusOr<TcpListener> third = TcpListener::bind(SocketAddress::loopback_v4(0), options);
  EXPECT_TRUE(TcpListener::bind(*third->local_address(), options).ok());
}

// --- Bytes ------------------------------------------------------------------------------------------

// Far more than both buffers hold, so that both sides wait again and again.
TEST_P(TcpTest, MegabytesArriveInOrder) {
  constexpr std::size_t kSize = 4 << 20;
  const auto main = []() -> Task<bool> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    EXPECT_TRUE(both.client.set_send_buffer_size(64 << 10).ok());
    JoinHandle<absl::Status> writer = spawn([](TcpStream* stream) -> Task<absl::Status> {
      std::vector<std::byte> data(kSize);
      for (std::size_t i = 0; i < kSize; ++i) data[i] = pattern(i);
      co_return co_await stream->write_all(data);
    }(&both.client));
    std::vector<std::byte> data(kSize);
    const absl::Status read = co_await both.server.read_exact(data);
    EXPECT_TRUE(read.ok()) << read;
    const absl::Status written = co_await std::move(writer);
    EXPECT_TRUE(written.ok()) << written;
    bool equal = true;
    for (std::size_t i = 0; i < kSize; ++i) equal = equal && data[i] == pattern(i);
    co_return equal;
  };
  EXPECT_TRUE(runtime().block_on(main()));
}

TEST_P(TcpTest, ReadsAndWritesSeveralBuffersAtOnce) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    const std::string first = "one";
    const std::string second = "three";
    const std::array<std::span<const std::byte>, 3> out{bytes_of(first), {}, bytes_of(second)};
    const absl::StatusOr<std::size_t> written = co_await both.client.writev(out);
    EXPECT_EQ(*written, 8u);
    std::array<std::byte, 2> a;
    std::array<std::byte, 4> b;
    std::array<std::byte, 9> c;
    const std::array<std::span<std::byte>, 4> in{a, {}, b, c};
    const absl::StatusOr<std::size_t> count = co_await both.server.readv(in);
    EXPECT_EQ(*count, 8u);
    EXPECT_EQ(text_of(a) + text_of(b) + text_of(std::span(c).first(2)), "onethree");
    // Of very many buffers the first sixteen.
    std::vector<std::span<const std::byte>> many(20, bytes_of(first));
    const absl::StatusOr<std::size_t> sixteen = co_await both.client.writev(many);
    EXPECT_EQ(*sixteen, 48u);
  };
  runtime().block_on(main());
}

TEST_P(TcpTest, PeekLeavesTheBytes) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    JoinHandle<std::string> peeker = spawn([](TcpStream* stream) -> Task<std::string> {
      std::array<std::byte, 16> buffer;
      const absl::StatusOr<std::size_t> count = co_await stream->peek(buffer);
      co_return text_of(std::span(buffer).first(*count));
    }(&both.server));
    co_await yield_now();
    const absl::Status written = co_await both.client.write_all(bytes_of("peeked"));
    EXPECT_TRUE(written.ok());
    EXPECT_EQ(co_await std::move(peeker), "peeked");
    EXPECT_EQ(co_await read_text(&both.server), "peeked");
  };
  runtime().block_on(main());
}

TEST_P(TcpTest, TheEndOfTheStreamIsAValueAndForReadExactAnError) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    absl::Status written = co_await both.client.write_all(bytes_of("tail"));
    EXPECT_TRUE(both.client.shutdown(Shutdown::kWrite).ok());
    std::array<std::byte, 8> buffer;
    const absl::Status read = co_await both.server.read_exact(buffer);
    EXPECT_TRUE(absl::IsOutOfRange(read)) << read;
    EXPECT_NE(std::string(read.message()).find("4 of 8"), std::string::npos);
    EXPECT_EQ(co_await read_text(&both.server), "<end>");
    // The other direction goes on.
    written = co_await both.server.write_all(bytes_of("answer"));
    EXPECT_TRUE(written.ok());
    EXPECT_EQ(co_await read_text(&both.client), "answer");
    written = co_await both.client.write_all(bytes_of("late"));
    EXPECT_EQ(errno_of(written), EPIPE);
  };
  runtime().block_on(main());
}

// Data and the end may come in one event: whoever has read the data by a short read must still see the end.
TEST_P(TcpTest, TheEndBehindAShortReadIsSeen) {
  const auto main = []() -> Task<> {
    for (int round = 0; round < 100; ++round) {
      Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
      JoinHandle<std::string> reader = spawn([](TcpStream* stream) -> Task<std::string> {
        std::string all;
        for (;;) {
          const std::string text = co_await read_text(stream);
          all += text;
          if (text == "<end>") co_return all;
        }
      }(&both.server));
      for (int turn = 0; turn < round % 4; ++turn) co_await yield_now();
      const absl::Status written = co_await both.client.write_all(bytes_of("last"));
      EXPECT_TRUE(written.ok());
      for (int turn = 0; turn < round % 3; ++turn) co_await yield_now();
      both.client.close();
      EXPECT_EQ(co_await std::move(reader), "last<end>");
    }
  };
  runtime().block_on(main());
}

TEST_P(TcpTest, AResetIsAnError) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    JoinHandle<std::string> reader = spawn(read_text(&both.server));
    co_await sleep_for(1ms);
    EXPECT_TRUE(both.client.set_linger(0s).ok());
    both.client.close();
    EXPECT_EQ(co_await std::move(reader), "<" + std::to_string(ECONNRESET) + ">");
    const absl::Status written = co_await both.server.write_all(bytes_of("x"));
    EXPECT_EQ(errno_of(written), EPIPE);
  };
  runtime().block_on(main());
}

// The peer's machine has lost the connection without a word: what is sent is answered by a reset.
TEST_P(TcpTest, AHalfOpenConnectionEndsWithTheNextWrite) {
  const auto main = []() -> Task<bool> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    const int on = 1;
    if (::setsockopt(both.server.fd(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) != 0) {
      co_return false;
    }
    both.server.close();  // Sends nothing.
    JoinHandle<std::string> reader = spawn(read_text(&both.client));
    co_await yield_now();
    const absl::Status written = co_await both.client.write_all(bytes_of("anybody there?"));
    EXPECT_TRUE(written.ok()) << written;
    EXPECT_EQ(co_await std::move(reader), "<" + std::to_string(ECONNRESET) + ">");
    co_return true;
  };
  if (!runtime().block_on(main())) GTEST_SKIP() << "TCP_REPAIR needs CAP_NET_ADMIN";
}

// --- Several tasks, aborts, ends --------------------------------------------------------------------

TEST_P(TcpTest, HalvesReadAndWriteAtTheSameTime) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    auto [read_half, write_half] = std::move(both.server).into_split();
    EXPECT_EQ(*write_half.stream().peer_address(), *both.client.local_address());
    JoinHandle<std::string> reader = spawn([](TcpReadHalf half) -> Task<std::string> {
      std::array<std::byte, 5> buffer;
      const absl::Status status = co_await half.read_exact(buffer);
      co_return status.ok() ? text_of(buffer) : std::string(status.message());
    }(std::move(read_half)));
    JoinHandle<void> writer = spawn([](TcpWriteHalf half) -> Task<> {
      const absl::Status status = co_await half.write_all(bytes_of("to you"));
      EXPECT_TRUE(status.ok());
    }(std::move(write_half)));
    co_await std::move(writer);
    // The writing half is gone: the stream has an end, but still another direction.
    EXPECT_EQ(co_await read_text(&both.client), "to you");
    EXPECT_EQ(co_await read_text(&both.client), "<end>");
    const absl::Status written = co_await both.client.write_all(bytes_of("to me"));
    EXPECT_TRUE(written.ok());
    EXPECT_EQ(co_await std::move(reader), "to me");
    both.client.close();
  };
  runtime().block_on(main());
}

TEST_P(TcpTest, AShutdownWakesWhoReadsAndWhoAccepts) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    JoinHandle<std::string> reader = spawn(read_text(&both.server));
    co_await sleep_for(1ms);
    EXPECT_TRUE(both.server.shutdown(Shutdown::kBoth).ok());
    EXPECT_EQ(co_await std::move(reader), "<end>");

    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    const auto accept = [](TcpListener* at) -> Task<int> {
      absl::StatusOr<TcpStream> stream = co_await at->accept();
      co_return errno_of(stream.status());
    };
    JoinHandle<int> acceptor = spawn(accept(&*listener));
    co_await sleep_for(1ms);
    EXPECT_EQ(::shutdown(listener->fd(), SHUT_RDWR), 0);
    EXPECT_EQ(co_await std::move(acceptor), EINVAL);

    listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    JoinHandle<int> other = spawn(accept(&*listener));
    co_await sleep_for(1ms);
    listener->close();
    EXPECT_EQ(co_await std::move(other), ECANCELED);
  };
  runtime().block_on(main());
}

TEST_P(TcpTest, AbortedConnectsAcceptsReadsAndWritesLeaveNothing) {
  const auto main = []() -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    const SocketAddress address = *listener->local_address();
    for (int round = 0; round < 60; ++round) {
      JoinHandle<absl::StatusOr<TcpStream>> accept = spawn(listener->accept());
      JoinHandle<absl::StatusOr<TcpStream>> connect = spawn(TcpStream::connect(address));
      for (int turn = 0; turn < round % 5; ++turn) co_await yield_now();
      connect.abort();
      accept.abort();
      auto connected = co_await std::move(connect).result();
      EXPECT_TRUE(connected.cancelled() || connected.value().ok());
      auto accepted = co_await std::move(accept).result();
      EXPECT_TRUE(accepted.cancelled() || accepted.value().ok());
    }
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    JoinHandle<absl::Status> endless = spawn([](TcpStream* stream) -> Task<absl::Status> {
      const std::vector<std::byte> data(64 << 20);
      co_return co_await stream->write_all(data);
    }(&both.client));
    JoinHandle<std::string> silent = spawn(read_text(&both.client));
    co_await sleep_for(1ms);
    endless.abort();
    silent.abort();
    const auto written = co_await std::move(endless).result();
    EXPECT_TRUE(written.cancelled());
    const auto read = co_await std::move(silent).result();
    EXPECT_TRUE(read.cancelled());
  };
  runtime().block_on(main());
}

// A reader that is always ready must not keep the only worker: it runs out of budget and yields.
TEST_P(TcpTest, AReaderThatIsAlwaysReadyLetsOthersRun) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    bool stop = false;
    JoinHandle<int> greedy = spawn(
        [](TcpStream* stream, bool* end) -> Task<int> {
          std::array<std::byte, 1> buffer;
          int peeks = 0;
          for (; !*end; ++peeks) {
            const absl::StatusOr<std::size_t> count = co_await stream->peek(buffer);
            if (!count.ok()) break;
          }
          co_return peeks;
        }(&both.server, &stop),
        {});
    const absl::Status written = co_await both.client.write_all(bytes_of("x"));
    EXPECT_TRUE(written.ok());
    co_await yield_now();
    stop = true;
    EXPECT_GE(co_await std::move(greedy), 0);
  };
  if (!multi_thread()) runtime().block_on(main());  // One thread: `stop` is plain.
}

// The connection waits in the backlog, and comes when there are descriptors again.
TEST_P(TcpTest, AcceptSurvivesALackOfDescriptors) {
  const auto main = []() -> Task<bool> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    absl::StatusOr<TcpStream> client = co_await TcpStream::connect(*listener->local_address());
    rlimit before{};
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    // No descriptor above this one.
    const int next = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
    ::close(next);
    const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    JoinHandle<absl::StatusOr<TcpStream>> accept = spawn(listener->accept());
    co_await sleep_for(8ms);
    const bool waits = !accept.is_finished();
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    absl::StatusOr<TcpStream> server = co_await std::move(accept);
    co_return waits&& server.ok();
  };
  EXPECT_TRUE(runtime().block_on(main()));
}

// --- Options ----------------------------------------------------------------------------------------

TEST_P(TcpTest, OptionsAreReadBack) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    TcpStream& stream = both.client;
    EXPECT_FALSE(*stream.no_delay());
    EXPECT_TRUE(stream.set_no_delay(true).ok());
    EXPECT_TRUE(*stream.no_delay());
    EXPECT_FALSE(stream.keep_alive()->has_value());
    const KeepAlive keep_alive{.idle = 60s, .interval = 5s, .probes = 3};
    EXPECT_TRUE(stream.set_keep_alive(keep_alive).ok());
    const absl::StatusOr<std::optional<KeepAlive>> read = stream.keep_alive();
    EXPECT_EQ((*read)->idle, 60s);
    EXPECT_EQ((*read)->interval, 5s);
    EXPECT_EQ((*read)->probes, 3);
    EXPECT_TRUE(stream.set_keep_alive(std::nullopt).ok());
    EXPECT_FALSE(stream.keep_alive()->has_value());
    EXPECT_TRUE(absl::IsInvalidArgument(stream.set_linger(3s)));
    EXPECT_TRUE(stream.set_linger(std::nullopt).ok());
    EXPECT_TRUE(stream.set_receive_buffer_size(64 << 10).ok());
    stream.close();
    EXPECT_EQ(errno_of(stream.set_no_delay(true)), EBADF);
  };
  runtime().block_on(main());
}

TEST_P(TcpTest, TakesOverADescriptor) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair(SocketAddress::loopback_v4(0));
    absl::StatusOr<TcpStream> copy =
        TcpStream::from_fd(::fcntl(both.client.fd(), F_DUPFD_CLOEXEC, 0));
    EXPECT_TRUE(copy.ok());
    const absl::Status written = co_await copy->write_all(bytes_of("from a copy"));
    EXPECT_TRUE(written.ok());
    EXPECT_EQ(co_await read_text(&both.server), "from a copy");
  };
  runtime().block_on(main());
  EXPECT_EQ(errno_of(TcpStream::from_fd(1 << 20).status()), EBADF);
}

// --- Soak -------------------------------------------------------------------------------------------

// Connects, exchanges, begins anew, until it is aborted. What comes back must be what was sent, and an end or an error
// is nothing: the server's task may be aborted, too.
Task<> echo_for_ever(SocketAddress address, std::uint32_t seed, std::atomic<int>* exchanges) {
  std::minstd_rand random(seed);
  for (;;) {
    co_await yield_now();
    absl::StatusOr<TcpStream> stream = co_await TcpStream::connect(address);
    if (!stream.ok()) continue;
    for (int rounds = static_cast<int>(random() % 8); rounds > 0; --rounds) {
      std::vector<std::byte> data(1 + random() % 20'000);
      for (std::byte& byte : data) byte = static_cast<std::byte>(random());
      std::vector<std::byte> back(data.size());
      absl::Status status = co_await stream->write_all(data);
      if (status.ok()) status = co_await stream->read_exact(back);
      if (!status.ok()) break;
      EXPECT_EQ(data, back);
      exchanges->fetch_add(1);
    }
  }
}

// Serves each connection by a task of its own, and aborts one of them now and then.
Task<> echo_and_abort(TcpListener* listener, std::uint32_t seed) {
  std::minstd_rand random(seed);
  std::vector<JoinHandle<void>> connections;
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener->accept();
    EXPECT_TRUE(stream.ok()) << stream.status();
    connections.push_back(spawn(echo_until_end(*std::move(stream))));
    if (random() % 4 == 0) connections[random() % connections.size()].abort();
    if (connections.size() > 64) connections.clear();  // They go on by themselves.
  }
}

// For SKUA_SOAK_S seconds, a quarter of one by default.
TEST_P(TcpTest, EchoSurvivesRandomAborts) {
  const char* const soak_s = std::getenv("SKUA_SOAK_S");
  const std::chrono::milliseconds time = soak_s != nullptr ? std::atoi(soak_s) * 1000ms : 250ms;
  std::atomic<int> exchanges{0};
  const auto main = [](std::chrono::milliseconds length, std::atomic<int>* count) -> Task<> {
    std::minstd_rand random(1973);
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    const SocketAddress address = *listener->local_address();
    std::vector<JoinHandle<void>> tasks;
    const auto begin_one = [&](std::size_t i) {
      const auto seed = static_cast<std::uint32_t>(random());
      return spawn(i == 0 ? echo_and_abort(&*listener, seed) : echo_for_ever(address, seed, count));
    };
    for (std::size_t i = 0; i < 9; ++i) tasks.push_back(begin_one(i));
    const auto end = std::chrono::steady_clock::now() + length;
    while (std::chrono::steady_clock::now() < end || count->load() < 100) {
      for (std::size_t turns = random() % 16; turns > 0; --turns) co_await yield_now();
      if (random() % 4 == 0) co_await sleep_for(1ms);
      // The server seldom, or nobody would be served for long.
      const std::size_t victim = random() % 32 == 0 ? 0 : 1 + random() % 8;
      tasks[victim].abort();
      const JoinResult<void> ended = co_await std::move(tasks[victim]).result();
      EXPECT_TRUE(ended.cancelled());
      tasks[victim] = begin_one(victim);
    }
    for (JoinHandle<void>& task : tasks) task.abort();
    for (JoinHandle<void>& task : tasks) {
      const JoinResult<void> ended = co_await std::move(task).result();
      EXPECT_TRUE(ended.cancelled());
    }
  };
  runtime().block_on(main(time, &exchanges));
  EXPECT_GE(exchanges.load(), 100);
}

}  // namespace
}  // namespace skua
