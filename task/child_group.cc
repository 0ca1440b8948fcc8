// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/child_group.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/executor.h"
#include "skua/join_handle.h"
#include "task/context.h"

namespace skua::internal {

// --- Starting -------------------------------------------------------------------------------------

ChildOrigin ChildOrigin::of(TaskHeader& root) noexcept {
  return {*root.executor, current_worker_core(), root.level, root.home,
          root.has_deadline ? &root : nullptr};
}

ChildOrigin ChildOrigin::here(const char* operation) noexcept {
  WorkerCore* const worker = current_worker_core();
  const TaskHeader* const running = worker != nullptr ? worker->running : nullptr;
  return {require_executor(operation), worker, kInheritLevel, TaskHeader::kAnywhere,
          running != nullptr && running->has_deadline ? running : nullptr};
}

ChildNode* ChildGroup::make_node() {
  auto* const node = ::new (allocate_block(sizeof(ChildNode))) ChildNode;
  node->recycled_ = true;
  return node;
}

void ChildGroup::give_deadline(FixedChild& child, const ChildOrigin& origin,
                               std::int64_t deadline_ns) noexcept {
  SpawnedTask* const task = child.node.task_;
  task->extras = &child.extras;
  if (origin.deadline_of != nullptr) {
    const auto& from = static_cast<const SpawnedTask&>(*origin.deadline_of);
    deadline_ns = std::min(deadline_ns, from.extras->deadline_ns);
  }
  child.extras.deadline_ns = deadline_ns;
  task->has_deadline = deadline_ns != INT64_MAX;
}

void ChildGroup::decorate(ChildNode* node, const ChildOrigin& origin, std::string_view name) {
  try {
    if (origin.deadline_of != nullptr) node->task_->inherit_deadline(*origin.deadline_of);
    node->task_->set_name(name.data(), name.size());
  } catch (...) {
    node->task_->resume.destroy();
    release(node);
    throw;
  }
}

void ChildGroup::launch(ChildNode* node, const ChildOrigin& origin) noexcept {
  SpawnedTask* const task = node->task_;
  node->group_ = this;
  task->id = next_task_id(origin.spawner);
  task->level = origin.level;
  task->home = origin.home;
  // Published by whatever schedules it.
  task->join.store(reinterpret_cast<std::uintptr_t>(node) | JoinState::kChildTag,
                   std::memory_order_relaxed);
  bool refused = false;
  {
    MutexLock lock(&mu_);
    refused = closed_ && kind_ == Kind::kNursery;
    if (!refused) {
      link(node);
      ++running_;
    }
  }
  if (refused) {
    task->resume.destroy();
    release(node);
  } else {
    origin.executor.schedule_spawned(task, origin.spawner);  // *node may be gone.
  }
}

void ChildGroup::link(ChildNode* node) noexcept {
  node->prev_ = nullptr;
  node->next_ = first_;
  if (first_ != nullptr) first_->prev_ = node;
  first_ = node;
}

void ChildGroup::unlink(ChildNode* node) noexcept {
  (node->prev_ != nullptr ? node->prev_->next_ : first_) = node->next_;
  if (node->next_ != nullptr) node->next_->prev_ = node->prev_;
}

// Nobody else knows of it any more.
void ChildGroup::release(ChildNode* node) noexcept {
  node->task_->vtable->release(node->task_);
  if (node->recycled_) free_block(node, sizeof(ChildNode));
}

ChildGroup::~ChildGroup() {
  // Nothing runs, so nobody else is here.
  SKUA_CHECK(running_ == 0, running_);
  while (ChildNode* const node = first_) {
    first_ = node->next_;
    release(node);
  }
}

// --- Ending ---------------------------------------------------------------------------------------

void ChildNode::ended() noexcept { group_->child_ended(this); }

void ChildGroup::child_ended(ChildNode* node) noexcept {
  SpawnedTask* const task = node->task_;
  Outcome outcome;
  {
    MutexLock lock(&mu_);  // [CHILD]
    node->ended_ = true;
    if (kind_ == Kind::kNursery) {
      if (!closed_ && task->killed) cancelled_ = true;
      if (task->threw && !closed_) {
        exception_ = node->exception_of_(task);
        outcome.walk = begin_walk();
      }
    } else if (!left_) {  // Else nobody takes it, and it is freed below.
      (last_finished_ != nullptr ? last_finished_->next_finished_ : first_finished_) = node;
      last_finished_ = node;
    }
    if (node->recycled_ && !closed_ && (kind_ == Kind::kNursery || left_)) {
      unlink(node);
      outcome.release = node;
    }
    count_down(outcome);
  }
  act(outcome);  // *this may be gone.
}

void ChildGroup::count_down(Outcome& outcome) noexcept {
  --running_;
  GroupWait* const waiter = waiter_;
  if (waiter != nullptr && satisfies(*waiter)) {
    waiter_ = nullptr;
    if (waiter->revoke_ == nullptr || waiter->revoke_(waiter)) {
      outcome.wake = waiter->task;
      outcome.cancelled = waiter->cancelled_;
    }
  }
  outcome.last = left_ && running_ == 0;
}

void ChildGroup::act(const Outcome& outcome) noexcept {
  if (outcome.walk) run_walks();  // It is counted, so that nothing is over yet.
  if (outcome.release != nullptr) release(outcome.release);
  if (outcome.wake != nullptr) {
    if (outcome.cancelled) {
      outcome.wake->wake_cancelled();
    } else {
      outcome.wake->wake();  // [WAKE]
    }
  } else if (outcome.last) {
    delete this;
  }
}

// --- Aborting -------------------------------------------------------------------------------------

void ChildGroup::close() noexcept {
  bool walks = false;
  {
    MutexLock lock(&mu_);
    walks = begin_walk();
  }
  if (walks) run_walks();
}

// False: one has begun already, which reaches all there are.
bool ChildGroup::begin_walk() noexcept {
  if (closed_) return false;
  closed_ = true;
  ++running_;
  return true;
}

void ChildGroup::run_walks() noexcept {
  Context& context = this_context();
  next_walk_ = context.walks;
  context.walks = this;
  if (context.walking) return;  // Left to the outermost walk on this thread.
  context.walking = true;
  while (ChildGroup* const group = context.walks) {
    context.walks = group->next_walk_;
    group->walk();  // *group may be gone.
  }
  context.walking = false;
}

void ChildGroup::walk() noexcept {
  // Those that have ended are still there: to abort them does nothing.
  for (ChildNode* node = first_; node != nullptr; node = node->next_) node->task_->abort();
  Outcome outcome;
  {
    MutexLock lock(&mu_);
    count_down(outcome);
  }
  act(outcome);  // *this may be gone.
}

void ChildGroup::abort_present() noexcept {
  // The owner alone changes the list of a set.
  for (ChildNode* node = first_; node != nullptr; node = node->next_) node->task_->abort();
}

// --- What children leave --------------------------------------------------------------------------

ChildNode* ChildGroup::first_finished() noexcept {
  MutexLock lock(&mu_);  // [CHILD]
  return first_finished_;
}

void ChildGroup::release_first() noexcept {
  ChildNode* node = nullptr;
  {
    MutexLock lock(&mu_);
    node = first_finished_;
    first_finished_ = node->next_finished_;
    if (first_finished_ == nullptr) last_finished_ = nullptr;
    unlink(node);
  }
  release(node);
}

std::uint32_t ChildGroup::running() noexcept {
  MutexLock lock(&mu_);  // [CHILD]
  return running_;
}

bool ChildGroup::closed() noexcept {
  MutexLock lock(&mu_);
  return closed_;
}

void ChildGroup::rethrow() {
  MutexLock lock(&mu_);  // [CHILD]
  if (exception_ != nullptr) std::rethrow_exception(exception_);
  if (cancelled_) throw TaskCancelled();
}

void ChildGroup::leave_to_children(bool abandoned) noexcept {
  ChildNode* gone = nullptr;
  bool last = false;
  {
    MutexLock lock(&mu_);
    left_ = true;
    ChildNode* next = nullptr;
    for (ChildNode* node = first_; node != nullptr; node = next) {
      next = node->next_;
      if (!node->ended_) {
        // Read by complete() when it finds the task detached.
        if (abandoned) node->task_->abandoned = true;
        std::uintptr_t word = reinterpret_cast<std::uintptr_t>(node) | JoinState::kChildTag;
        if (!node->task_->join.compare_exchange_strong(word, JoinState::kDetached,
                                                       std::memory_order_acq_rel)) {
          continue;  // It is on the way to child_ended().
        }
        // It frees itself from here on.
        node->task_ = nullptr;
        --running_;
      }
      unlink(node);
      node->next_ = gone;
      gone = node;
    }
    last = running_ == 0;
  }
  while (ChildNode* const node = gone) {
    gone = node->next_;
    if (node->task_ != nullptr) {
      release(node);
    } else {
      free_block(node, sizeof(ChildNode));
    }
  }
  if (last) delete this;
}

// --- Waiting --------------------------------------------------------------------------------------

bool ChildGroup::satisfies(const GroupWait& wait) const noexcept {
  if (wait.cancelled_) return running_ == 0;
  return running_ <= wait.running_ || (kind_ == Kind::kSet && first_finished_ != nullptr);
}

bool GroupWait::publish() noexcept {
  MutexLock lock(&group_.mu_);  // [CHILD]
  if (group_.satisfies(*this)) return false;
  group_.waiter_ = this;
  return true;
}

bool GroupWait::withdraw() noexcept {
  MutexLock lock(&group_.mu_);  // [CHILD]
  return std::exchange(group_.waiter_, nullptr) != nullptr;
}

std::uint32_t GroupWait::leave() noexcept {
  MutexLock lock(&group_.mu_);
  group_.waiter_ = nullptr;
  return group_.running_;
}

bool GroupWait::suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  waiting->prepare_suspend(awaiting, this);
  if (!publish()) {
    waiting->undo_prepare();
    // What has run out of its budget may be destroyed when it is its turn again, so not while children run. (Each of
    // them was a run of its own; but in a drain they are refused at once.)
    return group_.running() == 0 && waiting->spend_budget(awaiting, this);
  }
  return waiting->commit_suspend();  // *this may be gone.
}

