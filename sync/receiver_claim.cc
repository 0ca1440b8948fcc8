// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/receiver_claim.h"

#include <sched.h>

#include "base/membarrier.h"
#include "skua/internal/atomic.h"

namespace skua::internal {

void ReceiverClaim::allow() noexcept { allowed_ = membarrier_available(); }

void ReceiverClaim::revoke() noexcept {
  allowed_ = false;
  owner_.store(nullptr, std::memory_order_release);
  membarrier();  // [CLAIM]
  // A move of one value, unless its thread was preempted there.
  for (int spins = 0; busy_.load(std::memory_order_acquire); ++spins) {
    if (spins < 100) {
      cpu_relax();
    } else {
      sched_yield();
    }
  }
}

}  // namespace skua::internal
