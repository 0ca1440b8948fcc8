// SPDX-License-Identifier: Apache-2.0
#include "net/spawning.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "skua/blocking.h"
#include "skua/internal/blocking_job.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua::internal {
namespace {

constexpr int kFirstOther = 3;  // After the standard streams.

int open_pidfd(pid_t pid) noexcept { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// The child's end of a stream, and ours. Both are close-on-exec, and neither has a number that dup2 could overwrite.
class StreamPipe {
 public:
  absl::Status open(bool child_reads) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_to_status(errno, "pipe2");
    UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    for (UniqueFd* const end : {&reader, &writer}) {
      // A process may have been started without a stdin, say.
      if (end->get() >= kFirstOther) continue;
      UniqueFd copy(::fcntl(end->get(), F_DUPFD_CLOEXEC, kFirstOther));
      if (!copy) return errno_to_status(errno, "fcntl");
      *end = std::move(copy);
    }
    child_ = std::move(child_reads ? reader : writer);
    ours_ = std::move(child_reads ? writer : reader);
    return absl::OkStatus();
  }

  int child_end() const noexcept { return child_.get(); }
  bool is_open() const noexcept { return static_cast<bool>(ours_); }
  int release_ours() noexcept { return ours_.release(); }

 private:
  UniqueFd child_;
  UniqueFd ours_;
};

class FileActions {
 public:
  FileActions() { note(posix_spawn_file_actions_init(&actions_)); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }

  void connect(int fd, int stream) {
    note(posix_spawn_file_actions_adddup2(&actions_, fd, stream));
  }
  void connect_to_null(int stream) {
    const int flags = stream == STDIN_FILENO ? O_RDONLY : O_WRONLY;
    note(posix_spawn_file_actions_addopen(&actions_, stream, "/dev/null", flags, 0));
  }
  void change_directory(const std::string& path) {
    note(posix_spawn_file_actions_addchdir_np(&actions_, path.c_str()));
  }
  // What another library has opened without close-on-exec is none of the child's business.
  void close_others() { note(posix_spawn_file_actions_addclosefrom_np(&actions_, kFirstOther)); }

  int error() const noexcept { return error_; }
  const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

 private:
  void note(int error) noexcept {
    if (error_ == 0) error_ = error;
  }
  posix_spawn_file_actions_t actions_;
  int error_ = 0;
};

class Attributes {
 public:
  Attributes() {
    posix_spawnattr_init(&attributes_);
    // The thread that starts it blocks signals, for the runtime's reasons.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    // Ignored signals stay ignored after exec, and servers ignore this one.
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes_, &defaults);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }

  const posix_spawnattr_t* get() const noexcept { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// A string of C ends at a zero byte: the rest of it would silently be lost.
bool has_zero_byte(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos) return true;
  }
  return false;
}

absl::Status spawn_error(int error, const Command& command) {
  std::string what = "start " + command.argv().front();
  const std::string& directory = command.working_directory();
  if (!directory.empty()) {
    what += " in " + directory;
    if (::access(directory.c_str(), X_OK) != 0) what += " (which cannot be entered)";
  }
  return errno_to_status(error, what);
}

// Waits for the end of a process that was killed, when it goes: as a job that has run, or that nobody wants to run.
class Reaper {
 public:
  explicit Reaper(int pidfd) noexcept : pidfd_(pidfd) {}
  Reaper(Reaper&&) noexcept = default;
  Reaper& operator=(Reaper&&) = delete;
  ~Reaper() {
    if (!pidfd_) return;
    siginfo_t info{};
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return;
      // The pidfd is non-blocking, and waitid(2) minds that.
      pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
      ::poll(&ended, 1, -1);
    }
  }
  void operator()() const noexcept {}

 private:
  UniqueFd pidfd_;
};

}  // namespace

absl::StatusOr<Process> start_process(const Command& command) {
  const std::vector<std::string> environment = command.environment();
  if (has_zero_byte(command.argv()) || has_zero_byte(environment) ||
      has_zero_byte({command.working_directory()})) {
    return absl::InvalidArgumentError("start " + command.argv().front() +
                                      ": a zero byte in an argument, the environment or a path");
  }
  std::array<StreamPipe, 3> pipes;
  FileActions actions;
  for (int stream = 0; stream < kFirstOther; ++stream) {
    StreamPipe& pipe = pipes[static_cast<std::size_t>(stream)];
    switch (command.stdio(stream)) {
      case Stdio::kInherit:
        break;
      case Stdio::kNull:
        actions.connect_to_null(stream);
        break;
      case Stdio::kPipe: {
        const absl::Status opened = pipe.open(/*child_reads=*/stream == STDIN_FILENO);
        if (!opened.ok()) return opened;
        actions.connect(pipe.child_end(), stream);
        break;
      }
    }
  }
  actions.close_others();
  if (!command.working_directory().empty()) actions.change_directory(command.working_directory());
  if (actions.error() != 0) return spawn_error(actions.error(), command);

  const Attributes attributes;
  const std::vector<char*> argv = pointers_to(command.argv());
  const std::vector<char*> envp = pointers_to(environment);
  pid_t pid = -1;
  // Shares this process's memory until the program is loaded, and stops this thread alone: safe beside other threads,
  // and the error of execve(2) is the result.
  const int error =
      ::posix_spawnp(&pid, argv[0], actions.get(), attributes.get(), argv.data(), envp.data());
  if (error != 0) return spawn_error(error, command);

  // The number is the child's until it is reaped, by which time it may be another's: who ignores SIGCHLD, or waits
  // for any child, may be faster than this.
  const int pidfd = open_pidfd(pid);
  if (pidfd < 0 && errno == ESRCH) {
    return errno_to_status(ESRCH, "pidfd_open: somebody else has reaped the child");
  }
  absl::StatusOr<AsyncFd> source =
      pidfd >= 0 ? AsyncFd::from_fd(pidfd) : errno_to_status(errno, "pidfd_open");
  if (!source.ok()) {
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return source.status();
  }
  // From here on what goes wrong ends the child.
  Process process(pid, *std::move(source));
  absl::Status status = process.adopt_pipes(pipes[0].release_ours(), pipes[1].release_ours(),
                                            pipes[2].release_ours());
  if (!status.ok()) return status;
  return process;
}

absl::StatusOr<std::optional<ExitStatus>> try_reap(int pidfd) {
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return errno_to_status(errno, "waitid");
  if (info.si_pid == 0) return std::optional<ExitStatus>();
  return std::optional<ExitStatus>(info.si_code == CLD_EXITED ? ExitStatus::exited(info.si_status)
                                                              : ExitStatus::killed(info.si_status));
}

int signal_process(int pidfd, int number) noexcept {
  return ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0) == 0 ? 0 : errno;
}

void kill_and_reap(int pidfd) noexcept {
  if (signal_process(pidfd, SIGKILL) == EPERM) {
    // It has become another user's (sudo). To wait for its end could take for ever, and nobody asks for its status.
    ::close(pidfd);
    return;
  }
  Reaper reaper(pidfd);
  BlockingPool* const pool = current_blocking_pool();
  if (pool == nullptr) return;  // Here and now.
  SpawnBlockingOptions options;
  options.name = "reap a child process";
  options.at_shutdown = AtShutdown::kRun;
  try {
    spawn_blocking_on(*pool, std::move(reaper), options);
  } catch (const std::exception&) {
    // No memory for a job: the reaper has gone, or goes now, and has waited.
  }
}

}  // namespace skua::internal
