// SPDX-License-Identifier: Apache-2.0
#include "io_driver/uring_backend.h"

#include <liburing.h>

namespace skua::internal {

void UringBackend::attach(Driver& driver) noexcept {
  ring_->attach(driver);
  pool_.attach(driver);
}

bool UringBackend::push(const IoRequest& request, std::uint64_t user_data) noexcept {
  std::uint8_t opcode = request.opcode;
  if (opcode == IORING_OP_ASYNC_CANCEL) {
    opcode = reinterpret_cast<const IoOp*>(request.addr & ~kTagMask)->request().opcode;
  }
  return ring_->knows(opcode) ? ring_->push(request, user_data) : pool_.push(request, user_data);
}

bool UringBackend::pop(Completion& completion) noexcept {
  return ring_->pop(completion) || pool_.pop(completion);
}

int UringBackend::submit_and_wait(std::int64_t now_ns, std::int64_t deadline_ns) noexcept {
  // What the pool completes after this look interrupts the wait, which was announced before.
  return ring_->submit_and_wait(now_ns, pool_.has_completions() ? now_ns : deadline_ns);
}

}  // namespace skua::internal
