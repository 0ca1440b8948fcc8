// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/file.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "skua/fs/file_cursor.h"
#include "skua/io_backend.h"
#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/timeout.h"
#include "tests/support/runtime_fixture.h"
#include "tests/support/temp_directory.h"

namespace skua {
namespace {

class FileTest : public test::RuntimeTest {
 protected:
  std::string make_file(const std::string& name, const std::string& content) {
    return directory_.make(name, content);
  }

  const test::TempDirectory directory_;
};
SKUA_TEST_ALL_RUNTIMES(FileTest);

Task<absl::StatusOr<std::string>> read_whole(std::string path, std::size_t chunk) {
  absl::StatusOr<File> file = co_await File::open(path);
  if (!file.ok()) co_return file.status();
  std::string content;
  std::vector<std::byte> buffer(chunk);
  for (;;) {
    const absl::StatusOr<std::size_t> count = co_await file->read_at(content.size(), buffer);
    if (!count.ok()) co_return count.status();
    if (*count == 0) break;
    content.append(reinterpret_cast<const char*>(buffer.data()), *count);
  }
  const absl::Status closed = co_await file->close();
  if (!closed.ok()) co_return closed;
  co_return content;
}

TEST_P(FileTest, ReadsAFileInChunks) {
  std::string content;
  for (int i = 0; i < 5000; ++i) content += std::to_string(i) + "\n";
  const std::string path = make_file("chunks", content);
  for (const std::size_t chunk : {std::size_t{1000}, std::size_t{4096}, content.size() + 1}) {
    const absl::StatusOr<std::string> read = runtime().block_on(read_whole(path, chunk));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, content);
  }
}

TEST_P(FileTest, ReadsAnEmptyFile) {
  const absl::StatusOr<std::string> read =
      runtime().block_on(read_whole(make_file("empty", ""), 16));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, "");
}

TEST_P(FileTest, ReadsManyFilesAtOnce) {
  std::vector<std::string> paths;
  for (int i = 0; i < 300; ++i) paths.push_back(make_file(std::to_string(i), std::to_string(i)));
  const auto main = [](std::vector<std::string> all) -> Task<int> {
    std::vector<JoinHandle<absl::StatusOr<std::string>>> reads;
    for (const std::string& path : all) reads.push_back(spawn(read_whole(path, 64)));
    int sum = 0;
    for (auto& read : reads) {
      const absl::StatusOr<std::string> content = co_await std::move(read);
      if (content.ok()) sum += std::stoi(*content);
    }
    co_return sum;
  };
  EXPECT_EQ(runtime().block_on(main(paths)), 299 * 300 / 2);
}

// Many reads in a row by one task.
Task<int> read_again_and_again(std::string path, int reads, std::atomic<bool>* stop) {
  absl::StatusOr<File> file = co_await File::open(path);
  std::array<std::byte, 16> buffer;
  int good = 0;
  for (int i = 0; i < reads && !stop->load(); ++i) {
    const absl::StatusOr<std::size_t> count = co_await file->read_at(0, buffer);
    good += count.ok() && *count == buffer.size() ? 1 : 0;
  }
  co_return good;
}

// The file has just been written, so the page cache has it. Not every file system knows RWF_NOWAIT (tmpfs before 6.6).
TEST_P(FileTest, AReadOfCachedDataIsNoOperation) {
  const std::string path = make_file("cached", std::string(4096, 'x'));
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::array<std::byte, 16> buffer;
  const iovec whole{buffer.data(), buffer.size()};
  const bool at_once = ::preadv2(fd, &whole, 1, 0, RWF_NOWAIT) == 16;
  ::close(fd);
  if (!at_once) GTEST_SKIP() << "no RWF_NOWAIT in " << path;
  std::atomic<bool> stop{false};
  const std::uint64_t before = runtime().metrics().io_completions;
  EXPECT_EQ(runtime().block_on(read_again_and_again(path, 1000, &stop)), 1000);
  EXPECT_LT(runtime().metrics().io_completions - before, 100U);  // Of which one is the opening.
}

