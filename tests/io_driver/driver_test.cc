// SPDX-License-Identifier: Apache-2.0
#include "io_driver/driver.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <memory>
#include <optional>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/fs/file.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/time.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

class DriverTest : public test::RuntimeTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(::pipe2(pipe_.data(), O_CLOEXEC), 0);
    test::RuntimeTest::SetUp();
  }
  void TearDown() override {
    stop();
    ::close(pipe_[0]);
    ::close(pipe_[1]);
    test::RuntimeTest::TearDown();
  }
  void write_byte(char value) { ASSERT_EQ(::write(pipe_[1], &value, 1), 1); }

  std::array<int, 2> pipe_{};
};
SKUA_TEST_ALL_RUNTIMES(DriverTest);

// Reads a byte of a pipe: an operation that stays in flight until somebody writes.
Task<int> read_pipe(int fd) {
  File file(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  std::array<std::byte, 1> buffer{};
  const absl::StatusOr<std::size_t> count = co_await file.read_at(0, buffer);
  if (!count.ok()) co_return -errno_of(count.status());
  co_return static_cast<int>(buffer[0]);
}

TEST_P(DriverTest, WakesATaskWhenItsOperationIsDone) {
  JoinHandle<int> reader = runtime().spawn(read_pipe(pipe_[0]));
  write_byte(42);
  const auto join = [](JoinHandle<int> handle) -> Task<int> {
    co_return co_await std::move(handle);
  };
  EXPECT_EQ(runtime().block_on(join(std::move(reader))), 42);
}

TEST_P(DriverTest, EndsAnOperationWhoseTaskIsAborted) {
  const auto main = [](int fd) -> Task<> {
    for (int round = 0; round < 50; ++round) {
      JoinHandle<int> reader = spawn(read_pipe(fd));
      for (int turn = 0; turn < round % 5; ++turn) co_await yield_now();
      if (round % 7 == 0) co_await sleep_for(1ms);
      reader.abort();
      const JoinResult<int> result = co_await std::move(reader).result();
      EXPECT_TRUE(result.cancelled());
    }
  };
  runtime().block_on(main(pipe_[0]));
  EXPECT_EQ(runtime().metrics().io_in_flight, 0);
}

TEST_P(DriverTest, AnAbortFromAPlainThreadReachesTheKernel) {
  JoinHandle<int> reader = runtime().spawn(read_pipe(pipe_[0]));
  std::thread aborter([&] {
    if (multi_thread()) {
      EXPECT_TRUE(test::eventually([&] { return runtime().metrics().io_in_flight == 1; }));
    }
    reader.abort();
  });
  aborter.join();
  const auto join = [](JoinHandle<int> handle) -> Task<bool> {
    const JoinResult<int> result = co_await std::move(handle).result();
    co_return result.cancelled();
  };
  EXPECT_TRUE(runtime().block_on(join(std::move(reader))));
}

TEST_P(DriverTest, ShutdownEndsOperationsInFlight) {
  for (int i = 0; i < 100; ++i) runtime().spawn(read_pipe(pipe_[0]));
  if (multi_thread()) {
    EXPECT_TRUE(test::eventually([&] { return runtime().metrics().io_in_flight == 100; }));
  }
  EXPECT_TRUE(runtime().shutdown(1min));
  EXPECT_EQ(runtime().metrics().io_in_flight, 0);
}

// With two entries the submission queue is full, and the completion queue overflows, all the time.
class SmallRingTest : public DriverTest {
 protected:
  RuntimeOptions adjust(RuntimeOptions options) override {
    options.ring_entries = 2;
    return options;
  }
};
SKUA_TEST_ALL_RUNTIMES(SmallRingTest);

TEST_P(SmallRingTest, DoesMoreAtOnceThanTheRingHolds) {
  const auto main = [](int fd) -> Task<int> {
    std::vector<JoinHandle<int>> readers;
    for (int i = 0; i < 500; ++i) readers.push_back(spawn(read_pipe(fd)));
    co_await sleep_for(5ms);
    JoinHandle<int> writer = spawn_blocking([] { return 0; });
    co_await std::move(writer);
    int sum = 0;
    for (JoinHandle<int>& reader : readers) sum += co_await std::move(reader);
    co_return sum;
  };
  std::thread writer([&] {
    const std::vector<char> ones(500, 1);
    for (std::size_t written = 0; written < ones.size();) {
      const ssize_t count = ::write(pipe_[1], ones.data(), ones.size() - written);
      ASSERT_GT(count, 0);
      written += static_cast<std::size_t>(count);
    }
  });
  EXPECT_EQ(runtime().block_on(main(pipe_[0])), 500);
  writer.join();
}

TEST_P(SmallRingTest, AbortsMoreAtOnceThanTheRingHolds) {
  const auto main = [](int fd) -> Task<int> {
    std::vector<JoinHandle<int>> readers;
    for (int i = 0; i < 200; ++i) readers.push_back(spawn(read_pipe(fd)));
    co_await sleep_for(5ms);
    for (JoinHandle<int>& reader : readers) reader.abort();
    int cancelled = 0;
    for (JoinHandle<int>& reader : readers) {
      const JoinResult<int> result = co_await std::move(reader).result();
      cancelled += result.cancelled() ? 1 : 0;
    }
    co_return cancelled;
  };
  EXPECT_EQ(runtime().block_on(main(pipe_[0])), 200);
}

// The kernel cancels what a thread has in flight when the thread exits. On a current-thread runtime the thread
// that submits is the caller of block_on, which may well exit: the operation must go on.
TEST(DriverThreadTest, AnOperationOutlivesTheThreadThatSubmittedIt) {
  std::array<int, 2> pipe;
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  {
    Runtime runtime({.flavor = Flavor::kCurrentThread});
    std::optional<JoinHandle<int>> reader;
    std::thread submitter([&] {
      const auto submit = [](int fd) -> Task<JoinHandle<int>> {
        JoinHandle<int> handle = spawn(read_pipe(fd));
        co_await sleep_for(2ms);  // The driver has slept, so the kernel has the read.
        co_return handle;
      };
      reader.emplace(runtime.block_on(submit(pipe[0])));
    });
    submitter.join();
    const auto join = [](JoinHandle<int> handle) -> Task<int> {
      co_await sleep_for(2ms);
      co_return co_await std::move(handle);
    };
    const char value = 17;
    std::thread writer([&] { EXPECT_EQ(::write(pipe[1], &value, 1), 1); });
    EXPECT_EQ(runtime.block_on(join(*std::move(reader))), 17);
    writer.join();
  }
  ::close(pipe[0]);
  ::close(pipe[1]);
}

// A read whose submitter is gone comes back cancelled, and is to be submitted again; before that its task is
// aborted. The cancel must not be sent before the read, which would then never end.
TEST(DriverThreadTest, AnAbortEndsAnOperationThatIsToBeSubmittedAgain) {
  std::array<int, 2> pipe;
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  {
    Runtime runtime({.flavor = Flavor::kCurrentThread});
    std::thread submitter([&] {
      const auto submit = [](int fd) -> Task<> {
        spawn([](int pipe_fd) -> Task<> { co_await read_pipe(pipe_fd); }(fd));
        co_await sleep_for(5ms);
      };
      runtime.block_on(submit(pipe[0]));
    });
    submitter.join();
    // The poll that the read waits by fires, finds its thread gone, and comes back as cancelled.
    char byte = 1;
    ASSERT_EQ(::write(pipe[1], &byte, 1), 1);
    ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
    // Reaps that, and ends at once.
    const auto once = []() -> Task<bool> {
      const absl::StatusOr<File> file = co_await File::open("/dev/null");
      co_return file.ok();
    };
    EXPECT_TRUE(runtime.block_on(once()));
    EXPECT_TRUE(runtime.shutdown(1min));
    EXPECT_EQ(runtime.metrics().io_in_flight, 0);
  }
  ::close(pipe[0]);
  ::close(pipe[1]);
}

// --- io_uring refused -------------------------------------------------------------------------------

// From here on `syscall` fails with `error`, in this thread and what it starts.
void refuse(long syscall_number, int error) {
  const std::array<sock_filter, 4> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(syscall_number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog program{static_cast<unsigned short>(filter.size()),
                     const_cast<sock_filter*>(filter.data())};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) std::abort();
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) std::abort();
}

