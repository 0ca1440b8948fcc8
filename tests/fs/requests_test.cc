// SPDX-License-Identifier: Apache-2.0
//
// Faults: each request of each operation of fs/ fails, with several errors, once and for ever; is cut short; is
// delayed and overtaken; and its task is aborted when it is under way. The error reaches the caller with its errno,
// nothing leaks, nothing hangs, and no temporary file is left.
#include "fs/requests.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/fs/contents.h"
#include "skua/fs/directory.h"
#include "skua/fs/file.h"
#include "skua/fs/paths.h"
#include "skua/fs/watcher.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/sync/event.h"
#include "tests/support/driver_fixture.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/leak_check.h"
#include "tests/support/temp_directory.h"

namespace skua {
namespace {

using internal::IoRequest;
using Fault = test::FaultPlan::Fault;

// The numbers of io_uring, whose header stays in fs/ and io_driver/. A wrong one would cut no request short, and the
// test says so.
enum Opcode : std::uint8_t { kReadv = 1, kWritev = 2, kClose = 19, kRead = 22, kWrite = 23 };

constexpr std::string_view kOld = "the old content";
constexpr std::string_view kNew = "what is new is longer, and is written in several parts";

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// --- The operations: each is done in a directory with "file", "tree/a", "tree/sub/b" -------------

Task<absl::Status> reads_a_file(std::string directory) {
  const absl::StatusOr<std::string> content = co_await fs::read_file(directory + "/file");
  if (!content.ok()) co_return content.status();
  EXPECT_EQ(*content, kOld);
  co_return absl::OkStatus();
}

Task<absl::Status> writes_in_place(std::string directory) {
  co_return co_await fs::write_file(directory + "/file", std::string(kNew), {.sync = true});
}

Task<absl::Status> replaces_atomically(std::string directory) {
  co_return co_await fs::write_file(directory + "/file", std::string(kNew), {.atomic = true});
}

Task<absl::Status> copies(std::string directory) {
  const absl::StatusOr<std::uint64_t> size =
      co_await fs::copy(directory + "/file", directory + "/copy");
  if (!size.ok()) co_return size.status();
  EXPECT_EQ(*size, kOld.size());
  EXPECT_EQ(std::filesystem::file_size(directory + "/copy"), kOld.size());
  co_return absl::OkStatus();
}

Task<absl::Status> uses_a_file(std::string directory) {
  OpenOptions options;
  options.write = true;
  absl::StatusOr<File> file = co_await File::open(directory + "/file", options);
  if (!file.ok()) co_return file.status();
  const absl::StatusOr<DirectAlignment> alignment = co_await file->direct_alignment();
  if (!alignment.ok()) co_return alignment.status();
  absl::Status status = co_await file->allocate({.offset = 0, .length = 100});
  if (!status.ok()) co_return status;
  status = co_await file->set_len(4);
  if (!status.ok()) co_return status;
  status = co_await file->write_all_at(4, bytes("efghij"));
  if (!status.ok()) co_return status;
  status = co_await file->append(bytes("klmn"));
  if (!status.ok()) co_return status;
  const std::array<std::span<const std::byte>, 2> parts = {bytes("ab"), bytes("cd")};
  const absl::StatusOr<std::size_t> written = co_await file->writev_at(0, parts);
  if (!written.ok()) co_return written.status();
  EXPECT_GE(*written, 2u);
  status = co_await file->sync();
  if (!status.ok()) co_return status;
  status = co_await file->sync_data();
  if (!status.ok()) co_return status;
  std::array<std::byte, 4> first{};
  std::array<std::byte, 6> second{};
  const std::array<std::span<std::byte>, 2> buffers = {first, second};
  const absl::StatusOr<std::size_t> read = co_await file->readv_at(4, buffers);
  if (!read.ok()) co_return read.status();
  EXPECT_GE(*read, 4u);
  status = co_await file->read_exact_at(8, second);
  if (!status.ok()) co_return status;
  EXPECT_EQ(second[5], std::byte{'n'});
  const absl::StatusOr<std::uint64_t> size = co_await file->size();
  if (!size.ok()) co_return size.status();
  EXPECT_EQ(*size, 14u);
  co_return co_await file->close();
}

Task<absl::Status> creates_directories(std::string directory) {
  co_return co_await fs::create_dir_all(directory + "/file2/b/c");
}

Task<absl::Status> removes_a_tree(std::string directory) {
  const absl::StatusOr<std::uint64_t> removed = co_await fs::remove_all(directory + "/tree");
  if (!removed.ok()) co_return removed.status();
  EXPECT_FALSE(std::filesystem::exists(directory + "/tree"));
  co_return absl::OkStatus();
}

Task<absl::Status> lists_a_directory(std::string directory) {
  const auto entries = co_await fs::read_dir(directory + "/tree");
  if (!entries.ok()) co_return entries.status();
  EXPECT_EQ(entries->size(), 2u);
  co_return absl::OkStatus();
}

Task<absl::Status> walks(std::string directory) {
  absl::Status first_error;
  int count = 0;
  fs::Walker walker = fs::walk(directory + "/tree");
  for (;;) {
    const std::optional<WalkEntry> entry = co_await walker.next();
    if (!entry.has_value()) break;
    ++count;
    if (!entry->status.ok() && first_error.ok()) first_error = entry->status;
  }
  if (first_error.ok()) {
    EXPECT_EQ(count, 4);
  }
  co_return first_error;
}

Task<absl::Status> changes_names(std::string directory) {
  const std::string file = directory + "/file";
  const std::string other = directory + "/other";
  absl::Status status = co_await fs::rename(file, other);
  if (!status.ok()) co_return status;
  status = co_await fs::hard_link(other, file);
  if (!status.ok()) co_return status;
  status = co_await fs::remove(other);
  if (!status.ok()) co_return status;
  status = co_await fs::symlink("file", other);
  if (!status.ok()) co_return status;
  const absl::StatusOr<std::string> target = co_await fs::read_link(other);
  if (!target.ok()) co_return target.status();
  EXPECT_EQ(*target, "file");
  const absl::StatusOr<FileMetadata> metadata = co_await fs::symlink_metadata(other);
  co_return metadata.status();
}

Task<absl::Status> watches(std::string directory) {
  absl::StatusOr<fs::Watcher> watcher = co_await fs::watch(directory, WatchMask::kCreate);
  co_return watcher.status();
}

struct Operation {
  const char* name;
  Task<absl::Status> (*run)(std::string directory);
};
constexpr Operation kOperations[] = {
    {"reads_a_file", &reads_a_file},
    {"writes_in_place", &writes_in_place},
    {"replaces_atomically", &replaces_atomically},
    {"copies", &copies},
    {"uses_a_file", &uses_a_file},
    {"creates_directories", &creates_directories},
    {"removes_a_tree", &removes_a_tree},
    {"lists_a_directory", &lists_a_directory},
    {"walks", &walks},
    {"changes_names", &changes_names},
    {"watches", &watches},
};

// --- What befalls them --------------------------------------------------------------------------

class FileFaultTest : public testing::TestWithParam<IoBackend> {
 protected:
  void SetUp() override {
    internal::DriverOptions options;
    options.ring_entries = 8;
    options.backend = GetParam();
    options.calls = &calls_;
    options.wrap = [this](std::unique_ptr<internal::Backend> inner) {
      return std::make_unique<test::FaultyBackend>(std::move(inner), plan_);
    };
    // One worker, so that a task runs no further than to its request while the choice about that is made.
    runtime_ = std::make_unique<test::DriverRuntime>(1, std::move(options));
  }
  void TearDown() override {
    runtime_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }

  static void prepare(const test::TempDirectory& directory) {
    directory.make("file", std::string(kOld));
    ASSERT_EQ(::mkdir((directory / "tree").c_str(), 0700), 0);
    ASSERT_EQ(::mkdir((directory / "tree/sub").c_str(), 0700), 0);
    directory.make("tree/a", "a");
    directory.make("tree/sub/b", "b");
  }

  // What must hold afterwards, whatever happened.
  void check(const test::TempDirectory& directory, const Operation& operation) {
    EXPECT_EQ(runtime_->driver().in_flight(), 0);
    for (const std::string& name : directory.names()) EXPECT_EQ(name.find(".skua"), name.npos);
    if (operation.run == &replaces_atomically) {
      const std::string content = directory.content("file");
      EXPECT_TRUE(content == kOld || content == kNew) << content;
    }
  }

  // Runs the operation while `choose` tells what becomes of its request number i. Returns its result; nullopt: aborted.
  using Choose = std::function<Fault(int i, const IoRequest&)>;
  std::optional<absl::Status> run(const Operation& operation, Choose choose) {
    const test::TempDirectory directory;
    prepare(directory);
    requests_ = 0;
    plan_->set_choice([this, choose = std::move(choose)](const IoRequest& request, std::mt19937&) {
      Fault fault = choose(requests_++, request);
      // A close that fails has closed.
      if (request.opcode == kClose) fault.carried_out = true;
      return fault;
    });
    const auto main = [](FileFaultTest* test, Task<absl::Status> task,
                         Event* ended) -> Task<std::optional<absl::Status>> {
      const auto tell = [](Task<absl::Status> inner, Event* event) -> Task<absl::Status> {
        const SetAtEnd at_end(event);
        co_return co_await std::move(inner);
      };
      test->victim_.emplace(spawn(tell(std::move(task), ended)));
      co_await ended->wait();
      JoinResult<absl::Status> result = co_await std::move(*test->victim_).result();
      test->victim_.reset();
      if (result.cancelled()) co_return std::nullopt;
      co_return std::move(result).value();
    };
    Event ended;
    std::optional<absl::Status> status =
        runtime_->block_on(main(this, operation.run(directory.path()), &ended));
    plan_->set_choice(nullptr);
    check(directory, operation);
    return status;
  }

