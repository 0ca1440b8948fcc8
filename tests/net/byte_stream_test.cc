// SPDX-License-Identifier: Apache-2.0
//
// Faults in the calls that sockets are used by: whatever a call says reaches the caller with its errno, what can be
// tried again is, nothing leaks, and nothing hangs.
#include "skua/internal/byte_stream.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <sys/socket.h>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/net/pipe.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/net/udp_socket.h"
#include "skua/net/unix_listener.h"
#include "skua/net/unix_stream.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/time.h"
#include "tests/support/driver_fixture.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/leak_check.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using test::Call;

class CallFaultTest : public testing::TestWithParam<std::tuple<IoBackend, int>> {
 protected:
  void SetUp() override {
    internal::DriverOptions options;
    options.backend = std::get<0>(GetParam());
    options.sockets = SocketEngine::kReadiness;  // By completion no call is made.
    options.calls = &calls_;
    runtime_ = std::make_unique<test::DriverRuntime>(std::get<1>(GetParam()), std::move(options));
  }
  void TearDown() override {
    runtime_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }

  const test::LeakCheck leaks_;
  test::FaultyCalls calls_;
  std::unique_ptr<test::DriverRuntime> runtime_;
};

INSTANTIATE_TEST_SUITE_P(
    Backends, CallFaultTest,
    testing::Combine(testing::Values(IoBackend::kUring, IoBackend::kEpoll), testing::Values(1, 2)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param) == IoBackend::kUring ? "uring_" : "epoll_") +
             std::to_string(std::get<1>(info.param)) + "_workers";
    });

struct Connection {
  Connection(TcpStream c, TcpStream s) noexcept : client(std::move(c)), server(std::move(s)) {}
  TcpStream client;
  TcpStream server;
};

Task<Connection> connect_pair() {
  absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
  if (!listener.ok()) std::abort();
  absl::StatusOr<TcpStream> client = co_await TcpStream::connect(*listener->local_address());
  absl::StatusOr<TcpStream> server = co_await listener->accept();
  if (!client.ok() || !server.ok()) std::abort();
  Connection both(*std::move(client), *std::move(server));
  co_return std::move(both);
}

TEST_P(CallFaultTest, EveryCallReportsTheErrorThatItMeets) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    Connection both = co_await connect_pair();
    std::array<std::byte, 8> bytes{};
    const std::array<std::span<std::byte>, 1> in{bytes};
    const std::array<std::span<const std::byte>, 1> out{bytes};
    for (const int error : {EIO, ECONNRESET, ENOMEM, ETIMEDOUT, ENOBUFS}) {
      calls->fail_next(Call::kReceive, {error});
      absl::StatusOr<std::size_t> count = co_await both.server.read(bytes);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kReceive, {error});
      count = co_await both.server.peek(bytes);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kReceive, {error});
      count = co_await both.server.readv(in);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kReceive, {error});
      absl::Status status = co_await both.server.read_exact(bytes);
      EXPECT_EQ(errno_of(status), error);
      calls->fail_next(Call::kSend, {error});
      count = co_await both.server.write(bytes);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kSend, {error});
      count = co_await both.server.writev(out);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kSend, {error});
      status = co_await both.server.write_all(bytes);
      EXPECT_EQ(errno_of(status), error);
    }
  };
  runtime_->block_on(main(&calls_));
}

TEST_P(CallFaultTest, InterruptedCallsAreMadeAgain) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    Connection both = co_await connect_pair();
    std::array<std::byte, 8> bytes{};
    calls->fail_next(Call::kSend, {EINTR, EINTR, EINTR});
    absl::Status status = co_await both.client.write_all(bytes);
    EXPECT_TRUE(status.ok()) << status;
    calls->fail_next(Call::kReceive, {EINTR, EINTR});
    status = co_await both.server.read_exact(bytes);
    EXPECT_TRUE(status.ok()) << status;
  };
  runtime_->block_on(main(&calls_));
}

