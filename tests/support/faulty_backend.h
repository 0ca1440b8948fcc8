// SPDX-License-Identifier: Apache-2.0
//
// A layer between driver and backend that makes what the kernel may do at any time happen all the time, or on demand.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <utility>

#include "io_driver/backend.h"
#include "io_driver/driver.h"

namespace skua::test {

// What is to happen. Shared by a test and the layer; any thread.
class FaultPlan {
 public:
  // What becomes of a request.
  struct Fault {
    // The result that the task gets; 0: the real one.
    std::int32_t result = 0;
    // Whether the request is carried out all the same, and its result thrown away.
    bool carried_out = false;
    // Not 0: it is asked for so many bytes only.
    std::uint32_t length = 0;
  };
  using Choose = std::function<Fault(const internal::IoRequest&, std::mt19937&)>;

  explicit FaultPlan(std::uint32_t seed) : random_(seed) {}

  // For each request that is not the driver's own.
  void set_choice(Choose choose) {
    const std::lock_guard lock(mu_);
    choose_ = std::move(choose);
  }
  // From 0 to 1: how often there is no room for a request; a system call says EBUSY, EAGAIN or EINTR; a completion is
  // held back, so that others overtake it.
  void set_refusals(double probability) {
    const std::lock_guard lock(mu_);
    refusals_ = probability;
  }
  void set_delays(double probability) {
    const std::lock_guard lock(mu_);
    delays_ = probability;
  }

  // Keeps the notifications of sends without copying back, until it is told otherwise.
  void hold_notifications(bool hold) {
    const std::lock_guard lock(mu_);
    holds_notifications_ = hold;
  }
  bool holds_notifications() {
    const std::lock_guard lock(mu_);
    return holds_notifications_;
  }
  // How many have been kept back.
  std::atomic<int> notifications_held{0};

  Fault choose(const internal::IoRequest& request) {
    const std::lock_guard lock(mu_);
    return choose_ ? choose_(request, random_) : Fault{};
  }
  bool refuses() {
    const std::lock_guard lock(mu_);
    return std::bernoulli_distribution(refusals_)(random_);
  }
  bool delays() {
    const std::lock_guard lock(mu_);
    return std::bernoulli_distribution(delays_)(random_);
  }
  std::size_t below(std::size_t limit) {
    const std::lock_guard lock(mu_);
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
  }

 private:
  std::mutex mu_;
  std::mt19937 random_;
  Choose choose_;
  double refusals_ = 0;
  double delays_ = 0;
  bool holds_notifications_ = false;
};

class FaultyBackend final : public internal::Backend {
 public:
  using Completion = internal::Completion;
  using IoRequest = internal::IoRequest;

  FaultyBackend(std::unique_ptr<Backend> inner, std::shared_ptr<FaultPlan> plan)
      : inner_(std::move(inner)), plan_(std::move(plan)) {}

  void attach(internal::Driver& driver) noexcept override {
    driver_ = &driver;
    inner_->attach(driver);
  }

  bool push(const IoRequest& request, std::uint64_t user_data) noexcept override {
    if (plan_->refuses()) return false;
    if ((user_data & internal::kTagMask) != internal::kOpTag) {
      return inner_->push(request, user_data);
    }
    const FaultPlan::Fault fault = plan_->choose(request);
    IoRequest changed = request;
    if (fault.length != 0) changed.len = fault.length;
    if (fault.result == 0) return inner_->push(changed, user_data);
    if (fault.carried_out) {
      {
        const std::lock_guard lock(mu_);
        replaced_.push_back({.user_data = user_data, .result = fault.result});
      }
      return inner_->push(changed, user_data);
    }
    {
      const std::lock_guard lock(mu_);
      made_up_.push_back({.user_data = user_data, .result = fault.result});
    }
    driver_->wake();  // The kernel would do so by completing it.
    return true;
  }

  // Every request is one that the plan may befall.
  std::int32_t try_at_once(const IoRequest&) noexcept override { return -EAGAIN; }
  unsigned pending() const noexcept override { return inner_->pending(); }
  int submit() noexcept override {
    if (plan_->refuses()) return plan_->below(2) == 0 ? -EBUSY : -EAGAIN;
    return inner_->submit();
  }

  bool pop(Completion& completion) noexcept override {
    Completion next;
    while (inner_->pop(next)) {
      const bool notifies = (next.flags & internal::kNotificationFlag) != 0;
      if (notifies && plan_->holds_notifications()) {
        notifications_.push_back(next);
        plan_->notifications_held.fetch_add(1);
      } else {
        held_.push_back(real_or_replaced(next));
      }
    }
    if (!notifications_.empty() && !plan_->holds_notifications()) {
      held_.insert(held_.end(), notifications_.begin(), notifications_.end());
      notifications_.clear();
    }
    {
      const std::lock_guard lock(mu_);
      held_.insert(held_.end(), made_up_.begin(), made_up_.end());
      made_up_.clear();
    }
    if (held_.empty()) return false;
    if (plan_->delays()) {
      driver_->wake();  // Nobody else would make the driver look again.
      return false;
    }
    const bool in_turn = !plan_->delays();
    auto at = in_turn ? held_.begin()
                      : held_.begin() + static_cast<std::ptrdiff_t>(plan_->below(held_.size()));
    // Those of one operation keep their order.
    at = std::find_if(held_.begin(), at, [&](const Completion& earlier) {
      return earlier.user_data == at->user_data;
    });
    completion = *at;
    held_.erase(at);
    return true;
  }

  int fd() const noexcept override { return inner_->fd(); }
  void poll_fired(internal::IoOp* op) noexcept override { inner_->poll_fired(op); }
  bool may_lose(const IoRequest& request) const noexcept override {
    return inner_->may_lose(request);
  }
  std::uint64_t enters() const noexcept override { return inner_->enters(); }

 private:
  Completion real_or_replaced(Completion completion) {
    const std::lock_guard lock(mu_);
    for (auto it = replaced_.begin(); it != replaced_.end(); ++it) {
      if (it->user_data != completion.user_data) continue;
      completion.result = it->result;
      replaced_.erase(it);
      break;
    }
    return completion;
  }

  const std::unique_ptr<Backend> inner_;
  const std::shared_ptr<FaultPlan> plan_;
  internal::Driver* driver_ = nullptr;
  // The holder.
  std::deque<Completion> held_;
  std::deque<Completion> notifications_;
  // Any thread. Under mu_.
  std::mutex mu_;
  std::deque<Completion> made_up_;
  std::deque<Completion> replaced_;
};

}  // namespace skua::test
