// SPDX-License-Identifier: Apache-2.0
//
// Sockets by completion: aborts, ends and closes with operations in flight, faults below the driver, sending without
// copying. What sockets do is tested on both engines by tests/net.
#include "io_driver/socket_op.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io_driver/driver.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/net/udp_socket.h"
#include "skua/net/unix_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/time.h"
#include "tests/support/socket_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using internal::IoRequest;
using test::befall;
using test::befall_next;
using test::Call;
using test::connect_pair;
using test::Connection;
using test::exchange;
using test::pattern;
using test::read_byte;
using test::receives_pattern;
using test::sends_pattern;
using test::SocketOpTest;
using test::write_byte;
using Fault = test::FaultPlan::Fault;
using enum test::SocketOpcode;

INSTANTIATE_TEST_SUITE_P(Workers, SocketOpTest, testing::Values(1, 2, 4));

// Yields until so many operations are in flight.
Task<> until_in_flight(std::int64_t count) {
  while (internal::current_driver()->in_flight() != count) co_await yield_now();
}

// --- Faults -----------------------------------------------------------------------------------------

TEST_P(SocketOpTest, EveryOperationReportsTheErrorThatItMeets) {
  const auto main = [](test::FaultPlan* plan, test::FaultyCalls* calls) -> Task<> {
    Connection both = co_await connect_pair();
    absl::StatusOr<UdpSocket> socket = UdpSocket::bind(SocketAddress::loopback_v4(0));
    std::array<std::byte, 8> bytes{};
    const std::array<std::span<std::byte>, 1> in{bytes};
    const std::array<std::span<const std::byte>, 1> out{bytes};
    for (const int error : {EIO, ECONNRESET, ENOMEM, ETIMEDOUT, ENOBUFS}) {
      befall(*plan, kReceive, {.result = -error});
      absl::StatusOr<std::size_t> count = co_await both.server.read(bytes);
      EXPECT_EQ(errno_of(count.status()), error);
      count = co_await both.server.peek(bytes);
      EXPECT_EQ(errno_of(count.status()), error);
      absl::Status status = co_await both.server.read_exact(bytes);
      EXPECT_EQ(errno_of(status), error);
      befall(*plan, kReceiveMessage, {.result = -error});
      count = co_await both.server.readv(in);
      EXPECT_EQ(errno_of(count.status()), error);
      const absl::StatusOr<Datagram> datagram = co_await socket->receive_from(bytes);
      EXPECT_EQ(errno_of(datagram.status()), error);
      befall(*plan, kSend, {.result = -error});
      calls->fail_next(Call::kSend, {EAGAIN, EAGAIN});
      count = co_await both.server.write(bytes);
      EXPECT_EQ(errno_of(count.status()), error);
      status = co_await both.server.write_all(bytes);
      EXPECT_EQ(errno_of(status), error);
      befall(*plan, kSendMessage, {.result = -error});
      calls->fail_next(Call::kSend, {EAGAIN, EAGAIN});
      count = co_await both.server.writev(out);
      EXPECT_EQ(errno_of(count.status()), error);
      status = co_await socket->send_to(bytes, *socket->local_address());
      EXPECT_EQ(errno_of(status), error);
    }
  };
  runtime_->block_on(main(plan_.get(), &calls_));
}

