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

}  // namespace skua::internal
