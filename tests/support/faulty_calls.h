// SPDX-License-Identifier: Apache-2.0
//
// System calls that fail, or transfer less than they were asked to, when a test says so.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <netdb.h>
#include <random>
#include <utility>

#include "io_driver/system_calls.h"

namespace skua::test {

enum class Call : std::uint8_t { kReceive, kSend, kAccept, kSocket, kConnect, kSocketError };

// Any thread.
class FaultyCalls final : public internal::SystemCalls {
 public:
  // The next calls of this kind fail, each with one of `errors`.
  void fail_next(Call call, std::deque<int> errors) {
    const std::lock_guard lock(mu_);
    errors_[call] = std::move(errors);
  }
  // From now on one transfer in eight is interrupted.
  void interrupt_at_random() { interrupts_.store(true); }
  // From now on one transfer in two would block. Only where it is then left to an operation: no event follows.
  void block_at_random() { blocks_.store(true); }
  // From now on transfers are cut to a random size. Not for TCP streams and pipes, which are known not to do so.
  void cut_at_random() { cuts_.store(true); }
  std::size_t calls() const { return calls_.load(); }
  // Look-ups are done by `resolver`, which sets errno if it returns EAI_SYSTEM.
  using Resolver = std::function<int(const char* host, const addrinfo* hints, addrinfo** list)>;
  void set_resolver(Resolver resolver) {
    const std::lock_guard lock(mu_);
    resolver_ = std::move(resolver);
  }

  ssize_t readv(int fd, const iovec* buffers, int count) noexcept override {
    if (fails(Call::kReceive)) return -1;
    if (!cuts_.load()) return SystemCalls::readv(fd, buffers, count);
    const iovec first{buffers->iov_base, cut(buffers->iov_len)};
    return SystemCalls::readv(fd, &first, 1);
  }
  ssize_t writev(int fd, const iovec* buffers, int count) noexcept override {
    if (fails(Call::kSend)) return -1;
    if (!cuts_.load()) return SystemCalls::writev(fd, buffers, count);
    const iovec first{buffers->iov_base, cut(buffers->iov_len)};
    return SystemCalls::writev(fd, &first, 1);
  }
  ssize_t recv(int fd, void* buffer, std::size_t size, int flags) noexcept override {
    if (fails(Call::kReceive)) return -1;
    return SystemCalls::recv(fd, buffer, cut(size), flags);
  }
  ssize_t send(int fd, const void* buffer, std::size_t size, int flags) noexcept override {
    if (fails(Call::kSend)) return -1;
    return SystemCalls::send(fd, buffer, cut(size), flags);
  }
  ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept override {
    if (fails(Call::kReceive)) return -1;
    return SystemCalls::recvmsg(fd, message, flags);
  }
  ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept override {
    if (fails(Call::kSend)) return -1;
    return SystemCalls::sendmsg(fd, message, flags);
  }
  int accept(int fd) noexcept override {
    return fails(Call::kAccept) ? -1 : SystemCalls::accept(fd);
  }
  int socket(int domain, int type) noexcept override {
    return fails(Call::kSocket) ? -1 : SystemCalls::socket(domain, type);
  }
  int connect(int fd, const void* address, socklen_t size) noexcept override {
    return fails(Call::kConnect) ? -1 : SystemCalls::connect(fd, address, size);
  }
  int socket_error(int fd) noexcept override {
    return fails(Call::kSocketError) ? errno : SystemCalls::socket_error(fd);
  }
  int getaddrinfo(const char* host, const addrinfo* hints, addrinfo** list) noexcept override {
    Resolver resolver;
    {
      const std::lock_guard lock(mu_);
      resolver = resolver_;
    }
    return resolver ? resolver(host, hints, list) : SystemCalls::getaddrinfo(host, hints, list);
  }

 private:
  bool fails(Call call) {
    calls_.fetch_add(1);
    const std::lock_guard lock(mu_);
    std::deque<int>& errors = errors_[call];
    if (!errors.empty()) {
      errno = errors.front();
      errors.pop_front();
      return true;
    }
    const bool transfers = call == Call::kReceive || call == Call::kSend;
    if (interrupts_.load() && transfers && random_() % 8 == 0) {
      errno = EINTR;
      return true;
    }
    if (blocks_.load() && transfers && random_() % 2 == 0) {
      errno = EAGAIN;
      return true;
    }
    return false;
  }
  std::size_t cut(std::size_t size) {
    if (!cuts_.load() || size == 0) return size;
    const std::lock_guard lock(mu_);
    return 1 + random_() % size;
  }

  std::atomic<bool> interrupts_{false};
  std::atomic<bool> blocks_{false};
  std::atomic<bool> cuts_{false};
  std::atomic<std::size_t> calls_{0};
  std::mutex mu_;
  std::map<Call, std::deque<int>> errors_;
  Resolver resolver_;
  std::mt19937 random_{1973};
};

}  // namespace skua::test
