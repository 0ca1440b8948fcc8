// SPDX-License-Identifier: Apache-2.0
//
// Sockets by completion: each call is an operation of the ring.
//
//   const std::int32_t result = co_await SocketAwaiter(&source, Direction::kRead, receive_request(source, buffer, 0));
//
// What IoOp promises of buffers, aborts and results holds here too. Two things are the socket's own. A source knows the
// operation that is in flight for each of its directions, so that close() can end it, and a second task of the same
// direction is found out. And a descriptor that is closed while an operation is in flight stays open until that is
// back: a request that has not been handed to the kernel yet names its socket by the number alone, which would be
// another's by then.
//
//   word of a direction (IoSource::operations_):  0, kDrained  no operation
//                                                 pointer      the SocketAwaiter of the operation
//   task:    publish()   0, kDrained -> pointer, before it submits
//            withdraw()  pointer -> 0, when it resumes or is destroyed; if close() was first, waits until it is through
//   close(): pointer -> 0 under a lock, asks for a cancel, leaves the descriptor to the operation
//
//   [CLOSE]  submit()'s store of the word (release) -> end_operations()'s exchange (acquire): the operation. It stays
//            until the lock is free, since its withdraw() fails in its CAS then, and takes the lock.
#pragma once

#include <atomic>
#include <cerrno>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <sys/socket.h>

#include "skua/internal/config.h"
#include "skua/internal/io_op.h"
#include "skua/internal/io_source.h"
#include "skua/internal/promise_base.h"

namespace skua::internal {

// Whether the runtime of this worker reads and writes sockets by completion. A worker.
bool completes_sockets() noexcept;

// Whether so many bytes are to be sent without copying. A worker.
bool sends_uncopied(std::size_t size) noexcept;

// The operations. `source` is a socket; what is pointed to outlives them.
IoRequest receive_request(const IoSource& source, std::span<std::byte> buffer, int flags) noexcept;
IoRequest send_request(const IoSource& source, std::span<const std::byte> data, int flags) noexcept;
// The same without copying: it is complete when the kernel has done with `data`, which may be when the peer has it.
// -EOPNOTSUPP, -ENOBUFS, -ENOMEM: it is to be sent the usual way.
IoRequest send_uncopied_request(const IoSource& source, std::span<const std::byte> data,
                                int flags) noexcept;
IoRequest receive_message_request(const IoSource& source, msghdr* message) noexcept;
IoRequest send_message_request(const IoSource& source, const msghdr* message) noexcept;
// Its result is a descriptor, close-on-exec and non-blocking.
IoRequest accept_request(const IoSource& source) noexcept;
IoRequest connect_request(const IoSource& source, const void* address, std::size_t size) noexcept;

// Gives the kernel's result. -ECANCELED: the source was closed. -EAGAIN: the kernel does not wait for this socket,
// which is non-blocking (older ones did not always); the source is to be waited for.
//
// Cancellation: as IoOp.
class [[nodiscard("co_await it; nothing is submitted otherwise")]] SocketAwaiter {
 public:
  SocketAwaiter(IoSource* source, Direction direction, const IoRequest& request) noexcept
      : op_(request), source_(source), direction_(direction) {}
  SocketAwaiter(const SocketAwaiter&) = delete;
  SocketAwaiter& operator=(const SocketAwaiter&) = delete;
  ~SocketAwaiter() {
    if (published_) withdraw();
  }

  // Closed between two calls.
  bool await_ready() const noexcept { return op_.request().fd < 0; }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const task = awaiting.promise().task;
    task->prepare_suspend(awaiting, &op_);
    // As IoAwaiter.
    if (SKUA_LIKELY(!task->root->abort_requested())) submit();
    return task->commit_suspend();  // *this may be gone.
  }

  std::int32_t await_resume() const noexcept { return await_ready() ? -ECANCELED : op_.result(); }

 private:
  friend IoSource;

  void submit() noexcept;
  void withdraw() noexcept;
  void end(int fd_to_close, SocketAwaiter* other) noexcept;

  IoOp op_;
  // nullptr: close() has taken it out of its source, which may be gone.
  std::atomic<IoSource*> source_;
  const Direction direction_;
  bool published_ = false;
  std::atomic<bool> submitted_{false};
  // Under the lock of [CLOSE], by close(), then withdraw(). Of two operations the last one closes the descriptor.
  int fd_to_close_ = -1;
  SocketAwaiter* other_ = nullptr;
};

}  // namespace skua::internal
