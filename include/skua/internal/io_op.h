// SPDX-License-Identifier: Apache-2.0
//
// One operation that the kernel completes: the request, its result, and the task that waits for it. Lives in
// the awaiting frame. The frame outlives the operation: an aborted task stays suspended until the kernel has
// given back the operation and its buffer (the last completion), so nothing is ever written to freed memory.
//
//   kIdle --abort--> the task is destroyed
//   kIdle --submit--> kInFlight --completion--> kDone, the task is woken
//                        |  abort
//                        v
//                  kCancelQueued --the driver's holder submits ASYNC_CANCEL--> kCancelSent
//                        |                                                        |
//                        +--completion--> kDone; the holder finds it              +--both completions--> woken
//                                         in the cancel list and wakes
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

class Driver;
class PoolBackend;
class SocketAwaiter;

// What the kernel is asked for, in io_uring's terms without its header.
struct IoRequest {
  // Not of io_uring: a call that it has no operation for, made by the blocking pool in either backend. `function` gives
  // the kernel's result, or -errno, and is called again after -EINTR. It must not throw. `argument` outlives the
  // operation, as a buffer does.
  using Call = std::int32_t (*)(void* argument) noexcept;
  static constexpr std::uint8_t kCallOpcode = 0xff;
  static IoRequest call(Call function, void* argument) noexcept {
    return IoRequest(kCallOpcode, -1, reinterpret_cast<std::uint64_t>(function), 0,
                     reinterpret_cast<std::uint64_t>(argument), 0);
  }

  IoRequest(std::uint8_t op, int file, std::uint64_t address, std::uint32_t length,
            std::uint64_t file_offset, std::uint32_t op_flags) noexcept
      : opcode(op), flags(op_flags), fd(file), len(length), addr(address), offset(file_offset) {}

  std::uint8_t opcode;
  // Worth a try before it is queued: a read that the page cache may answer.
  bool at_once = false;
  std::uint16_t priority = 0;  // Of sends and receives: flags of io_uring's own (ioprio).
  std::uint32_t flags;         // open_flags, statx_flags, rw_flags, msg_flags: by opcode.
  int fd;
  std::uint32_t len;
  std::uint64_t addr;
  std::uint64_t offset;
};

// io_uring's FTRUNCATE (Linux 6.9), which older headers do not name.
inline constexpr std::uint8_t kFtruncateOpcode = 55;

class IoOp : public Waiter {
 public:
  explicit IoOp(const IoRequest& request) noexcept : Waiter(&cancel_op), request_(request) {}

  const IoRequest& request() const noexcept { return request_; }
  // The kernel's convention: a count or a descriptor, or -errno. After the completion.
  std::int32_t result() const noexcept { return result_; }

 private:
  friend Driver;
  friend PoolBackend;
  friend bool complete_at_once(IoOp* op) noexcept;
  friend SocketAwaiter;
  enum class Phase : std::uint8_t { kIdle, kInFlight, kCancelQueued, kCancelSent, kDone };

  static CancelOutcome cancel_op(Waiter* waiter) noexcept;

  // Constant while in flight.
  const IoRequest request_;
  Driver* driver_ = nullptr;
  // The holder of the driver.
  std::int32_t result_ = 0;
  std::uint8_t completions_due_ = 0;
  bool awaits_notification_ =
      false;  // A send without copying: its result is there, its buffer is not.
  // The backend's: its submitter, then the holder of the driver.
  std::atomic<std::uint64_t> backend_word_{0};
  // Whoever has moved phase_ to kCancelQueued, then the holder of the driver.
  IoOp* next_cancel_ = nullptr;
  // Any thread.
  std::atomic<Phase> phase_{Phase::kIdle};
  // Set by the abort of its task: a cancel then destroys it. One that close() has asked for is a result.
  std::atomic<bool> aborted_{false};
};

// Queues `op` on the driver of the worker that runs the task. A worker of a runtime, inside a task.
void submit_op(IoOp* op) noexcept;

// Carries out an operation whose request says `at_once`, if it does not have to wait for anything. True: result() is
// there. False: nothing has happened, submit it. As submit_op().
[[nodiscard]] bool complete_at_once(IoOp* op) noexcept;

// `co_await IoAwaiter(request)`: gives the kernel's result. Used by net/ and fs/.
class [[nodiscard("co_await it; nothing is submitted otherwise")]] IoAwaiter {
 public:
  explicit IoAwaiter(const IoRequest& request) noexcept : op_(request) {}
  IoAwaiter(const IoAwaiter&) = delete;
  IoAwaiter& operator=(const IoAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const task = awaiting.promise().task;
    // Aborted: this is the suspension that it is to end at. If it went on, a loop over operations that are done before
    // their cancel comes would never end.
    const bool goes_on = SKUA_LIKELY(!task->root->abort_requested());
    if (goes_on && op_.request().at_once && complete_at_once(&op_)) {
      return task->spend_budget(awaiting, &op_);
    }
    task->prepare_suspend(awaiting, &op_);
    if (goes_on) submit_op(&op_);
    return task->commit_suspend();  // *this may be gone.
  }

  std::int32_t await_resume() const noexcept { return op_.result(); }

 private:
  IoOp op_;
};

}  // namespace skua::internal
