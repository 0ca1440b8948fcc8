// SPDX-License-Identifier: Apache-2.0
//
// Faults below the driver: whatever an operation meets reaches its caller, nothing leaks, and nothing hangs.
#include "io_driver/backend.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/fs/file.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/time.h"
#include "tests/support/driver_fixture.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/leak_check.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using internal::IoRequest;
using Fault = test::FaultPlan::Fault;

// The numbers of io_uring, whose header stays in io_driver/. A wrong one would be met by no request, and the tests
// fail.
enum Opcode : std::uint8_t { kOpenAt = 18, kClose = 19, kStatx = 21, kRead = 22 };

class FaultTest : public testing::TestWithParam<std::tuple<IoBackend, int>> {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "skua_backend_test_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    for (int i = 0; i < 26 * 40; ++i) content_ += static_cast<char>('a' + i % 26);
    std::ofstream(path(), std::ios::binary) << content_;
    internal::DriverOptions options;
    options.ring_entries = 8;
    options.backend = std::get<0>(GetParam());
    options.wrap = [this](std::unique_ptr<internal::Backend> inner) {
      return std::make_unique<test::FaultyBackend>(std::move(inner), plan_);
    };
    runtime_ = std::make_unique<test::DriverRuntime>(std::get<1>(GetParam()), std::move(options));
  }
  void TearDown() override {
    runtime_.reset();
    std::filesystem::remove_all(directory_);
    EXPECT_EQ(leaks_.report(), "");
  }

  // Faults from here on befall every request with `opcode`.
  void befall(Opcode opcode, Fault fault) {
    plan_->set_choice([opcode, fault](const IoRequest& request, std::mt19937&) {
      return request.opcode == opcode ? fault : Fault{};
    });
  }
  std::string path() const { return directory_ + "/file"; }
  std::int64_t in_flight() const { return runtime_->driver().in_flight(); }

  const test::LeakCheck leaks_;
  const std::shared_ptr<test::FaultPlan> plan_ = std::make_shared<test::FaultPlan>(20'26);
  std::string directory_;
  std::string content_;
  std::unique_ptr<test::DriverRuntime> runtime_;
};

INSTANTIATE_TEST_SUITE_P(Backends, FaultTest,
                         testing::Combine(testing::Values(IoBackend::kUring, IoBackend::kEpoll),
                                          testing::Values(1, 2, 4)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) == IoBackend::kUring
                                                  ? "uring_"
                                                  : "epoll_") +
                                  std::to_string(std::get<1>(info.param)) + "_workers";
                         });

// The errno of each step: open, metadata, read, close.
Task<std::array<int, 4>> four_steps(std::string path) {
  std::array<int, 4> errors{};
  absl::StatusOr<File> file = co_await File::open(path);
  errors[0] = errno_of(file.status());
  if (!file.ok()) co_return errors;
  const absl::StatusOr<FileMetadata> metadata = co_await file->metadata();
  errors[1] = errno_of(metadata.status());
  std::array<std::byte, 64> buffer;
  const absl::StatusOr<std::size_t> count = co_await file->read_at(0, buffer);
  errors[2] = errno_of(count.status());
  const absl::Status closed = co_await file->close();
  errors[3] = errno_of(closed);
  co_return errors;
}

Task<std::string> read_whole(std::string path, std::size_t chunk) {
  absl::StatusOr<File> file = co_await File::open(path);
  if (!file.ok()) co_return "";
  std::string content;
  std::vector<std::byte> buffer(chunk);
  for (;;) {
    const absl::StatusOr<std::size_t> count = co_await file->read_at(content.size(), buffer);
    if (!count.ok() || *count == 0) co_return content;
    content.append(reinterpret_cast<const char*>(buffer.data()), *count);
  }
}

TEST_P(FaultTest, EveryOperationReportsTheErrorThatItMeets) {
  constexpr std::array<Opcode, 4> kSteps{kOpenAt, kStatx, kRead, kClose};
  for (const int error : {EIO, ENOSPC, ECONNRESET, ENOMEM, EMFILE, EINVAL, EAGAIN, EPIPE}) {
    for (std::size_t step = 0; step < kSteps.size(); ++step) {
      // A close does close: else the test itself would leak.
      befall(kSteps[step], {.result = -error, .carried_out = kSteps[step] == kClose});
      std::array<int, 4> expected{};
      expected[step] = error;
      const std::array<int, 4> errors = runtime_->block_on(four_steps(path()));
      EXPECT_EQ(errors, expected) << "step " << step << ", errno " << error;
      EXPECT_EQ(in_flight(), 0);
    }
  }
}