// It is no suspension, but has a price, so others get their turn and an abort its end.
TEST_P(FileTest, ReadsOfCachedDataLetOthersRunAndCanBeAborted) {
  const std::string path = make_file("cached", std::string(4096, 'x'));
  const auto main = [](std::string name) -> Task<bool> {
    std::atomic<bool> stop{false};
    JoinHandle<int> reader = spawn(read_again_and_again(name, INT_MAX, &stop));
    for (int i = 0; i < 3; ++i)
      co_await yield_now();  // On one worker: the reader has let this task run.
    reader.abort();
    const JoinResult<int> result = co_await std::move(reader).result();
    co_return result.cancelled();
  };
  EXPECT_TRUE(runtime().block_on(main(path)));
}

TEST_P(FileTest, TheErrorOfAnOpenHasThePathAndTheErrno) {
  const absl::StatusOr<File> file = runtime().block_on(File::open(directory_ / "missing"));
  EXPECT_TRUE(absl::IsNotFound(file.status()));
  EXPECT_EQ(errno_of(file.status()), ENOENT);
  EXPECT_NE(std::string(file.status().message()).find("missing"), std::string::npos);
}

TEST_P(FileTest, TheErrorOfAReadHasTheErrno) {
  const auto main = [](std::string path) -> Task<int> {
    absl::StatusOr<File> file = co_await File::open(path);
    std::array<std::byte, 16> buffer;
    const absl::StatusOr<std::size_t> count = co_await file->read_at(0, buffer);
    co_return errno_of(count.status());
  };
  EXPECT_EQ(runtime().block_on(main(directory_.path())), EISDIR);
}

TEST_P(FileTest, KnowsItsMetadata) {
  const auto main = [](std::string path) -> Task<> {
    absl::StatusOr<File> file = co_await File::open(path);
    const absl::StatusOr<FileMetadata> of_file = co_await file->metadata();
    EXPECT_TRUE(of_file.ok());
    EXPECT_EQ(of_file->size, 5u);
    EXPECT_TRUE(of_file->is_regular());
    EXPECT_FALSE(of_file->is_directory());
    const absl::StatusOr<FileMetadata> of_directory = co_await fs::metadata("/");
    EXPECT_TRUE(of_directory->is_directory());
    const absl::StatusOr<FileMetadata> of_nothing = co_await fs::metadata(path + ".missing");
    EXPECT_EQ(errno_of(of_nothing.status()), ENOENT);
  };
  runtime().block_on(main(make_file("five", "12345")));
}

