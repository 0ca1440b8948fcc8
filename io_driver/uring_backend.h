// SPDX-License-Identifier: Apache-2.0
//
// The backend where io_uring works: the ring, and the blocking pool for what the ring has no operation for: calls
// (IoRequest::call: readlink, getdents, copy_file_range, ...), and operations that are younger than the kernel.
//
//   push() --the kernel has it--> Ring ---------------------------------> pop()
//     '----it does not----------> PoolBackend --> done_, driver woken --> pop()
//
// Which of the two has an operation follows from its opcode, also for its cancel. The pool's part never polls: reads
// and writes are the ring's. What the pool completes while the holder sleeps wakes it as anybody else would
// ([DRIVER-WAKE]).
#pragma once

#include <cstdint>
#include <memory>

#include "io_driver/backend.h"
#include "io_driver/pool_backend.h"
#include "io_driver/ring.h"

namespace skua::internal {

class UringBackend final : public Backend {
 public:
  // `poller` outlives it.
  UringBackend(std::unique_ptr<Ring> ring, Poller& poller) noexcept
      : ring_(std::move(ring)), pool_(poller) {}
  UringBackend(const UringBackend&) = delete;
  UringBackend& operator=(const UringBackend&) = delete;

  void attach(Driver& driver) noexcept override;
  bool push(const IoRequest& request, std::uint64_t user_data) noexcept override;
  unsigned pending() const noexcept override { return ring_->pending(); }
  int submit() noexcept override { return ring_->submit(); }
  bool pop(Completion& completion) noexcept override;
  int fd() const noexcept override { return ring_->fd(); }
  void poll_fired(IoOp* op) noexcept override { ring_->poll_fired(op); }
  bool may_lose(const IoRequest& request) const noexcept override {
    return ring_->knows(request.opcode);
  }
  std::uint64_t enters() const noexcept override { return ring_->enters(); }

 private:
  // Constant after construction.
  const std::unique_ptr<Ring> ring_;
  PoolBackend pool_;
};

}  // namespace skua::internal
