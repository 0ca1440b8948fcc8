// SPDX-License-Identifier: Apache-2.0
#include "io_driver/ring.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <liburing.h>

#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua::internal {
namespace {

// The operations that it does not do without; all are in Linux 5.6. What else is missing goes to the blocking pool.
struct NeededOp {
  int opcode;
  const char* name;
};
constexpr NeededOp kNeededOps[] = {
    {IORING_OP_NOP, "NOP"},     {IORING_OP_OPENAT, "OPENAT"},
    {IORING_OP_READ, "READ"},   {IORING_OP_CLOSE, "CLOSE"},
    {IORING_OP_STATX, "STATX"}, {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
};

// It does with fewer, but not well.
constexpr unsigned kEntriesMin = 8;

static_assert(kMoreToComeFlag == IORING_CQE_F_MORE && kNotificationFlag == IORING_CQE_F_NOTIF);

// What to do about it, for the causes that people meet.
std::string remedy(int error) {
  switch (error) {
    case ENOSYS:
      return "the kernel has no io_uring (Linux 5.15 or later is needed), or a container's seccomp "
             "profile "
             "hides it: allow io_uring_setup, io_uring_enter and io_uring_register there";
    case EPERM:
    case EACCES:
      return "io_uring is forbidden: check the sysctl kernel.io_uring_disabled (0 allows it), and "
             "the "
             "seccomp profile of the container (Docker's default denies io_uring_setup, "
             "io_uring_enter and "
             "io_uring_register)";
    case ENOMEM:
      return "not enough lockable memory for the rings: raise RLIMIT_MEMLOCK (ulimit -l), or "
             "choose fewer "
             "RuntimeOptions::ring_entries";
    case EMFILE:
    case ENFILE:
      return "no file descriptor is left: raise RLIMIT_NOFILE (ulimit -n)";
    case EINVAL:
      return "the kernel does not know a flag or a size: Linux 5.15 or later is needed, and "
             "RuntimeOptions::ring_entries must be 1 to 32768";
    default:
      return "see io_uring_setup(2) for the cause";
  }
}

absl::Status refused(int error, const char* call) {
  const absl::Status plain = errno_to_status(error, call);
  absl::Status status = absl::FailedPreconditionError(
      "io_uring cannot be used: " + std::string(plain.message()) + "; " + remedy(error));
  plain.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& value) { status.SetPayload(url, value); });
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Ring>> Ring::create(unsigned entries) {
  std::unique_ptr<Ring> ring(new Ring());
  io_uring_params params;
  int result = 0;
  // SUBMIT_ALL (5.18): one bad request must not keep the ones behind it waiting. Without it such a request is
  // merely met at the next enter.
  unsigned flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL;
  for (;;) {
    params = {};
    params.flags = flags;
    params.cq_entries = 4 * entries;
    result = io_uring_queue_init_params(entries, ring->ring_.get(), &params);
    if (result == -EINVAL && (flags & IORING_SETUP_SUBMIT_ALL) != 0) {
      flags &= ~static_cast<unsigned>(IORING_SETUP_SUBMIT_ALL);
    } else if (result == -ENOMEM && entries > kEntriesMin) {
      entries /=
          2;  // Before 5.12 the rings count as locked memory, of which a user may have little.
    } else {
      break;
    }
  }
  if (result < 0) return refused(-result, "io_uring_setup");
  ring->initialized_ = true;
  // Completions that find the queue full are kept by the kernel.
  if ((params.features & IORING_FEAT_NODROP) == 0) {
    return refused(ENOSYS, "io_uring feature NODROP");
  }
  io_uring_sq& sq = ring->ring_->sq;
  // The indirection that io_uring offers is not used: entry i is always request i.
  for (unsigned i = 0; i < sq.ring_entries; ++i) sq.array[i] = i;
  const absl::Status probed = ring->probe();
  if (!probed.ok()) return probed;
  return ring;
}

Ring::Ring() : ring_(std::make_unique<io_uring>()) {}

Ring::~Ring() {
  if (initialized_) io_uring_queue_exit(ring_.get());
}

// A seccomp profile may allow the set-up and deny the rest, so one operation is really done.
absl::Status Ring::probe() noexcept {
  io_uring_probe* const known = io_uring_get_probe_ring(ring_.get());
  if (known == nullptr) return refused(errno != 0 ? errno : EPERM, "io_uring_register");
  std::string missing;
  for (const NeededOp& op : kNeededOps) {
    if (!io_uring_opcode_supported(known, op.opcode)) missing += std::string(" ") + op.name;
  }
  for (unsigned opcode = 0; opcode < known->ops_len; ++opcode) {
    known_[opcode] = (known->ops[opcode].flags & IO_URING_OP_SUPPORTED) != 0;
  }
  io_uring_free_probe(known);
  if (!missing.empty()) return refused(ENOSYS, ("io_uring operations" + missing).c_str());

  const bool pushed = push(IoRequest(IORING_OP_NOP, -1, 0, 0, 0, 0), 0);
  SKUA_CHECK(pushed);
  int result = 0;
  do {
    result = enter(1, 1, IORING_ENTER_GETEVENTS);
  } while (result == -EINTR);
  if (result < 0) return refused(-result, "io_uring_enter");
  Completion completion;
  if (!pop(completion)) return refused(EIO, "io_uring NOP");
  return absl::OkStatus();
}

bool Ring::push(const IoRequest& request, std::uint64_t user_data) noexcept {
  MutexLock lock(&sq_mu_);
  io_uring_sq& sq = ring_->sq;
  const unsigned tail = *sq.ktail;  // Written under sq_mu_ only.
  // Acquire: the kernel has read the entry that is reused.
  const unsigned head = __atomic_load_n(sq.khead, __ATOMIC_ACQUIRE);
  if (tail - head >= sq.ring_entries) return false;
  io_uring_sqe* const sqe = &sq.sqes[tail & sq.ring_mask];
  std::memset(sqe, 0, sizeof(*sqe));
  sqe->opcode = request.opcode;
  sqe->ioprio = request.priority;
  sqe->fd = request.fd;
  sqe->off = request.offset;
  sqe->addr = request.addr;
  sqe->len = request.len;
  sqe->open_flags = request.flags;  // A union: the flags of every operation stand there.
  sqe->user_data = user_data;
  // Release: the kernel, and whichever worker enters, see the whole entry.
  __atomic_store_n(sq.ktail, tail + 1, __ATOMIC_RELEASE);
  return true;
}

unsigned Ring::pending() const noexcept {
  // The head first: it only grows towards the tail, so the difference is never negative.
  const unsigned head = __atomic_load_n(ring_->sq.khead, __ATOMIC_ACQUIRE);
  return __atomic_load_n(ring_->sq.ktail, __ATOMIC_ACQUIRE) - head;
}

int Ring::enter(unsigned to_submit, unsigned min_complete, unsigned flags) noexcept {
  enters_.fetch_add(1, std::memory_order_relaxed);
  return io_uring_enter2(static_cast<unsigned>(ring_->ring_fd), to_submit, min_complete, flags,
                         nullptr, _NSIG / 8);
}

int Ring::submit() noexcept {
  // Another worker may enter at the same time: the kernel serializes the two, and the second finds less.
  while (const unsigned count = pending()) {
    const int result = enter(count, 0, 0);
    if (result == -EINTR) continue;
    if (result < 0) return result;
    if (result == 0) break;
  }
  return 0;
}

int Ring::fd() const noexcept { return ring_->ring_fd; }

void Ring::poll_fired(IoOp* op) noexcept {
  SKUA_CHECK(op == nullptr);  // It puts no descriptor of an operation into the poller.
}

bool Ring::pop(Completion& completion) noexcept {
  io_uring_cq& cq = ring_->cq;
  const unsigned head = *cq.khead;  // Written by the holder only.
  if (head == __atomic_load_n(cq.ktail, __ATOMIC_ACQUIRE)) {
    // What did not fit into the queue is kept by the kernel until it is asked.
    const unsigned flags = __atomic_load_n(ring_->sq.kflags, __ATOMIC_ACQUIRE);
    if ((flags & IORING_SQ_CQ_OVERFLOW) == 0) return false;
    enter(0, 0, IORING_ENTER_GETEVENTS);
    if (head == __atomic_load_n(cq.ktail, __ATOMIC_ACQUIRE)) return false;
  }
  const io_uring_cqe& cqe = cq.cqes[head & cq.ring_mask];
  completion = Completion{.user_data = cqe.user_data, .result = cqe.res, .flags = cqe.flags};
  __atomic_store_n(cq.khead, head + 1, __ATOMIC_RELEASE);  // The kernel may write the entry again.
  return true;
}

}  // namespace skua::internal
