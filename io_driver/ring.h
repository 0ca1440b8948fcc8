// SPDX-License-Identifier: Apache-2.0
//
// The io_uring itself: set-up, submission queue, completion queue. liburing sets up and maps the rings; the
// queues are driven here, because liburing's own queue functions are for one thread.
//
//   any worker -- push() --> submission queue -- enter() --> kernel -- completion queue --> holder's reap()
//
// Set-up flags: none of COOP_TASKRUN, SINGLE_ISSUER, DEFER_TASKRUN. Several threads submit and another one
// reaps; with COOP_TASKRUN a busy submitter's completions would show up to a tick late, the other two forbid
// that other threads submit or reap (io_uring_setup(2)).
#pragma once

#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "io_driver/backend.h"
#include "skua/internal/io_op.h"
#include "skua/internal/mutex.h"

// liburing.h stays in ring.cc: it defines macros such as BLOCK_SIZE.
struct io_uring;

namespace skua::internal {

class Ring final : public Backend {
 public:
  // Sets a ring up, checks that the kernel knows the operations that Skua uses, and has it do one. `entries` is
  // the size of the submission queue; the completion queue has four times as many. Fewer, if the kernel does not lock
  // so much memory for this user.
  //
  // Errors: kFailedPrecondition, with cause and remedy in the message and the errno kept.
  static absl::StatusOr<std::unique_ptr<Ring>> create(unsigned entries);
  ~Ring() override;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  void attach(Driver&) noexcept override {}
  bool push(const IoRequest& request, std::uint64_t user_data) noexcept override
      SKUA_EXCLUDES(sq_mu_);
  unsigned pending() const noexcept override;
  int submit() noexcept override;
  bool pop(Completion& completion) noexcept override;
  int fd() const noexcept override;
  void poll_fired(IoOp* op) noexcept override;
  bool may_lose(const IoRequest&) const noexcept override { return true; }
  // Whether the kernel has the operation. Any thread.
  bool knows(std::uint8_t opcode) const noexcept { return known_[opcode]; }
  std::uint64_t enters() const noexcept override { return enters_.load(std::memory_order_relaxed); }

 private:
  Ring();
  absl::Status probe() noexcept;
  int enter(unsigned to_submit, unsigned min_complete, unsigned flags) noexcept;

  const std::unique_ptr<io_uring> ring_;
  bool initialized_ = false;
  std::bitset<256> known_;  // By opcode. Constant after create().
  std::atomic<std::uint64_t> enters_{0};
  // Serializes the workers that fill entries; never held across a system call.
  Mutex sq_mu_;
};

}  // namespace skua::internal
