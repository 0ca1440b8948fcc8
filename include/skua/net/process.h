// SPDX-License-Identifier: Apache-2.0
//
// Other programs, as child processes.
//
//   skua::Command command("grep", {"-c", "skua"});             // in its own statement, for GCC 12
//   command.set_stdin(skua::Stdio::kPipe).set_stdout(skua::Stdio::kPipe);
//   absl::StatusOr<skua::Process> grep = co_await skua::Process::spawn(std::move(command));
//   if (!grep.ok()) co_return grep.status();
//   co_await grep->stdin_pipe().write_all(text);
//   grep->stdin_pipe().close();
//   const absl::StatusOr<skua::ExitStatus> status = co_await grep->wait();
//
// No shell stands between: arguments reach the program as they are. The ends of processes are heard by pidfds, so
// nothing is done about SIGCHLD; a program that ignores it, or that waits for any child (wait(2)), takes the results
// away. Needs Linux 5.4 and glibc 2.34.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/net/async_fd.h"
#include "skua/net/pipe.h"
#include "skua/task.h"

namespace skua {

// What a standard stream of a child is.
enum class Stdio : std::uint8_t {
  kInherit,  // This process's.
  kNull,     // /dev/null.
  kPipe,     // A pipe, whose other end the Process has.
};

// What is to be run, and how. A value.
class Command {
 public:
  // `program` is looked up in the PATH of this process, unless there is a slash in it. `arguments` come after the
  // program's name.
  explicit Command(std::string program, std::vector<std::string> arguments = {});

  // After those there are.
  Command& add_argument(std::string argument);
  // The environment is that of this process, with these changes. A name has no '=' in it (SKUA_REQUIRE).
  Command& set_env(std::string name, std::string value);
  Command& unset_env(std::string name);
  // Begins with an empty one: only what is set comes to the program.
  Command& clear_env();
  // Where the program begins; a relative path to the program is then taken from there. Empty: where this process is.
  Command& set_working_directory(std::string path);
  // kInherit, if they are not set.
  Command& set_stdin(Stdio what);
  Command& set_stdout(Stdio what);
  Command& set_stderr(Stdio what);

  // For the library.
  const std::vector<std::string>& argv() const noexcept { return argv_; }
  const std::string& working_directory() const noexcept { return working_directory_; }
  Stdio stdio(int stream) const noexcept { return stdio_[stream]; }
  // "NAME=value" of all that the child gets.
  std::vector<std::string> environment() const;

 private:
  std::vector<std::string> argv_;
  std::string working_directory_;
  bool clear_env_ = false;
  std::map<std::string, std::optional<std::string>> env_changes_;
  Stdio stdio_[3] = {Stdio::kInherit, Stdio::kInherit, Stdio::kInherit};
};

// How a process has ended: with a code, or by a signal. A value.
class ExitStatus {
 public:
  // One of each kind, as wait() gives them.
  static ExitStatus exited(int code) noexcept { return ExitStatus(code, 0); }
  static ExitStatus killed(int signal) noexcept { return ExitStatus(0, signal); }

  // Ended by itself with the code 0.
  bool success() const noexcept { return code_ == 0 && signal_ == 0; }
  // 0 to 255; nullopt: a signal has ended it.
  std::optional<int> code() const noexcept {
    return signal_ == 0 ? std::optional<int>(code_) : std::nullopt;
  }
  // nullopt: it has ended by itself.
  std::optional<int> signal() const noexcept {
    return signal_ != 0 ? std::optional<int>(signal_) : std::nullopt;
  }
  // "exit code 1", "killed by SIGKILL".
  std::string to_string() const;
  friend bool operator==(ExitStatus, ExitStatus) noexcept = default;

 private:
  ExitStatus(int code, int signal) noexcept : code_(code), signal_(signal) {}
  int code_;
  int signal_;
};

// What Process::output() gives. A value.
class ProcessOutput {
 public:
  ProcessOutput(ExitStatus exit, std::string out, std::string err) noexcept
      : status(exit), stdout_text(std::move(out)), stderr_text(std::move(err)) {}

