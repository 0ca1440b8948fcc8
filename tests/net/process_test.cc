// SPDX-License-Identifier: Apache-2.0
//
// Child processes, and signals. The programs are those of every Debian system.
#include "skua/net/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <latch>
#include <pthread.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/net/signal.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "tests/support/leak_check.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Before the runtime starts its threads.
class SignalsBlocked {
 protected:
  SignalsBlocked() {
    EXPECT_TRUE(block_signals({SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGRTMIN}).ok());
  }
};

class ProcessTest : public SignalsBlocked, public test::RuntimeTest {
 protected:
  ProcessOutput output_of(std::string program, std::vector<std::string> arguments) {
    return output_of(Command(std::move(program), std::move(arguments)));
  }
  ProcessOutput output_of(Command command) {
    absl::StatusOr<ProcessOutput> output = runtime().block_on(Process::output(std::move(command)));
    EXPECT_TRUE(output.ok()) << output.status();
    if (!output.ok()) return ProcessOutput(ExitStatus::exited(255), "", "");
    return *std::move(output);
  }
};
INSTANTIATE_TEST_SUITE_P(Workers, ProcessTest, testing::Values(0, 2), test::RuntimeTest::name);

class SignalTest : public SignalsBlocked, public test::RuntimeTest {};
INSTANTIATE_TEST_SUITE_P(Workers, SignalTest, testing::Values(0, 2), test::RuntimeTest::name);

// GCC 12 takes no list in braces within a co_await expression.
Command sleeper() { return Command("sleep", {"1000"}); }

// --- Processes --------------------------------------------------------------------------------------