TEST_P(FileTest, CreatesAFile) {
  const std::string path = directory_ / "created";
  const auto main = [](std::string name) -> Task<bool> {
    OpenOptions options;
    options.write = true;
    options.create_new = true;
    options.mode = 0600;
    absl::StatusOr<File> file = co_await File::open(name, options);
    co_return file.ok();
  };
  EXPECT_TRUE(runtime().block_on(main(path)));
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_P(FileTest, TheErrorOfACloseIsReported) {
  const auto main = []() -> Task<int> {
    File file(::dup(0));
    ::close(file.fd());
    const absl::Status status = co_await file.close();
    co_return errno_of(status);
  };
  EXPECT_EQ(runtime().block_on(main()), EBADF);
}

TEST_P(FileTest, ACloseNeedsTheFileNoMore) {
  const auto main = [](std::string path) -> Task<> {
    auto file = std::make_unique<File>(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    Task<absl::Status> closing = file->close();
    file.reset();
    const absl::Status status = co_await std::move(closing);
    EXPECT_TRUE(status.ok());
    File other(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const Task<absl::Status> never_awaited = other.close();
    EXPECT_EQ(other.fd(), -1);
  };
  runtime().block_on(main(make_file("closed", "x")));
}

// Wherever the abort meets the open, its descriptor is closed: by the task that got it, or because there is none.
TEST_P(FileTest, AnAbortedOpenLeaksNothing) {
  const auto main = [](std::string path) -> Task<> {
    for (int i = 0; i < 200; ++i) {
      JoinHandle<absl::StatusOr<File>> open = spawn(File::open(path));
      for (int turn = 0; turn < i % 8; ++turn) co_await yield_now();
      open.abort();
      const JoinResult<absl::StatusOr<File>> result = co_await std::move(open).result();
      EXPECT_TRUE(result.cancelled() || result.ok());
    }
  };
  runtime().block_on(main(make_file("plain", "x")));
}

// io_uring tries an open without waiting first, and a FIFO that is opened so for reading opens at once.
TEST_P(FileTest, OpensAFifoWithoutWaitingForItsOtherEnd) {
  const std::string path = directory_ / "fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const absl::StatusOr<File> file = runtime().block_on(File::open(path));
  EXPECT_TRUE(file.ok());
}

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string text_of(std::span<const std::byte> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

TEST_P(FileTest, WhatIsWrittenIsThere) {
  const auto main = [](std::string path) -> Task<> {
    OpenOptions options;
    options.write = true;
    options.create = true;
    options.mode = 0640;
    absl::StatusOr<File> file = co_await File::open(path, options);
    EXPECT_TRUE(file.ok()) << file.status();
    absl::Status status = co_await file->write_all_at(3, bytes("defgh"));
    EXPECT_TRUE(status.ok()) << status;
    const absl::StatusOr<std::size_t> written = co_await file->write_at(0, bytes("abc"));
    EXPECT_EQ(written.value_or(0), 3u);
    const std::array<std::span<const std::byte>, 3> parts = {bytes("IJ"), bytes(""), bytes("KL")};
    const absl::StatusOr<std::size_t> vectored = co_await file->writev_at(8, parts);
    EXPECT_EQ(vectored.value_or(0), 4u);
    status = co_await file->append(bytes("end"));  // Though it was not opened for it.
    EXPECT_TRUE(status.ok()) << status;

    std::array<std::byte, 5> first{};
    std::array<std::byte, 4> second{};
    const std::array<std::span<std::byte>, 3> buffers = {first, std::span<std::byte>(), second};
    const absl::StatusOr<std::size_t> read = co_await file->readv_at(0, buffers);
    EXPECT_EQ(read.value_or(0), 9u);
    EXPECT_EQ(text_of(first) + text_of(second), "abcdefghI");
    status = co_await file->read_exact_at(10, first);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(text_of(first), "KLend");
    status = co_await file->read_exact_at(11, first);
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(errno_of(status), 0);
    EXPECT_NE(status.message().find("4 of 5"), absl::string_view::npos) << status;
    status = co_await file->read_exact_at(1000, std::span<std::byte>());
    EXPECT_TRUE(status.ok()) << status;
    const absl::StatusOr<std::string> all = co_await file->read_all();
    EXPECT_EQ(all.value_or("?"), "abcdefghIJKLend");
    const absl::StatusOr<std::string> just = co_await file->read_all(15);
    EXPECT_EQ(just.value_or("?").size(), 15u);
    const absl::StatusOr<std::string> more = co_await file->read_all(14);
    EXPECT_EQ(more.status().code(), absl::StatusCode::kResourceExhausted);
  };
  runtime().block_on(main(directory_ / "new"));
  EXPECT_EQ(directory_.content("new"), "abcdefghIJKLend");
}

TEST_P(FileTest, SyncsAndChangesItsSize) {
  const auto main = [](std::string path) -> Task<> {
    OpenOptions options;
    options.write = true;
    absl::StatusOr<File> file = co_await File::open(path, options);
    absl::Status status = co_await file->set_len(3);
    EXPECT_TRUE(status.ok()) << status;
    status = co_await file->sync_data();
    EXPECT_TRUE(status.ok()) << status;
    status = co_await file->set_len(5000);
    EXPECT_TRUE(status.ok()) << status;
    status = co_await file->sync();
    EXPECT_TRUE(status.ok()) << status;
    const absl::StatusOr<std::string> content = co_await file->read_all();
    EXPECT_EQ(content.value_or("?"), "abc" + std::string(4997, '\0'));
    status = co_await file->allocate({.offset = 4000, .length = 4000});
    if (errno_of(status) != EOPNOTSUPP) {
      EXPECT_TRUE(status.ok()) << status;
      const absl::StatusOr<std::uint64_t> size = co_await file->size();
      EXPECT_EQ(size.value_or(0), 8000u);
    }
    const absl::StatusOr<FileMetadata> metadata = co_await file->metadata();
    const absl::StatusOr<FileMetadata> by_name = co_await fs::metadata(path);
    EXPECT_TRUE(metadata->is_same_file(*by_name));
    EXPECT_EQ(metadata->links, 1u);
    EXPECT_EQ(metadata->user, ::geteuid());
    const auto age = std::chrono::system_clock::now() - metadata->modified;
    EXPECT_LT(std::chrono::abs(age), std::chrono::hours(1));
  };
  runtime().block_on(main(make_file("sized", "abcdef")));
}

TEST_P(FileTest, OpensAsItsOptionsSay) {
  const auto open = [](std::string path, OpenOptions options) -> Task<int> {
    absl::StatusOr<File> file = co_await File::open(path, options);
    if (!file.ok()) co_return errno_of(file.status());
    if ((::fcntl(file->fd(), F_GETFD) & FD_CLOEXEC) == 0) co_return -1;
    if (!options.write && !options.append) co_return 0;
    const absl::StatusOr<std::size_t> written = co_await file->write_at(1, bytes("x"));
    co_return errno_of(written.status());
  };
  const auto opened = [&](const std::string& name, OpenOptions options) {
    return runtime().block_on(open(directory_ / name, options));
  };
  make_file("old", "abc");
  EXPECT_EQ(opened("old", {.write = true, .create_new = true}), EEXIST);
  EXPECT_EQ(opened("old", {.append = true}), 0);
  EXPECT_EQ(directory_.content("old"), "abcx");  // Wherever it was told to write.
  EXPECT_EQ(opened("old", {.write = true, .create = true}), 0);
  EXPECT_EQ(directory_.content("old"), "axcx");
  EXPECT_EQ(opened("old", {.read = false, .write = true, .truncate = true}), 0);
  EXPECT_EQ(directory_.content("old"), std::string("\0x", 2));
  EXPECT_EQ(opened("none", {.write = true}), ENOENT);
  EXPECT_EQ(opened("new", {.write = true, .create_new = true}), 0);
  EXPECT_EQ(::symlink("old", (directory_ / "link").c_str()), 0);
  EXPECT_EQ(opened("link", {}), 0);
  EXPECT_EQ(opened("link", {.no_follow = true}), ELOOP);
  EXPECT_EQ(opened("old", {.flags = O_DIRECTORY}), ENOTDIR);
  // Options that contradict each other.
  EXPECT_EQ(opened("old", {.read = false}), EINVAL);
  EXPECT_EQ(opened("old", {.create = true}), EINVAL);
  EXPECT_EQ(opened("old", {.truncate = true}), EINVAL);
  EXPECT_EQ(opened("old", {.append = true, .truncate = true}), EINVAL);
  EXPECT_EQ(opened("old", {.flags = O_RDWR}), EINVAL);
}

TEST_P(FileTest, WritesPastThePageCache) {
  const auto main = [](std::string path) -> Task<> {
    OpenOptions options;
    options.write = true;
    options.create = true;
    options.direct = true;
    absl::StatusOr<File> file = co_await File::open(path, options);
    if (errno_of(file.status()) == EINVAL) co_return;  // tmpfs before Linux 6.6.
    const absl::StatusOr<DirectAlignment> alignment = co_await file->direct_alignment();
    EXPECT_TRUE(alignment.ok()) << alignment.status();
    const std::size_t size = 4 * std::max<std::size_t>(alignment->offset, 4096);
    AlignedBuffer data(size, alignment->memory);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data.data()) % alignment->memory, 0u);
    EXPECT_EQ(data.span()[size - 1], std::byte{0});
    for (std::size_t i = 0; i < size; ++i) data.span()[i] = static_cast<std::byte>(i * 7);
    const absl::Status written = co_await file->write_all_at(0, data);
    EXPECT_TRUE(written.ok()) << written;
    AlignedBuffer back(alignment->offset, alignment->memory);
    back = AlignedBuffer(size, alignment->memory);
    const absl::Status read = co_await file->read_exact_at(0, back);
    EXPECT_TRUE(read.ok()) << read;
    EXPECT_EQ(text_of(back), text_of(data));
  };
  runtime().block_on(main(directory_ / "direct"));
}

TEST_P(FileTest, AppendsOfManyTasksStayWhole) {
  const std::string path = make_file("log", "");
  const auto writer = [](File* file, int number) -> Task<> {
    const std::string line = std::string(100, static_cast<char>('a' + number % 26)) + "\n";
    for (int i = 0; i < 10; ++i) {
      const absl::Status status = co_await file->append(bytes(line));
      EXPECT_TRUE(status.ok()) << status;
    }
  };
  const auto main = [](std::string name, decltype(writer) write) -> Task<> {
    OpenOptions options;
    options.append = true;
    absl::StatusOr<File> file = co_await File::open(name, options);
    std::vector<Task<>> tasks;
    for (int i = 0; i < 20; ++i) tasks.push_back(write(&*file, i));
    co_await when_all(std::move(tasks));
  };
  runtime().block_on(main(path, writer));
  std::istringstream lines(directory_.content("log"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_EQ(line, std::string(100, line[0]));
  }
  EXPECT_EQ(count, 200);
}

TEST_P(FileTest, ACursorReadsAndWritesOn) {
  const auto main = [](std::string path) -> Task<> {
    OpenOptions options;
    options.write = true;
    absl::StatusOr<File> file = co_await File::open(path, options);
    FileReader reader(&*file, 2);
    std::array<std::byte, 3> buffer{};
    std::string seen;
    for (;;) {
      const absl::StatusOr<std::size_t> count = co_await reader.read(buffer);
      if (!count.ok() || *count == 0) break;
      seen += text_of(std::span(buffer).first(*count));
    }
    EXPECT_EQ(seen, "cdefgh");
    EXPECT_EQ(reader.position(), 8u);
    FileWriter writer(&*file, reader.position());
    for (const char* word : {"ij", "kl"}) {
      const absl::StatusOr<std::size_t> count = co_await writer.write(bytes(word));
      EXPECT_EQ(count.value_or(0), 2u);
    }
    EXPECT_EQ(writer.position(), 12u);
    reader.set_position(11);
    const absl::StatusOr<std::size_t> last = co_await reader.read(buffer);
    EXPECT_EQ(last.value_or(0), 1u);
  };
  runtime().block_on(main(make_file("stream", "abcdefgh")));
  EXPECT_EQ(directory_.content("stream"), "abcdefghijkl");
}

// A vectored read of a FIFO waits without a thread, and can be called back.
TEST_P(FileTest, AnAbortEndsAVectoredReadOfAFifo) {
  const std::string path = directory_ / "fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto read = [](std::string name) -> Task<bool> {
    OpenOptions options;
    options.write = true;  // So that the end never comes.
    absl::StatusOr<File> file = co_await File::open(name, options);
    std::array<std::byte, 4> first{};
    std::array<std::byte, 4> second{};
    const std::array<std::span<std::byte>, 2> buffers = {first, second};
    const absl::Status written = co_await file->write_all_at(0, bytes("abcdef"));
    EXPECT_TRUE(written.ok()) << written;
    const absl::StatusOr<std::size_t> count = co_await file->readv_at(0, buffers);
    EXPECT_EQ(count.value_or(0), 6u);
    EXPECT_EQ(text_of(first), "abcd");
    const absl::StatusOr<std::size_t> never = co_await file->readv_at(0, buffers);
    co_return never.ok();
  };
  const auto main = [](Task<bool> task) -> Task<bool> {
    JoinHandle<bool> handle = spawn(std::move(task));
    for (int i = 0; i < 200; ++i) co_await yield_now();
    handle.abort();
    const JoinResult<bool> result = co_await std::move(handle).result();
    co_return result.cancelled();
  };
  EXPECT_TRUE(runtime().block_on(main(read(path))));
}

// --- What waits in the call, on either backend ----------------------------------------------------

// Descriptors that block, as a program may have them, of files that know no RWF_NOWAIT.
class WaitingFileTest : public FileTest {
 protected:
  int open_fifo(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC);
    EXPECT_EQ(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
    return fd;
  }
  std::string make_fifo() {
    std::string path = directory_ / "fifo";
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
    return path;
  }
};

class WaitingFileOnEpollTest : public WaitingFileTest {
 protected:
  RuntimeOptions adjust(RuntimeOptions options) override {
    options.io_backend = IoBackend::kEpoll;
    return options;
  }
};
SKUA_TEST_ALL_RUNTIMES(WaitingFileTest);
SKUA_TEST_ALL_RUNTIMES(WaitingFileOnEpollTest);

// More than the FIFO holds, and nobody takes it.
Task<> write_until_the_timeout(File* file, int peer) {
  const std::vector<std::byte> data(1 << 20);
  const auto write = [](File* to, const std::vector<std::byte>* from) -> Task<absl::Status> {
    co_return co_await to->write_all_at(0, *from);
  };
  const absl::Status result = co_await timeout(std::chrono::milliseconds(50), write(file, &data));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result));
  int filled = 0;
  EXPECT_EQ(::ioctl(peer, FIONREAD, &filled), 0);
  EXPECT_GT(filled, 0);
}