TEST_P(CallFaultTest, ConnectReportsWhatItMeets) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    const SocketAddress address = *listener->local_address();
    for (const int error : {EMFILE, ENFILE, ENOMEM}) {
      calls->fail_next(Call::kSocket, {error});
      absl::StatusOr<TcpStream> stream = co_await TcpStream::connect(address);
      EXPECT_EQ(errno_of(stream.status()), error);
    }
    for (const int error : {ENETUNREACH, ECONNREFUSED, EACCES, EADDRNOTAVAIL, EAGAIN}) {
      calls->fail_next(Call::kConnect, {error});
      absl::StatusOr<TcpStream> stream = co_await TcpStream::connect(address);
      EXPECT_EQ(errno_of(stream.status()), error);
      EXPECT_NE(std::string(stream.status().message()).find(address.to_string()),
                std::string::npos);
    }
  };
  runtime_->block_on(main(&calls_));
}

TEST_P(CallFaultTest, AConnectReportsTheErrorThatItsWaitEndsWith) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    calls->fail_next(Call::kSocketError, {ETIMEDOUT});
    absl::StatusOr<TcpStream> first = co_await TcpStream::connect(*listener->local_address());
    // Whether it had to wait is the kernel's choice; if it did, it heard the error.
    EXPECT_TRUE(first.ok() || errno_of(first.status()) == ETIMEDOUT) << first.status();
    calls->fail_next(Call::kSocketError, {});
    absl::StatusOr<TcpStream> second = co_await TcpStream::connect(*listener->local_address());
    EXPECT_TRUE(second.ok()) << second.status();
  };
  runtime_->block_on(main(&calls_));
}

TEST_P(CallFaultTest, AcceptPassesOverWhatHasFailedAndWaitsForDescriptors) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    calls->fail_next(Call::kAccept,
                     {ECONNABORTED, EPROTO, EINTR, EPERM, EMFILE, ENFILE, ENOBUFS, ENOMEM});
    const auto begin = std::chrono::steady_clock::now();
    absl::StatusOr<TcpStream> client = co_await TcpStream::connect(*listener->local_address());
    absl::StatusOr<TcpStream> server = co_await listener->accept();
    EXPECT_TRUE(server.ok()) << server.status();
    // 5, 10, 20 and 40 ms: at least.
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 75ms);
    calls->fail_next(Call::kAccept, {EBADF});
    absl::StatusOr<TcpStream> none = co_await listener->accept();
    EXPECT_EQ(errno_of(none.status()), EBADF);
  };
  runtime_->block_on(main(&calls_));
}

// A filter that refuses each accept(2) says of each connection that it has failed: no reason to ask without end.
TEST_P(CallFaultTest, AcceptPausesIfAllConnectionsFail) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    calls->fail_next(Call::kAccept, std::deque<int>(19, EPERM));
    const auto begin = std::chrono::steady_clock::now();
    absl::StatusOr<TcpStream> client = co_await TcpStream::connect(*listener->local_address());
    absl::StatusOr<TcpStream> server = co_await listener->accept();
    EXPECT_TRUE(server.ok()) << server.status();
    // 15 at once, then 5, 10, 20 and 40 ms: at least.
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 75ms);
  };
  runtime_->block_on(main(&calls_));
}

// Closed while it waits for descriptors, it is not to try a descriptor that may be another's by then.
TEST_P(CallFaultTest, AListenerThatIsClosedInItsPauseSaysSo) {
  const auto main = [](test::FaultyCalls* calls) -> Task<int> {
    absl::StatusOr<UnixListener> listener = UnixListener::bind(
        *SocketAddress::unix_abstract("skua-pause-" + std::to_string(::getpid())));
    calls->fail_next(Call::kAccept, {EMFILE});
    const std::size_t before = calls->calls();
    JoinHandle<absl::StatusOr<UnixStream>> accepting = spawn(listener->accept());
    while (calls->calls() == before) co_await yield_now();
    listener->close();
    const absl::StatusOr<UnixStream> stream = co_await std::move(accepting);
    co_return errno_of(stream.status());
  };
  EXPECT_EQ(runtime_->block_on(main(&calls_)), ECANCELED);
}