struct Refusal {
  long syscall_number;
  int error;
  const char* cause;
  const char* remedy;
};

// A file is read, a task sleeps: both backends do it.
Task<bool> reads_and_sleeps() {
  absl::StatusOr<File> file = co_await File::open("/proc/self/status");
  if (!file.ok()) co_return false;
  std::array<std::byte, 64> buffer;
  const absl::StatusOr<std::size_t> count = co_await file->read_at(0, buffer);
  co_await sleep_for(1ms);
  const absl::Status closed = co_await file->close();
  co_return count.ok() && *count == buffer.size() && closed.ok();
}

// Runs in a child process, for a filter stays for ever. Exits with 0 if the runtime has fallen back, says why, and
// works; and if it refuses to start where io_uring is demanded.
[[noreturn]] void expect_fallback(Refusal refusal) {
  ::unsetenv("SKUA_IO");
  refuse(refusal.syscall_number, refusal.error);
  const auto expect = [](bool good, const std::string& text) {
    if (!good) std::fprintf(stderr, "unexpected: %s\n", text.c_str());
    if (!good) std::_Exit(1);
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  const auto runtime = Runtime::create({.worker_threads = 2});
  expect(runtime.ok(), runtime.status().ToString());
  expect((*runtime)->block_on(reads_and_sleeps()), "the work failed");
  const RuntimeMetrics metrics = (*runtime)->metrics();
  expect(metrics.io_backend == IoBackend::kEpoll, "the backend is not epoll");
  expect(has(metrics.io_backend_reason, refusal.cause), metrics.io_backend_reason);
  expect(has(metrics.io_backend_reason, refusal.remedy), metrics.io_backend_reason);
  const auto demanded = Runtime::create({.worker_threads = 1, .io_backend = IoBackend::kUring});
  const std::string message(demanded.status().message());
  expect(absl::IsFailedPrecondition(demanded.status()), message);
  expect(errno_of(demanded.status()) == refusal.error, message);
  expect(has(message, refusal.cause) && has(message, refusal.remedy), message);
  std::_Exit(0);
}

class RefusedTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// EXPECT_EXIT also looks for the line that the fallback is reported by.
constexpr const char* kReport = "skua: I/O goes through epoll and the blocking pool: io_uring";

TEST_F(RefusedTest, ForbiddenSetUpFallsBackToEpollWithCauseAndRemedy) {
  EXPECT_EXIT(expect_fallback({__NR_io_uring_setup, EPERM, "io_uring_setup", "io_uring_disabled"}),
              testing::ExitedWithCode(0), kReport);
}

TEST_F(RefusedTest, MissingIoUringFallsBackToEpollWithCauseAndRemedy) {
  EXPECT_EXIT(expect_fallback({__NR_io_uring_setup, ENOSYS, "io_uring_setup", "5.15"}),
              testing::ExitedWithCode(0), kReport);
}

TEST_F(RefusedTest, ADeniedEnterIsFoundAtTheStart) {
  EXPECT_EXIT(expect_fallback({__NR_io_uring_enter, EACCES, "io_uring_enter", "seccomp"}),
              testing::ExitedWithCode(0), kReport);
}

TEST_F(RefusedTest, ADeniedProbeIsFoundAtTheStart) {
  EXPECT_EXIT(expect_fallback({__NR_io_uring_register, EPERM, "io_uring_register", "seccomp"}),
              testing::ExitedWithCode(0), kReport);
}

TEST_F(RefusedTest, TooLittleLockableMemoryFallsBackToEpoll) {
  EXPECT_EXIT(expect_fallback({__NR_io_uring_setup, ENOMEM, "io_uring_setup", "RLIMIT_MEMLOCK"}),
              testing::ExitedWithCode(0), kReport);
}

// Without epoll_pwait2 (Linux before 5.11) timers are rounded up to milliseconds.
TEST_F(RefusedTest, EpollSleepsWithoutItsSecondForm) {
  const auto works = [] {
    refuse(__NR_epoll_pwait2, ENOSYS);
    Runtime runtime({.worker_threads = 2, .io_backend = IoBackend::kEpoll});
    std::_Exit(runtime.block_on(reads_and_sleeps()) ? 0 : 1);
  };
  EXPECT_EXIT(works(), testing::ExitedWithCode(0), "");
}

TEST_F(RefusedTest, TheConstructorEndsTheProcessIfIoUringIsDemandedAndRefused) {
  const auto die = [] {
    refuse(__NR_io_uring_setup, EPERM);
    Runtime runtime({.io_backend = IoBackend::kUring});
  };
  EXPECT_DEATH(die(), "the runtime cannot start: io_uring cannot be used.*io_uring_disabled");
}

// --- Choosing ---------------------------------------------------------------------------------------

IoBackend backend_of(IoBackend demanded) {
  Runtime runtime({.worker_threads = 1, .io_backend = demanded});
  EXPECT_TRUE(runtime.block_on(reads_and_sleeps()));
  return runtime.metrics().io_backend;
}

TEST(BackendChoiceTest, TheEnvironmentChoosesUnlessTheProgramDoes) {
  const char* const value = std::getenv("SKUA_IO");
  const std::string before = value != nullptr ? value : "";
  ::setenv("SKUA_IO", "epoll", 1);
  EXPECT_EQ(backend_of(IoBackend::kAuto), IoBackend::kEpoll);
  EXPECT_EQ(backend_of(IoBackend::kUring), IoBackend::kUring);
  ::setenv("SKUA_IO", "uring", 1);
  EXPECT_EQ(backend_of(IoBackend::kAuto), IoBackend::kUring);
  EXPECT_EQ(backend_of(IoBackend::kEpoll), IoBackend::kEpoll);
  ::setenv("SKUA_IO", "", 1);
  EXPECT_EQ(backend_of(IoBackend::kAuto), IoBackend::kUring);
  ::setenv("SKUA_IO", "kqueue", 1);
  const auto refused = Runtime::create({.worker_threads = 1});
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
  if (before.empty()) {
    ::unsetenv("SKUA_IO");
  } else {
    ::setenv("SKUA_IO", before.c_str(), 1);
  }
}

}  // namespace
}  // namespace skua