TEST_P(WaitingFileTest, ATimeoutEndsALongWriteOfAFifo) {
  const std::string path = make_fifo();
  const internal::UniqueFd reader(open_fifo(path, O_RDONLY));
  File file(open_fifo(path, O_WRONLY));
  runtime().block_on(write_until_the_timeout(&file, reader.get()));
}

TEST_P(WaitingFileOnEpollTest, ATimeoutEndsALongWriteOfAFifo) {
  const std::string path = make_fifo();
  const internal::UniqueFd reader(open_fifo(path, O_RDONLY));
  File file(open_fifo(path, O_WRONLY));
  runtime().block_on(write_until_the_timeout(&file, reader.get()));
}

Task<absl::StatusOr<std::size_t>> read_one(File* file) {
  std::array<std::byte, 1> byte{};
  co_return co_await file->read_at(0, byte);
}

// Both are woken by the byte, and one of them gets it.
Task<> race_for_a_byte(File* file, int writer) {
  for (int round = 0; round < 20; ++round) {
    std::array readers = {spawn(read_one(file)), spawn(read_one(file))};
    for (int i = 0; i < 20; ++i) co_await yield_now();
    EXPECT_EQ(::write(writer, "x", 1), 1);
    while (!readers[0].is_finished() && !readers[1].is_finished()) co_await yield_now();
    for (auto& reader : readers) reader.abort();
    int got = 0;
    for (auto& reader : readers) {
      const JoinResult<absl::StatusOr<std::size_t>> result = co_await std::move(reader).result();
      if (!result.cancelled()) ++got;
    }
    EXPECT_EQ(got, 1);
  }
}

