// SPDX-License-Identifier: Apache-2.0
#include "base/futex.h"

#include <cerrno>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "skua/internal/check.h"

namespace skua::internal {
namespace {

long futex(std::atomic<std::uint32_t>* word, int op, std::uint32_t value, const timespec* timeout,
           std::uint32_t mask) noexcept {
  return syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(word), op, value, timeout, nullptr,
                 mask);
}

}  // namespace

void futex_wait(std::atomic<std::uint32_t>* word, std::uint32_t expected) noexcept {
  const long result = futex(word, FUTEX_WAIT_PRIVATE, expected, nullptr, 0);
  SKUA_CHECK(result == 0 || errno == EAGAIN || errno == EINTR, errno);
}

bool futex_wait_until(std::atomic<std::uint32_t>* word, std::uint32_t expected,
                      std::int64_t deadline_ns) noexcept {
  timespec deadline;
  deadline.tv_sec = deadline_ns / 1'000'000'000;
  deadline.tv_nsec = deadline_ns % 1'000'000'000;
  // FUTEX_WAIT_BITSET takes an absolute time, on CLOCK_MONOTONIC.
  const long result =
      futex(word, FUTEX_WAIT_BITSET_PRIVATE, expected, &deadline, FUTEX_BITSET_MATCH_ANY);
  if (result == 0) return true;
  SKUA_CHECK(errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT, errno);
  return errno != ETIMEDOUT;
}

void futex_wake_one(std::atomic<std::uint32_t>* word) noexcept {
  futex(word, FUTEX_WAKE_PRIVATE, 1, nullptr, 0);
}

}  // namespace skua::internal
