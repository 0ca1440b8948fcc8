// SPDX-License-Identifier: Apache-2.0
#include "skua/net/process.h"

#include <array>
#include <csignal>
#include <cstring>
#include <span>
#include <unistd.h>

#include "net/spawning.h"
#include "skua/blocking.h"
#include "skua/internal/check.h"
#include "skua/join.h"
#include "skua/status.h"

namespace skua {
namespace {

using internal::errno_to_status;

Task<absl::StatusOr<std::string>> read_to_end(PipeReader* pipe) {
  std::string text;
  std::array<std::byte, 16 << 10> buffer;
  for (;;) {
    const absl::StatusOr<std::size_t> count = co_await pipe->read(buffer);
    if (!count.ok()) co_return count.status();
    if (*count == 0) co_return std::move(text);
    text.append(reinterpret_cast<const char*>(buffer.data()), *count);
  }
}

}  // namespace

// --- Command ------------------------------------------------------------------------------------

Command::Command(std::string program, std::vector<std::string> arguments)
    : argv_(std::move(arguments)) {
  argv_.insert(argv_.begin(), std::move(program));
}

Command& Command::add_argument(std::string argument) {
  argv_.push_back(std::move(argument));
  return *this;
}

Command& Command::set_env(std::string name, std::string value) {
  const bool is_a_name = !name.empty() && name.find('=') == std::string::npos;
  SKUA_REQUIRE(is_a_name, name);
  env_changes_.insert_or_assign(std::move(name), std::move(value));
  return *this;
}

Command& Command::unset_env(std::string name) {
  env_changes_.insert_or_assign(std::move(name), std::nullopt);
  return *this;
}

Command& Command::clear_env() {
  clear_env_ = true;
  env_changes_.clear();
  return *this;
}

Command& Command::set_working_directory(std::string path) {
  working_directory_ = std::move(path);
  return *this;
}

Command& Command::set_stdin(Stdio what) {
  stdio_[STDIN_FILENO] = what;
  return *this;
}

Command& Command::set_stdout(Stdio what) {
  stdio_[STDOUT_FILENO] = what;
  return *this;
}

Command& Command::set_stderr(Stdio what) {
  stdio_[STDERR_FILENO] = what;
  return *this;
}

std::vector<std::string> Command::environment() const {
  std::vector<std::string> result;
  if (!clear_env_) {
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
      const std::string text(*entry);
      if (!env_changes_.contains(text.substr(0, text.find('=')))) result.push_back(text);
    }
  }
  for (const auto& [name, value] : env_changes_) {
    if (value.has_value()) result.push_back(name + "=" + *value);
  }
  return result;
}

// --- ExitStatus ---------------------------------------------------------------------------------

std::string ExitStatus::to_string() const {
  if (signal_ == 0) return "exit code " + std::to_string(code_);
  const char* const name = ::sigabbrev_np(signal_);
  if (name == nullptr) return "killed by signal " + std::to_string(signal_);
  return std::string("killed by SIG") + name;
}

// --- Process ------------------------------------------------------------------------------------

Process::Process(int pid, AsyncFd pidfd) noexcept : pid_(pid), pidfd_(std::move(pidfd)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = other.pid_;
    pidfd_ = std::move(other.pidfd_);
    status_ = other.status_;
    stdin_ = std::move(other.stdin_);
    stdout_ = std::move(other.stdout_);
    stderr_ = std::move(other.stderr_);
  }
  return *this;
}

Process::~Process() { end(); }

void Process::end() noexcept {
  const int pidfd = pidfd_.release();
  if (pidfd < 0) return;
  if (status_.has_value()) {
    ::close(pidfd);
  } else {
    internal::kill_and_reap(pidfd);
  }
}

Task<absl::StatusOr<Process>> Process::spawn(Command command) {
  const std::string program = command.argv().front();
  SpawnBlockingOptions options;
  options.name = "start a process";
  JoinHandle<absl::StatusOr<Process>> job = spawn_blocking(
      [command = std::move(command)] { return internal::start_process(command); }, options);
  JoinResult<absl::StatusOr<Process>> result = co_await std::move(job).result();
  if (result.ok()) co_return std::move(result).value();
  if (result.cancelled()) {
    co_return absl::CancelledError("start " + program + ": the runtime is shutting down");
  }
  co_return absl::ResourceExhaustedError("start " + program + ": there is no thread, or no memory");
}

Task<absl::StatusOr<ProcessOutput>> Process::output(Command command) {
  if (command.stdio(STDIN_FILENO) == Stdio::kPipe) command.set_stdin(Stdio::kNull);
  command.set_stdout(Stdio::kPipe).set_stderr(Stdio::kPipe);
  absl::StatusOr<Process> process = co_await spawn(std::move(command));
  if (!process.ok()) co_return process.status();
  auto [out, err] =
      co_await when_all(read_to_end(&process->stdout_pipe()), read_to_end(&process->stderr_pipe()));
  if (!out.ok()) co_return out.status();
  if (!err.ok()) co_return err.status();
  const absl::StatusOr<ExitStatus> status = co_await process->wait();
  if (!status.ok()) co_return status.status();
  ProcessOutput output(*status, *std::move(out), *std::move(err));
  co_return std::move(output);
}

Task<absl::StatusOr<ExitStatus>> Process::wait() {
  while (!status_.has_value()) {
    const absl::Status ended = co_await pidfd_.readable();
    if (!ended.ok()) co_return ended;
    const absl::StatusOr<std::optional<ExitStatus>> status = internal::try_reap(pidfd_.fd());
    if (!status.ok()) co_return status.status();
    status_ = *status;
  }
  co_return *status_;
}

absl::Status Process::send_signal(int number) {
  const int error = internal::signal_process(pidfd_.fd(), number);
  return error == 0 ? absl::OkStatus() : errno_to_status(error, "pidfd_send_signal");
}

absl::Status Process::kill() { return send_signal(SIGKILL); }

PipeWriter& Process::stdin_pipe() {
  const bool stdin_is_a_pipe = stdin_.has_value();
  SKUA_REQUIRE(stdin_is_a_pipe);
  return *stdin_;
}

PipeReader& Process::stdout_pipe() {
  const bool stdout_is_a_pipe = stdout_.has_value();
  SKUA_REQUIRE(stdout_is_a_pipe);
  return *stdout_;
}

PipeReader& Process::stderr_pipe() {
  const bool stderr_is_a_pipe = stderr_.has_value();
  SKUA_REQUIRE(stderr_is_a_pipe);
  return *stderr_;
}

absl::Status Process::adopt_pipes(int in, int out, int err) {
  absl::Status status;
  if (in >= 0) {
    absl::StatusOr<PipeWriter> end = PipeWriter::from_fd(in);
    status.Update(end.status());
    if (end.ok()) stdin_ = *std::move(end);
  }
  if (out >= 0) {
    absl::StatusOr<PipeReader> end = PipeReader::from_fd(out);
    status.Update(end.status());
    if (end.ok()) stdout_ = *std::move(end);
  }
  if (err >= 0) {
    absl::StatusOr<PipeReader> end = PipeReader::from_fd(err);
    status.Update(end.status());
    if (end.ok()) stderr_ = *std::move(end);
  }
  return status;
}

}  // namespace skua
