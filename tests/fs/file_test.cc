// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/file.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

class FileTest : public test::RuntimeTest {
 protected:
  void SetUp() override {
    test::RuntimeTest::SetUp();
    std::string pattern =
        (std::filesystem::temp_directory_path() / "skua_file_test_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override {
    test::RuntimeTest::TearDown();
    std::filesystem::remove_all(directory_);
  }

  std::string make_file(const std::string& name, const std::string& content) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  std::string directory_;
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

TEST_P(FileTest, TheErrorOfAnOpenHasThePathAndTheErrno) {
  const absl::StatusOr<File> file = runtime().block_on(File::open(directory_ + "/missing"));
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
  EXPECT_EQ(runtime().block_on(main(directory_)), EISDIR);
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
  const std::string path = directory_ + "/created";
  const auto main = [](std::string name) -> Task<bool> {
    OpenOptions options;
    options.flags = O_RDWR | O_CREAT | O_EXCL;
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
  const std::string path = directory_ + "/fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const absl::StatusOr<File> file = runtime().block_on(File::open(path));
  EXPECT_TRUE(file.ok());
}

}  // namespace
}  // namespace skua
