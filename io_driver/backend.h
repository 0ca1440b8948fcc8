// SPDX-License-Identifier: Apache-2.0
//
// Who carries out the operations: the seam below the driver.
//
//   UringBackend  an io_uring, and the blocking pool for what it cannot do (uring_backend.h)
//   PoolBackend   the blocking pool, where io_uring is refused (pool_backend.h)
//
// Tests put a layer between driver and backend that injects faults.
#pragma once

#include <cstdint>

#include "skua/internal/io_op.h"

namespace skua::internal {

class Driver;

struct Completion {
  std::uint64_t user_data = 0;
  std::int32_t result = 0;
  std::uint32_t flags = 0;
};

// Flags of a completion, io_uring's numbers. A send without copying completes twice: with its result, and when the
// kernel has done with the buffer.
inline constexpr std::uint32_t kMoreToComeFlag = 1 << 1;
inline constexpr std::uint32_t kNotificationFlag = 1 << 3;

// What user_data means: tags in its low bits; operations are aligned to 8.
inline constexpr std::uint64_t kOpTag = 0;      // IoOp*.
inline constexpr std::uint64_t kCancelTag = 1;  // The IoOp* whose cancel this is.
inline constexpr std::uint64_t kTagMask = 7;

class Backend {
 public:
  virtual ~Backend() = default;

  // Before anything else.
  virtual void attach(Driver& driver) noexcept = 0;

  // Queues a request. False: there is no room; submit() and try again. Any worker.
  [[nodiscard]] virtual bool push(const IoRequest& request, std::uint64_t user_data) noexcept = 0;
  // Carries out a request that may be done at once, if that needs no waiting. More than 0: its result. Else: queue it,
  // which says more. Any worker.
  virtual std::int32_t try_at_once(const IoRequest& request) noexcept;
  // Requests that submit() has not handed over yet. Any thread; a snapshot.
  virtual unsigned pending() const noexcept = 0;
  // Hands the queued requests over without waiting. 0 or -errno; -EAGAIN and -EBUSY mean: reap first, then again. Any
  // worker.
  virtual int submit() noexcept = 0;
  // Takes the oldest completion. False: there is none. The holder of the driver.
  [[nodiscard]] virtual bool pop(Completion& completion) noexcept = 0;

  // A descriptor that becomes readable whenever a completion is added, for the poller. -1: the backend wakes the holder
  // itself. Any thread.
  virtual int fd() const noexcept = 0;
  // A descriptor that the backend has put into the poller for `op` is ready. The holder of the driver.
  virtual void poll_fired(IoOp* op) noexcept = 0;

  // True if `request` may come back with -ECANCELED though nobody asked: it is then submitted again.
  virtual bool may_lose(const IoRequest& request) const noexcept = 0;

  // System calls so far. Any thread.
  virtual std::uint64_t enters() const noexcept = 0;
};

}  // namespace skua::internal