TEST_P(WaitingFileOnEpollTest, OfTwoReadersOfAFifoOneGetsTheByteAndTheOtherCanBeAborted) {
  const std::string path = make_fifo();
  const internal::UniqueFd writer(open_fifo(path, O_RDWR));
  File file(open_fifo(path, O_RDONLY));
  runtime().block_on(race_for_a_byte(&file, writer.get()));
}

TEST_P(WaitingFileOnEpollTest, OfTwoReadersOfATerminalOneGetsTheByteAndTheOtherCanBeAborted) {
  const internal::UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_GE(master.get(), 0);
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  std::array<char, 64> name{};
  ASSERT_EQ(::ptsname_r(master.get(), name.data(), name.size()), 0);
  File file(::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios raw{};
  ASSERT_EQ(::tcgetattr(file.fd(), &raw), 0);
  ::cfmakeraw(&raw);
  ASSERT_EQ(::tcsetattr(file.fd(), TCSANOW, &raw), 0);
  runtime().block_on(race_for_a_byte(&file, master.get()));
}

// The last reader may go between the event and the call.
TEST_P(WaitingFileOnEpollTest, AWriteOfAFifoWithoutReadersIsAnError) {
  const std::string path = make_fifo();
  std::optional<internal::UniqueFd> reader(open_fifo(path, O_RDONLY));
  File file(open_fifo(path, O_WRONLY));
  const auto write = [](File* to) -> Task<absl::Status> {
    co_return co_await to->write_all_at(0, bytes("x"));
  };
  reader.reset();
  const auto ignored = std::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(errno_of(runtime().block_on(write(&file))), EPIPE);
  std::signal(SIGPIPE, ignored);
}

}  // namespace
}  // namespace skua