  // Says that the task has ended, whatever way.
  class SetAtEnd {
   public:
    explicit SetAtEnd(Event* event) : event_(event) {}
    SetAtEnd(const SetAtEnd&) = delete;
    SetAtEnd& operator=(const SetAtEnd&) = delete;
    ~SetAtEnd() { event_->set(); }

   private:
    Event* const event_;
  };

  const test::LeakCheck leaks_;
  test::FaultyCalls calls_;
  const std::shared_ptr<test::FaultPlan> plan_ = std::make_shared<test::FaultPlan>(20'26);
  std::unique_ptr<test::DriverRuntime> runtime_;
  std::optional<JoinHandle<absl::Status>> victim_;
  // Of the operation that runs. Its worker.
  int requests_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Backends, FileFaultTest,
                         testing::Values(IoBackend::kUring, IoBackend::kEpoll),
                         [](const testing::TestParamInfo<IoBackend>& info) {
                           return info.param == IoBackend::kUring ? "uring" : "epoll";
                         });

TEST_P(FileFaultTest, EveryErrorOfEveryRequestReachesTheCaller) {
  for (const Operation& operation : kOperations) {
    const auto clean = run(operation, [](int, const IoRequest&) { return Fault{}; });
    ASSERT_TRUE(clean.has_value() && clean->ok()) << operation.name << ": " << *clean;
    const int count = requests_;
    ASSERT_GT(count, 0) << operation.name;
    for (int victim = 0; victim < count; ++victim) {
      // One that nobody knows among them.
      constexpr int kErrors[] = {EIO, ENOSPC, ENOMEM, EMFILE, 4000};
      const int error = kErrors[victim % 5];
      for (const bool for_ever : {false, true}) {
        SCOPED_TRACE(std::string(operation.name) + ", request " + std::to_string(victim) +
                     ", errno " + std::to_string(error) + (for_ever ? " for ever" : ""));
        const auto status = run(operation, [=](int i, const IoRequest&) {
          return Fault{.result = i == victim || (for_ever && i > victim) ? -error : 0};
        });
        ASSERT_TRUE(status.has_value());
        EXPECT_EQ(errno_of(*status), error) << *status;
      }
      // A signal: it is done again where nothing was done, and told where that is uncertain.
      const auto status = run(operation, [=](int i, const IoRequest&) {
        return Fault{.result = i == victim ? -EINTR : 0};
      });
      ASSERT_TRUE(status.has_value());
      EXPECT_TRUE(status->ok() || errno_of(*status) == EINTR) << operation.name << *status;
    }
  }
}

TEST_P(FileFaultTest, AnAbortAtEveryRequestLeavesNothingBehind) {
  for (const Operation& operation : kOperations) {
    for (const double delays : {0.0, 0.5}) {
      plan_->set_delays(delays);
      bool met = true;
      for (int victim = 0; met; ++victim) {
        SCOPED_TRACE(std::string(operation.name) + " aborted at request " + std::to_string(victim));
        met = false;
        const auto status = run(operation, [&](int i, const IoRequest&) {
          if (i == victim) {
            met = true;
            victim_->abort();
          }
          return Fault{};
        });
        // The last request's result may be the task's, too.
        if (!met) {
          EXPECT_TRUE(status.has_value() && status->ok());
        }
      }
    }
    plan_->set_delays(0);
  }
}

TEST_P(FileFaultTest, ShortTransfersDelaysAndRefusalsChangeNothing) {
  plan_->set_delays(0.3);
  plan_->set_refusals(0.2);
  int cut = 0;
  for (const Operation& operation : kOperations) {
    for (int round = 0; round < 5; ++round) {
      SCOPED_TRACE(operation.name);
      const auto status = run(operation, [&](int i, const IoRequest& request) {
        const bool counts_bytes = request.opcode == kRead || request.opcode == kWrite;
        const bool counts_buffers = request.opcode == kReadv || request.opcode == kWritev;
        if (!counts_bytes && !counts_buffers) return Fault{};
        ++cut;
        const std::uint32_t length = counts_buffers ? 1 : 1 + static_cast<std::uint32_t>(i) % 7;
        return Fault{.length = std::min(length, request.len)};
      });
      ASSERT_TRUE(status.has_value());
      EXPECT_TRUE(status->ok()) << *status;
    }
  }
  EXPECT_GT(cut, 50);
}

// Events are read as a socket is, without a request.
TEST_P(FileFaultTest, AWatcherTellsTheErrorOfAReadAndGoesOn) {
  const auto main = [](const test::TempDirectory* directory, test::FaultyCalls* calls) -> Task<> {
    absl::StatusOr<fs::Watcher> watcher = co_await fs::watch(directory->path(), WatchMask::kCreate);
    directory->make("made", "");
    calls->fail_next(test::Call::kReceive, {EINTR, EIO, EAGAIN});
    absl::StatusOr<WatchEvent> event = co_await watcher->next();
    EXPECT_EQ(errno_of(event.status()), EIO);
    event = co_await watcher->next();
    EXPECT_TRUE(event.ok()) << event.status();
    EXPECT_EQ(event->name, "made");
  };
  const test::TempDirectory directory;
  runtime_->block_on(main(&directory, &calls_));
}

// The kernel cannot copy between the two files: it is done by a buffer.
TEST_P(FileFaultTest, ACopyFallsBackToReadsAndWrites) {
  const Operation operation{"copies", &copies};
  for (const int error : {EXDEV, EINVAL, EOPNOTSUPP, ENOSYS}) {
    int calls = 0;
    const auto status = run(operation, [&](int, const IoRequest& request) {
      if (request.opcode != IoRequest::kCallOpcode) return Fault{};
      // The first finds the data, the second copies them, the last changes the mode.
      return Fault{.result = ++calls == 2 ? -error : 0};
    });
    ASSERT_TRUE(status.has_value());
    EXPECT_TRUE(status->ok()) << *status;
    EXPECT_EQ(calls, 3);
  }
}

}  // namespace
}  // namespace skua
