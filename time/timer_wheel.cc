// SPDX-License-Identifier: Apache-2.0
#include "time/timer_wheel.h"

#include <algorithm>
#include <bit>

#include "skua/internal/check.h"

namespace skua::internal {
namespace {

constexpr std::int64_t kTickNs = 1'000'000;

// Times before the clock's zero count as zero.
std::uint64_t tick_at_or_before(std::int64_t time_ns) noexcept {
  return time_ns > 0 ? static_cast<std::uint64_t>(time_ns / kTickNs) : 0;
}

std::uint64_t tick_at_or_after(std::int64_t time_ns) noexcept {
  if (time_ns <= 0) return 0;
  return static_cast<std::uint64_t>(time_ns / kTickNs + (time_ns % kTickNs != 0 ? 1 : 0));
}

}  // namespace

// --- TimerList --------------------------------------------------------------------------------

void TimerList::push_back(TimerNode* node) noexcept {
  node->prev = tail_;
  node->next = nullptr;
  (tail_ != nullptr ? tail_->next : head_) = node;
  tail_ = node;
}

void TimerList::remove(TimerNode* node) noexcept {
  (node->prev != nullptr ? node->prev->next : head_) = node->next;
  (node->next != nullptr ? node->next->prev : tail_) = node->prev;
}

TimerNode* TimerList::pop_front() noexcept {
  TimerNode* const node = head_;
  if (node != nullptr) remove(node);
  return node;
}

// --- TimerWheel -------------------------------------------------------------------------------

TimerWheel::TimerWheel(std::int64_t now_ns) noexcept : elapsed_(tick_at_or_before(now_ns)) {}

void TimerWheel::insert(TimerNode* node) noexcept {
  SKUA_DCHECK(node->state != TimerNode::State::kLinked);
  node->state = TimerNode::State::kLinked;
  ++size_;
  const Tick tick = deadline_tick(*node);
  if (tick <= elapsed_) {
    link(node, kDueSlot, tick);
  } else {
    link_ahead(node, tick);
  }
}

void TimerWheel::remove(TimerNode* node) noexcept {
  SKUA_DCHECK(node->state == TimerNode::State::kLinked, node->state);
  node->state = TimerNode::State::kIdle;
  --size_;
  TimerList& nodes = slots_[node->slot].nodes;
  nodes.remove(node);
  if (nodes.empty()) mark_empty(node->slot);
}

std::size_t TimerWheel::expire(std::int64_t now_ns, TimerList& due) noexcept {
  const Tick now = std::max(elapsed_, tick_at_or_before(now_ns));
  const std::size_t size_before = size_;
  std::size_t unclaimed = 0;
  const auto fire = [&](TimerNode* node) {
    --size_;
    if (SKUA_UNLIKELY(!node->claim())) {
      node->state = TimerNode::State::kIdle;
      ++unclaimed;
      return;
    }
    node->state = TimerNode::State::kFiring;
    due.push_back(node);
  };

  TimerList overdue = take_slot(kDueSlot);
  while (TimerNode* const node = overdue.pop_front()) fire(node);

  for (FirstSlot first = first_slot(); first.begin <= now; first = first_slot()) {
    elapsed_ = first.begin;
    TimerList nodes = take_slot(first.index);
    while (TimerNode* const node = nodes.pop_front()) {
      const Tick tick = deadline_tick(*node);
      if (tick <= elapsed_) {
        fire(node);
      } else {
        link_ahead(node, tick);
      }
    }
  }
  // All slots begin later, so each node keeps its highest differing digit: [AHEAD] holds.
  elapsed_ = now;
  return size_before - size_ - unclaimed;
}

std::int64_t TimerWheel::next_deadline_ns() const noexcept {
  Tick tick = slots_[kDueSlot].earliest;
  if (tick == kNever) {
    const FirstSlot first = first_slot();
    if (first.begin == kNever) return kNeverNs;
    tick = slots_[first.index].earliest;
  }
  // A tick may be rounded up to beyond the last ns.
  constexpr Tick kLastTick = static_cast<Tick>(kNeverNs / kTickNs);
  return tick <= kLastTick ? static_cast<std::int64_t>(tick) * kTickNs : kNeverNs;
}

TimerWheel::Tick TimerWheel::deadline_tick(const TimerNode& node) noexcept {
  return tick_at_or_after(node.deadline_ns);
}

TimerWheel::FirstSlot TimerWheel::first_slot() const noexcept {
  for (unsigned level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const auto digit = static_cast<unsigned>(std::countr_zero(occupied_[level]));  // [AHEAD]
    const unsigned shift = level * kDigitBits;
    const Tick higher_digits = elapsed_ >> (shift + kDigitBits) << (shift + kDigitBits);
    return {level * kSlotsPerLevel + digit, higher_digits | (Tick{digit} << shift)};
  }
  const Tick far = slots_[kFarSlot].earliest;
  return {kFarSlot, far == kNever ? kNever : far >> kSpanBits << kSpanBits};
}

void TimerWheel::link(TimerNode* node, unsigned slot, Tick tick) noexcept {
  node->slot = static_cast<std::uint16_t>(slot);
  slots_[slot].nodes.push_back(node);
  slots_[slot].earliest = std::min(slots_[slot].earliest, tick);
}

void TimerWheel::link_ahead(TimerNode* node, Tick tick) noexcept {
  SKUA_DCHECK(tick > elapsed_, tick, elapsed_);
  const auto highest_bit = static_cast<unsigned>(std::bit_width(tick ^ elapsed_)) - 1;
  const unsigned level = highest_bit / kDigitBits;
  if (level >= kLevels) {
    link(node, kFarSlot, tick);
    return;
  }
  const unsigned digit = (tick >> (level * kDigitBits)) % kSlotsPerLevel;
  occupied_[level] |= std::uint64_t{1} << digit;
  link(node, level * kSlotsPerLevel + digit, tick);
}

TimerList TimerWheel::take_slot(unsigned index) noexcept {
  const TimerList nodes = slots_[index].nodes;
  slots_[index].nodes = TimerList();
  mark_empty(index);
  return nodes;
}

void TimerWheel::mark_empty(unsigned index) noexcept {
  slots_[index].earliest = kNever;
  if (index < kFarSlot) {
    occupied_[index / kSlotsPerLevel] &= ~(std::uint64_t{1} << (index % kSlotsPerLevel));
  }
}

}  // namespace skua::internal