// By the kernel's own completions, after which it says nothing more: the second one is met on the way to sleep.
TEST_P(FaultTest, AReadThatIsInterruptedAgainIsNotSleptOver) {
  for (int times = 1; times < 6; ++times) {
    auto interruptions = std::make_shared<std::atomic<int>>(times);
    plan_->set_choice([interruptions](const IoRequest& request, std::mt19937&) {
      const bool hit = request.opcode == kRead && interruptions->fetch_sub(1) > 0;
      return Fault{.result = hit ? -EINTR : 0, .carried_out = hit};
    });
    EXPECT_EQ(runtime_->block_on(four_steps(path())), (std::array<int, 4>{}));
  }
}

// A read does it again. A close has closed all the same, and says so.
TEST_P(FaultTest, AnInterruptedReadIsDoneAgain) {
  auto interruptions = std::make_shared<std::atomic<int>>(3);
  plan_->set_choice([interruptions](const IoRequest& request, std::mt19937&) {
    const bool hit = request.opcode == kRead && interruptions->fetch_sub(1) > 0;
    return Fault{.result = hit ? -EINTR : 0};
  });
  EXPECT_EQ(runtime_->block_on(read_whole(path(), 4096)), content_);
  EXPECT_LE(interruptions->load(), 0);
  befall(kClose, {.result = -EINTR, .carried_out = true});
  const std::array<int, 4> errors = runtime_->block_on(four_steps(path()));
  EXPECT_EQ(errors[3], EINTR);
}

// io_uring cancels what a thread has submitted when the thread exits: nobody asked for that, so it is done again.
TEST_P(FaultTest, ARequestThatTheKernelHasLostIsDoneAgain) {
  if (std::get<0>(GetParam()) != IoBackend::kUring) return;
  auto losses = std::make_shared<std::atomic<int>>(5);
  plan_->set_choice([losses](const IoRequest&, std::mt19937&) {
    return Fault{.result = losses->fetch_sub(1) > 0 ? -ECANCELED : 0};
  });
  EXPECT_EQ(runtime_->block_on(read_whole(path(), 4096)), content_);
  EXPECT_LE(losses->load(), 0);
}

TEST_P(FaultTest, ShortTransfersAreCountedAsTheyAre) {
  befall(kRead, {.length = 7});
  EXPECT_EQ(runtime_->block_on(read_whole(path(), 4096)), content_);
}

// Goal: however completions are delayed and reordered, requests refused and system calls interrupted, each task gets
// its own result, and an abort meets every state of an operation. Method: many readers, some of them aborted, below a
// layer that does all this at random, from a fixed seed.
TEST_P(FaultTest, AStormOfFaultsLosesNothing) {
  plan_->set_refusals(0.2);
  plan_->set_delays(0.3);
  plan_->set_choice([](const IoRequest& request, std::mt19937& random) {
    const auto dice = static_cast<std::uint32_t>(random() % 16);
    if (request.opcode == kRead && dice == 0) return Fault{.result = -EIO};
    if (request.opcode == kRead && dice < 4) return Fault{.length = 1 + dice};
    if (request.opcode == kOpenAt && dice == 5) return Fault{.result = -EMFILE};
    return Fault{};
  });
  const auto main = [](std::string file, std::string expected) -> Task<int> {
    int whole = 0;
    for (int round = 0; round < 8; ++round) {
      std::vector<JoinHandle<std::string>> readers;
      for (int i = 0; i < 40; ++i) {
        readers.push_back(spawn(read_whole(file, static_cast<std::size_t>(100 + 300 * i))));
      }
      for (int turn = 0; turn < round; ++turn) co_await yield_now();
      for (std::size_t i = 0; i < readers.size(); i += 5) readers[i].abort();
      for (JoinHandle<std::string>& reader : readers) {
        JoinResult<std::string> result = co_await std::move(reader).result();
        if (result.cancelled()) continue;
        // What came is a beginning of the file, whatever stopped it.
        EXPECT_TRUE(expected.starts_with(result.value()));
        if (result.value() == expected) ++whole;
      }
    }
    co_return whole;
  };
  EXPECT_GT(runtime_->block_on(main(path(), content_)), 0);
  EXPECT_EQ(in_flight(), 0);
}

// The same for tasks that the shutdown ends.
TEST_P(FaultTest, AShutdownInAStormEndsEverything) {
  plan_->set_refusals(0.2);
  plan_->set_delays(0.3);
  const auto main = [](std::string file) -> Task<> {
    for (int i = 0; i < 60; ++i) {
      spawn([](std::string name) -> Task<> {
        for (;;) co_await read_whole(name, 200);
      }(file));
    }
    co_await sleep_for(5ms);
  };
  runtime_->block_on(main(path()));
}

// An eventfd of the driver, timers, tasks: all go on if the calls that they sleep by are interrupted.
TEST_P(FaultTest, TimersGoOnThoughEverySecondWaitFails) {
  plan_->set_refusals(0.5);
  const auto main = []() -> Task<> {
    for (int i = 0; i < 50; ++i) co_await sleep_for(1ms);
  };
  runtime_->block_on(main());
}

}  // namespace
}  // namespace skua
