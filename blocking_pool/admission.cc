// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/admission.h"

namespace skua::internal {

Admission::Entry Admission::enter(AdmissionNode* node) noexcept {
  MutexLock lock(&mu_);
  if (closed_ && node->kind_ == AdmissionNode::Kind::kJob) return Entry::kClosed;
  if (free_ > 0) {
    --free_;
    return Entry::kAdmitted;
  }
  node->in_line_ = true;
  node->prev_ = last_;
  node->next_ = nullptr;
  (last_ != nullptr ? last_->next_ : first_) = node;
  last_ = node;
  ++in_line_;
  return Entry::kInLine;
}

bool Admission::try_enter() noexcept {
  MutexLock lock(&mu_);
  if (free_ == 0) return false;
  --free_;
  return true;
}

bool Admission::remove(AdmissionNode* node) noexcept {
  MutexLock lock(&mu_);
  if (!node->in_line_) return false;
  unlink(node);
  return true;
}

void Admission::close() noexcept {
  MutexLock lock(&mu_);
  closed_ = true;
}

AdmissionNode* Admission::pop_job() noexcept {
  MutexLock lock(&mu_);
  for (AdmissionNode* node = first_; node != nullptr; node = node->next_) {
    if (node->kind_ != AdmissionNode::Kind::kJob) continue;
    unlink(node);
    return node;
  }
  return nullptr;
}

std::size_t Admission::in_line() const noexcept {
  MutexLock lock(&mu_);
  return in_line_;
}

void Admission::unlink(AdmissionNode* node) noexcept {
  (node->prev_ != nullptr ? node->prev_->next_ : first_) = node->next_;
  (node->next_ != nullptr ? node->next_->prev_ : last_) = node->prev_;
  node->in_line_ = false;
  --in_line_;
}

}  // namespace skua::internal
