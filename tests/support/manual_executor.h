// SPDX-License-Identifier: Apache-2.0
//
// What it takes to drive tasks by hand: an executor that runs nothing by itself, an operation that ends when
// the test says so, and an object that notes its end.
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "skua/internal/executor.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"

namespace skua::test {

// Runs nothing by itself: the test does, on one thread or on several.
class ManualExecutor final : public internal::Executor {
 public:
  void schedule(internal::TaskHeader* task) noexcept override {
    std::lock_guard<std::mutex> lock(mu_);
    ready_.push_back(task);
  }
  void schedule_yielded(internal::TaskHeader* task) noexcept override { schedule(task); }
  void schedule_forked(internal::TaskHeader* task) noexcept override { schedule(task); }
  bool schedule_spawned(internal::TaskHeader* task) noexcept override {
    if (refuses) return false;
    schedule(task);
    return true;
  }
  void enrol(internal::TaskHeader* task) noexcept override {
    task->registry_slot = reinterpret_cast<internal::RegistrySlot*>(this);  // Anything but nullptr.
    std::lock_guard<std::mutex> lock(mu_);
    enrolled.push_back(task);
  }
  void retire(internal::TaskHeader* task) noexcept override {
    std::lock_guard<std::mutex> lock(mu_);
    retired.push_back(task);
  }
  bool task_ended() noexcept override {
    ended_.fetch_add(1, std::memory_order_release);
    return false;
  }
  void task_drained() noexcept override {}

  // The next task, or nullptr.
  internal::TaskHeader* pop() {
    std::lock_guard<std::mutex> lock(mu_);
    if (ready_.empty()) return nullptr;
    internal::TaskHeader* const task = ready_.front();
    ready_.pop_front();
    return task;
  }
  bool run_one() {
    internal::TaskHeader* const task = pop();
    if (task != nullptr) task->run();
    return task != nullptr;
  }
  void drain() {
    while (run_one()) {
    }
  }
  std::size_t ready() {
    std::lock_guard<std::mutex> lock(mu_);
    return ready_.size();
  }
  std::size_t ended() const { return ended_.load(std::memory_order_acquire); }

  // While nobody runs tasks.
  bool refuses = false;
  std::vector<internal::TaskHeader*> enrolled;
  std::vector<internal::TaskHeader*> retired;

 private:
  std::mutex mu_;
  std::deque<internal::TaskHeader*> ready_;
  std::atomic<std::size_t> ended_{0};
};

// An operation that ends when the test says so. One waiter at a time.
class ManualOp {
 public:
  enum class OnCancel { kUnlink, kKeep };  // kKeep: the wake-up comes later, as from a kernel.

  explicit ManualOp(OnCancel on_cancel = OnCancel::kUnlink) : on_cancel_(on_cancel) {}

  // The waiter, if it is still there. Who gets it is the one to wake it. Any thread.
  internal::Waiter* take() { return waiter_.exchange(nullptr, std::memory_order_acq_rel); }
  // Ends the operation with a result. False: nobody waits. Any thread.
  bool complete() {
    internal::Waiter* const waiter = take();
    if (waiter == nullptr) return false;
    waiter->task->wake();
    return true;
  }
  bool complete_cancelled() {
    internal::Waiter* const waiter = take();
    if (waiter == nullptr) return false;
    waiter->task->wake_cancelled();
    return true;
  }
  int cancels() const { return cancels_.load(std::memory_order_relaxed); }

  // Called after the waiter was published, before the task has committed to its suspension.
  std::function<void(internal::TaskHeader*)> before_commit;

 private:
  friend class ManualOpAwaiter;

  internal::CancelOutcome cancel() noexcept {
    cancels_.fetch_add(1, std::memory_order_relaxed);
    if (on_cancel_ == OnCancel::kKeep) return internal::CancelOutcome::kPending;
    return take() != nullptr ? internal::CancelOutcome::kUnlinked
                             : internal::CancelOutcome::kPending;
  }

  const OnCancel on_cancel_;
  std::atomic<internal::Waiter*> waiter_{nullptr};
  std::atomic<int> cancels_{0};
};

class [[nodiscard]] ManualOpAwaiter : public internal::Waiter {
 public:
  explicit ManualOpAwaiter(ManualOp* op) noexcept : internal::Waiter(&cancel_op), op_(op) {}

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<internal::PromiseBase> P>
  bool await_suspend(std::coroutine_handle<P> awaiting) noexcept {
    internal::TaskHeader* const task = awaiting.promise().task;
    ManualOp* const op = op_;
    task->prepare_suspend(awaiting, this);
    op->waiter_.store(this, std::memory_order_release);  // *this may not be used below.
    if (op->before_commit) op->before_commit(task);
    return task->commit_suspend();
  }
  void await_resume() const noexcept {}

 private:
  static internal::CancelOutcome cancel_op(internal::Waiter* waiter) noexcept {
    return static_cast<ManualOpAwaiter*>(waiter)->op_->cancel();
  }

  ManualOp* const op_;
};

using Log = std::vector<std::string>;

// Notes its end.
class Guard {
 public:
  Guard(Log* log, std::string name) : log_(log), name_(std::move(name)) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() { log_->push_back("~" + name_); }

 private:
  Log* const log_;
  const std::string name_;
};

}  // namespace skua::test