TEST_P(SocketOpTest, ConnectAndAcceptReportOrOutlastWhatTheyMeet) {
  const auto main = [](test::FaultPlan* plan, test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    const SocketAddress address = *listener->local_address();
    for (const int error : {ENETUNREACH, ECONNREFUSED, EACCES, EADDRNOTAVAIL}) {
      befall(*plan, kConnect, {.result = -error});
      const absl::StatusOr<TcpStream> none = co_await TcpStream::connect(address);
      EXPECT_EQ(errno_of(none.status()), error);
      EXPECT_NE(none.status().message().find(address.to_string()), std::string::npos);
    }
    const auto left = befall_next(
        *plan, kAccept, {ECONNABORTED, EPROTO, EINTR, EPERM, EMFILE, ENFILE, ENOBUFS, ENOMEM});
    calls->fail_next(Call::kAccept, std::deque<int>(10, EAGAIN));
    absl::StatusOr<TcpStream> client = co_await TcpStream::connect(address);
    const auto begin = std::chrono::steady_clock::now();
    absl::StatusOr<TcpStream> server = co_await listener->accept();
    EXPECT_TRUE(server.ok()) << server.status();
    EXPECT_EQ(left->load(), 0u);
    // 5, 10, 20 and 40 ms: at least.
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 75ms);
    befall(*plan, kAccept, {.result = -EBADF});
    const absl::StatusOr<TcpStream> none = co_await listener->accept();
    EXPECT_EQ(errno_of(none.status()), EBADF);
  };
  runtime_->block_on(main(plan_.get(), &calls_));
}

// A signal has come, or the thread that has submitted the operation has gone.
TEST_P(SocketOpTest, WhatWasInterruptedOrLostIsDoneAgain) {
  const auto main = [](test::FaultPlan* plan, test::FaultyCalls* calls) -> Task<> {
    for (const int error : {EINTR, ECANCELED}) {
      auto left = befall_next(*plan, kConnect, {ECANCELED});
      Connection both = co_await connect_pair();
      EXPECT_EQ(left->load(), 0u);
      left = befall_next(*plan, kSend, {error, error, error});
      calls->fail_next(Call::kSend, {EAGAIN});
      co_await write_byte(&both.client, 'a');
      EXPECT_EQ(left->load(), 0u);
      left = befall_next(*plan, kReceive, {error, error});
      calls->fail_next(Call::kReceive, {EAGAIN});
      EXPECT_EQ(co_await read_byte(&both.server), 'a');
      EXPECT_EQ(left->load(), 0u);
    }
  };
  runtime_->block_on(main(plan_.get(), &calls_));
}

// Older kernels take a non-blocking socket for the wish not to wait.
TEST_P(SocketOpTest, ASocketThatTheKernelDoesNotWaitForIsWaitedForByReadiness) {
  const auto main = [](test::FaultPlan* plan) -> Task<> {
    // Begun, and not waited for.
    befall(*plan, kConnect, {.result = -EAGAIN, .carried_out = true});
    Connection both = co_await connect_pair();
    for (int round = 0; round < 3; ++round) {
      const auto left = befall_next(*plan, kReceive, {EAGAIN});
      JoinHandle<int> reader = spawn(read_byte(&both.server));
      while (left->load() != 0) co_await yield_now();
      co_await write_byte(&both.client, 'b');
      EXPECT_EQ(co_await std::move(reader), 'b');
    }
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    const auto left = befall_next(*plan, kAccept, {EAGAIN});
    JoinHandle<absl::StatusOr<TcpStream>> accept = spawn(listener->accept());
    while (left->load() != 0) co_await yield_now();
    absl::StatusOr<TcpStream> client = co_await TcpStream::connect(*listener->local_address());
    const absl::StatusOr<TcpStream> server = co_await std::move(accept);
    EXPECT_TRUE(server.ok()) << server.status();
  };
  runtime_->block_on(main(plan_.get()));
}

TEST_P(SocketOpTest, ShortTransfersLoseNothing) {
  calls_.block_at_random();
  plan_->set_choice([](const IoRequest& request, std::mt19937& random) {
    const bool transfers = request.opcode == kSend || request.opcode == kReceive;
    if (!transfers || request.len < 2) return Fault{};
    return Fault{.length = 1 + static_cast<std::uint32_t>(random() % request.len)};
  });
  EXPECT_TRUE(runtime_->block_on(exchange(1'000'000)));
}

Task<> echo(TcpStream stream) {
  std::array<std::byte, 512> buffer;
  for (;;) {
    const absl::StatusOr<std::size_t> count = co_await stream.read(buffer);
    if (!count.ok() || *count == 0) co_return;
    const absl::Status written = co_await stream.write_all(std::span(buffer).first(*count));
    if (!written.ok()) co_return;
  }
}