TEST_P(ProcessTest, GivesWhatTheProgramWritesAndHowItEnds) {
  const ProcessOutput said = output_of("sh", {"-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(said.stdout_text, "out\n");
  EXPECT_EQ(said.stderr_text, "err\n");
  EXPECT_EQ(said.status.code(), 3);
  EXPECT_FALSE(said.status.success());
  EXPECT_EQ(said.status.to_string(), "exit code 3");
  // This process blocks SIGTERM; what it starts does not.
  const ProcessOutput killed = output_of("sh", {"-c", "kill -TERM $$; exit 0"});
  EXPECT_EQ(killed.status.signal(), SIGTERM);
  EXPECT_EQ(killed.status.code(), std::nullopt);
  EXPECT_EQ(killed.status.to_string(), "killed by SIGTERM");
}

TEST_P(ProcessTest, NoShellStandsBetween) {
  const ProcessOutput said = output_of("printf", {"%s|%s", "$HOME *; exit 1", ""});
  EXPECT_EQ(said.stdout_text, "$HOME *; exit 1|");
  EXPECT_TRUE(said.status.success());
}

// More than both pipes hold, first all of one and then all of the other: whoever reads them in turn hangs.
TEST_P(ProcessTest, ReadsBothStreamsAtTheSameTime) {
  const ProcessOutput said = output_of(
      "sh",
      {"-c", "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; head -c 9 /dev/zero >&2"});
  EXPECT_EQ(said.stdout_text.size(), 300'000u);
  EXPECT_EQ(said.stderr_text.size(), 300'009u);
}

TEST_P(ProcessTest, BytesGoThroughItsPipes) {
  const auto main = []() -> Task<> {
    Command command("cat");
    command.set_stdin(Stdio::kPipe).set_stdout(Stdio::kPipe);
    absl::StatusOr<Process> cat = co_await Process::spawn(std::move(command));
    EXPECT_TRUE(cat.ok()) << cat.status();
    if (!cat.ok()) co_return;
    const std::string text = "to the cat and back";
    const absl::Status written = co_await cat->stdin_pipe().write_all(bytes_of(text));
    EXPECT_TRUE(written.ok()) << written;
    std::vector<std::byte> back(text.size());
    const absl::Status read = co_await cat->stdout_pipe().read_exact(back);
    EXPECT_TRUE(read.ok()) << read;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(back.data()), back.size()), text);
    cat->stdin_pipe().close();
    absl::StatusOr<ExitStatus> status = co_await cat->wait();
    EXPECT_TRUE(status.ok() && status->success());
    status = co_await cat->wait();
    EXPECT_TRUE(status.ok() && status->success());
    EXPECT_TRUE(absl::IsNotFound(cat->send_signal(SIGTERM)));
  };
  runtime().block_on(main());
}

TEST_P(ProcessTest, EnvironmentAndDirectoryAreTheCommands) {
  ::setenv("SKUA_TEST_KEPT", "kept", 1);
  ::setenv("SKUA_TEST_GONE", "gone", 1);
  Command command("sh", {"-c", "echo $SKUA_TEST_KEPT,$SKUA_TEST_GONE,$SKUA_TEST_NEW; pwd"});
  command.set_env("SKUA_TEST_NEW", "a=b c").unset_env("SKUA_TEST_GONE").set_working_directory("/");
  EXPECT_EQ(output_of(command).stdout_text, "kept,,a=b c\n/\n");
  Command bare("env");
  bare.clear_env().set_env("ONLY", "this");
  EXPECT_EQ(output_of(bare).stdout_text, "ONLY=this\n");
}

TEST_P(ProcessTest, AnErrorOfExecReachesTheCaller) {
  const auto start = [this](Command command) {
    return runtime().block_on(Process::spawn(std::move(command))).status();
  };
  const absl::Status nothing = start(Command("skua-no-such-program"));
  EXPECT_EQ(errno_of(nothing), ENOENT) << nothing;
  EXPECT_NE(nothing.message().find("skua-no-such-program"), absl::string_view::npos);
  EXPECT_EQ(errno_of(start(Command("/etc/passwd"))), EACCES);
  Command nowhere("true");
  nowhere.set_working_directory("/skua/no/such/place");
  const absl::Status no_directory = start(nowhere);
  EXPECT_EQ(errno_of(no_directory), ENOENT);
  EXPECT_NE(no_directory.message().find("/skua/no/such/place"), absl::string_view::npos);
  EXPECT_TRUE(absl::IsInvalidArgument(start(Command("true", {std::string("a\0b", 3)}))));
}

// The signal mask is empty, SIGPIPE is not ignored, and there is no descriptor but the standard streams; "3" is what ls
// itself has opened.
TEST_P(ProcessTest, NothingOfThisProcessLeaksIntoIt) {
  const int leaky = ::open("/dev/null", O_RDONLY);
  ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(output_of("ls", {"/proc/self/fd"}).stdout_text, "0\n1\n2\n3\n");
  const auto signals = [this](const std::string& which) {
    const std::string line = output_of("grep", {which, "/proc/self/status"}).stdout_text;
    return std::stoull(line.substr(line.find('\t') + 1), nullptr, 16);
  };
  EXPECT_EQ(signals("SigBlk"), 0u);
  EXPECT_EQ(signals("SigIgn") & 1u << (SIGPIPE - 1), 0u);
  ::signal(SIGPIPE, SIG_DFL);
  ::close(leaky);
  Command reads_null("cat");
  reads_null.set_stdin(Stdio::kPipe);  // Nobody would write to it.
  EXPECT_EQ(output_of(reads_null).stdout_text, "");
}

// True once the process is gone: neither running nor a zombie.
bool is_gone(int pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

TEST_P(ProcessTest, IsKilledOnDemandAndWhenItIsDropped) {
  const auto main = []() -> Task<int> {
    absl::StatusOr<Process> first = co_await Process::spawn(sleeper());
    EXPECT_TRUE(first.ok()) << first.status();
    JoinHandle<absl::StatusOr<ExitStatus>> waits = spawn(first->wait());
    EXPECT_TRUE(first->kill().ok());
    absl::StatusOr<ExitStatus> status = co_await std::move(waits);
    EXPECT_EQ(status->signal(), SIGKILL);

    absl::StatusOr<Process> second = co_await Process::spawn(sleeper());
    EXPECT_TRUE(absl::IsInvalidArgument(second->send_signal(1000)));
    EXPECT_TRUE(second->send_signal(SIGTERM).ok());
    status = co_await second->wait();
    EXPECT_EQ(status->signal(), SIGTERM);
    absl::StatusOr<Process> third = co_await Process::spawn(sleeper());
    *second = *std::move(third);
    co_return second->pid();
  };
  const int dropped = runtime().block_on(main());
  EXPECT_TRUE(test::eventually([&] { return is_gone(dropped); }));
  // Outside a runtime, too; and when a runtime ends.
  absl::StatusOr<Process> outside = runtime().block_on(Process::spawn(sleeper()));
  const int pid = outside->pid();
  EXPECT_FALSE(is_gone(pid));
  {
    const Process gone = *std::move(outside);
  }
  EXPECT_TRUE(is_gone(pid));
  const auto last = []() -> Task<> {
    absl::StatusOr<Process> process = co_await Process::spawn(sleeper());
    EXPECT_TRUE(process.ok()) << process.status();
    spawn([](Process held) -> Task<> {
      const absl::StatusOr<ExitStatus> never = co_await held.wait();
      EXPECT_FALSE(never.ok());
    }(*std::move(process)));
    co_await yield_now();
  };
  runtime().block_on(last());
  stop();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);  // No child is left, alive or dead.
}

TEST_P(ProcessTest, AbortsLeaveNothing) {
  const auto main = []() -> Task<> {
    for (int turns = 0; turns < 8; ++turns) {
      JoinHandle<absl::StatusOr<ProcessOutput>> output = spawn(Process::output(sleeper()));
      for (int i = 0; i < turns; ++i) co_await yield_now();
      output.abort();
      const JoinResult<absl::StatusOr<ProcessOutput>> result = co_await std::move(output).result();
      EXPECT_TRUE(result.cancelled());
    }
  };
  runtime().block_on(main());
  stop();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST_P(ProcessTest, SaysWhenSomebodyElseHasWaitedForIt) {
  const auto main = []() -> Task<absl::Status> {
    absl::StatusOr<Process> process = co_await Process::spawn(Command("true"));
    EXPECT_TRUE(process.ok()) << process.status();
    EXPECT_EQ(::waitpid(process->pid(), nullptr, 0), process->pid());
    const absl::StatusOr<ExitStatus> status = co_await process->wait();
    co_return status.status();
  };
  EXPECT_EQ(errno_of(runtime().block_on(main())), ECHILD);
}

// --- Signals ----------------------------------------------------------------------------------------

TEST_P(SignalTest, WakesWhoAwaitsIt) {
  const auto main = []() -> Task<> {
    absl::StatusOr<Signal> signal = Signal::watch({SIGUSR1, SIGUSR2});
    EXPECT_TRUE(signal.ok()) << signal.status();
    if (!signal.ok()) co_return;
    for (const int number : {SIGUSR1, SIGUSR2, SIGUSR1}) {
      JoinHandle<absl::StatusOr<SignalInfo>> next = spawn(signal->next());
      co_await yield_now();
      EXPECT_EQ(::kill(::getpid(), number), 0);
      const absl::StatusOr<SignalInfo> info = co_await std::move(next);
      EXPECT_TRUE(info.ok()) << info.status();
      EXPECT_EQ(info->number, number);
      EXPECT_EQ(info->pid, ::getpid());
      EXPECT_EQ(info->uid, ::getuid());
      EXPECT_EQ(info->code, SI_USER);
    }
  };
  runtime().block_on(main());
}

TEST_P(SignalTest, WaitsForWhoWatchesAndComesOnceHoweverOftenItWasSent) {
  const auto main = []() -> Task<> {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(::kill(::getpid(), SIGUSR1), 0);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(::kill(::getpid(), SIGRTMIN), 0);
    absl::StatusOr<Signal> signal = Signal::watch({SIGUSR1, SIGUSR2, SIGRTMIN});
    std::vector<int> numbers;
    for (int i = 0; i < 4; ++i) {
      const absl::StatusOr<SignalInfo> info = co_await signal->next();
      numbers.push_back(info->number);
    }
    EXPECT_EQ(numbers, (std::vector<int>{SIGUSR1, SIGRTMIN, SIGRTMIN, SIGRTMIN}));
    EXPECT_EQ(::kill(::getpid(), SIGUSR2), 0);
    const absl::StatusOr<SignalInfo> last = co_await signal->next();
    EXPECT_EQ(last->number, SIGUSR2);
  };
  runtime().block_on(main());
}

TEST_P(SignalTest, IsWatchedByOneAtATime) {
  absl::StatusOr<Signal> first = Signal::watch({SIGUSR1, SIGTERM});
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = Signal::watch({SIGUSR2, SIGTERM}).status();
  EXPECT_TRUE(absl::IsAlreadyExists(second)) << second;
  EXPECT_NE(second.message().find("SIGTERM"), absl::string_view::npos) << second;
  EXPECT_TRUE(Signal::watch({SIGUSR2}).ok());
  Signal moved = *std::move(first);
  EXPECT_FALSE(Signal::watch({SIGTERM}).ok());
  moved.close();
  absl::StatusOr<Signal> third = Signal::watch({SIGTERM});
  EXPECT_TRUE(third.ok());
  moved = *std::move(third);
  EXPECT_FALSE(Signal::watch({SIGTERM}).ok());
}

TEST_P(SignalTest, ClosingAndAbortingEndTheWaitAndLoseNothing) {
  const auto main = []() -> Task<> {
    absl::StatusOr<Signal> signal = Signal::watch({SIGUSR1});
    JoinHandle<absl::StatusOr<SignalInfo>> next = spawn(signal->next());
    co_await yield_now();
    next.abort();
    const JoinResult<absl::StatusOr<SignalInfo>> aborted = co_await std::move(next).result();
    EXPECT_TRUE(aborted.cancelled());
    EXPECT_EQ(::kill(::getpid(), SIGUSR1), 0);
    absl::StatusOr<SignalInfo> info = co_await signal->next();
    EXPECT_EQ(info->number, SIGUSR1);

    JoinHandle<absl::StatusOr<SignalInfo>> waits = spawn(signal->next());
    // On one worker it has begun to wait then; on several it may find it closed, which is the same to it.
    co_await yield_now();
    if (!waits.is_finished()) waits.abort();
    const JoinResult<absl::StatusOr<SignalInfo>> ended = co_await std::move(waits).result();
    EXPECT_TRUE(ended.cancelled());
    signal->close();
    absl::StatusOr<Signal> again = Signal::watch({SIGUSR1});
    EXPECT_TRUE(again.ok()) << again.status();
  };
  runtime().block_on(main());
}

TEST_P(SignalTest, CtrlCIsAwaited) {
  EXPECT_EQ(::kill(::getpid(), SIGINT), 0);  // Blocked, and so pending.
  const absl::Status status = runtime().block_on(ctrl_c());
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(SignalTest, AThreadThatDoesNotBlockItIsNamed) {
  std::latch ready(1);
  std::latch done(1);
  std::thread open([&] {
    pthread_setname_np(pthread_self(), "open-minded");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    ready.count_down();
    done.wait();
  });
  ready.wait();
  const absl::Status status = Signal::watch({SIGUSR1, SIGUSR2}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(status.message().find("open-minded"), absl::string_view::npos) << status;
  EXPECT_NE(status.message().find("SIGUSR2"), absl::string_view::npos) << status;
  EXPECT_TRUE(Signal::watch({SIGUSR1}).ok());
  done.count_down();
  open.join();
  EXPECT_TRUE(absl::IsFailedPrecondition(Signal::watch({SIGHUP}).status()));
  for (const int number : {0, -1, 65, 33, SIGKILL, SIGSTOP, SIGSEGV}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Signal::watch({number}).status())) << number;
    EXPECT_TRUE(absl::IsInvalidArgument(block_signals({number}))) << number;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Signal::watch({}).status()));
}

}  // namespace
}  // namespace skua
