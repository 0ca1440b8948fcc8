// SPDX-License-Identifier: Apache-2.0
//
// BufferedReader and BufferedWriter, over streams that give and take in pieces, and fail on demand.
#include "skua/io/buffered_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/io/buffered_writer.h"
#include "skua/io/stream.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "tests/support/manual_executor.h"

namespace skua {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Gives `text` in pieces of `piece` bytes, and fails once when `fail_at` of it is given.
class Source {
 public:
  explicit Source(std::string text, std::size_t piece = 3, std::size_t fail_at = SIZE_MAX)
      : text_(std::move(text)), piece_(piece), fail_at_(fail_at) {}

  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer) {
    ++reads;
    if (given_ == fail_at_) {
      fail_at_ = SIZE_MAX;
      co_return internal::errno_to_status(ECONNRESET, "read");
    }
    std::size_t count = std::min({buffer.size(), piece_, text_.size() - given_});
    if (given_ < fail_at_) count = std::min(count, fail_at_ - given_);
    std::memcpy(buffer.data(), text_.data() + given_, count);
    given_ += count;
    co_return count;
  }
  std::size_t given() const { return given_; }

  int reads = 0;

 private:
  std::string text_;
  std::size_t piece_;
  std::size_t fail_at_;
  std::size_t given_ = 0;
};

// Takes pieces of `piece` bytes, and fails once when it has taken `fail_at`.
class Sink {
 public:
  explicit Sink(std::size_t piece = 3, std::size_t fail_at = SIZE_MAX)
      : piece_(piece), fail_at_(fail_at) {}

  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data) {
    ++writes;
    if (text.size() == fail_at_) {
      fail_at_ = SIZE_MAX;
      co_return internal::errno_to_status(ENOSPC, "write");
    }
    std::size_t count = std::min(data.size(), piece_);
    if (text.size() < fail_at_) count = std::min(count, fail_at_ - text.size());
    text.append(reinterpret_cast<const char*>(data.data()), count);
    co_return count;
  }
  Task<absl::Status> flush() {
    ++flushes;
    co_return absl::OkStatus();
  }

  std::string text;
  int writes = 0;
  int flushes = 0;

 private:
  std::size_t piece_;
  std::size_t fail_at_;
};

// Nothing here waits: on no runtime, but as a task.
template <typename T>
T run_alone(Task<T> task) {
  test::ManualExecutor executor;
  JoinHandle<T> handle = internal::spawn_on(executor, std::move(task), {});
  executor.drain();
  return std::move(handle).release_share().slot().take();
}

Task<std::vector<std::string>> lines_of(Source source, std::size_t capacity, std::size_t limit) {
  BufferedReader lines(source, capacity);
  std::vector<std::string> all;
  for (;;) {
    absl::StatusOr<std::optional<std::string>> line = co_await lines.read_line(limit);
    if (!line.ok()) {
      all.push_back("error " + std::to_string(errno_of(line.status())));
      if (errno_of(line.status()) == 0) break;
      continue;
    }
    if (!line->has_value()) break;
    all.push_back(*std::move(*line));
  }
  co_return all;
}

TEST(BufferedReaderTest, ReadsLinesWhateverThePieces) {
  const std::string text = "one\ntwo\r\n\n\rthree\nfour is long, longer than the buffer\nend";
  const std::vector<std::string> expected = {
      "one", "two", "", "\rthree", "four is long, longer than the buffer", "end"};
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    for (const std::size_t capacity : {1, 2, 7, 100}) {
      EXPECT_EQ(run_alone(lines_of(Source(text, piece), capacity, 50)), expected)
          << piece << " " << capacity;
    }
  }
  EXPECT_EQ(run_alone(lines_of(Source("a\nb\n"), 10, 10)), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(run_alone(lines_of(Source(""), 10, 10)), std::vector<std::string>());
}

TEST(BufferedReaderTest, AnErrorLosesNothing) {
  for (std::size_t at = 0; at <= 8; ++at) {
    std::vector<std::string> lines = run_alone(lines_of(Source("abc\ndef\n", 3, at), 4, 10));
    const std::string error = "error " + std::to_string(ECONNRESET);
    EXPECT_EQ(std::count(lines.begin(), lines.end(), error), 1) << at;
    std::erase(lines, error);
    EXPECT_EQ(lines, (std::vector<std::string>{"abc", "def"})) << at;
  }
}

TEST(BufferedReaderTest, ALineBeyondTheLimitIsRefusedAndNotLost) {
  const auto main = []() -> Task<> {
    BufferedReader reader(Source("12345678\nrest"), 4);
    for (int i = 0; i < 2; ++i) {
      const auto refused = co_await reader.read_line(8);
      EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
      EXPECT_EQ(errno_of(refused.status()), 0);
    }
    EXPECT_LE(reader.capacity(), 8u);
    EXPECT_LE(reader.inner().given(), 8u + 3u);
    const auto line = co_await reader.read_line(9);
    EXPECT_EQ(line->value_or("?"), "12345678");
    const auto field = co_await reader.read_until('s', 9);
    EXPECT_EQ(field->value_or("?"), "res");
    const auto last = co_await reader.read_until('s', 1);  // No more than the limit is left.
    EXPECT_FALSE(last.ok() && last->has_value() && (*last)->size() > 1);
  };
  run_alone(main());
}