// How many bytes come back as they were sent, until something fails.
Task<std::size_t> call_echo(SocketAddress address, std::size_t size) {
  absl::StatusOr<TcpStream> stream = co_await TcpStream::connect(address);
  if (!stream.ok()) co_return 0u;
  std::size_t answered = 0;
  std::vector<std::byte> back(size);
  std::vector<std::byte> data(size);
  for (std::size_t round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < size; ++i) data[i] = pattern(i + round);
    absl::Status status = co_await stream->write_all(data);
    if (status.ok()) status = co_await stream->read_exact(back);
    if (!status.ok()) break;
    EXPECT_EQ(data, back);
    answered += size;
  }
  co_return answered;
}

// Goal: however completions are delayed and reordered, requests refused and system calls interrupted, each task gets
// its own result, and an abort meets every state of an operation. Method: clients of an echo server, some of them
// aborted, below a layer that does all this at random, from a fixed seed.
TEST_P(SocketOpTest, AStormOfFaultsLosesNothing) {
  calls_.block_at_random();
  plan_->set_refusals(0.2);
  plan_->set_delays(0.3);
  plan_->set_choice([](const IoRequest& request, std::mt19937& random) {
    const auto dice = static_cast<std::uint32_t>(random() % 64);
    const bool transfers = request.opcode == kSend || request.opcode == kReceive;
    if (transfers && dice == 0) return Fault{.result = -ECONNRESET};
    if (transfers && dice == 1) return Fault{.result = -EINTR};
    if (transfers && dice < 16) return Fault{.length = std::min(request.len, 1 + dice)};
    if (request.opcode == kConnect && dice < 4) return Fault{.result = -ECONNREFUSED};
    if (request.opcode == kAccept && dice < 4) return Fault{.result = -ECONNABORTED};
    return Fault{};
  });
  const auto main = []() -> Task<std::size_t> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    JoinHandle<void> server = spawn([](TcpListener* at) -> Task<> {
      for (;;) {
        absl::StatusOr<TcpStream> stream = co_await at->accept();
        if (stream.ok()) spawn(echo(*std::move(stream)));
      }
    }(&*listener));
    std::size_t answered = 0;
    for (int round = 0; round < 2; ++round) {
      std::vector<JoinHandle<std::size_t>> clients;
      for (std::size_t i = 0; i < 8; ++i) {
        clients.push_back(spawn(call_echo(*listener->local_address(), 1 + 100 * i)));
      }
      for (int turn = 0; turn < round * 30; ++turn) co_await yield_now();
      for (std::size_t i = 0; i < clients.size(); i += 4) clients[i].abort();
      for (JoinHandle<std::size_t>& client : clients) {
        JoinResult<std::size_t> result = co_await std::move(client).result();
        if (!result.cancelled()) answered += result.value();
      }
    }
    server.abort();
    const JoinResult<void> ended = co_await std::move(server).result();
    EXPECT_TRUE(ended.cancelled());
    co_return answered;
  };
  EXPECT_GT(runtime_->block_on(main()), 0u);
}

// --- Aborts -----------------------------------------------------------------------------------------

constexpr std::size_t kMoreThanFits = 1 << 20;

// So that a write of kMoreThanFits has to wait.
void shrink_buffers(Connection& both) {
  EXPECT_TRUE(both.client.set_send_buffer_size(16 << 10).ok());
  EXPECT_TRUE(both.server.set_receive_buffer_size(16 << 10).ok());
}

// A listener whose backlog is full: the next connection to it is not answered.
Task<absl::StatusOr<TcpStream>> connect_in_vain() {
  absl::StatusOr<TcpListener> listener =
      TcpListener::bind(SocketAddress::loopback_v4(0), {.backlog = 1});
  std::vector<TcpStream> others;
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<TcpStream> other = co_await TcpStream::connect(*listener->local_address());
    if (!other.ok()) std::abort();
    others.push_back(*std::move(other));
  }
  co_return co_await TcpStream::connect(*listener->local_address());
}

