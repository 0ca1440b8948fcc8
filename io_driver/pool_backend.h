// SPDX-License-Identifier: Apache-2.0
//
// What the kernel would complete, done without io_uring: by blocking calls on the blocking pool.
//
//   push() --regular files, opens, calls--> a job on the pool --> done_ -----------------> pop()
//     '----what can be polled-------------> the poller, once ---> tried by the holder --> ready_ --> pop()
//
// A read of a pipe or a terminal may take for ever, and a thread that is in it cannot be called back. So what epoll
// takes waits there, as io_uring polls such files itself, and can be cancelled. Nor may the call wait when it is ready,
// for others may be faster: RWF_NOWAIT keeps it from that, or, with FIFOs and terminals, which do not know it, a
// description of the operation's own that has O_NONBLOCK. What epoll refuses (EPERM: regular files, directories) goes
// to the pool, and so does another device that is ready and knows neither. A job that has not begun can be cancelled;
// one that has is waited for.
//
//   [OP-POLLED]  start_polling()'s store of backend_word_ (release) -> poll_fired()'s load (acquire): the operation,
//                whose address the kernel carries.
//   [POOL-DONE]  PoolCall's push of itself on done_ (release) -> pop()'s exchange (acquire): the result.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>

#include "io_driver/backend.h"
#include "skua/internal/config.h"

namespace skua::internal {

class PoolCall;
class Poller;

class PoolBackend final : public Backend {
 public:
  // `poller` outlives it.
  explicit PoolBackend(Poller& poller) noexcept : poller_(poller) {}
  PoolBackend(const PoolBackend&) = delete;
  PoolBackend& operator=(const PoolBackend&) = delete;

  void attach(Driver& driver) noexcept override { driver_ = &driver; }
  bool push(const IoRequest& request, std::uint64_t user_data) noexcept override;
  unsigned pending() const noexcept override { return 0; }
  int submit() noexcept override { return 0; }
  bool pop(Completion& completion) noexcept override;
  int fd() const noexcept override { return -1; }
  void poll_fired(IoOp* op) noexcept override;
  bool may_lose(const IoRequest&) const noexcept override { return false; }
  std::uint64_t enters() const noexcept override { return 0; }

 private:
  friend PoolCall;

  void start(const IoRequest& request, std::uint64_t user_data) noexcept;
  bool start_polling(const IoRequest& request, IoOp* op) noexcept;
  void stop_polling(IoOp* op) noexcept;
  void go_on_without_waiting(IoOp* op) noexcept;
  void call_on_pool(const IoRequest& request, IoOp* op) noexcept;
  void cancel(IoOp* op) noexcept;
  void call_done(PoolCall* call) noexcept;

  // Constant after attach().
  Poller& poller_;
  Driver* driver_ = nullptr;
  // The holder.
  std::deque<Completion> ready_;
  // Any thread.
  alignas(kCacheLine) std::atomic<PoolCall*> done_{nullptr};
};

// Does `request` by a blocking call: a count or a descriptor, or -errno. -ENOSYS: it knows no such operation. Any
// thread.
std::int32_t call_blocking(const IoRequest& request) noexcept;

}  // namespace skua::internal
