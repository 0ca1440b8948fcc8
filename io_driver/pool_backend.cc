// SPDX-License-Identifier: Apache-2.0
#include "io_driver/pool_backend.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#include <liburing.h>

#include "io_driver/driver.h"
#include "io_driver/poller.h"
#include "skua/blocking.h"
#include "skua/internal/blocking_job.h"
#include "skua/internal/check.h"

namespace skua::internal {
namespace {

template <typename T>
T* pointer_to(std::uint64_t address) noexcept {
  return reinterpret_cast<T*>(address);
}

std::int32_t result_of(ssize_t result) noexcept {
  return result < 0 ? -errno : static_cast<std::int32_t>(result);
}

// io_uring opens without waiting first, so that a FIFO opens without its other end. Afterwards the descriptor blocks,
// if it was not asked to do otherwise.
std::int32_t open_as_ring_does(const IoRequest& request) noexcept {
  const auto* const path = pointer_to<const char>(request.addr);
  const int flags = static_cast<int>(request.flags);
  int fd = ::openat(request.fd, path, flags | O_NONBLOCK, request.len);
  // A lease on the file has to be broken first, which takes its time.
  if (fd < 0 && errno == EWOULDBLOCK) fd = ::openat(request.fd, path, flags, request.len);
  if (fd >= 0 && (flags & (O_NONBLOCK | O_PATH)) == 0) {
    const int status = ::fcntl(fd, F_GETFL);
    if (status >= 0) ::fcntl(fd, F_SETFL, status & ~O_NONBLOCK);
  }
  return result_of(fd);
}

bool reads(const IoRequest& request) noexcept {
  return request.opcode == IORING_OP_READ || request.opcode == IORING_OP_READV;
}

// A read or a write of `fd`. The offset means nothing to a stream, as to io_uring.
std::int32_t transfer(const IoRequest& request, int fd, int extra_flags) noexcept {
  const bool vectored = request.opcode == IORING_OP_READV || request.opcode == IORING_OP_WRITEV;
  const iovec whole{pointer_to<void>(request.addr), request.len};
  const iovec* const buffers = vectored ? pointer_to<const iovec>(request.addr) : &whole;
  const int count = vectored ? static_cast<int>(request.len) : 1;
  const int flags = static_cast<int>(request.flags) | extra_flags;
  const auto call = [&](off_t offset) noexcept {
    return reads(request) ? ::preadv2(fd, buffers, count, offset, flags)
                          : ::pwritev2(fd, buffers, count, offset, flags);
  };
  ssize_t moved = call(static_cast<off_t>(request.offset));
  if (moved < 0 && errno == ESPIPE) moved = call(-1);
  return result_of(moved);
}

std::int32_t call_once(const IoRequest& request) noexcept {
  switch (request.opcode) {
    case IORING_OP_NOP:
      return 0;
    case IORING_OP_OPENAT:
      return open_as_ring_does(request);
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
      return transfer(request, request.fd, 0);
    case IORING_OP_FSYNC:
      return result_of((request.flags & IORING_FSYNC_DATASYNC) != 0 ? ::fdatasync(request.fd)
                                                                    : ::fsync(request.fd));
    case IORING_OP_CLOSE:
      return result_of(::close(request.fd));
    case IORING_OP_STATX:
      return result_of(::syscall(__NR_statx, request.fd, pointer_to<const char>(request.addr),
                                 request.flags, request.len, pointer_to<void>(request.offset)));
    case IORING_OP_FALLOCATE:  // The length stands in the address.
      return result_of(::fallocate(request.fd, static_cast<int>(request.len),
                                   static_cast<off_t>(request.offset),
                                   static_cast<off_t>(request.addr)));
    case kFtruncateOpcode:
      return result_of(::ftruncate(request.fd, static_cast<off_t>(request.offset)));
    case IORING_OP_MKDIRAT:
      return result_of(::mkdirat(request.fd, pointer_to<const char>(request.addr), request.len));
    case IORING_OP_UNLINKAT:
      return result_of(::unlinkat(request.fd, pointer_to<const char>(request.addr),
                                  static_cast<int>(request.flags)));
    case IORING_OP_RENAMEAT:
      return result_of(::renameat2(request.fd, pointer_to<const char>(request.addr),
                                   static_cast<int>(request.len),
                                   pointer_to<const char>(request.offset), request.flags));
    case IORING_OP_SYMLINKAT:
      return result_of(::symlinkat(pointer_to<const char>(request.addr), request.fd,
                                   pointer_to<const char>(request.offset)));
    case IORING_OP_LINKAT:
      return result_of(
          ::linkat(request.fd, pointer_to<const char>(request.addr), static_cast<int>(request.len),
                   pointer_to<const char>(request.offset), static_cast<int>(request.flags)));
    case IoRequest::kCallOpcode:
      return reinterpret_cast<IoRequest::Call>(request.addr)(pointer_to<void>(request.offset));
    default:
      return -ENOSYS;
  }
}

// Whether another description of the file behind `fd` is the same file in all that matters here. It is for pipes and
// terminals. Other devices make something new of each open: /dev/ptmx another terminal, for one.
bool may_be_opened_again(int fd) noexcept {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return false;
  constexpr unsigned kPtmxMajor = 5;
  constexpr unsigned kPtmxMinor = 2;
  return S_ISFIFO(status.st_mode) ||
         (S_ISCHR(status.st_mode) && status.st_rdev != makedev(kPtmxMajor, kPtmxMinor) &&
          ::isatty(fd) != 0);
}

// A description of its own for the file behind `request`, which does not wait, unlike the one that the program has: to
// set O_NONBLOCK there would be seen by all that share it. -errno: there is none to be had.
int open_without_waiting(const IoRequest& request) noexcept {
  if (!may_be_opened_again(request.fd)) return -EOPNOTSUPP;
  const int status = ::fcntl(request.fd, F_GETFL);
  if (status < 0) return -errno;
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", request.fd);
  // O_DIRECT of a pipe: packets.
  const int flags = (reads(request) ? O_RDONLY : O_WRONLY) | (status & O_DIRECT) | O_NONBLOCK |
                    O_CLOEXEC | O_NOCTTY;
  return result_of(::open(path.data(), flags));
}

// IoOp::backend_word_ of an operation in the poller; without the flag it is a PoolCall*, or 0.
constexpr std::uint64_t kPollingFlag = 1;
constexpr std::uint64_t kCopiedFlag = 2;  // The descriptor is the operation's, to be closed.
constexpr std::uint64_t kOwnFlag = 4;     // So is what it refers to, which does not wait.
constexpr unsigned kFdShift = 3;

std::uint64_t polling_word(int fd, std::uint64_t flags) noexcept {
  return static_cast<std::uint64_t>(fd) << kFdShift | flags | kPollingFlag;
}

int polled_fd(std::uint64_t word) noexcept { return static_cast<int>(word >> kFdShift); }

// For a descriptor that epoll has called ready. -EAGAIN: somebody else was faster. -EOPNOTSUPP: this kind of file waits
// in the call, unless its description says otherwise.
std::int32_t call_without_waiting(const IoRequest& request, std::uint64_t word) noexcept {
  return (word & kOwnFlag) != 0 ? transfer(request, polled_fd(word), 0)
                                : transfer(request, request.fd, RWF_NOWAIT);
}

std::uint32_t events_of(const IoRequest& request) noexcept {
  return reads(request) ? EPOLLIN : EPOLLOUT;
}

}  // namespace

std::int32_t call_blocking(const IoRequest& request) noexcept {
  for (;;) {
    const std::int32_t result = call_once(request);
    // A signal: nothing was done. But a close that was interrupted has closed (close(2)).
    if (result != -EINTR || request.opcode == IORING_OP_CLOSE) return result;
  }
}

// One request on the pool. It ends in release(), however it ends: run, cancelled, or failed because the pool has no
// thread. The pool's share of it goes by itself, the other one with pop().
class PoolCall final : public BlockingJob {
 public:
  PoolCall(PoolBackend& backend, const IoRequest& request, IoOp* op) noexcept
      : BlockingJob(&kVTable, kTable, kTraits, 0), backend_(backend), request_(request), op_(op) {
    // Nobody joins it: complete() calls release().
    join.store(kDetached, std::memory_order_relaxed);
    abandoned = true;
  }