TEST_P(CallFaultTest, DatagramsReportWhatTheyMeet) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<UdpSocket> a = UdpSocket::bind(SocketAddress::loopback_v4(0));
    absl::StatusOr<UdpSocket> b = UdpSocket::bind(SocketAddress::loopback_v4(0));
    const SocketAddress to_b = *b->local_address();
    EXPECT_TRUE(a->connect(to_b).ok());
    std::array<std::byte, 8> bytes{};
    for (const int error : {ENOMEM, ENOBUFS, EHOSTUNREACH, EPERM, ECONNREFUSED}) {
      calls->fail_next(Call::kSend, {error});
      absl::Status status = co_await a->send_to(bytes, to_b);
      EXPECT_EQ(errno_of(status), error);
      calls->fail_next(Call::kSend, {error});
      status = co_await a->send(bytes);
      EXPECT_EQ(errno_of(status), error);
      calls->fail_next(Call::kReceive, {error});
      const absl::StatusOr<Datagram> datagram = co_await b->receive_from(bytes);
      EXPECT_EQ(errno_of(datagram.status()), error);
    }
    calls->fail_next(Call::kSend, {EINTR, EINTR});
    const absl::Status sent = co_await a->send(bytes);
    EXPECT_TRUE(sent.ok()) << sent;
    calls->fail_next(Call::kReceive, {EINTR, EINTR});
    const absl::StatusOr<Datagram> datagram = co_await b->receive_from(bytes);
    EXPECT_TRUE(datagram.ok()) << datagram.status();
    EXPECT_EQ(datagram->size, bytes.size());
  };
  runtime_->block_on(main(&calls_));
}

TEST_P(CallFaultTest, DescriptorsAreNotLostWithAnError) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<std::pair<UnixStream, UnixStream>> pair = UnixStream::pair();
    const std::array<int, 1> passed{pair->first.fd()};
    std::array<std::byte, 8> bytes{};
    for (const int error : {EMFILE, ENOMEM, ETOOMANYREFS, ECONNRESET}) {
      calls->fail_next(Call::kSend, {error});
      const absl::StatusOr<std::size_t> sent = co_await pair->first.send_with_fds(bytes, passed);
      EXPECT_EQ(errno_of(sent.status()), error);
      calls->fail_next(Call::kReceive, {error});
      const absl::StatusOr<Received> none = co_await pair->second.receive_with_fds(bytes);
      EXPECT_EQ(errno_of(none.status()), error);
    }
    calls->fail_next(Call::kSend, {EINTR, EINTR});
    const absl::StatusOr<std::size_t> sent = co_await pair->first.send_with_fds(bytes, passed);
    EXPECT_EQ(*sent, bytes.size());
    calls->fail_next(Call::kReceive, {EINTR, EINTR});
    const absl::StatusOr<Received> received = co_await pair->second.receive_with_fds(bytes);
    EXPECT_EQ(received->size, bytes.size());
    EXPECT_EQ(received->fds.size(), 1u);
  };
  runtime_->block_on(main(&calls_));
}

TEST_P(CallFaultTest, PipesReportWhatTheyMeet) {
  const auto main = [](test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<Pipe> pipe = Pipe::create();
    std::array<std::byte, 8> bytes{};
    const std::array<std::span<std::byte>, 1> in{bytes};
    const std::array<std::span<const std::byte>, 1> out{bytes};
    for (const int error : {EIO, ENOMEM}) {
      calls->fail_next(Call::kSend, {error});
      absl::StatusOr<std::size_t> count = co_await pipe->writer.write(bytes);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kSend, {error});
      count = co_await pipe->writer.writev(out);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kReceive, {error});
      count = co_await pipe->reader.read(bytes);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kReceive, {error});
      count = co_await pipe->reader.readv(in);
      EXPECT_EQ(errno_of(count.status()), error);
      calls->fail_next(Call::kReceive, {error});
      const absl::Status status = co_await pipe->reader.read_exact(bytes);
      EXPECT_EQ(errno_of(status), error);
    }
  };
  runtime_->block_on(main(&calls_));
}

