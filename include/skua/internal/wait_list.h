// SPDX-License-Identifier: Apache-2.0
//
// Those who wait for a primitive of sync/, first come, first served: tasks, whose awaiters stand in the list, and
// threads that block. The list has no lock; the primitive's own guards it.
//
//   take()              what is waited for is there: the fast path
//   take_or_enqueue()   under the primitive's lock: the same, or into the list
//   ... pop_front()     under the lock, by whoever has something to give; then, outside of it, wake()
//   ... cancel()        under the lock, by an abort: out of the list, or too late
//
// A waiter that was taken out of its list is woken by the one who took it, once, and by nobody else.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/selection.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

class ListedWaiter : public Waiter {
 public:
  explicit ListedWaiter(CancelHook hook) noexcept : Waiter(hook) {}

  // The wait is over. Who has taken it from its list, once. *this may be gone.
  void wake() noexcept {
    if (SKUA_LIKELY((other_ & kThreadTag) == 0)) {
      task->wake();  // [WAKE]
    } else {
      reinterpret_cast<ThreadJoiner*>(other_ & ~kThreadTag)->notify();  // [JOIN-THREAD]
    }
  }

  // It is not `task` that waits, but a thread that blocks. Before it is put into a list.
  void set_thread(ThreadJoiner* thread) noexcept {
    other_ = reinterpret_cast<std::uintptr_t>(thread) | kThreadTag;
  }
  // It is a branch of a select of `task`. Before it is put into a list.
  void set_branch(SelectBranch* branch) noexcept {
    task = branch->selection->task;
    other_ = reinterpret_cast<std::uintptr_t>(branch);
  }
  bool in_select() const noexcept { return (other_ & ~kThreadTag) == other_ && other_ != 0; }
  // Before anything is given to it: false: it is a branch of a select that is decided, and waits no more. Who holds the
  // lock of the list, or, for itself, the waiter.
  [[nodiscard]] bool claim() noexcept {
    return SKUA_LIKELY(!in_select()) || reinterpret_cast<SelectBranch*>(other_)->claim();
  }

  // What was waited for is this waiter's, and must be given back if nobody takes it. Its own, or while it is in the
  // list or being woken that of who holds the lock.
  bool granted = false;

 private:
  friend class WaitList;
  friend class WakeList;

  static constexpr std::uintptr_t kThreadTag = 1;

  std::uintptr_t other_ = 0;  // Of what waits besides the task: a thread, a branch; 0: nothing.
  bool linked_ = false;
  // Written when it is put into a list, and not before: most awaiters never are.
  ListedWaiter* prev_;
  ListedWaiter* next_;
};

// Under the lock of the primitive that it belongs to, all of it.
class WaitList {
 public:
  WaitList() noexcept = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;

  bool empty() const noexcept { return first_ == nullptr; }
  ListedWaiter* front() const noexcept { return first_; }

  void push_back(ListedWaiter* waiter) noexcept {
    waiter->prev_ = last_;
    waiter->next_ = nullptr;
    waiter->linked_ = true;
    (last_ != nullptr ? last_->next_ : first_) = waiter;
    last_ = waiter;
  }
  // The first one that waits, which the caller has claimed. nullptr: nobody waits, and the list is empty: those whose
  // selects were decided are taken out on the way.
  ListedWaiter* pop_front() noexcept {
    while (ListedWaiter* const waiter = first_) {
      unlink(waiter);
      if (SKUA_LIKELY(waiter->claim())) return waiter;
    }
    return nullptr;
  }
  // False: it was taken out already.
  [[nodiscard]] bool remove(ListedWaiter* waiter) noexcept {
    if (!waiter->linked_) return false;
    unlink(waiter);
    return true;
  }

 private:
  void unlink(ListedWaiter* waiter) noexcept {
    (waiter->prev_ != nullptr ? waiter->prev_->next_ : first_) = waiter->next_;
    (waiter->next_ != nullptr ? waiter->next_->prev_ : last_) = waiter->prev_;
    waiter->linked_ = false;
  }