bool GroupWait::suspend_or_spend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
  waiting->prepare_suspend(awaiting, this);
  if (!publish()) {
    waiting->undo_prepare();
    return waiting->spend_budget(awaiting, this);
  }
  return waiting->commit_suspend();  // *this may be gone.
}

CancelOutcome GroupWait::cancel_unlinking(Waiter* waiter) noexcept {
  return static_cast<GroupWait*>(waiter)->withdraw() ? CancelOutcome::kUnlinked
                                                     : CancelOutcome::kPending;
}

CancelOutcome GroupWait::cancel_structured(Waiter* waiter) noexcept {
  auto* const self = static_cast<GroupWait*>(waiter);
  ChildGroup& group = self->group_;
  bool walks = false;
  {
    MutexLock lock(&group.mu_);
    if (group.waiter_ != self) return CancelOutcome::kPending;  // A wake-up is under way, and wins.
    if (self->revoke_ != nullptr && !std::exchange(self->revoke_, nullptr)(self)) {
      group.waiter_ = nullptr;
      return CancelOutcome::kPending;
    }
    self->cancelled_ = true;
    walks = group.begin_walk();
  }
  // The owner cannot go on before this hook has returned, whatever the children do.
  if (walks) group.run_walks();
  return CancelOutcome::kPending;
}

}  // namespace skua::internal
