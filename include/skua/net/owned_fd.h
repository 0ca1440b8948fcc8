// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace skua {

// Owns a file descriptor, and closes it. Moves, does not copy.
//
// Threads: one owner at a time.
class OwnedFd {
 public:
  // Owns none.
  OwnedFd() noexcept = default;
  // Takes over `fd`; -1: none.
  explicit OwnedFd(int fd) noexcept : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~OwnedFd() { reset(); }

  // -1: none.
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  // Gives it up.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  // Closes it now.
  void reset() noexcept;

 private:
  int fd_ = -1;
};

}  // namespace skua
