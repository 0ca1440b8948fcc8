// SPDX-License-Identifier: Apache-2.0
#include "skua/net/signal.h"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <dirent.h>
#include <fstream>
#include <optional>
#include <pthread.h>
#include <string>
#include <string_view>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {
namespace {

using internal::errno_to_status;

constexpr int kSignalMax = 64;

constexpr std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

// What some Signal of this process watches. Signals belong to the process, and so does this.
std::atomic<std::uint64_t>& watched_signals() noexcept {
  static constinit std::atomic<std::uint64_t> watched{0};
  return watched;
}

bool can_be_awaited(int number) noexcept {
  if (number < 1 || number > kSignalMax) return false;
  // Between these two the C library has its own.
  if (number >= 32 && number < SIGRTMIN) return false;
  switch (number) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
      return false;
    default:
      return true;
  }
}

absl::StatusOr<std::uint64_t> bits_of(std::initializer_list<int> numbers) {
  std::uint64_t bits = 0;
  for (const int number : numbers) {
    if (!can_be_awaited(number)) {
      return absl::InvalidArgumentError("signal " + std::to_string(number) +
                                        " is none that can be awaited");
    }
    bits |= bit_of(number);
  }
  if (bits == 0) return absl::InvalidArgumentError("no signal is named");
  return bits;
}

sigset_t set_of(std::uint64_t bits) noexcept {
  sigset_t set;
  sigemptyset(&set);
  for (int number = 1; number <= kSignalMax; ++number) {
    if ((bits & bit_of(number)) != 0) sigaddset(&set, number);
  }
  return set;
}

// "SIGINT", or "signal 34".
std::string name_of(int number) {
  const char* const name = ::sigabbrev_np(number);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(number);
}

std::string lowest_name(std::uint64_t bits) { return name_of(__builtin_ctzll(bits) + 1); }

// What a thread does not block of `bits`, as /proc says; nullopt: it has ended, or there is no /proc.
std::optional<std::uint64_t> open_to(const std::string& thread, std::uint64_t bits,
                                     std::string& name) {
  std::ifstream status("/proc/self/task/" + thread + "/status");
  constexpr std::string_view kName = "Name:\t";
  constexpr std::string_view kBlocked = "SigBlk:\t";
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kName)) name = line.substr(kName.size());
    if (!line.starts_with(kBlocked)) continue;
    std::uint64_t blocked = 0;
    const char* const first = line.data() + kBlocked.size();
    const auto [end, error] = std::from_chars(first, line.data() + line.size(), blocked, 16);
    if (error != std::errc() || end == first) return std::nullopt;
    return bits & ~blocked;
  }
  return std::nullopt;
}

// A thread that does not block a signal may be given it, and then the process most often ends: better to be told now.
absl::Status require_blocked_everywhere(std::uint64_t bits) {
  constexpr char kRemedy[] =
      ": call skua::block_signals() at the beginning of main(), before any thread starts";
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  for (int number = 1; number <= kSignalMax; ++number) {
    if ((bits & bit_of(number)) != 0 && sigismember(&mask, number) == 0) {
      return absl::FailedPreconditionError(name_of(number) + " is not blocked on this thread" +
                                           kRemedy);
    }
  }
  DIR* const threads = ::opendir("/proc/self/task");
  if (threads == nullptr) return absl::OkStatus();
  absl::Status result;
  while (const dirent* const entry = ::readdir(threads)) {
    if (entry->d_name[0] == '.') continue;
    std::string name;
    const std::optional<std::uint64_t> open = open_to(entry->d_name, bits, name);
    if (!open.has_value() || *open == 0) continue;
    result = absl::FailedPreconditionError("thread \"" + name + "\" (" + entry->d_name +
                                           ") does not block " + lowest_name(*open) + kRemedy);
    break;
  }
  ::closedir(threads);
  return result;
}

}  // namespace

absl::Status block_signals(std::initializer_list<int> numbers) {
  const absl::StatusOr<std::uint64_t> bits = bits_of(numbers);
  if (!bits.ok()) return bits.status();
  const sigset_t set = set_of(*bits);
  const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return error == 0 ? absl::OkStatus() : errno_to_status(error, "pthread_sigmask");
}

absl::StatusOr<Signal> Signal::watch(std::initializer_list<int> numbers) {
  const absl::StatusOr<std::uint64_t> bits = bits_of(numbers);
  if (!bits.ok()) return bits.status();
  const absl::Status blocked = require_blocked_everywhere(*bits);
  if (!blocked.ok()) return blocked;

  const sigset_t set = set_of(*bits);
  internal::UniqueFd fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd) return errno_to_status(errno, "signalfd");
  // Relaxed: a claim, which hands nothing over.
  std::uint64_t others = watched_signals().load(std::memory_order_relaxed);
  do {
    if ((others & *bits) != 0) {
      return absl::AlreadyExistsError(lowest_name(others & *bits) +
                                      " is watched by another skua::Signal of this process");
    }
  } while (!watched_signals().compare_exchange_weak(
      others, others | *bits, std::memory_order_relaxed, std::memory_order_relaxed));
  absl::StatusOr<AsyncFd> source = AsyncFd::from_fd(fd.release());
  if (!source.ok()) {
    watched_signals().fetch_and(~*bits, std::memory_order_relaxed);
    return source.status();
  }
  return Signal(*std::move(source), *bits);
}

Signal& Signal::operator=(Signal&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::move(other.fd_);
    watched_ = std::exchange(other.watched_, 0);
  }
  return *this;
}

void Signal::close() noexcept {
  fd_.close();
  watched_signals().fetch_and(~std::exchange(watched_, 0), std::memory_order_relaxed);
}

Task<absl::StatusOr<SignalInfo>> Signal::next() {
  SKUA_REQUIRE(watched_ != 0, watched_);  // Closed, or moved from.
  signalfd_siginfo info{};
  const AsyncFd::Call receive = [&info](int fd) { return ::read(fd, &info, sizeof(info)); };
  const absl::StatusOr<std::size_t> count = co_await fd_.read_with(receive);
  if (!count.ok()) co_return count.status();
  SKUA_CHECK(*count == sizeof(info), *count);
  SignalInfo result;
  result.number = static_cast<int>(info.ssi_signo);
  result.pid = static_cast<std::int32_t>(info.ssi_pid);
  result.uid = info.ssi_uid;
  result.code = info.ssi_code;
  co_return result;
}

Task<absl::Status> ctrl_c() {
  absl::StatusOr<Signal> signal = Signal::watch({SIGINT});
  if (!signal.ok()) co_return signal.status();
  const absl::StatusOr<SignalInfo> received = co_await signal->next();
  co_return received.status();
}

}  // namespace skua