  PoolCall* next = nullptr;
  IoOp* op() const noexcept { return op_; }
  std::int32_t result() const noexcept { return result_; }

 private:
  static const JoinVTable kVTable;
  static const BlockingJobTable kTable;
  static constexpr BlockingJobTraits kTraits{
      .job_class = static_cast<std::uint8_t>(BlockingClass::kFs.index())};

  PoolBackend& backend_;
  const IoRequest request_;
  IoOp* const op_;
  std::int32_t result_ = -ECANCELED;
};

const JoinVTable PoolCall::kVTable{
    .release =
        [](JoinState* state) noexcept {
          auto* const call = static_cast<PoolCall*>(state);
          call->backend_.call_done(call);  // *call may be gone.
        },
    .abort = [](JoinState* state) noexcept { static_cast<PoolCall*>(state)->cancel(); },
};

const BlockingJobTable PoolCall::kTable{
    .invoke =
        [](BlockingJob* job) noexcept {
          auto* const call = static_cast<PoolCall*>(job);
          call->result_ = call_blocking(call->request_);
          return false;
        },
    .drop_closure = [](BlockingJob*) noexcept {},
    .drop_result = [](BlockingJob*) noexcept {},
    .store_exception =
        [](BlockingJob* job, std::exception_ptr) noexcept {
          static_cast<PoolCall*>(job)->result_ = -EAGAIN;  // No thread, and none to be had.
        },
    .destroy = [](BlockingJob* job) noexcept { delete static_cast<PoolCall*>(job); },
    .source = [](BlockingJob*) noexcept -> const CancellationSource* { return nullptr; },
};

bool PoolBackend::push(const IoRequest& request, std::uint64_t user_data) noexcept {
  if (request.opcode == IORING_OP_ASYNC_CANCEL) {
    cancel(pointer_to<IoOp>(request.addr & ~kTagMask));
    ready_.push_back({.user_data = user_data, .result = 0});  // The holder is the one who cancels.
  } else {
    start(request, user_data);
  }
  return true;
}

void PoolBackend::start(const IoRequest& request, std::uint64_t user_data) noexcept {
  SKUA_CHECK((user_data & kTagMask) == kOpTag, user_data);
  auto* const op = pointer_to<IoOp>(user_data);
  const bool may_be_polled =
      request.opcode == IORING_OP_READ || request.opcode == IORING_OP_WRITE ||
      request.opcode == IORING_OP_READV || request.opcode == IORING_OP_WRITEV;
  if (may_be_polled && start_polling(request, op)) return;
  call_on_pool(request, op);
}

// --- On the pool --------------------------------------------------------------------------------

void PoolBackend::call_on_pool(const IoRequest& request, IoOp* op) noexcept {
  auto* const call = new PoolCall(*this, request, op);
  op->backend_word_.store(reinterpret_cast<std::uint64_t>(call), std::memory_order_relaxed);
  submit_job(require_blocking_pool("an operation on a file"), call);  // *op may be gone.
}

void PoolBackend::call_done(PoolCall* call) noexcept {
  call->next = done_.load(std::memory_order_relaxed);
  while (!done_.compare_exchange_weak(call->next, call, std::memory_order_release,
                                      std::memory_order_relaxed)) {  // [POOL-DONE]
  }
  driver_->wake();  // *call may be gone.
}

bool PoolBackend::pop(Completion& completion) noexcept {
  if (ready_.empty()) {
    if (done_.load(std::memory_order_relaxed) == nullptr) return false;
    PoolCall* call = done_.exchange(nullptr, std::memory_order_acquire);  // [POOL-DONE]
    while (call != nullptr) {
      PoolCall* const next = call->next;
      // Newest first in the list, oldest first out.
      ready_.push_front({.user_data = reinterpret_cast<std::uint64_t>(call->op()) | kOpTag,
                         .result = call->result()});
      call->op()->backend_word_.store(0, std::memory_order_relaxed);
      call->unref();
      call = next;
    }
  }
  completion = ready_.front();
  ready_.pop_front();
  return true;
}

// --- In the poller ------------------------------------------------------------------------------

// False: it is nothing that can be polled.
bool PoolBackend::start_polling(const IoRequest& request, IoOp* op) noexcept {
  const std::uint64_t data = reinterpret_cast<std::uint64_t>(op) | kOpEventTag;
  // The holder may meet the event before add_once() has returned.
  op->backend_word_.store(polling_word(request.fd, 0), std::memory_order_release);  // [OP-POLLED]
  int result = poller_.add_once(request.fd, events_of(request), data);
  if (result == -EEXIST) {
    // Another operation waits for it: this one by a descriptor of its own.
    const int copy = ::fcntl(request.fd, F_DUPFD_CLOEXEC, 0);
    if (copy >= 0) {
      op->backend_word_.store(polling_word(copy, kCopiedFlag),
                              std::memory_order_release);  // [OP-POLLED]
      result = poller_.add_once(copy, events_of(request), data);
      if (result != 0) ::close(copy);
    }
  }
  // EPERM: a file that is always ready. Whatever else keeps it from being polled, the pool can do it.
  if (result != 0) op->backend_word_.store(0, std::memory_order_relaxed);
  return result == 0;
}

void PoolBackend::stop_polling(IoOp* op) noexcept {
  const std::uint64_t word = op->backend_word_.exchange(0, std::memory_order_relaxed);
  poller_.remove(polled_fd(word));
  if ((word & kCopiedFlag) != 0) ::close(polled_fd(word));
}

void PoolBackend::poll_fired(IoOp* op) noexcept {
  const std::uint64_t word = op->backend_word_.load(std::memory_order_acquire);  // [OP-POLLED]
  std::int32_t result = call_without_waiting(op->request_, word);
  if (result == -EOPNOTSUPP && (word & kOwnFlag) == 0) {
    go_on_without_waiting(op);
    return;
  }
  if (result == -EAGAIN || result == -EINTR) {
    const std::uint64_t data = reinterpret_cast<std::uint64_t>(op) | kOpEventTag;
    result = poller_.add_again(polled_fd(word), events_of(op->request_), data);
    if (result == 0) return;
  }
  stop_polling(op);
  ready_.push_back({.user_data = reinterpret_cast<std::uint64_t>(op) | kOpTag, .result = result});
}

// `op` is ready, but its call would wait if somebody else were faster, or for the rest of a long write. So it goes on
// with a description that does not, from the next event, which comes at once if it is still ready.
void PoolBackend::go_on_without_waiting(IoOp* op) noexcept {
  stop_polling(op);
  const std::uint64_t data = reinterpret_cast<std::uint64_t>(op) | kOpEventTag;
  const int own = open_without_waiting(op->request_);
  if (own >= 0) {
    // Relaxed: only a holder adds it and meets its event, and they are ordered [HOLD].
    op->backend_word_.store(polling_word(own, kCopiedFlag | kOwnFlag), std::memory_order_relaxed);
    if (poller_.add_once(own, events_of(op->request_), data) == 0) return;
    op->backend_word_.store(0, std::memory_order_relaxed);
    ::close(own);
  } else if (own == -ENXIO && !reads(op->request_)) {
    // A FIFO whose readers are gone; a write says so by this.
    ready_.push_back({.user_data = reinterpret_cast<std::uint64_t>(op) | kOpTag, .result = -EPIPE});
    return;
  }
  // No /proc, no permission, or no such file: then a thread has to wait.
  call_on_pool(op->request_, op);
}

// --- Both ---------------------------------------------------------------------------------------

void PoolBackend::cancel(IoOp* op) noexcept {
  // Relaxed: the holder's own, or handed over with the cancel.
  const std::uint64_t word = op->backend_word_.load(std::memory_order_relaxed);
  if ((word & kPollingFlag) != 0) {
    stop_polling(op);
    ready_.push_back(
        {.user_data = reinterpret_cast<std::uint64_t>(op) | kOpTag, .result = -ECANCELED});
  } else if (word != 0) {
    // It ends in call_done(), now or when it has run.
    reinterpret_cast<PoolCall*>(word)->cancel();
  }
}

}  // namespace skua::internal
