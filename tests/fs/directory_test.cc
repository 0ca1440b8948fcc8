// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/directory.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/fs/metadata.h"
#include "skua/fs/paths.h"
#include "skua/fs/watcher.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "tests/support/runtime_fixture.h"
#include "tests/support/temp_directory.h"

namespace skua {
namespace {

class DirectoryTest : public test::RuntimeTest {
 protected:
  template <typename T>
  int error_of(Task<T> task) {
    return errno_of(runtime().block_on(std::move(task)));
  }
  void make_tree() {
    for (const char* name : {"tree", "tree/b", "tree/b/deep", "tree/empty"}) {
      ASSERT_EQ(::mkdir((directory_ / name).c_str(), 0700), 0);
    }
    for (const char* name : {"tree/a", "tree/b/x", "tree/b/deep/y", "tree/c"}) {
      directory_.make(name, name);
    }
    directory_.make("outside", "stays");
    ASSERT_EQ(::symlink("..", (directory_ / "tree/up").c_str()), 0);
  }
  std::vector<std::string> walk(const std::string& root, WalkOptions options = {}) {
    const auto main = [](std::string path, WalkOptions how) -> Task<std::vector<std::string>> {
      std::vector<std::string> seen;
      fs::Walker walker = fs::walk(path, how);
      for (;;) {
        const std::optional<WalkEntry> entry = co_await walker.next();
        if (!entry.has_value()) break;
        std::string line = entry->path.substr(path.size()) + " " + std::to_string(entry->depth);
        if (entry->type == FileType::kDirectory) line += " d";
        if (entry->type == FileType::kSymlink) line += " l";
        if (!entry->status.ok()) line += " E" + std::to_string(errno_of(entry->status));
        seen.push_back(line);
      }
      co_return seen;
    };
    return runtime().block_on(main(root, options));
  }

