// SPDX-License-Identifier: Apache-2.0
//
// A parent that waits for children that run in parallel. One child runs at once on the parent's thread; the record
// of the fork stands on the worker's deque meanwhile, and whoever takes it from there makes and runs the next child:
//
//   - the worker itself, when the child has ended: the usual case, depth first, and without an atomic
//   read-modify-write;
//   - a thief, or the worker's run loop when the child has suspended.
//
// Who holds the record, having taken it or never having pushed it, may touch its plain fields. A fork is *cut short* if
// its task was aborted: no more children are started.
//
// Counting. Children end on path (their worker finds the record as the newest of its deque and claims it) or off path.
// Each child but the last leaves the record on a deque once, and it is taken from there once: by that or another child
// on path, or otherwise, which `steals_` counts. So as many children end off path as there are steals, whichever they
// are, and a child may suspend and end on any thread. The idea of counting steals is libfork's (C. J. Williams and J.
// Elliott, "Libfork: portable continuation-stealing with stackless coroutines", 2024).
//
//   join_ = kUnset - (children ended off path) - (kUnset - steals_, by the last child)
//
// Who brings it to 0 goes on as the parent; if nothing was stolen, the last child does so without looking at it.
//
//   [FORK]  each decrement of join_ (acq_rel) -> the one that reaches 0. The parent sees what the children did. The
//           record itself goes from hand to hand by [FORK-PUSH], or by the wake-up of a child.
//
// tests/model/fork_join.pml checks the counting.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <new>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/internal/executor.h"
#include "skua/internal/fork_deque.h"
#include "skua/internal/frame.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

// The base of what stands in the parent's frame while it waits. See Fork for the part that knows the children's types.
class ForkRecord {
 public:
  static constexpr std::uint32_t kChildrenMax = 1u << 30;

  ForkRecord(const ForkRecord&) = delete;
  ForkRecord& operator=(const ForkRecord&) = delete;

  // What a forked child's PromiseBase::parent says.
  static ForkRecord* of(std::uintptr_t parent) noexcept {
    return reinterpret_cast<ForkRecord*>(parent & ~PromiseBase::kTagMask);
  }

  // A child has ended; `parent` as in its promise. Returns what to run next. The worker that ran it; *this may be gone.
  SKUA_ALWAYS_INLINE std::coroutine_handle<> child_done(WorkerCore& worker,
                                                        std::uintptr_t parent) noexcept {
    // What is rare is one call that does all the rest, so that nothing has to outlive a call: the coroutine that
    // this is inlined into would save registers for it each time that it runs.
    if (SKUA_UNLIKELY(needs_trampoline(worker))) return child_done_slowly(worker, parent);
    if ((parent & PromiseBase::kForkedTag) == 0) {
      if (SKUA_UNLIKELY(steals_ != 0)) return child_done_slowly(worker, parent);
      return only_last_done(worker);
    }
    const ForkDeque::Pop pop = worker.forks->try_pop_if(this);
    if (SKUA_UNLIKELY(pop != ForkDeque::Pop::kTaken)) return child_done_after(pop, worker);
    if (SKUA_UNLIKELY(--worker.budget <= 0)) return pause(worker);
    return advance(worker);
  }
  // The same for a child that was destroyed because its task was aborted: there is no result, and no parent to resume.
  [[nodiscard]] std::coroutine_handle<> child_killed(WorkerCore& worker,
                                                     std::uintptr_t parent) noexcept;

  // The holder has taken the record from a deque on which `worker` or a thief found it. Returns the task to run next on
  // `worker`, or nullptr if there is none; *this may be gone.
  [[nodiscard]] TaskHeader* take(WorkerCore& worker) noexcept;

  // The spawned task that the parent is a part of. The holder.
  TaskHeader& root() const noexcept { return *root_; }

 protected:
  // Makes and starts the next child, and returns it; or nothing_to_run(). Throws what making it throws, which is then
  // that child's exception.
  using Advance = std::coroutine_handle<> (*)(ForkRecord&, WorkerCore&);
  // Leaves the current exception as the result of child i.
  using Fail = void (*)(ForkRecord&, std::uint32_t i) noexcept;

  ForkRecord(Advance advance, Fail fail, std::size_t children) noexcept
      : advance_(advance), fail_(fail), children_(static_cast<std::uint32_t>(children)) {
    SKUA_REQUIRE(children <= kChildrenMax, children);
  }
  ~ForkRecord() = default;

  // Suspends the parent and runs the first child.
  SKUA_ALWAYS_INLINE std::coroutine_handle<> start(PromiseBase& parent) noexcept {
    SKUA_REQUIRE(next_ == 0, "a when_all is awaited once");
    parent_ = &parent;
    root_ = parent.task->root;
    WorkerCore& worker = *parent.task->worker;
    if (SKUA_UNLIKELY(needs_trampoline(worker))) return advance_by_run_loop(worker);
    return advance(worker);
  }