  ListedWaiter* first_ = nullptr;
  ListedWaiter* last_ = nullptr;
};

// Those taken out of a list under its lock, to be woken after it.
class WakeList {
 public:
  WakeList() noexcept = default;
  WakeList(const WakeList&) = delete;
  WakeList& operator=(const WakeList&) = delete;
  ~WakeList() { SKUA_DCHECK(first_ == nullptr); }

  bool empty() const noexcept { return first_ == nullptr; }
  // `waiter` is in no list any more.
  void add(ListedWaiter* waiter) noexcept {
    waiter->next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = waiter;
    last_ = waiter;
  }
  void add_all(WaitList* list) noexcept {
    while (ListedWaiter* const waiter = list->pop_front()) add(waiter);
  }
  // In their order. Without any lock. The primitive may be gone when the first of them has run.
  void wake_all() noexcept {
    while (first_ != nullptr) {
      ListedWaiter* const waiter = first_;
      first_ = waiter->next_;  // Read first: the wake-up may end the waiter.
      waiter->wake();
    }
    last_ = nullptr;
  }

 private:
  ListedWaiter* first_ = nullptr;
  ListedWaiter* last_ = nullptr;
};

// The awaiter of a primitive. Lives in the awaiting frame, or on the stack of a thread that blocks. Derived has:
//
//   bool take() noexcept              takes what is waited for, if it is there
//   bool take_or_enqueue() noexcept   the same, or false: *this is in the list, and may be woken
//   bool cancel() noexcept            out of the list again; false: it was granted, and is being woken
//
// and, if it can be a branch of a select (skua/sync/select.h), `static constexpr bool kSelectable = true`. What such
// a one takes must go back when it is destroyed and was not told to keep it, or when it is asked to (give_back()); or
// it claims itself before it takes anything.
template <typename Derived>
class ListAwaiter : public ListedWaiter {
 public:
  bool await_ready() const noexcept {
    return false;
  }  // What is ready takes a unit of the budget, too.

  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    TaskHeader* const waiting = awaiting.promise().task;
    if (SKUA_LIKELY(derived().take())) return waiting->spend_budget(awaiting, this);
    return suspend(awaiting, waiting);  // *this may be gone.
  }

  // Instead of awaiting it: blocks the thread. Before await_resume().
  void block() {
    if (derived().take()) return;
    ThreadJoiner joiner;
    this->set_thread(&joiner);
    if (!derived().take_or_enqueue()) joiner.wait();  // [JOIN-THREAD]
  }

  // Of a select.
  bool select_take(TaskHeader*)
    requires(Derived::kSelectable)
  {
    return derived().take();
  }
  bool select_arm(SelectBranch* branch)
    requires(Derived::kSelectable)
  {
    this->set_branch(branch);
    return derived().take_or_enqueue();
  }
  void select_disarm(SelectBranch*) noexcept
    requires(Derived::kSelectable)
  {
    static_cast<void>(derived().cancel());
  }

 protected:
  ListAwaiter() noexcept : ListedWaiter(&cancel_wait) {}

  // After take() was false. True: suspended; *this may be gone.
  SKUA_NOINLINE bool suspend(std::coroutine_handle<> awaiting, TaskHeader* waiting) noexcept {
    waiting->prepare_suspend(awaiting, this);
    if (derived().take_or_enqueue()) {
      waiting->undo_prepare();
      return waiting->spend_budget(awaiting, this);
    }
    return waiting->commit_suspend();  // *this may be gone.
  }

 private:
  Derived& derived() noexcept { return static_cast<Derived&>(*this); }

  static CancelOutcome cancel_wait(Waiter* waiter) noexcept {
    return static_cast<Derived*>(waiter)->cancel() ? CancelOutcome::kUnlinked
                                                   : CancelOutcome::kPending;
  }
};

}  // namespace skua::internal