  const test::TempDirectory directory_;
};
SKUA_TEST_ALL_RUNTIMES(DirectoryTest);

TEST_P(DirectoryTest, ReadsADirectoryWithTypes) {
  make_tree();
  ASSERT_EQ(::mkfifo((directory_ / "tree/fifo").c_str(), 0600), 0);
  auto entries = runtime().block_on(fs::read_dir(directory_ / "tree"));
  ASSERT_TRUE(entries.ok()) << entries.status();
  std::sort(entries->begin(), entries->end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  std::string all;
  for (const DirectoryEntry& entry : *entries) {
    all += entry.name + ":" + std::to_string(static_cast<int>(entry.type)) + " ";
  }
  EXPECT_EQ(all, "a:1 b:2 c:1 empty:2 fifo:4 up:3 ");
  EXPECT_TRUE(runtime().block_on(fs::read_dir(directory_ / "tree/empty"))->empty());
  EXPECT_EQ(errno_of(runtime().block_on(fs::read_dir(directory_ / "none")).status()), ENOENT);
  EXPECT_EQ(errno_of(runtime().block_on(fs::read_dir(directory_ / "outside")).status()), ENOTDIR);
}

TEST_P(DirectoryTest, ReadsADirectoryThatTakesManyCalls) {
  // Some 140 such entries are fetched by one call.
  const std::string first = directory_.make("0", "");
  for (int i = 1; i < 400; ++i) {
    const std::string name = directory_ / (std::string(200, 'x') + std::to_string(i));
    ASSERT_EQ(::link(first.c_str(), name.c_str()), 0);
  }
  const auto entries = runtime().block_on(fs::read_dir(directory_.path()));
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->size(), 400u);
}

TEST_P(DirectoryTest, WalksATreeDepthFirstAndFollowsNoLink) {
  make_tree();
  const std::vector<std::string> everything = {" 0 d",        "/a 1",        "/b 1 d",
                                               "/b/deep 2 d", "/b/deep/y 3", "/b/x 2",
                                               "/c 1",        "/empty 1 d",  "/up 1 l"};
  EXPECT_EQ(walk(directory_ / "tree"), everything);
  EXPECT_EQ(walk(directory_ / "tree", {.depth_max = 1}),
            (std::vector<std::string>{" 0 d", "/a 1", "/b 1 d", "/c 1", "/empty 1 d", "/up 1 l"}));
  EXPECT_EQ(walk(directory_ / "outside"), (std::vector<std::string>{" 0"}));
  EXPECT_EQ(walk(directory_ / "tree/up"), (std::vector<std::string>{" 0 l"}));
  EXPECT_EQ(walk(directory_ / "none"), (std::vector<std::string>{" 0 E" + std::to_string(ENOENT)}));
}

// What cannot be read is told, and the walk goes on: by a directory that is replaced after it was given.
TEST_P(DirectoryTest, AWalkTellsErrorsAndLosesNothing) {
  make_tree();
  const auto main = [](std::string root) -> Task<> {
    std::string seen;
    fs::Walker walker = fs::walk(root);
    for (;;) {
      const std::optional<WalkEntry> entry = co_await walker.next();
      if (!entry.has_value()) break;
      seen += entry->path.substr(root.size()) + (entry->status.ok() ? " " : "! ");
      if (entry->path == root + "/b" && entry->status.ok()) {
        std::filesystem::rename(root + "/b", root + "/moved");
        std::filesystem::create_directory_symlink("/", root + "/b");
      }
      if (entry->path == root + "/empty") walker.skip_children();
    }
    EXPECT_EQ(seen, " /a /b /b! /c /empty /up ");
    const std::optional<WalkEntry> end = co_await walker.next();
    EXPECT_FALSE(end.has_value());
  };
  runtime().block_on(main(directory_ / "tree"));
}

TEST_P(DirectoryTest, CreatesDirectoriesWithWhatIsMissingAbove) {
  EXPECT_EQ(error_of(fs::create_dir(directory_ / "one", 0700)), 0);
  EXPECT_EQ(error_of(fs::create_dir(directory_ / "one")), EEXIST);
  EXPECT_EQ(error_of(fs::create_dir(directory_ / "a/b")), ENOENT);
  EXPECT_EQ(error_of(fs::create_dir_all(directory_ / "a/b//c/d/")), 0);
  EXPECT_TRUE(std::filesystem::is_directory(directory_ / "a/b/c/d"));
  EXPECT_EQ(error_of(fs::create_dir_all(directory_ / "a/b")), 0);
  EXPECT_EQ(error_of(fs::create_dir_all("/")), 0);
  directory_.make("file", "");
  EXPECT_EQ(error_of(fs::create_dir_all(directory_ / "file")), EEXIST);
  EXPECT_EQ(error_of(fs::create_dir_all(directory_ / "file/x/y")), ENOTDIR);
  EXPECT_EQ(error_of(fs::create_dir_all("")), ENOENT);
}

TEST_P(DirectoryTest, RemovesFilesLinksAndEmptyDirectories) {
  make_tree();
  EXPECT_EQ(error_of(fs::remove(directory_ / "tree/a")), 0);
  EXPECT_EQ(error_of(fs::remove(directory_ / "tree/up")), 0);
  EXPECT_EQ(error_of(fs::remove(directory_ / "tree/empty")), 0);
  EXPECT_EQ(error_of(fs::remove(directory_ / "tree/b")), ENOTEMPTY);
  EXPECT_EQ(error_of(fs::remove(directory_ / "tree/a")), ENOENT);
  EXPECT_EQ(directory_.names(), (std::vector<std::string>{"outside", "tree"}));
}

TEST_P(DirectoryTest, RemovesATreeAndNothingElse) {
  make_tree();
  ASSERT_EQ(::symlink((directory_ / "outside").c_str(), (directory_ / "tree/b/link").c_str()), 0);
  EXPECT_EQ(runtime().block_on(fs::remove_all(directory_ / "tree/")).value_or(0), 10u);
  EXPECT_EQ(directory_.names(), (std::vector<std::string>{"outside"}));
  EXPECT_EQ(runtime().block_on(fs::remove_all(directory_ / "tree")).value_or(9), 0u);
  EXPECT_EQ(runtime().block_on(fs::remove_all(directory_ / "outside")).value_or(0), 1u);
}

// unlink(2) looks at the permissions before it says that it is a directory.
TEST_P(DirectoryTest, RemovesWhatIsBelowThoughTheTopHasToStay) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may remove all";
  ASSERT_EQ(::mkdir((directory_ / "above").c_str(), 0700), 0);
  ASSERT_EQ(::mkdir((directory_ / "above/tree").c_str(), 0700), 0);
  directory_.make("above/tree/file", "x");
  ASSERT_EQ(::chmod((directory_ / "above").c_str(), 0500), 0);
  const absl::StatusOr<std::uint64_t> removed =
      runtime().block_on(fs::remove_all(directory_ / "above/tree"));
  EXPECT_EQ(errno_of(removed.status()), EACCES);
  EXPECT_NE(::access((directory_ / "above/tree/file").c_str(), F_OK), 0);
  ASSERT_EQ(::chmod((directory_ / "above").c_str(), 0700), 0);
}

TEST_P(DirectoryTest, RenamesAndLinks) {
  directory_.make("a", "a");
  directory_.make("b", "b");
  EXPECT_EQ(error_of(fs::rename(directory_ / "a", directory_ / "b", {.no_replace = true})), EEXIST);
  EXPECT_EQ(error_of(fs::rename(directory_ / "a", directory_ / "b")), 0);
  EXPECT_EQ(directory_.content("b"), "a");
  EXPECT_EQ(error_of(fs::rename(directory_ / "a", directory_ / "b")), ENOENT);
  EXPECT_EQ(error_of(fs::hard_link(directory_ / "b", directory_ / "c")), 0);
  EXPECT_EQ(error_of(fs::hard_link(directory_ / "b", directory_ / "c")), EEXIST);
  EXPECT_EQ(error_of(fs::symlink("c", directory_ / "link")), 0);
  EXPECT_EQ(error_of(fs::symlink("c", directory_ / "link")), EEXIST);
  EXPECT_EQ(runtime().block_on(fs::read_link(directory_ / "link")).value_or(""), "c");
  EXPECT_EQ(errno_of(runtime().block_on(fs::read_link(directory_ / "c")).status()), EINVAL);
  const auto of_link = runtime().block_on(fs::symlink_metadata(directory_ / "link"));
  EXPECT_TRUE(of_link->is_symlink());
  const auto of_target = runtime().block_on(fs::metadata(directory_ / "link"));
  EXPECT_TRUE(of_target->is_regular());
  EXPECT_EQ(of_target->links, 2u);
}

// --- Watching -----------------------------------------------------------------------------------

std::string text_of(const WatchEvent& event) {
  std::string text = event.name + ":";
  if (event.mask.has(WatchMask::kCreate)) text += "create";
  if (event.mask.has(WatchMask::kCloseWrite)) text += "close";
  if (event.mask.has(WatchMask::kMovedFrom)) text += "from";
  if (event.mask.has(WatchMask::kMovedTo)) text += "to";
  if (event.mask.has(WatchMask::kDelete)) text += "delete";
  if (event.mask.has(WatchMask::kIgnored)) text += "ignored";
  if (event.mask.has(WatchMask::kDirectory)) text += "/";
  return text + " ";
}

TEST_P(DirectoryTest, AWatcherTellsWhatHappens) {
  const auto main = [](const test::TempDirectory* directory) -> Task<> {
    absl::StatusOr<fs::Watcher> watcher =
        co_await fs::watch(directory->path(), WatchMask::kContents);
    EXPECT_TRUE(watcher.ok()) << watcher.status();
    directory->make("file", "content");
    std::filesystem::rename(*directory / "file", *directory / "other");
    std::filesystem::remove(*directory / "other");
    std::filesystem::create_directory(*directory / "sub");
    std::string seen;
    std::uint32_t cookie = 0;
    int watch = -1;
    for (int i = 0; i < 6; ++i) {
      const absl::StatusOr<WatchEvent> event = co_await watcher->next();
      EXPECT_TRUE(event.ok()) << event.status();
      seen += text_of(*event);
      if (event->mask.has(WatchMask::kMovedFrom)) cookie = event->cookie;
      if (event->mask.has(WatchMask::kMovedTo)) {
        EXPECT_EQ(event->cookie, cookie);
      }
      watch = event->watch;
    }
    EXPECT_EQ(seen, "file:create file:close file:from other:to other:delete sub:create/ ");
    EXPECT_NE(cookie, 0u);
    const absl::StatusOr<int> second =
        co_await watcher->add(*directory / "sub", WatchMask::kCreate);
    EXPECT_TRUE(second.ok()) << second.status();
    EXPECT_NE(*second, watch);
    EXPECT_TRUE(watcher->remove(watch).ok());
    EXPECT_EQ(errno_of(watcher->remove(watch)), EINVAL);
    directory->make("sub/seen", "");
    for (const char* expected : {":ignored ", "seen:create "}) {
      const absl::StatusOr<WatchEvent> event = co_await watcher->next();
      EXPECT_EQ(text_of(*event), expected);
    }
    const absl::StatusOr<int> none = co_await watcher->add(*directory / "none", WatchMask::kCreate);
    EXPECT_EQ(errno_of(none.status()), ENOENT);
  };
  runtime().block_on(main(&directory_));
}

TEST_P(DirectoryTest, AWatcherWaitsAndCanBeAborted) {
  const auto next = [](fs::Watcher* watcher) -> Task<std::string> {
    const absl::StatusOr<WatchEvent> event = co_await watcher->next();
    co_return event.ok() ? text_of(*event) : std::string(event.status().message());
  };
  const auto main = [](const test::TempDirectory* directory, decltype(next) wait) -> Task<> {
    absl::StatusOr<fs::Watcher> watcher = co_await fs::watch(directory->path(), WatchMask::kCreate);
    JoinHandle<std::string> aborted = spawn(wait(&*watcher));
    for (int i = 0; i < 100; ++i) co_await yield_now();
    aborted.abort();
    const JoinResult<std::string> result = co_await std::move(aborted).result();
    EXPECT_TRUE(result.cancelled());
    JoinHandle<std::string> waits = spawn(wait(&*watcher));
    for (int i = 0; i < 100; ++i) co_await yield_now();
    directory->make("late", "");
    const std::string seen = co_await std::move(waits);
    EXPECT_EQ(seen, "late:create ");
  };
  runtime().block_on(main(&directory_, next));
}

TEST_P(DirectoryTest, AWatcherTellsThatEventsWereLost) {
  std::size_t events_max = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> events_max;
  ASSERT_GT(events_max, 0u);
  if (events_max > 100'000) GTEST_SKIP() << "so many events that it would take long to lose one";
  directory_.make("a", "");
  directory_.make("b", "");
  const auto main = [](const test::TempDirectory* directory, std::size_t queued) -> Task<> {
    absl::StatusOr<fs::Watcher> watcher =
        co_await fs::watch(directory->path(), WatchMask::kAttributes);
    // By turns: the same event twice is told once.
    const std::string names[] = {*directory / "a", *directory / "b"};
    for (std::size_t i = 0; i < queued + 10; ++i) ::chmod(names[i % 2].c_str(), 0600);
    std::size_t told = 0;
    for (;; ++told) {
      const absl::StatusOr<WatchEvent> event = co_await watcher->next();
      if (!event.ok() || event->overflow()) {
        EXPECT_TRUE(event.ok()) << event.status();
        EXPECT_EQ(event->watch, -1);
        break;
      }
    }
    EXPECT_EQ(told, queued);
  };
  runtime().block_on(main(&directory_, events_max));
}

}  // namespace
}  // namespace skua