Task<> accept_in_vain() {
  absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
  const absl::StatusOr<TcpStream> stream = co_await listener->accept();
  ADD_FAILURE() << stream.status();
}

// Of each kind one that ends only with its task. The buffers are in the task's own frame, or its own.
Task<> transfer_in_vain(int kind) {
  Connection both = co_await connect_pair();
  shrink_buffers(both);
  std::array<std::byte, 64> small{};
  std::vector<std::byte> large(kMoreThanFits);
  const std::array<std::span<std::byte>, 2> in{small, large};
  const std::array<std::span<const std::byte>, 2> out{large, small};
  absl::Status status;
  switch (kind) {
    case 0:
      status = (co_await both.client.read(small)).status();
      break;
    case 1:
      status = (co_await both.client.peek(small)).status();
      break;
    case 2:
      status = (co_await both.client.readv(in)).status();
      break;
    case 3:
      status = co_await both.client.read_exact(small);
      break;
    case 4:
      status = co_await both.client.write_all(large);
      break;
    case 5:
      for (;;) {
        status = (co_await both.client.write(large)).status();
        if (!status.ok()) break;
      }
      break;
    default:
      for (;;) {
        status = (co_await both.client.writev(out)).status();
        if (!status.ok()) break;
      }
      break;
  }
  ADD_FAILURE() << status;
}

Task<> receive_datagram_in_vain() {
  absl::StatusOr<UdpSocket> socket = UdpSocket::bind(SocketAddress::loopback_v4(0));
  std::array<std::byte, 64> buffer;
  const absl::StatusOr<Datagram> datagram = co_await socket->receive_from(buffer);
  ADD_FAILURE() << datagram.status();
}

Task<> in_vain(int kind) {
  if (kind <= 6) {
    co_await transfer_in_vain(kind);
  } else if (kind == 7) {
    co_await accept_in_vain();
  } else if (kind == 8) {
    const absl::StatusOr<TcpStream> stream = co_await connect_in_vain();
    ADD_FAILURE() << stream.status();
  } else {
    co_await receive_datagram_in_vain();
  }
}

// Goal: an abort ends every operation, at every moment of it, and the frame outlives it. Method: each kind of operation
// is aborted after so many turns of other tasks, from none until it waits in the kernel.
TEST_P(SocketOpTest, AnAbortEndsWhatIsInFlight) {
  constexpr int kKinds = 10;
  constexpr int kMoments = 8;
  const auto main = []() -> Task<> {
    for (int kind = 0; kind < kKinds; ++kind) {
      for (int moment = 0; moment < kMoments; ++moment) {
        JoinHandle<void> task = spawn(in_vain(kind));
        for (int turn = 0; turn < moment; ++turn) co_await yield_now();
        if (moment == kMoments - 1) co_await sleep_for(1ms);
        task.abort();
        const JoinResult<void> ended = co_await std::move(task).result();
        EXPECT_TRUE(ended.cancelled()) << kind;
        EXPECT_EQ(internal::current_driver()->in_flight(), 0) << kind;
      }
    }
  };
  runtime_->block_on(main());
}

// Data and abort race. Whatever wins, no byte may be lost: it is with the reader, or still in the socket.
TEST_P(SocketOpTest, AnAbortThatRacesWithDataLosesNone) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair();
    for (int round = 0; round < 200; ++round) {
      JoinHandle<int> reader = spawn(read_byte(&both.server));
      for (int turn = 0; turn < round % 3; ++turn) co_await yield_now();
      co_await write_byte(&both.client, 'q');
      for (int turn = 0; turn < round % 4; ++turn) co_await yield_now();
      reader.abort();
      JoinResult<int> result = co_await std::move(reader).result();
      if (result.cancelled()) {
        EXPECT_EQ(co_await read_byte(&both.server), 'q');
      } else {
        EXPECT_EQ(result.value(), 'q');
      }
    }
  };
  runtime_->block_on(main());
}