// --- Bytes below faults -----------------------------------------------------------------------------

using internal::ByteStream;

struct StreamPair {
  StreamPair(ByteStream first, ByteStream second) noexcept
      : a(std::move(first)), b(std::move(second)) {}
  ByteStream a;
  ByteStream b;
};

StreamPair unix_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    std::abort();
  }
  constexpr auto kKind = internal::StreamKind::kSocket;
  return {ByteStream(internal::IoSource(fds[0]), kKind),
          ByteStream(internal::IoSource(fds[1]), kKind)};
}

std::byte pattern(std::size_t i) { return static_cast<std::byte>(i * 31 + i / 251); }

template <typename Stream>
Task<bool> sends_pattern(Stream* stream, std::size_t size) {
  std::vector<std::byte> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = pattern(i);
  const absl::Status status = co_await stream->write_all(data);
  co_return status.ok();
}

template <typename Stream>
Task<bool> receives_pattern(Stream* stream, std::size_t size) {
  std::vector<std::byte> data(size);
  const absl::Status status = co_await stream->read_exact(data);
  bool equal = status.ok();
  for (std::size_t i = 0; i < size; ++i) equal = equal && data[i] == pattern(i);
  co_return equal;
}

// Both ways at once.
template <typename Stream>
Task<bool> exchange(Stream* a, Stream* b, std::size_t size) {
  std::vector<JoinHandle<bool>> handles;
  handles.push_back(spawn(sends_pattern(a, size)));
  handles.push_back(spawn(receives_pattern(a, size)));
  handles.push_back(spawn(sends_pattern(b, size)));
  handles.push_back(spawn(receives_pattern(b, size)));
  bool good = true;
  for (JoinHandle<bool>& handle : handles) {
    const bool one = co_await std::move(handle);
    good = good && one;
  }
  co_return good;
}

TEST_P(CallFaultTest, CutAndInterruptedTransfersLoseNothing) {
  calls_.cut_at_random();
  calls_.interrupt_at_random();
  StreamPair pair = unix_pair();
  EXPECT_TRUE(runtime_->block_on(exchange(&pair.a, &pair.b, 1'000'000)));
}

// Each byte is a segment of its own, and the reader comes and goes between them.
TEST_P(CallFaultTest, SegmentsOfOneByteArriveInOrder) {
  calls_.interrupt_at_random();
  const auto main = []() -> Task<bool> {
    constexpr std::size_t kSize = 3000;
    Connection both = co_await connect_pair();
    EXPECT_TRUE(both.client.set_no_delay(true).ok());
    JoinHandle<bool> reader = spawn(receives_pattern(&both.server, kSize));
    bool good = true;
    for (std::size_t i = 0; i < kSize; ++i) {
      const std::array<std::byte, 1> byte{pattern(i)};
      const absl::Status status = co_await both.client.write_all(byte);
      good = good && status.ok();
      if (i % 7 == 0) co_await yield_now();
    }
    const bool received = co_await std::move(reader);
    co_return good&& received;
  };
  EXPECT_TRUE(runtime_->block_on(main()));
}

TEST_P(CallFaultTest, InterruptedTransfersOfTcpLoseNothing) {
  calls_.interrupt_at_random();
  const auto main = []() -> Task<bool> {
    Connection both = co_await connect_pair();
    const bool good = co_await exchange(&both.client, &both.server, 1'000'000);
    co_return good;
  };
  EXPECT_TRUE(runtime_->block_on(main()));
}

}  // namespace
}  // namespace skua