  // All that a typed record's advance does beside making the child. The holder.
  bool cut_short() const noexcept { return root_->abort_requested(); }
  SKUA_COLD std::coroutine_handle<> end_cut_short(WorkerCore& worker) noexcept;
  std::uint32_t next_index() noexcept { return next_++; }
  std::uint32_t last_index() const noexcept { return next_ - 1; }
  bool all_started() const noexcept { return next_ == children_; }
  // Starts child i, and passes the record on.
  SKUA_ALWAYS_INLINE std::coroutine_handle<> start_child(PromiseBase& promise, void* out,
                                                         std::uint32_t i,
                                                         WorkerCore& worker) noexcept {
    const std::coroutine_handle<> child = promise.handle();
    promise.task =
        ::new (static_cast<void*>(header_of_frame(child.address()))) TaskHeader(root_, &worker);
    promise.out = out;
    if (i + 1 == children_) {
      promise.parent = reinterpret_cast<std::uintptr_t>(this) | PromiseBase::kLastForkedTag;
      return child;
    }
    promise.parent = reinterpret_cast<std::uintptr_t>(this) | PromiseBase::kForkedTag;
    worker.forks->push(this);  // From here on it is not ours.
    // Who sleeps is woken for it, unless somebody searches already; see [FORK-SLEEP] for why no barrier stands here.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const std::uint32_t idle = worker.idle_word->load(std::memory_order_relaxed);
    if (SKUA_UNLIKELY(idle != worker.all_awake)) tell_idle(worker);
    return child;
  }
  // The child that was started last has ended.
  SKUA_ALWAYS_INLINE std::coroutine_handle<> last_done(WorkerCore& worker) noexcept {
    if (SKUA_UNLIKELY(steals_ != 0)) return last_done_after_steals(worker);
    return only_last_done(worker);
  }

 private:
  static constexpr std::uint32_t kUnset = 1u << 31;

  // What to resume if there is nothing to resume. take() must know it apart, and noop handles need not be equal.
  static std::coroutine_handle<> nothing_to_run(WorkerCore& worker) noexcept {
    worker.fork_ran_dry = true;
    return std::noop_coroutine();
  }
  TaskHeader* advance_later(WorkerCore& worker) noexcept;
  SKUA_ALWAYS_INLINE std::coroutine_handle<> advance(WorkerCore& worker) noexcept {
    try {
      return advance_(*this, worker);
    } catch (...) {
      return advance_after_failure();  // It asks for the worker again, so that none has to be kept for it.
    }
  }
  SKUA_COLD std::coroutine_handle<> advance_by_run_loop(WorkerCore& worker) noexcept;
  SKUA_COLD std::coroutine_handle<> advance_after_failure() noexcept;
  SKUA_COLD std::coroutine_handle<> child_done_slowly(WorkerCore& worker,
                                                      std::uintptr_t parent) noexcept;
  SKUA_COLD std::coroutine_handle<> child_done_after(ForkDeque::Pop pop,
                                                     WorkerCore& worker) noexcept;
  // Nobody else had the record, so no child was killed: that would have been off path.
  SKUA_ALWAYS_INLINE std::coroutine_handle<> only_last_done(WorkerCore& worker) noexcept {
    parent_->task->worker = &worker;
    return parent_->handle();
  }
  SKUA_PRESERVE_MOST SKUA_COLD static void tell_idle(WorkerCore& worker) noexcept;
  SKUA_COLD std::coroutine_handle<> ended_off_path(WorkerCore& worker) noexcept;
  SKUA_COLD std::coroutine_handle<> last_done_after_steals(WorkerCore& worker) noexcept;
  SKUA_COLD std::coroutine_handle<> resume_parent(WorkerCore& worker) noexcept;
  SKUA_COLD std::coroutine_handle<> pause(WorkerCore& worker) noexcept;

  // Constant after the start.
  const Advance advance_;
  const Fail fail_;
  PromiseBase* parent_;
  TaskHeader* root_;
  const std::uint32_t children_;
  // The holder.
  std::uint32_t next_ = 0;  // Children started, or that could not be made.
  std::uint32_t steals_ = 0;
  // Any child.
  std::atomic<std::uint32_t> join_{kUnset};
  std::atomic<bool> any_killed_{false};
};

// The typed part, as a base of the awaiter `Derived`, which offers:
//   PromiseBase& make_child(std::uint32_t i)    may throw
//   void* out(std::uint32_t i)                  where child i leaves its result
//   void fail_child(std::uint32_t i) noexcept   make_child(i) has thrown the current exception
template <typename Derived>
class Fork : public ForkRecord {
 protected:
  explicit Fork(std::size_t children) noexcept : ForkRecord(&advance, &fail, children) {}

 private:
  static std::coroutine_handle<> advance(ForkRecord& record, WorkerCore& worker) {
    auto& self = static_cast<Derived&>(record);
    if (SKUA_UNLIKELY(self.cut_short())) return self.end_cut_short(worker);
    PromiseBase& child = self.make_child(self.next_index());
    const std::uint32_t i = self.last_index();  // Read again: it need not outlive the call.
    return self.start_child(child, self.out(i), i, worker);
  }
  static void fail(ForkRecord& record, std::uint32_t i) noexcept {
    static_cast<Derived&>(record).fail_child(i);
  }
};

}  // namespace skua::internal