TEST_P(SocketOpTest, TheEndOfTheRuntimeEndsWhatIsInFlight) {
  plan_->set_delays(0.3);
  const auto main = []() -> Task<> {
    for (int kind = 0; kind < 10; ++kind) spawn(in_vain(kind));
    co_await sleep_for(2ms);
  };
  runtime_->block_on(main());
}

// --- Closing ----------------------------------------------------------------------------------------

Task<int> accept_error(TcpListener* listener) {
  const absl::StatusOr<TcpStream> stream = co_await listener->accept();
  co_return -errno_of(stream.status());
}

TEST_P(SocketOpTest, ClosingEndsTheOperationsOfBothDirections) {
  const auto main = [](int workers) -> Task<> {
    for (int round = 0; round < 20; ++round) {
      Connection both = co_await connect_pair();
      shrink_buffers(both);
      JoinHandle<int> reader = spawn(read_byte(&both.client));
      JoinHandle<absl::Status> writer = spawn([](TcpStream* stream) -> Task<absl::Status> {
        const std::vector<std::byte> data(kMoreThanFits);
        co_return co_await stream->write_all(data);
      }(&both.client));
      co_await until_in_flight(2);
      if (round % 2 == 0) co_await sleep_for(1ms);
      const int fd = both.client.fd();
      both.client.close();
      EXPECT_EQ(both.client.fd(), -1);
      // This worker alone tells the kernel of the end: until then the number must not be another's.
      if (workers == 1) {
        EXPECT_NE(::fcntl(fd, F_GETFD), -1);
      }
      EXPECT_EQ(co_await std::move(reader), -ECANCELED);
      const absl::Status written = co_await std::move(writer);
      EXPECT_TRUE(absl::IsCancelled(written)) << written;
      EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
    }
  };
  runtime_->block_on(main(GetParam()));
}

TEST_P(SocketOpTest, DestroyingAListenerEndsItsAccept) {
  const auto main = []() -> Task<> {
    for (int round = 0; round < 20; ++round) {
      std::optional<TcpListener> listener = *TcpListener::bind(SocketAddress::loopback_v4(0));
      JoinHandle<int> acceptor = spawn(accept_error(&*listener));
      co_await until_in_flight(1);
      listener.reset();
      EXPECT_EQ(co_await std::move(acceptor), -ECANCELED);
    }
  };
  runtime_->block_on(main());
}

// One asks for the end of the operation, the other for that of its task.
TEST_P(SocketOpTest, ACloseAndAnAbortMeet) {
  const auto main = []() -> Task<> {
    for (int round = 0; round < 40; ++round) {
      Connection both = co_await connect_pair();
      JoinHandle<int> reader = spawn(read_byte(&both.client));
      co_await until_in_flight(1);
      if (round % 2 == 0) reader.abort();
      both.client.close();
      if (round % 2 == 1) reader.abort();
      JoinResult<int> ended = co_await std::move(reader).result();
      EXPECT_TRUE(ended.cancelled() || ended.value() == -ECANCELED);
    }
  };
  runtime_->block_on(main());
}

TEST_P(SocketOpTest, AShutdownOfTheSocketEndsItsOperations) {
  const auto main = []() -> Task<> {
    Connection both = co_await connect_pair();
    JoinHandle<int> reader = spawn(read_byte(&both.client));
    co_await until_in_flight(1);
    EXPECT_TRUE(both.client.shutdown(Shutdown::kBoth).ok());
    EXPECT_EQ(co_await std::move(reader), 0);
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    JoinHandle<int> acceptor = spawn(accept_error(&*listener));
    co_await until_in_flight(1);
    EXPECT_EQ(::shutdown(listener->fd(), SHUT_RDWR), 0);
    EXPECT_EQ(co_await std::move(acceptor), -EINVAL);
  };
  runtime_->block_on(main());
}

