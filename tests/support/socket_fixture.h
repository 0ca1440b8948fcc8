// SPDX-License-Identifier: Apache-2.0
//
// Sockets by completion, with faults below and above the operations.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io_driver/driver.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/task.h"
#include "tests/support/driver_fixture.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/leak_check.h"

namespace skua::test {

// The numbers of io_uring, whose header stays in io_driver/. A wrong one is met by no request, and the tests fail.
enum SocketOpcode : std::uint8_t {
  kSendMessage = 9,
  kReceiveMessage = 10,
  kAccept = 13,
  kConnect = 16,
  kSend = 26,
  kReceive = 27,
  kSendUncopied = 47
};

// The number of workers.
class SocketOpTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    internal::DriverOptions options;
    options.backend = IoBackend::kUring;
    options.sockets = SocketEngine::kCompletion;
    options.calls = &calls_;
    options.zero_copy_min = zero_copy_min();
    options.wrap = [this](std::unique_ptr<internal::Backend> inner) {
      return std::make_unique<FaultyBackend>(std::move(inner), plan_);
    };
    runtime_ = std::make_unique<DriverRuntime>(GetParam(), std::move(options));
  }
  void TearDown() override {
    runtime_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }

  virtual std::size_t zero_copy_min() const { return 0; }

  const LeakCheck leaks_;
  // A call that would block is followed by an operation.
  FaultyCalls calls_;
  const std::shared_ptr<FaultPlan> plan_ = std::make_shared<FaultPlan>(20'26);
  std::unique_ptr<DriverRuntime> runtime_;
};

// Faults befall requests with `opcode`.
inline void befall(FaultPlan& plan, SocketOpcode opcode, FaultPlan::Fault fault) {
  plan.set_choice([opcode, fault](const internal::IoRequest& request, std::mt19937&) {
    return request.opcode == opcode ? fault : FaultPlan::Fault{};
  });
}

// Befalls the next of them, one after the other, with these errors. Returns how many are still to come.
inline std::shared_ptr<std::atomic<std::size_t>> befall_next(FaultPlan& plan, SocketOpcode opcode,
                                                             std::vector<int> errors) {
  auto left = std::make_shared<std::atomic<std::size_t>>(errors.size());
  plan.set_choice([opcode, errors, left](const internal::IoRequest& request, std::mt19937&) {
    if (request.opcode != opcode || left->load() == 0) return FaultPlan::Fault{};
    return FaultPlan::Fault{.result = -errors[errors.size() - left->fetch_sub(1)]};
  });
  return left;
}

struct Connection {
  Connection(TcpStream c, TcpStream s) noexcept : client(std::move(c)), server(std::move(s)) {}
  TcpStream client;
  TcpStream server;
};

inline Task<Connection> connect_pair() {
  absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
  if (!listener.ok()) std::abort();
  absl::StatusOr<TcpStream> client = co_await TcpStream::connect(*listener->local_address());
  absl::StatusOr<TcpStream> server = co_await listener->accept();
  if (!client.ok() || !server.ok()) std::abort();
  Connection both(*std::move(client), *std::move(server));
  co_return std::move(both);
}

// 'a' to 'z', 0: the end, or -errno.
template <typename Stream>
Task<int> read_byte(Stream* stream) {
  std::array<std::byte, 1> byte{};
  const absl::StatusOr<std::size_t> count = co_await stream->read(byte);
  if (!count.ok()) co_return -errno_of(count.status());
  co_return *count == 0 ? 0 : static_cast<int>(byte[0]);
}

template <typename Stream>
Task<> write_byte(Stream* stream, char byte) {
  const std::array<std::byte, 1> data{static_cast<std::byte>(byte)};
  const absl::Status written = co_await stream->write_all(data);
  EXPECT_TRUE(written.ok()) << written;
}

// Byte i of a long stream.
inline std::byte pattern(std::size_t i) { return static_cast<std::byte>(i * 31 + i / 251); }

inline Task<bool> sends_pattern(TcpStream* stream, std::size_t size) {
  std::vector<std::byte> data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = pattern(i);
  const absl::Status status = co_await stream->write_all(data);
  co_return status.ok();
}

// By calls of every kind.
inline Task<bool> receives_pattern(TcpStream* stream, std::size_t size) {
  std::vector<std::byte> data(size);
  bool good = true;
  std::size_t done = 0;
  for (int turn = 0; good && done < size; ++turn) {
    const std::span<std::byte> rest = std::span(data).subspan(done);
    if (turn % 3 == 0 && rest.size() > 100) {
      const absl::Status status = co_await stream->read_exact(rest.first(100));
      good = status.ok();
      done += 100;
    } else if (turn % 3 == 1) {
      const std::array<std::span<std::byte>, 2> two{rest.first(rest.size() / 2),
                                                    rest.subspan(rest.size() / 2)};
      const absl::StatusOr<std::size_t> count = co_await stream->readv(two);
      good = count.ok() && *count > 0;
      done += count.value_or(0);
    } else {
      const absl::StatusOr<std::size_t> count = co_await stream->read(rest);
      good = count.ok() && *count > 0;
      done += count.value_or(0);
    }
  }
  for (std::size_t i = 0; good && i < size; ++i) good = data[i] == pattern(i);
  co_return good;
}

// Both ways at once.
inline Task<bool> exchange(std::size_t size) {
  Connection both = co_await connect_pair();
  std::vector<JoinHandle<bool>> handles;
  handles.push_back(spawn(sends_pattern(&both.client, size)));
  handles.push_back(spawn(receives_pattern(&both.client, size)));
  handles.push_back(spawn(sends_pattern(&both.server, size)));
  handles.push_back(spawn(receives_pattern(&both.server, size)));
  bool good = true;
  for (JoinHandle<bool>& handle : handles) {
    const bool one = co_await std::move(handle);
    good = good && one;
  }
  co_return good;
}

}  // namespace skua::test