TEST(BufferedReaderTest, MixesLinesBytesAndWhatIsBuffered) {
  const auto main = []() -> Task<> {
    std::string body(100, 'b');
    Source source("header\n" + body + "tail of it", 1000);
    BufferedReader reader(source, 16);
    const auto line = co_await reader.read_line(100);
    EXPECT_EQ(line->value_or("?"), "header");
    std::string read_body(100, ' ');
    const absl::Status whole =
        co_await reader.read_exact(std::as_writable_bytes(std::span(read_body)));
    EXPECT_TRUE(whole.ok());
    EXPECT_EQ(read_body, body);
    EXPECT_LE(source.reads, 3);  // What is larger than the buffer goes past it.

    const absl::StatusOr<std::size_t> filled = co_await reader.fill();
    EXPECT_TRUE(filled.ok());
    EXPECT_EQ(reader.buffered().size(), 10u);
    EXPECT_EQ(static_cast<char>(reader.buffered()[0]), 't');
    reader.consume(5);
    BufferedReader moved(std::move(reader));
    std::string rest(9, ' ');
    const absl::Status status = co_await moved.read_exact(std::as_writable_bytes(std::span(rest)));
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_NE(status.message().find("5 of 9"), absl::string_view::npos) << status;
    EXPECT_EQ(rest.substr(0, 5), "of it");
    const absl::StatusOr<std::size_t> end = co_await moved.fill();
    EXPECT_EQ(end.value_or(9), 0u);
  };
  run_alone(main());
}

// --- Writing ------------------------------------------------------------------------------------

TEST(BufferedWriterTest, CollectsSmallWritesAndPassesLargeOnes) {
  const auto main = []() -> Task<> {
    Sink sink(1000);
    BufferedWriter writer(sink, 10);
    for (int i = 0; i < 5; ++i) {
      const absl::Status status = co_await writer.write_all(bytes("abc"));
      EXPECT_TRUE(status.ok());
    }
    EXPECT_EQ(sink.text, "abcabcabc");
    EXPECT_EQ(writer.buffered().size(), 6u);
    absl::Status status = co_await writer.write_all(bytes("0123456789"));
    EXPECT_EQ(sink.text, "abcabcabcabcabc0123456789");
    EXPECT_EQ(sink.writes, 3);
    EXPECT_EQ(sink.flushes, 0);
    status = co_await writer.write_all(bytes("end"));
    status = co_await writer.flush();
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(sink.text, "abcabcabcabcabc0123456789end");
    EXPECT_EQ(sink.flushes, 1);
    status = co_await writer.flush();  // Nothing is left.
    EXPECT_EQ(sink.writes, 4);
  };
  run_alone(main());
}

TEST(BufferedWriterTest, WhatAnErrorKeepsBackComesLaterAndInOrder) {
  for (std::size_t at = 0; at < 20; ++at) {
    const auto main = [](std::size_t fail_at) -> Task<> {
      Sink sink(3, fail_at);
      BufferedWriter writer(sink, 8);
      int errors = 0;
      std::string expected;
      for (char c = 'a'; c < 'a' + 20; ++c) {
        const std::span<const std::byte> one = bytes(std::string_view(&c, 1));
        expected += c;
        absl::StatusOr<std::size_t> count = co_await writer.write(one);
        if (!count.ok()) {
          EXPECT_EQ(errno_of(count.status()), ENOSPC);
          ++errors;
          count = co_await writer.write(one);
        }
        EXPECT_EQ(count.value_or(0), 1u);
      }
      for (;;) {
        const absl::Status status = co_await writer.flush();
        if (status.ok()) break;
        ++errors;
      }
      EXPECT_EQ(errors, 1);
      EXPECT_EQ(sink.text, expected);
    };
    run_alone(main(at));
  }
}

TEST(BufferedWriterTest, SaysOnceWhatWasLost) {
  const auto main = [](bool flushed, bool given_up, bool failed) -> Task<> {
    Sink sink(3, failed ? 0 : SIZE_MAX);
    BufferedWriter writer(sink, 8);
    absl::Status status = co_await writer.write_all(bytes("lost?"));
    if (flushed || failed) status = co_await writer.flush();
    EXPECT_EQ(status.ok(), !failed);
    if (given_up) writer.discard();
  };
  testing::internal::CaptureStderr();
  run_alone(main(true, false, false));
  run_alone(main(false, true, false));
  run_alone(main(false, false, true));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  run_alone(main(false, false, false));
  run_alone(main(false, false, false));
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("5 bytes"), said.npos) << said;
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
}

}  // namespace
}  // namespace skua
