// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/contents.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "tests/support/runtime_fixture.h"
#include "tests/support/temp_directory.h"

namespace skua {
namespace {

class ContentsTest : public test::RuntimeTest {
 protected:
  absl::StatusOr<std::string> read(const std::string& path, fs::ReadFileOptions options = {}) {
    return runtime().block_on(fs::read_file(path, options));
  }
  absl::Status write(const std::string& name, std::string data, fs::WriteFileOptions options = {}) {
    return runtime().block_on(fs::write_file(directory_ / name, std::move(data), options));
  }
  int copy_error(const std::string& from, const std::string& to) {
    return errno_of(runtime().block_on(fs::copy(from, to)).status());
  }
  unsigned permissions(const std::string& name) {
    struct stat metadata{};
    EXPECT_EQ(::stat((directory_ / name).c_str(), &metadata), 0);
    return metadata.st_mode & 07777U;
  }

  const test::TempDirectory directory_;
};
SKUA_TEST_ALL_RUNTIMES(ContentsTest);

TEST_P(ContentsTest, ReadsWholeFiles) {
  std::string large;
  for (int i = 0; i < 100'000; ++i) large += std::to_string(i);
  for (const std::string& content :
       {std::string(), std::string("x"), std::string(4096, 'y'), large}) {
    directory_.make("file", content);
    const absl::StatusOr<std::string> read_back = read(directory_ / "file");
    ASSERT_TRUE(read_back.ok()) << read_back.status();
    EXPECT_EQ(*read_back, content);
  }
  // Its size says 0.
  const absl::StatusOr<std::string> of_kernel = read("/proc/self/status");
  ASSERT_TRUE(of_kernel.ok());
  EXPECT_NE(of_kernel->find("Threads:"), std::string::npos);
  EXPECT_EQ(read(directory_ / "file", {.size_max = large.size()}).value_or("").size(),
            large.size());
  const absl::Status too_large = read(directory_ / "file", {.size_max = 10}).status();
  EXPECT_EQ(too_large.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(too_large.message().find("file"), absl::string_view::npos);
  EXPECT_EQ(read("/proc/self/status", {.size_max = 10}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(errno_of(read(directory_.path()).status()), EISDIR);
  EXPECT_EQ(errno_of(read(directory_ / "none").status()), ENOENT);
}

TEST_P(ContentsTest, WritesInPlaceThroughALink) {
  directory_.make("old", "a long content");
  ASSERT_EQ(::symlink("old", (directory_ / "link").c_str()), 0);
  EXPECT_TRUE(write("link", "short", {.sync = true}).ok());
  EXPECT_EQ(directory_.content("old"), "short");
  EXPECT_TRUE(write("new", "", {.mode = 0600}).ok());
  EXPECT_EQ(permissions("new"), 0600u);
  EXPECT_EQ(errno_of(write("none/file", "x")), ENOENT);
}

TEST_P(ContentsTest, ReplacesAtomically) {
  directory_.make("old", "old");
  ASSERT_EQ(::symlink("old", (directory_ / "link").c_str()), 0);
  const int reader = ::open((directory_ / "old").c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_TRUE(write("old", std::string(100'000, 'n'), {.mode = 0640, .atomic = true}).ok());
  EXPECT_EQ(directory_.content("old"), std::string(100'000, 'n'));
  EXPECT_EQ(permissions("old") & 0700U, 0600u);
  char seen[8] = {};
  EXPECT_EQ(::read(reader, seen, sizeof(seen)), 3);  // Who has it open still sees the old one.
  EXPECT_EQ(std::string(seen), "old");
  ::close(reader);
  EXPECT_TRUE(write("link", "no link any more", {.atomic = true}).ok());
  EXPECT_EQ(directory_.content("link"), "no link any more");
  EXPECT_EQ(directory_.content("old").size(), 100'000u);

  ASSERT_EQ(::mkdir((directory_ / "directory").c_str(), 0700), 0);
  EXPECT_EQ(errno_of(write("directory", "x", {.atomic = true})), EISDIR);
  EXPECT_EQ(errno_of(write("directory/", "x", {.atomic = true})), EISDIR);
  EXPECT_EQ(errno_of(write("none/file", "x", {.atomic = true})), ENOENT);
  EXPECT_EQ(directory_.names(), (std::vector<std::string>{"directory", "link", "old"}));
}

TEST_P(ContentsTest, ReadersOfAnAtomicallyReplacedFileNeverSeeAPart) {
  directory_.make("file", std::string(50'000, '0'));
  const auto writer = [](std::string path) -> Task<> {
    for (char c = '1'; c <= '9'; ++c) {
      const absl::Status status =
          co_await fs::write_file(path, std::string(50'000, c), {.atomic = true});
      EXPECT_TRUE(status.ok()) << status;
    }
  };
  const auto reader = [](std::string path) -> Task<> {
    for (std::string content; content.empty() || content[0] != '9';) {
      absl::StatusOr<std::string> next = co_await fs::read_file(path);
      EXPECT_TRUE(next.ok()) << next.status();
      content = *std::move(next);
      EXPECT_EQ(content, std::string(50'000, content[0]));
    }
  };
  const auto main = [](Task<> a, Task<> b, Task<> c) -> Task<> {
    co_await when_all(std::move(a), std::move(b), std::move(c));
  };
  const std::string path = directory_ / "file";
  runtime().block_on(main(writer(path), reader(path), reader(path)));
}

TEST_P(ContentsTest, CopiesContentModeAndHoles) {
  const std::string from = directory_.make("from", "");
  const int fd = ::open(from.c_str(), O_WRONLY | O_CLOEXEC);
  constexpr off_t kSize = 3 << 20;
  ASSERT_EQ(::pwrite(fd, "begin", 5, 1 << 19), 5);
  ASSERT_EQ(::pwrite(fd, "middle", 6, 2 << 20), 6);
  ASSERT_EQ(::ftruncate(fd, kSize), 0);
  ASSERT_EQ(::fchmod(fd, 0751), 0);
  ::close(fd);
  directory_.make("to", std::string(100, 'z'));
  const absl::StatusOr<std::uint64_t> size = runtime().block_on(fs::copy(from, directory_ / "to"));
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(*size, static_cast<std::uint64_t>(kSize));
  EXPECT_TRUE(directory_.content("to") == directory_.content("from"));
  EXPECT_EQ(permissions("to"), 0751u);
  struct stat old_one{};
  struct stat new_one{};
  ASSERT_EQ(::stat(from.c_str(), &old_one), 0);
  ASSERT_EQ(::stat((directory_ / "to").c_str(), &new_one), 0);
  EXPECT_LE(new_one.st_blocks, old_one.st_blocks + 64);  // Some file systems round.

  // From another file system, whose sizes say 0: by a buffer.
  const absl::StatusOr<std::uint64_t> of_kernel =
      runtime().block_on(fs::copy("/proc/version", directory_ / "version"));
  ASSERT_TRUE(of_kernel.ok()) << of_kernel.status();
  EXPECT_EQ(directory_.content("version").size(), *of_kernel);
  EXPECT_GT(*of_kernel, 0u);
}

// Files of sysfs say 4096, and have less.
TEST_P(ContentsTest, CopiesNoMoreThanThereIs) {
  const std::string source = "/sys/kernel/mm/transparent_hugepage/enabled";
  const absl::StatusOr<std::string> content = read(source);
  if (!content.ok()) GTEST_SKIP() << content.status();
  const absl::StatusOr<std::uint64_t> size =
      runtime().block_on(fs::copy(source, directory_ / "copy"));
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(*size, content->size());
  EXPECT_EQ(directory_.content("copy"), *content);
}

TEST_P(ContentsTest, DoesNotCopyWhatItWouldDestroyOrCannot) {
  const std::string from = directory_.make("from", "content");
  ASSERT_EQ(::link(from.c_str(), (directory_ / "same").c_str()), 0);
  EXPECT_EQ(copy_error(from, from), EINVAL);
  EXPECT_EQ(copy_error(from, directory_ / "same"), EINVAL);
  EXPECT_EQ(directory_.content("from"), "content");
  EXPECT_EQ(copy_error(directory_.path(), directory_ / "to"), EISDIR);
  EXPECT_EQ(copy_error("/dev/null", directory_ / "to"), EINVAL);
  EXPECT_EQ(copy_error(from, directory_.path()), EISDIR);
  EXPECT_EQ(copy_error(directory_ / "none", directory_ / "to"), ENOENT);
}

}  // namespace
}  // namespace skua
