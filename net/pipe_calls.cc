// SPDX-License-Identifier: Apache-2.0
#include "net/pipe_calls.h"

#include <cerrno>
#include <csignal>
#include <ctime>
#include <pthread.h>

namespace skua::internal {

std::ptrdiff_t write_pipe(SystemCalls& calls, int fd, const iovec* buffers, int count) noexcept {
  // The signal is raised for the writing thread: it is blocked here for the time of the call and taken back.
  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  // One that is pending from elsewhere is not ours to take.
  sigset_t pending;
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;

  const ssize_t written = calls.writev(fd, buffers, count);
  const std::ptrdiff_t result = written >= 0 ? written : -errno;

  if (result == -EPIPE && !was_pending) {
    const timespec at_once{};
    while (sigtimedwait(&pipe_signal, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

}  // namespace skua::internal
