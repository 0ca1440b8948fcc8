// SPDX-License-Identifier: Apache-2.0
#include "workers/lending.h"

namespace skua::internal {

void Lending::lend() {
  MutexLock lock(&mu_);
  ++lent_;
}

void Lending::claim(Claim& claim, bool lent) {
  MutexLock lock(&mu_);
  if (lent) --lent_;
  claims_.push_back(&claim);
  changed_.notify_all();  // A worker that waits for it in wait_for_claim().
}

void Lending::await(const Claim& claim) {
  MutexLock lock(&mu_);
  while (!claim.granted_) changed_.wait(&mu_);
}

bool Lending::pass_on(Claim* own) {
  MutexLock lock(&mu_);
  if (claims_.empty()) return false;
  if (own != nullptr) claims_.push_back(own);
  claims_.front()->granted_ = true;
  claims_.pop_front();
  changed_.notify_all();
  return true;
}

bool Lending::wait_for_claim() {
  MutexLock lock(&mu_);
  while (claims_.empty() && lent_ > 0) changed_.wait(&mu_);
  return !claims_.empty();
}

bool Lending::wanted() {
  MutexLock lock(&mu_);
  return !claims_.empty();
}

bool Lending::is_lent() {
  MutexLock lock(&mu_);
  return lent_ > 0;
}

}  // namespace skua::internal