TEST(SocketOpDeathTest, ASecondReaderIsACallersBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto die = [] {
    Runtime runtime({.worker_threads = 1, .socket_engine = SocketEngine::kCompletion});
    const auto main = []() -> Task<> {
      auto pair = UnixStream::pair();
      spawn(read_byte(&pair->first));
      co_await yield_now();
      co_await read_byte(&pair->first);
    };
    runtime.block_on(main());
  };
  EXPECT_DEATH(die(), "requirement.*another_task_waits_for_the_same");
}

// --- Without copying --------------------------------------------------------------------------------

class ZeroCopyTest : public SocketOpTest {
 protected:
  std::size_t zero_copy_min() const override { return 16 << 10; }
};

INSTANTIATE_TEST_SUITE_P(Workers, ZeroCopyTest, testing::Values(1, 2, 4));

// Gives the notifications, whoever has to look for them.
void release_notifications(test::FaultPlan* plan) {
  plan->hold_notifications(false);
  internal::current_driver()->wake();
}

// The peer has all of it, and the kernel says so; but the buffer is not given back before the notification.
TEST_P(ZeroCopyTest, AWriteEndsWithItsNotification) {
  const auto main = [](test::FaultPlan* plan) -> Task<> {
    Connection both = co_await connect_pair();
    for (const bool aborts : {false, true}) {
      plan->hold_notifications(true);
      const int before = plan->notifications_held.load();
      JoinHandle<bool> writer = spawn(sends_pattern(&both.client, 100'000));
      const bool received = co_await receives_pattern(&both.server, 100'000);
      EXPECT_TRUE(received);
      while (plan->notifications_held.load() == before) co_await yield_now();
      if (aborts) writer.abort();
      for (int turn = 0; turn < 200; ++turn) co_await yield_now();
      EXPECT_FALSE(writer.is_finished());
      EXPECT_EQ(internal::current_driver()->in_flight(), 1);
      release_notifications(plan);
      JoinResult<bool> written = co_await std::move(writer).result();
      // All was sent before the abort: the result stands.
      EXPECT_TRUE(!written.cancelled() && written.value());
    }
  };
  runtime_->block_on(main(plan_.get()));
}

TEST_P(ZeroCopyTest, ItsErrorsAreReportedAndItsLimitsAreNone) {
  const auto main = [](test::FaultPlan* plan) -> Task<> {
    Connection both = co_await connect_pair();
    const std::vector<std::byte> data(64 << 10);
    for (const int error : {ECONNRESET, ETIMEDOUT}) {
      befall(*plan, kSendUncopied, {.result = -error});
      const absl::StatusOr<std::size_t> count = co_await both.client.write(data);
      EXPECT_EQ(errno_of(count.status()), error);
      const absl::Status status = co_await both.client.write_all(data);
      EXPECT_EQ(errno_of(status), error);
    }
    for (const int limit : {ENOBUFS, ENOMEM, EOPNOTSUPP}) {
      befall(*plan, kSendUncopied, {.result = -limit});
      JoinHandle<bool> writer = spawn(sends_pattern(&both.client, 100'000));
      const bool received = co_await receives_pattern(&both.server, 100'000);
      const bool written = co_await std::move(writer);
      EXPECT_TRUE(written && received);
    }
  };
  runtime_->block_on(main(plan_.get()));
}

TEST_P(ZeroCopyTest, DelaysAndAbortsLoseNothing) {
  plan_->set_refusals(0.2);
  plan_->set_delays(0.3);
  EXPECT_TRUE(runtime_->block_on(exchange(300'000)));
  const auto main = []() -> Task<> {
    for (int moment = 0; moment < 20; ++moment) {
      JoinHandle<void> task = spawn(in_vain(moment % 2 == 0 ? 4 : 5));
      for (int turn = 0; turn < moment; ++turn) co_await yield_now();
      task.abort();
      const JoinResult<void> ended = co_await std::move(task).result();
      EXPECT_TRUE(ended.cancelled());
      EXPECT_EQ(internal::current_driver()->in_flight(), 0);
    }
  };
  runtime_->block_on(main());
}

}  // namespace
}  // namespace skua
