// SPDX-License-Identifier: Apache-2.0
//
// What it takes to drive tasks by hand: an executor that runs nothing by itself, an operation that ends when
// the test says so, and an object that notes its end.
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/membarrier.h"
#include "skua/internal/executor.h"
#include "skua/internal/fork.h"
#include "skua/internal/fork_deque.h"
#include "skua/internal/frame_cache.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "task/context.h"

namespace skua::test {

// What a thread needs to run tasks: see ManualExecutor::run_one().
class ManualWorker : public internal::WorkerCore {
 public:
  ManualWorker(internal::Executor* owner, internal::ForkGate& gate) : deque(gate) {
    forks = &deque;
    executor = owner;
    idle_word = &idle_;
  }

  internal::ForkDeque deque;

 private:
  const std::atomic<std::uint32_t> idle_{0};
};

// Runs nothing by itself: the test does, on one thread or on several.
class ManualExecutor final : public internal::Executor {
 public:
  explicit ManualExecutor(int workers = 1) {
    for (int i = 0; i < workers; ++i) {
      workers_.push_back(std::make_unique<ManualWorker>(this, gate_));
    }
  }

  ManualWorker& worker(int i) { return *workers_[static_cast<std::size_t>(i)]; }

  void schedule(internal::TaskHeader* task) noexcept override {
    std::lock_guard<std::mutex> lock(mu_);
    ready_.push_back(task);
  }
  void schedule_yielded(internal::TaskHeader* task) noexcept override { schedule(task); }
  void fork_pushed(internal::WorkerCore&) noexcept override {}
  bool may_go_on(internal::WorkerCore&) noexcept override { return false; }
  void schedule_spawned(internal::SpawnedTask* task, internal::WorkerCore*) noexcept override {
    if (refuses) {
      internal::refuse_task(task);
    } else {
      schedule(task);
    }
  }
  void enrol(internal::TaskHeader* task, internal::WorkerCore&) noexcept override {
    task->registry_slot = reinterpret_cast<internal::RegistrySlot*>(this);  // Anything but nullptr.
    std::lock_guard<std::mutex> lock(mu_);
    enrolled.push_back(task);
  }
  void retire(internal::TaskHeader* task, internal::WorkerCore&) noexcept override {
    std::lock_guard<std::mutex> lock(mu_);
    retired.push_back(task);
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
  // This thread is the given worker from here on.
  ManualWorker& enter(int worker_index) {
    ManualWorker& self = worker(worker_index);
    running_ = &self;
    self.context = &internal::this_context();
    self.context->worker = &self;
    self.frames = &internal::frame_cache_of_thread;
    return self;
  }
  // As the given worker: a ready task; else the newest of its own forks; else the oldest of another's.
  bool run_one(int worker_index = 0) {
    ManualWorker& self = enter(worker_index);
    if (internal::TaskHeader* const task = pop()) {
      run(self, task);
      return true;
    }
    internal::ForkRecord* fork = self.deque.pop();
    for (std::size_t i = 0; fork == nullptr && i < workers_.size(); ++i) {
      if (workers_[i].get() == &self || workers_[i]->deque.looks_empty()) continue;
      const internal::ForkGate::Visit visit(gate_);
      fork = workers_[i]->deque.steal();
    }
    if (fork == nullptr) return false;
    self.budget = run_budget;
    if (internal::TaskHeader* const child = fork->take(self)) run(self, child);
    return true;
  }
  void drain() {
    while (run_one()) {
    }
  }
  // Tasks that are ready; forks are not counted.
  std::size_t ready() {
    std::lock_guard<std::mutex> lock(mu_);
    return ready_.size();
  }
  // The worker whose turn it is on this thread.
  static const ManualWorker* running() { return running_; }
  std::size_t ended() const {
    std::size_t sum = 0;
    for (const auto& worker : workers_) sum += worker->ended.load(std::memory_order_acquire);
    return sum;
  }

  // While nobody runs tasks.
  bool refuses = false;
  std::int32_t run_budget = internal::kRunBudget;  // Of a run.
  std::vector<internal::TaskHeader*> enrolled;
  std::vector<internal::TaskHeader*> retired;

 private:
  void run(ManualWorker& self, internal::TaskHeader* task) {
    self.budget = run_budget;
    task->worker = &self;
    task->run();
  }

  inline static thread_local const ManualWorker* running_ = nullptr;

  internal::ForkGate gate_{internal::membarrier_available() ? &internal::membarrier : nullptr};
  std::vector<std::unique_ptr<ManualWorker>> workers_;
  std::mutex mu_;
  std::deque<internal::TaskHeader*> ready_;
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
