// SPDX-License-Identifier: Apache-2.0
#include "runtime/seat.h"

#include <algorithm>

namespace skua::internal {

bool Seat::take(ThreadJoiner& joiner, std::int64_t deadline_ns) {
  {
    MutexLock lock(&mu_);
    if (!taken_) {
      taken_ = true;
      return true;
    }
    waiting_.push_back(&joiner);
  }
  joiner.wait_for_turn(deadline_ns);
  MutexLock lock(&mu_);
  if (joiner.has_turn()) return true;
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &joiner));
  return false;
}

void Seat::leave() {
  MutexLock lock(&mu_);
  if (waiting_.empty()) {
    taken_ = false;
    return;
  }
  // Under the lock: the joiner stays until its owner has had the lock, too.
  ThreadJoiner* const next = waiting_.front();
  waiting_.pop_front();
  next->give_turn();
}

}  // namespace skua::internal