  ExitStatus status;
  std::string stdout_text;
  std::string stderr_text;
};

// A child process. Moves, does not copy; must not move while a task uses it.
//
// Dropped before it was waited for, the process is killed (SIGKILL) and reaped: no zombie stays. It is the process
// alone that is killed, not what it has started in turn. A blocking job waits for its end, or, outside a runtime and
// when that shuts down, the thread that drops it.
//
// Threads: one task may wait for the end (SKUA_REQUIRE), others use the pipes meanwhile, each as its type says; what
//   says "any thread" may be called by all of them.
// Lifetime: it outlives what is awaited.
class Process {
 public:
  // Starts a process. It gets an empty signal mask, SIGPIPE does to it what it does by default, and no descriptors but
  // the three standard streams. Other signals that are ignored here are ignored there (as nohup(1) wants).
  //
  // A blocking job starts it: until the program is loaded, this process's thread stands still.
  //
  // Errors: that of execve(2) with its errno, and whatever else keeps the program from running: kNotFound - there is no
  //   such program, or no such working directory. kPermissionDenied - it is not executable. kUnavailable - too many
  //   processes. kResourceExhausted - no descriptor, memory or thread left. kUnimplemented - no pidfd_open(2).
  // Cancellation: safe; a process that was started nonetheless is killed and reaped.
  // Requires: awaited on a runtime.
  static Task<absl::StatusOr<Process>> spawn(Command command);

  // Runs a command to its end, and takes all that it writes to stdout and stderr, both at the same time. Its stdin is
  // what the command says; kPipe counts as kNull here. What has inherited the streams from the process holds them
  // open: it is waited for, too.
  //
  // Errors: as spawn(), the errno of read(2).
  // Cancellation: safe; the process is killed and reaped.
  // Requires: awaited on a runtime.
  static Task<absl::StatusOr<ProcessOutput>> output(Command command);

  Process(Process&& other) noexcept = default;
  Process& operator=(Process&& other) noexcept;
  // Kills a process that has not been waited for, and lets the blocking pool reap it. One that may not be killed, since
  // it has become another user's, is left alone and not reaped.
  ~Process();

  // Waits until the process has ended. Pipes stay open: a process that waits for the end of its stdin waits until
  // stdin_pipe() is closed. Again: the same result.
  //
  // Errors: the errno of waitid(2): kFailedPrecondition - somebody else has waited for it (ECHILD).
  // Cancellation: safe; it can be waited for again.
  Task<absl::StatusOr<ExitStatus>> wait();

  // Sends a signal. The process may have ended: as long as it was not waited for, nothing happens then.
  //
  // Errors: kNotFound - it was waited for. kPermissionDenied - it has another user now. kInvalidArgument - no such
  //   signal.
  // Threads: any.
  absl::Status send_signal(int number);
  // As send_signal(SIGKILL).
  absl::Status kill();

  // This end of the pipes of streams that were set to Stdio::kPipe. They may be moved out.
  //
  // Requires: the stream is such a pipe.
  PipeWriter& stdin_pipe();
  PipeReader& stdout_pipe();
  PipeReader& stderr_pipe();

  // Its number. Somebody else's, perhaps, once it was waited for.
  int pid() const noexcept { return pid_; }

  // For the library. A child that was not waited for.
  Process(int pid, AsyncFd pidfd) noexcept;
  // For the library. Takes over this end of its pipes; -1: there is none. Errors: the errno of fcntl(2).
  absl::Status adopt_pipes(int in, int out, int err);

 private:
  void end() noexcept;

  int pid_;
  AsyncFd pidfd_;  // Closed: moved from.
  std::optional<ExitStatus> status_;
  std::optional<PipeWriter> stdin_;
  std::optional<PipeReader> stdout_;
  std::optional<PipeReader> stderr_;
};

}  // namespace skua
