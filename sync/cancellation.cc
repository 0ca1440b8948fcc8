// SPDX-License-Identifier: Apache-2.0
#include "skua/cancellation.h"

#include "skua/internal/check.h"

namespace skua::internal {
namespace {

// Of a source that follows a std::stop_token.
class StoppableState final : public CancellationState {
 public:
  explicit StoppableState(std::stop_token stop)
      : CancellationState(nullptr), on_stop_(std::move(stop), Cancel(this)) {}

 private:
  class Cancel {
   public:
    explicit Cancel(StoppableState* state) noexcept : state_(state) {}
    void operator()() const noexcept { state_->cancel_if_alive(); }

   private:
    StoppableState* const state_;
  };

  void cancel_if_alive() noexcept {
    // The destructor of on_stop_ waits for this call if it comes from another thread, so *this is there; but with no
    // reference left there is nobody to tell. If a callback drops the last one, this one is the last.
    if (!try_ref()) return;
    cancel();
    unref();
  }

  std::stop_callback<Cancel> on_stop_;
};

// Of a task that has asked for its token.
class TaskSource final : public AbortListener {
 public:
  TaskSource() = default;
  CancellationToken token() const noexcept { return source_.token(); }
  void on_abort() noexcept override { source_.cancel(); }
  void drop() noexcept override { delete this; }

 private:
  const CancellationSource source_;
};

}  // namespace

CancellationToken token_of_task(SpawnedTask& root) {
  AbortListener* heard = root.listener();
  if (heard == nullptr) {
    auto* const made = new TaskSource();
    try {
      heard = root.listen(made);
    } catch (...) {
      made->drop();
      throw;
    }
  }
  return static_cast<TaskSource*>(heard)->token();  // Nobody else listens.
}

CancellationState* CancellationState::create(CancellationState* parent) {
  auto* const state = new CancellationState(parent);
  if (parent != nullptr) {
    parent->ref();
    if (!parent->add(state)) state->cancel();
  }
  return state;
}

CancellationState* CancellationState::create_for(std::stop_token stop) {
  return new StoppableState(std::move(stop));
}

CancellationState::~CancellationState() {
  MutexLock lock(&mu_);
  SKUA_CHECK(first_ == nullptr);  // Whoever is registered has a reference.
}

bool CancellationState::try_ref() noexcept {
  std::uint32_t count = references_.load(std::memory_order_relaxed);
  while (count != 0) {
    // Relaxed: as ref(); who succeeds is like one who had a reference.
    if (references_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

void CancellationState::unref() noexcept {
  CancellationState* state = this;
  // A loop: chains of children may be longer than a stack is deep.
  while (state != nullptr && state->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    CancellationState* const parent = state->parent_;
    // If the parent's cancel() has taken it out already, it has found no reference to take, and is through with it.
    if (parent != nullptr) static_cast<void>(parent->remove(state));
    delete state;
    state = parent;
  }
}

bool CancellationState::start() noexcept {
  MutexLock lock(&mu_);
  if (cancelled_.load(std::memory_order_relaxed)) return false;  // Stored under mu_.
  cancelled_.store(true, std::memory_order_release);             // [CANCELLED]
  canceller_ = std::this_thread::get_id();
  return true;
}

bool CancellationState::cancel() noexcept {
  if (!start()) return false;
  // A callback may drop every other reference.
  ref();
  CancellationState* cancelled = this;
  // A loop, for the same reason as in unref().
  while (cancelled != nullptr) {
    CancellationState* const state = cancelled;
    cancelled = state->next_cancelled_;
    state->tell(&cancelled);
    state->unref();
  }
  return true;
}

void CancellationState::tell(CancellationState** cancelled) noexcept {
  for (;;) {
    CancellationNode* node = nullptr;
    CancellationState* child = nullptr;
    CancellationCallbackNode* callback = nullptr;
    TaskHeader* task = nullptr;
    {
      MutexLock lock(&mu_);
      if (running_ != nullptr) {
        running_ = nullptr;
        callback_ended_.notify_all();
      }
      node = first_;
      if (node == nullptr) return;
      unlink(node);
      switch (node->kind_) {
        case CancellationNode::Kind::kTask: {
          const auto* const waiter = static_cast<CancelledAwaiter*>(node);
          if (waiter->branch_ != nullptr && !waiter->branch_->claim()) continue;
          task = waiter->task;
          break;
        }
        case CancellationNode::Kind::kCallback:
          callback = static_cast<CancellationCallbackNode*>(node);
          running_ = callback;
          break;
        case CancellationNode::Kind::kChild:
          child = static_cast<CancellationState*>(node);
          // Under the lock, without which the child cannot go.
          if (!child->try_ref()) continue;
          break;
      }
    }
    if (task != nullptr) {
      task->wake();  // [WAKE] *node may be gone.
    } else if (callback != nullptr) {
      callback->function_(callback);  // *node may be gone.
    } else if (child->start()) {
      child->next_cancelled_ = *cancelled;
      *cancelled = child;
    } else {
      child->unref();
    }
  }
}

bool CancellationState::add(CancellationNode* node) noexcept {
  MutexLock lock(&mu_);
  if (cancelled_.load(std::memory_order_relaxed)) return false;  // [CANCELLED], by mu_.
  node->prev_ = last_;
  node->next_ = nullptr;
  node->linked_ = true;
  (last_ != nullptr ? last_->next_ : first_) = node;
  last_ = node;
  return true;
}

bool CancellationState::remove(CancellationNode* node) noexcept {
  MutexLock lock(&mu_);
  if (!node->linked_) return false;
  unlink(node);
  return true;
}

void CancellationState::remove_callback(CancellationCallbackNode* node) noexcept {
  MutexLock lock(&mu_);
  if (node->linked_) {
    unlink(node);
    return;
  }
  if (canceller_ == std::this_thread::get_id()) return;  // By the function itself, or it is over.
  while (running_ == node) callback_ended_.wait(&mu_);
}

void CancellationState::unlink(CancellationNode* node) noexcept {
  (node->prev_ != nullptr ? node->prev_->next_ : first_) = node->next_;
  (node->next_ != nullptr ? node->next_->prev_ : last_) = node->prev_;
  node->linked_ = false;
}

bool CancelledAwaiter::suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  waiting->prepare_suspend(awaiting, this);
  if (state_.get() != nullptr && !state_->add(this)) {
    waiting->undo_prepare();
    return waiting->spend_budget(awaiting, this);
  }
  return waiting->commit_suspend();  // *this may be gone.
}

bool CancelledAwaiter::select_arm(SelectBranch* branch) noexcept {
  task = branch->selection->task;
  branch_ = branch;
  return state_.get() != nullptr && !state_->add(this);
}

void CancelledAwaiter::select_disarm(SelectBranch*) noexcept {
  if (state_.get() != nullptr) static_cast<void>(state_->remove(this));
}

CancelOutcome CancelledAwaiter::cancel_wait(Waiter* waiter) noexcept {
  auto* const self = static_cast<CancelledAwaiter*>(waiter);
  // In no list at all: nobody else will ever wake it.
  if (self->state_.get() == nullptr) return CancelOutcome::kUnlinked;
  return self->state_->remove(self) ? CancelOutcome::kUnlinked : CancelOutcome::kPending;
}

}  // namespace skua::internal
