// SPDX-License-Identifier: Apache-2.0
#include "skua/io/duplex.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/fs/file_cursor.h"
#include "skua/io/buffered_reader.h"
#include "skua/io/buffered_writer.h"
#include "skua/io/copy.h"
#include "skua/io/stream.h"
#include "skua/join.h"
#include "skua/net/pipe.h"
#include "skua/net/tcp_stream.h"
#include "skua/net/unix_stream.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "tests/support/abort_script.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

// All that the library has is what the templates take.
template <typename T>
concept AsyncStream = AsyncRead<T> && AsyncWrite<T>;
static_assert(AsyncStream<TcpStream> && AsyncStream<UnixStream> && AsyncStream<DuplexStream>);
static_assert(AsyncRead<TcpReadHalf> && AsyncRead<PipeReader> && AsyncRead<FileReader>);
static_assert(AsyncWrite<TcpWriteHalf> && AsyncWrite<PipeWriter> && AsyncWrite<FileWriter>);
static_assert(AsyncRead<TcpStream&> && AsyncRead<BufferedReader<TcpStream&>>);
static_assert(AsyncWrite<BufferedWriter<BufferedWriter<TcpWriteHalf>>>);
static_assert(!AsyncRead<PipeWriter> && !AsyncWrite<FileReader> && !AsyncRead<int>);

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string text_of(std::span<const std::byte> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

class DuplexTest : public test::RuntimeTest {};
SKUA_TEST_ALL_RUNTIMES(DuplexTest);

TEST_P(DuplexTest, WhatIsWrittenOnOneEndIsReadOnTheOther) {
  const auto main = []() -> Task<> {
    auto [client, server] = duplex(8);
    std::array<std::byte, 5> buffer{};
    for (int round = 0; round < 5; ++round) {  // Around the ring.
      const absl::StatusOr<std::size_t> sent = co_await client.write(bytes("abcdefghij"));
      EXPECT_EQ(sent.value_or(0), 8u);
      absl::StatusOr<std::size_t> got = co_await server.read(buffer);
      EXPECT_EQ(text_of(std::span(buffer).first(got.value_or(0))), "abcde");
      const absl::Status back = co_await write_all(server, bytes("re"));
      EXPECT_TRUE(back.ok());
      got = co_await server.read(buffer);
      EXPECT_EQ(text_of(std::span(buffer).first(got.value_or(0))), "fgh");
      const absl::Status answer = co_await read_exact(client, std::span(buffer).first(2));
      EXPECT_TRUE(answer.ok());
      EXPECT_EQ(text_of(std::span(buffer).first(2)), "re");
    }
  };
  runtime().block_on(main());
}

TEST_P(DuplexTest, AHalfCloseEndsOneDirection) {
  const auto main = []() -> Task<> {
    auto [client, server] = duplex(100);
    absl::Status status = co_await write_all(client, bytes("last"));
    EXPECT_TRUE(status.ok());
    client.shutdown();
    const absl::StatusOr<std::size_t> refused = co_await client.write(bytes("more"));
    EXPECT_EQ(errno_of(refused.status()), EPIPE);
    std::array<std::byte, 6> buffer{};
    status = co_await read_exact(server, buffer);
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_NE(status.message().find("4 of 6"), absl::string_view::npos);
    const absl::StatusOr<std::size_t> end = co_await server.read(buffer);
    EXPECT_EQ(end.value_or(9), 0u);
    status = co_await write_all(server, bytes("answer"));
    EXPECT_TRUE(status.ok());
    {
      const DuplexStream gone = std::move(server);
    }
    status = co_await read_exact(client, buffer);  // Was on the way.
    EXPECT_EQ(text_of(buffer), "answer");
    const absl::StatusOr<std::size_t> at_end = co_await client.read(buffer);
    EXPECT_EQ(at_end.value_or(9), 0u);

    auto [here, there] = duplex(4);
    {
      const DuplexStream gone = std::move(there);
    }
    const absl::StatusOr<std::size_t> nobody = co_await here.write(bytes("x"));
    EXPECT_EQ(errno_of(nobody.status()), EPIPE);
  };
  runtime().block_on(main());
}

// Three at a time through a pipe of seven bytes, in both directions at once, and nothing is lost or changed.
TEST_P(DuplexTest, BackPressureLosesNothing) {
  static constexpr int kSize = 20'000;
  const auto send = [](DuplexStream* stream) -> Task<> {
    std::string text;
    for (int i = 0; i < kSize; ++i) text += static_cast<char>('a' + i % 26);
    const absl::Status status = co_await write_all(*stream, bytes(text));
    EXPECT_TRUE(status.ok());
    stream->shutdown();
  };
  const auto receive = [](DuplexStream* stream) -> Task<int> {
    std::array<std::byte, 3> buffer;
    int count = 0;
    for (;;) {
      const absl::StatusOr<std::size_t> got = co_await stream->read(buffer);
      if (!got.ok() || *got == 0) break;
      for (std::size_t i = 0; i < *got; ++i, ++count) {
        if (buffer[i] != static_cast<std::byte>('a' + count % 26)) co_return -1;
      }
    }
    co_return count;
  };
  const auto main = [](decltype(send) s, decltype(receive) r) -> Task<> {
    auto [client, server] = duplex(7);
    auto [x, y, at_server, at_client] =
        co_await when_all(s(&client), s(&server), r(&server), r(&client));
    EXPECT_EQ(at_server, kSize);
    EXPECT_EQ(at_client, kSize);
  };
  runtime().block_on(main(send, receive));
}

// The end that goes wakes who waits on the other.
TEST_P(DuplexTest, WhoWaitsIsToldWhenTheOtherEndGoes) {
  const auto read = [](DuplexStream* stream) -> Task<std::size_t> {
    std::array<std::byte, 4> buffer;
    const absl::StatusOr<std::size_t> got = co_await stream->read(buffer);
    co_return got.value_or(99);
  };
  const auto write = [](DuplexStream* stream) -> Task<int> {
    const absl::Status status = co_await write_all(*stream, bytes("more than fits"));
    co_return errno_of(status);
  };
  const auto main = [](decltype(read) r, decltype(write) w) -> Task<> {
    auto [client, server] = duplex(4);
    auto end = std::make_unique<DuplexStream>(std::move(server));
    JoinHandle<std::size_t> reads = spawn(r(&client));
    JoinHandle<int> writes = spawn(w(&client));
    for (int i = 0; i < 100; ++i) co_await yield_now();
    end.reset();
    const std::size_t count = co_await std::move(reads);
    EXPECT_EQ(count, 0u);
    const int error = co_await std::move(writes);
    EXPECT_EQ(error, EPIPE);
  };
  runtime().block_on(main(read, write));
}

// --- Copies -------------------------------------------------------------------------------------

TEST_P(DuplexTest, ACopyEndsWithItsReaderAndFlushes) {
  const auto feed = [](DuplexStream source) -> Task<> {
    for (int i = 0; i < 1000; ++i) {
      const absl::Status status = co_await write_all(source, bytes("0123456789"));
      EXPECT_TRUE(status.ok());
    }
  };
  const auto pump = [](DuplexStream from, DuplexStream to) -> Task<std::uint64_t> {
    BufferedWriter writer(to, 100);
    const absl::StatusOr<std::uint64_t> count = co_await copy(from, writer);
    co_return count.value_or(0);
  };
  const auto drain = [](DuplexStream* sink) -> Task<std::size_t> {
    std::size_t total = 0;
    std::array<std::byte, 300> buffer;
    for (;;) {
      const absl::StatusOr<std::size_t> got = co_await sink->read(buffer);
      if (!got.ok() || *got == 0) break;
      total += *got;
    }
    co_return total;
  };
  const auto main = [](decltype(feed) f, decltype(pump) p, decltype(drain) d) -> Task<> {
    auto [source, from] = duplex(64);
    auto [to, sink] = duplex(64);
    auto [x, copied, received] =
        co_await when_all(f(std::move(source)), p(std::move(from), std::move(to)), d(&sink));
    EXPECT_EQ(copied, 10'000u);
    EXPECT_EQ(received, 10'000u);
  };
  runtime().block_on(main(feed, pump, drain));
}

TEST_P(DuplexTest, ACopyTellsOfItsWritersError) {
  const auto main = []() -> Task<> {
    auto [source, from] = duplex(64);
    auto [to, sink] = duplex(64);
    {
      const DuplexStream gone = std::move(sink);
    }
    const absl::Status status = co_await write_all(source, bytes("x"));
    EXPECT_TRUE(status.ok());
    const absl::StatusOr<std::uint64_t> copied = co_await copy(from, to);
    EXPECT_EQ(errno_of(copied.status()), EPIPE);
  };
  runtime().block_on(main());
}

// --- Aborts -------------------------------------------------------------------------------------

// A reader and a writer over a pipe of two bytes, each aborted at every moment: what the one got is what the other one
// sent, from the beginning, and the other one ends.
class AbortedDuplex {
 public:
  std::vector<Task<>> tasks() {
    std::vector<Task<>> tasks;
    tasks.push_back(write(this, std::move(ends_.first)));
    tasks.push_back(read(this, std::move(ends_.second)));
    return tasks;
  }
  void check(std::size_t, bool) {
    EXPECT_TRUE(sent_.starts_with(got_)) << got_;
    EXPECT_LE(sent_.size(), got_.size() + 2);
  }

 private:
  static Task<> write(AbortedDuplex* self, DuplexStream stream) {
    for (char c = 'a'; c <= 'f'; ++c) {
      const absl::StatusOr<std::size_t> count =
          co_await stream.write(bytes(std::string_view(&c, 1)));
      if (!count.ok()) break;
      self->sent_ += c;
    }
  }
  static Task<> read(AbortedDuplex* self, DuplexStream stream) {
    std::array<std::byte, 1> buffer;
    for (;;) {
      const absl::StatusOr<std::size_t> count = co_await stream.read(buffer);
      if (!count.ok() || *count == 0) break;
      self->got_ += static_cast<char>(buffer[0]);
    }
  }

  std::pair<DuplexStream, DuplexStream> ends_ = duplex(2);
  std::string sent_;
  std::string got_;
};

TEST(DuplexAbortTest, AnAbortAtAnyMomentLosesNothing) {
  EXPECT_GT(test::abort_everywhere<AbortedDuplex>(), 10u);
}

}  // namespace
}  // namespace skua
