// SPDX-License-Identifier: Apache-2.0
#include "deadlines.h"

#include <algorithm>

namespace http_server {
namespace {

using std::chrono::milliseconds;

std::int64_t steady_ms() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(now).count();
}

// A quarter of the shortest limit, so that none is overrun by much.
milliseconds tick_for(const TimeLimits& limits) noexcept {
  const milliseconds shortest =
      std::min({limits.idle, limits.request, limits.write, limits.linger});
  return std::clamp(shortest / 4, milliseconds(5), milliseconds(1000));
}

}  // namespace

Deadlines::Deadlines(TimeLimits limits)
    : limits_(limits), tick_(tick_for(limits)), now_ms_(steady_ms()) {}

skua::Task<> Deadlines::run() {
  for (;;) {
    co_await skua::sleep_for(tick_);
    sweep();
  }
}

void Deadlines::sweep() {
  const std::int64_t now = steady_ms();
  now_ms_.store(now, std::memory_order_relaxed);
  const std::lock_guard lock(mu_);
  for (Watched* entry = first_; entry != nullptr; entry = entry->next_) {
    const Watched::Phase phase = entry->phase_.load(std::memory_order_relaxed);
    const bool unwanted = phase == Watched::Phase::kIdle && stopping();
    if (!unwanted && entry->deadline_ms_.load(std::memory_order_relaxed) > now) continue;
    entry->expired_.store(true, std::memory_order_relaxed);
    // Who waits to read may still say why it hangs up. An error means that the peer has gone.
    const bool writes = phase == Watched::Phase::kWrite;
    entry->stream_->shutdown(writes ? skua::Shutdown::kBoth : skua::Shutdown::kRead).IgnoreError();
  }
}

void Deadlines::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  sweep();
}

void Deadlines::end_all() {
  const std::lock_guard lock(mu_);
  for (Watched* entry = first_; entry != nullptr; entry = entry->next_) {
    entry->expired_.store(true, std::memory_order_relaxed);
    entry->stream_->shutdown(skua::Shutdown::kBoth).IgnoreError();
  }
}

Watched::Watched(Deadlines* deadlines, skua::TcpStream* stream)
    : deadlines_(deadlines),
      stream_(stream),
      deadline_ms_(deadlines->now_ms_.load(std::memory_order_relaxed) +
                   deadlines->limits_.idle.count()) {
  const std::lock_guard lock(deadlines_->mu_);
  next_ = deadlines_->first_;
  if (next_ != nullptr) next_->prev_ = this;
  deadlines_->first_ = this;
}

Watched::~Watched() {
  const std::lock_guard lock(deadlines_->mu_);
  if (next_ != nullptr) next_->prev_ = prev_;
  (prev_ != nullptr ? prev_->next_ : deadlines_->first_) = next_;
}

void Watched::enter(Phase phase) noexcept {
  // A request's time is that of all its bytes together: one byte now and then does not prolong it.
  if (phase == phase_.load(std::memory_order_relaxed) && phase == Phase::kRequest) return;
  const TimeLimits& limits = deadlines_->limits_;
  milliseconds limit = limits.idle;
  if (phase == Phase::kRequest) limit = limits.request;
  if (phase == Phase::kWrite) limit = limits.write;
  if (phase == Phase::kLinger) limit = limits.linger;
  deadline_ms_.store(deadlines_->now_ms_.load(std::memory_order_relaxed) + limit.count(),
                     std::memory_order_relaxed);
  phase_.store(phase, std::memory_order_relaxed);
}

}  // namespace http_server
