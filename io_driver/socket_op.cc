// SPDX-License-Identifier: Apache-2.0
#include "io_driver/socket_op.h"

#include <algorithm>
#include <array>
#include <unistd.h>

#include <liburing.h>

#include "io_driver/driver.h"
#include "skua/internal/check.h"
#include "skua/internal/mutex.h"

namespace skua::internal {
namespace {

// Of [CLOSE]: guards what close() does to operations in flight, and what those do that it has met. One for the process:
// it is taken only by who closes a socket that is in use.
Mutex& close_lock() noexcept {
  static Mutex* const mu = new Mutex();
  return *mu;
}

// What one call transfers at most (MAX_RW_COUNT): a result is an int.
constexpr std::size_t kTransferMax = 0x7ffff000;

std::uint64_t address_of(const void* pointer) noexcept {
  return reinterpret_cast<std::uint64_t>(pointer);
}

IoRequest transfer_request(std::uint8_t opcode, const IoSource& source, const void* bytes,
                           std::size_t size, int flags) noexcept {
  return {opcode,
          source.fd(),
          address_of(bytes),
          static_cast<std::uint32_t>(std::min(size, kTransferMax)),
          0,
          static_cast<std::uint32_t>(flags)};
}

// The call was just tried, or is known to have nothing to do: the kernel need not try before it waits.
IoRequest polling_first(IoRequest request) noexcept {
  if (current_driver()->sockets().polls_first) request.priority = IORING_RECVSEND_POLL_FIRST;
  return request;
}

}  // namespace

bool completes_sockets() noexcept {
  return current_driver()->sockets().engine == SocketEngine::kCompletion;
}

bool sends_uncopied(std::size_t size) noexcept {
  return size >= current_driver()->sockets().zero_copy_min;
}

IoRequest receive_request(const IoSource& source, std::span<std::byte> buffer, int flags) noexcept {
  return polling_first(
      transfer_request(IORING_OP_RECV, source, buffer.data(), buffer.size(), flags));
}

IoRequest send_request(const IoSource& source, std::span<const std::byte> data,
                       int flags) noexcept {
  return polling_first(
      transfer_request(IORING_OP_SEND, source, data.data(), data.size(), flags | MSG_NOSIGNAL));
}

IoRequest send_uncopied_request(const IoSource& source, std::span<const std::byte> data,
                                int flags) noexcept {
  return transfer_request(IORING_OP_SEND_ZC, source, data.data(), data.size(),
                          flags | MSG_NOSIGNAL);
}

IoRequest receive_message_request(const IoSource& source, msghdr* message) noexcept {
  return polling_first(transfer_request(IORING_OP_RECVMSG, source, message, 1, 0));
}

IoRequest send_message_request(const IoSource& source, const msghdr* message) noexcept {
  return polling_first(transfer_request(IORING_OP_SENDMSG, source, message, 1, MSG_NOSIGNAL));
}

IoRequest accept_request(const IoSource& source) noexcept {
  return transfer_request(IORING_OP_ACCEPT, source, nullptr, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

IoRequest connect_request(const IoSource& source, const void* address, std::size_t size) noexcept {
  return {IORING_OP_CONNECT, source.fd(), address_of(address), 0, size, 0};
}

void SocketAwaiter::submit() noexcept {
  auto& word = source_.load(std::memory_order_relaxed)->operation(direction_);
  // Relaxed: nothing is done with another task's operation.
  const std::uintptr_t before = word.load(std::memory_order_relaxed);
  const bool another_task_waits_for_the_same = before > IoSource::kDrained;
  SKUA_REQUIRE(!another_task_waits_for_the_same, direction_);
  word.store(reinterpret_cast<std::uintptr_t>(this), std::memory_order_release);  // [CLOSE]
  published_ = true;
  submit_op(&op_);
  // [CLOSE-SUBMIT] Sequentially consistent, with end(): a cancel that overtakes its operation on the way to the
  // kernel would be lost. Either end() sees that it is on its way, or this sees that end() was here; if both do, the
  // second cancel is none.
  submitted_.store(true, std::memory_order_seq_cst);
  if (SKUA_UNLIKELY(source_.load(std::memory_order_seq_cst) == nullptr)) {
    op_.driver_->cancel(&op_);
  }
}

void SocketAwaiter::withdraw() noexcept {
  if (IoSource* const source = source_.load(std::memory_order_acquire); source != nullptr) {
    auto expected = reinterpret_cast<std::uintptr_t>(this);
    if (source->operation(direction_)
            .compare_exchange_strong(expected, IoSource::kNoOperation, std::memory_order_release,
                                     std::memory_order_relaxed)) {
      return;
    }
  }
  // close() has met it, and may not be through.
  MutexLock lock(&close_lock());  // [CLOSE]
  if (other_ != nullptr) {
    other_->other_ = nullptr;
  } else if (fd_to_close_ >= 0) {
    ::close(fd_to_close_);
  }
}

// close() has met it, and holds the lock: nobody gets past withdraw() before that is free, so *this stays.
void SocketAwaiter::end(int fd_to_close, SocketAwaiter* other) noexcept {
  fd_to_close_ = fd_to_close;
  other_ = other;
  source_.store(nullptr, std::memory_order_seq_cst);
  if (submitted_.load(std::memory_order_seq_cst)) op_.driver_->cancel(&op_);  // [CLOSE-SUBMIT]
}

bool IoSource::end_operations(int fd_to_close) noexcept {
  MutexLock lock(&close_lock());  // [CLOSE]
  std::array<SocketAwaiter*, 2> met{};
  for (std::size_t i = 0; i < met.size(); ++i) {
    const std::uintptr_t word = operations_[i].exchange(kNoOperation, std::memory_order_acq_rel);
    if (word > kDrained) met[i] = reinterpret_cast<SocketAwaiter*>(word);
  }
  for (std::size_t i = 0; i < met.size(); ++i) {
    if (met[i] != nullptr) met[i]->end(fd_to_close, met[1 - i]);
  }
  return met[0] != nullptr || met[1] != nullptr;
}

}  // namespace skua::internal
