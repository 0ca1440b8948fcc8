// SPDX-License-Identifier: Apache-2.0
#include "time/runtime_clock.h"

#include <algorithm>

#include "skua/internal/atomic.h"
#include "skua/internal/check.h"

namespace skua::internal {
namespace {

// Deadlines are rounded up to whole ticks: from a whole one on, each sleep of whole milliseconds takes exactly these.
constexpr std::int64_t kTickNs = 1'000'000;

std::int64_t saturated_add(std::int64_t time_ns, std::int64_t delta_ns) noexcept {
  std::int64_t sum;
  return __builtin_add_overflow(time_ns, delta_ns, &sum) ? kNeverNs : sum;
}

}  // namespace

void RuntimeClock::pause(AutoAdvance auto_advance) noexcept {
  MutexLock lock(&mu_);
  const Mode mode = mode_.load(std::memory_order_relaxed);
  SKUA_REQUIRE(mode != Mode::kPaused, "test_clock::pause: the clock is paused already");
  const std::int64_t now = internal::now_ns() + (mode == Mode::kShifted ? shift_ns_ : 0);
  paused_ns_ = (now + kTickNs - 1) / kTickNs * kTickNs;
  auto_advance_ = auto_advance;
  mode_.store(Mode::kPaused, std::memory_order_release);  // [CLOCK]
}

void RuntimeClock::resume() noexcept {
  {
    MutexLock lock(&mu_);
    SKUA_REQUIRE(mode_.load(std::memory_order_relaxed) == Mode::kPaused,
                 "test_clock::resume: the clock is not paused");
    SKUA_REQUIRE(advances_ == nullptr, "test_clock::resume: an advance() is under way");
    shift_ns_ = paused_ns_ - internal::now_ns();
    mode_.store(Mode::kShifted, std::memory_order_release);  // [CLOCK]
  }
  full_barrier();  // [EARLIER]
  if (on_nearer_ != nullptr) on_nearer_(on_nearer_arg_);
}

std::int64_t RuntimeClock::virtual_at(std::int64_t steady_ns) const noexcept {
  MutexLock lock(&mu_);
  const bool paused = mode_.load(std::memory_order_relaxed) == Mode::kPaused;
  return paused ? paused_ns_ : steady_ns + shift_ns_;
}

std::int64_t RuntimeClock::virtual_deadline_ns(std::int64_t deadline_ns) const noexcept {
  MutexLock lock(&mu_);
  if (deadline_ns == kNeverNs || mode_.load(std::memory_order_relaxed) == Mode::kPaused) {
    return kNeverNs;
  }
  return saturated_add(deadline_ns, -shift_ns_);
}

void RuntimeClock::add(AdvanceNode* node) noexcept {
  MutexLock lock(&mu_);
  SKUA_REQUIRE(mode_.load(std::memory_order_relaxed) == Mode::kPaused,
               "test_clock::advance: the clock is not paused; call test_clock::pause() first");
  node->target_ns = saturated_add(paused_ns_, node->duration_ns);
  const bool the_end_can_be_reached = node->target_ns != kNeverNs;
  SKUA_REQUIRE(the_end_can_be_reached, node->duration_ns);
  node->next = nullptr;
  AdvanceNode** link = &advances_;
  while (*link != nullptr) link = &(*link)->next;
  *link = node;
}

bool RuntimeClock::remove(AdvanceNode* node) noexcept {
  MutexLock lock(&mu_);
  for (AdvanceNode** link = &advances_; *link != nullptr; link = &(*link)->next) {
    if (*link != node) continue;
    *link = node->next;
    return true;
  }
  return false;
}

AdvanceNode* RuntimeClock::first_advance() const noexcept {
  AdvanceNode* first = advances_;
  for (AdvanceNode* node = advances_; node != nullptr; node = node->next) {
    if (node->target_ns < first->target_ns) first = node;
  }
  return first;
}

RuntimeClock::Goal RuntimeClock::goal(std::int64_t earliest_deadline_ns) const noexcept {
  MutexLock lock(&mu_);
  if (mode_.load(std::memory_order_relaxed) != Mode::kPaused) return Goal::kNone;
  if (advances_ != nullptr) return Goal::kAdvance;
  const bool moves = auto_advance_ == AutoAdvance::kYes && earliest_deadline_ns != kNeverNs;
  return moves ? Goal::kDeadline : Goal::kNone;
}

void RuntimeClock::step(std::int64_t earliest_deadline_ns) noexcept {
  TaskHeader* advanced = nullptr;
  {
    MutexLock lock(&mu_);
    if (mode_.load(std::memory_order_relaxed) != Mode::kPaused) return;
    AdvanceNode* const first = first_advance();
    // A deadline at the very target comes before the return of the advance().
    if (first != nullptr && first->target_ns < earliest_deadline_ns) {
      paused_ns_ = std::max(paused_ns_, first->target_ns);
      AdvanceNode** link = &advances_;
      while (*link != first) link = &(*link)->next;
      *link = first->next;
      advanced = first->task;
    } else if (earliest_deadline_ns != kNeverNs &&
               (first != nullptr || auto_advance_ == AutoAdvance::kYes)) {
      paused_ns_ = std::max(paused_ns_, earliest_deadline_ns);
    }
  }
  if (advanced != nullptr) advanced->wake();  // [WAKE] *first is gone.
}

}  // namespace skua::internal
