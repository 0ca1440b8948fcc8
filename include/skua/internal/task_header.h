// SPDX-License-Identifier: Apache-2.0
//
// The schedulable unit. What the queues hold is a pointer to a TaskHeader; it stands in front of the
// coroutine frame it belongs to, in the same allocation:
//
//   block -> | ResultSlot<T> | JoinState | TaskHeader | coroutine frame ... |
//              until joined    ... SpawnedTask ...      until the task ends
//
// A spawned task has all of it, and header and result outlive the frame. A forked child (of a when_all) has the
// TaskHeader alone, and it goes with the frame: its result lies in its parent's frame.
//
// States, protocol and the proof sketch: task/README.md. The named edges:
//
//   [WAKE]   wake()'s read-modify-write of state_ (acq_rel) -> commit_suspend()'s (acq_rel), or the
//            queue that the waker puts the task into. The task sees all that its waker wrote.
//   [ABORT]  abort()'s read-modify-write -> the run loop's, or commit_suspend()'s.
//   [JOIN]   complete()'s exchange of join_ (acq_rel) -> the joiner's load or CAS (acquire). Whoever
//            joins sees the result slot, and that the frame is gone.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {

class Executor;
class TaskHeader;
class SpawnedTask;
struct RegistrySlot;
struct JoinState;
struct WorkerCore;

// What a cancel hook achieved.
enum class [[nodiscard]] CancelOutcome {
  kUnlinked,  // The operation has forgotten the waiter: nobody will ever wake it.
  kPending,   // A wake-up is under way, or will come when the operation has really ended.
};

// What a suspended task waits on. Lives in the awaiting frame, in the awaiter.
struct Waiter {
  // Called by the thread that aborts the task, at most once per suspension, after the task has
  // suspended and while it is kept from resuming. Must not block on user code.
  using CancelHook = CancelOutcome (*)(Waiter*) noexcept;

  explicit Waiter(CancelHook hook) noexcept : cancel(hook) {}
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  const CancelHook cancel;
  TaskHeader* task = nullptr;
};

// [JOIN-THREAD]  notify()'s or give_turn()'s read-modify-write of word_ (release) -> the owner's loads (acquire).
//
// Waits on a plain thread for a task. Lives on that thread's stack. Aligned so that a pointer to it has room
// for JoinState's tag.
class alignas(8) ThreadJoiner {
 public:
  // Blocks until notify(). Owner only.
  void wait() noexcept;
  // Blocks until notify(), give_turn() or `deadline_ns` (CLOCK_MONOTONIC; INT64_MAX: none). Owner only.
  void wait_for_turn(std::int64_t deadline_ns) noexcept;
  bool notified() const noexcept { return (word_.load(std::memory_order_acquire) & kDone) != 0; }
  bool has_turn() const noexcept { return (word_.load(std::memory_order_acquire) & kTurn) != 0; }
  // The task has ended. Any thread, once. *this may be gone.
  void notify() noexcept;
  // The owner may be the worker now; see runtime/seat.h. Any thread that keeps *this alive, once.
  void give_turn() noexcept;

 private:
  static constexpr std::uint32_t kDone = 1;
  static constexpr std::uint32_t kTurn = 2;
  std::atomic<std::uint32_t> word_{0};
};

// Hears that a task is being aborted. See TaskHeader::listen().
class AbortListener {
 public:
  AbortListener(const AbortListener&) = delete;
  AbortListener& operator=(const AbortListener&) = delete;

  // At least once, if the task is aborted. The thread that aborts it, or the worker that runs it.
  virtual void on_abort() noexcept = 0;
  // The task has gone, or has another listener.
  virtual void drop() noexcept = 0;

 protected:
  AbortListener() noexcept = default;
  ~AbortListener() = default;
};

// What few tasks have.
struct TaskExtras {
  TaskExtras() noexcept {}
  TaskExtras(const TaskExtras&) = delete;
  TaskExtras& operator=(const TaskExtras&) = delete;

  // Constant once the task is scheduled.
  const char* name = nullptr;            // Owned.
  std::int64_t deadline_ns = INT64_MAX;  // TaskHeader::has_deadline says whether it counts.
  bool embedded = true;                  // It has another owner, who outlives the task.
  // Under the lock of the root; constant once set.
  AbortListener* listener = nullptr;
};

// Functions that depend on the kind and the result type of what is joined.
struct JoinVTable {
  void (*release)(JoinState*) noexcept;  // Destroys the result and frees the memory.
  void (*abort)(JoinState*) noexcept;
  // The cancel hook of a task that awaits it, which stands there as `joiner`. nullptr: the task stops waiting, and what
  // it awaited goes on.
  CancelOutcome (*cancel_join)(JoinState*, std::uintptr_t joiner) noexcept = nullptr;
};

// The end of a task (or of a blocking job), for whoever joins it. Two parties hold it, the task and
// its handle, and the word says which of them is the last:
//
//   0 -> joiner    (handle awaited)       then complete() wakes it, and the joiner releases
//   0 -> kComplete (task ended first)     then the handle releases
//   0 -> kDetached (handle dropped)       then complete() releases
//
// A child of a group (child_group.h) has no handle: its word names the group from the beginning.
struct JoinState {
  static constexpr std::uintptr_t kEmpty = 0;
  static constexpr std::uintptr_t kComplete = 1;
  static constexpr std::uintptr_t kDetached = 2;
  static constexpr std::uintptr_t kThreadTag = 4;  // The joiner is a ThreadJoiner.
  static constexpr std::uintptr_t kCancelledTag =
      2;                                          // It is a task that is to be woken as cancelled.
  static constexpr std::uintptr_t kChildTag = 6;  // It is a ChildNode.

  explicit JoinState(const JoinVTable* table, std::uint64_t number = 0) noexcept
      : vtable(table), id(number) {}

  // The result is in place and the frame destroyed. Wakes the joiner, or releases. `threw` says that
  // the result is an exception; with nobody left to take it, the process ends.
  // The ending task only, once. *this may be gone.
  void complete(bool threw) noexcept;
  // Gives up the handle. Handle only, once. *this may be gone.
  void drop_handle() noexcept;
  bool is_complete() const noexcept {
    return join.load(std::memory_order_acquire) == kComplete;  // [JOIN]
  }
  // Registers a joiner (a TaskHeader*, or a ThreadJoiner* | kThreadTag). False: already complete.
  // Handle only.
  [[nodiscard]] bool set_joiner(std::uintptr_t joiner) noexcept;
  // Takes the joiner back. False: complete() has taken it, a wake-up is coming.
  [[nodiscard]] bool clear_joiner(std::uintptr_t joiner) noexcept;
  // Leaves the joiner there, a task, but has it woken as cancelled. False: complete() has taken it, with the result.
  // Its cancel hook.
  [[nodiscard]] bool cancel_joiner(std::uintptr_t joiner) noexcept;

  std::atomic<std::uintptr_t> join{kEmpty};
  const JoinVTable* vtable;
  std::uint64_t id;
  TaskExtras* extras = nullptr;  // Set before it is scheduled, or see TaskHeader::listen().
  // Set before the handle is dropped if it is dropped because its owner was aborted, or while an exception
  // unwinds: what the task throws then does not end the process.
  bool abandoned = false;

  // nullptr: none.
  const char* name() const noexcept { return extras != nullptr ? extras->name : nullptr; }
  // Throws std::bad_alloc; the same below. Before it is scheduled.
  void set_name(const char* text, std::size_t size);
  TaskExtras& make_extras();
  void free_extras() noexcept {
    if (SKUA_UNLIKELY(extras != nullptr)) free_extras_slow();
  }

 private:
  SKUA_COLD void free_extras_slow() noexcept;
};

// A coroutine handle that may be left unset.
class HandleSlot {
 public:
  HandleSlot() noexcept {}
  HandleSlot& operator=(std::coroutine_handle<> handle) noexcept {
    address_ = handle.address();
    return *this;
  }
  operator std::coroutine_handle<>() const noexcept {
    return std::coroutine_handle<>::from_address(address_);
  }
  void destroy() const { std::coroutine_handle<>(*this).destroy(); }

 private:
  void* address_;
};

// Which part a coroutine frame plays.
enum class TaskKind : std::uint8_t {
  kForked,  // A child of when_all: belongs to the root that its parent belongs to. 0: its header begins with zeros.
  kAwaited,  // Part of the task that awaits it: the header is never used.
  kRoot,     // Spawned: has an identity and a join.
};

class TaskHeader {
 public:
  static constexpr std::int16_t kAnywhere = -1;

  // Of a task that is its own root.
  explicit TaskHeader(TaskKind k) noexcept : TaskHeader(k, nullptr, nullptr, kAnywhere) {}
  SKUA_ALWAYS_INLINE TaskHeader(std::coroutine_handle<> handle, Executor* on,
                                std::int16_t stays_on) noexcept
      : TaskHeader(TaskKind::kRoot, handle, on, stays_on) {}
  // Of a child that is forked on `core` by a task of `root_task`. What belongs to the root is left as it is: here each
  // store would be felt.
  SKUA_ALWAYS_INLINE TaskHeader(TaskHeader* root_task, WorkerCore* core) noexcept
      : kind(TaskKind::kForked), worker(core), root(root_task) {}
  TaskHeader(const TaskHeader&) = delete;
  TaskHeader& operator=(const TaskHeader&) = delete;

  // --- Suspending. The thread that runs the task, in this order. ---

  // Says where to resume and what is waited on. Before the waiter is published to the operation.
  void prepare_suspend(std::coroutine_handle<> handle, Waiter* waiter) noexcept {
    resume = handle;
    waiter->task = this;
    waiting_on = waiter;
    if (SKUA_UNLIKELY(!enrolled)) enrol();
  }
  // The last step of suspending, after the waiter was published. True: the task is suspended, and
  // may run elsewhere already; touch nothing. False: it was woken meanwhile; it goes on here.
  [[nodiscard]] bool commit_suspend() noexcept {
    std::uint32_t expected = 0;
    if (SKUA_LIKELY(state_.compare_exchange_strong(expected, kSuspended, std::memory_order_acq_rel,
                                                   std::memory_order_acquire))) {
      return true;
    }
    return commit_suspend_slow();
  }
  // The operation turned out to be ready after prepare_suspend(), and the waiter was never published.
  void undo_prepare() noexcept { waiting_on = nullptr; }

  // Instead of suspending, for an operation that was ready at once: takes a unit of the run's budget. True: there was
  // none left, and the task now stands in a queue, to go on with its result later; touch nothing. `waiter` is the
  // operation's, or anything but nullptr if it has none: its result is not lost by an abort. nullptr: there is no
  // result yet, and an abort that comes meanwhile ends the task.
  [[nodiscard]] bool spend_budget(std::coroutine_handle<> handle, Waiter* waiter) noexcept {
    if (SKUA_LIKELY(--worker->budget > 0)) return false;
    return yield_with_result(handle, waiter);
  }

  // --- Waking. ---

  // Makes the task runnable. Whoever took its waiter from the operation, once. *this may be gone.
  void wake() noexcept;
  // The same for who ends a task that this one awaits.
  void wake_joiner() noexcept;
  // As wake(), but leaves the scheduling to the caller if it returns true.
  [[nodiscard]] bool claim_wake() noexcept;
  // As wake(), for an operation that ended because the task's abort cancelled it: the task is
  // destroyed instead of resumed.
  void wake_cancelled() noexcept;

  // --- Aborting. ---

  // Asks the task, and the children it has forked, to end at their next suspension, or in the one they are in. A
  // spawned task. Any thread that keeps the header alive (a handle, or the stopped world of a shutdown).
  void abort() noexcept;
  // The same for a task that is in no queue's hands: sets the mark alone. A spawned task.
  void mark_aborted() noexcept { state_.fetch_or(kAbort, std::memory_order_acq_rel); }
  // Queues a task that waits for its children, to be destroyed instead of resumed. Who has ended the fork.
  SKUA_COLD void kill_in_fork(std::coroutine_handle<> handle) noexcept;
  // Forgets a forked child that has enrolled. Before its frame goes, on the thread that ends it.
  SKUA_COLD void leave_root() noexcept;
  // The current exception has left it. A root.
  SKUA_COLD void threw_now() noexcept;
  // Has `listener` told of the abort, or tells it at once. Returns the one that is told: there may be another one
  // already, and then `listener` is dropped. A root; whoever runs a part of it. Throws std::bad_alloc.
  AbortListener* listen(AbortListener* listener);
  // nullptr: nobody listens.
  AbortListener* listener() noexcept;
  bool abort_requested() const noexcept {
    return (state_.load(std::memory_order_relaxed) & kAbort) != 0;  // A hint; ordered by [ABORT].
  }

  // --- Running. The worker that took the task from a queue. ---

  // Whether it is run_aborted() that runs it. Relaxed: the queue handed over all that was written before the task was
  // put into it.
  bool is_aborted() const noexcept {
    const std::uint32_t own = state_.load(std::memory_order_relaxed) & (kAbort | kKill);
    return (own | (root->state_.load(std::memory_order_relaxed) & kAbort)) != 0;
  }
  // Runs the task until it suspends or ends. *this may be gone.
  void run() noexcept;
  SKUA_COLD void run_aborted() noexcept;
  // The same while the runtime shuts down: marks the task as aborted first.
  void run_draining() noexcept;

  // Plain fields: written by the thread that runs the task, handed over by [WAKE] and the queues.
  const TaskKind kind;
  bool enrolled = false;       // Known to the registry, or, a forked child, to its root.
  bool unconstrained = false;  // Has no budget.
  // What it waits for only says that a call is worth a try: who is aborted loses nothing if it ends there, though it
  // has been woken, while the call would take what is then lost with it.
  bool awaits_hint = false;

 private:
  static constexpr std::uint32_t kSuspended = 1;  // Waits; a wake-up may claim it.
  static constexpr std::uint32_t kNotified =
      2;  // Woken before it had suspended, or while cancelling.
  static constexpr std::uint32_t kCancelling = 4;  // An aborter runs the cancel hook.
  static constexpr std::uint32_t kAbort = 8;       // Abort requested. Stays.
  static constexpr std::uint32_t kKill = 16;       // Destroy instead of resuming.

  SKUA_ALWAYS_INLINE TaskHeader(TaskKind k, std::coroutine_handle<> handle, Executor* on,
                                std::int16_t stays_on) noexcept
      : kind(k),
        root(this),
        waiting_on(nullptr),
        forked_next_(nullptr),
        executor(on),
        registry_slot(nullptr),
        level(kInheritLevel),
        has_deadline(false),
        home(stays_on),
        threw(false),
        threw_cancelled(false),
        killed(false) {
    resume = handle;
  }

  SKUA_COLD bool commit_suspend_slow() noexcept;
  SKUA_COLD void enrol() noexcept;
  SKUA_COLD bool yield_with_result(std::coroutine_handle<> handle, Waiter* waiter) noexcept;
  [[nodiscard]] bool start_abort() noexcept;
  void tell_abort() noexcept;
  void abort_forked() noexcept;
  void unlink_forked() noexcept;
  void run_cancel() noexcept;
  void end_cancel(CancelOutcome outcome) noexcept;
  void kill() noexcept;

  std::atomic<std::uint32_t> state_{0};

 public:
  WorkerCore* worker = nullptr;  // That runs it, or has run it last.
  TaskHeader* const root;        // The spawned task that it is a part of; itself, if it is that.
  HandleSlot resume;
  Waiter* waiting_on;  // nullptr: fresh or yielded, so nothing is lost by an abort.

 private:
  // The enrolled descendants that were not aborted yet, in a list that begins in their root; see task_header.cc.
  TaskHeader* forked_next_;   // A root: the first.
  TaskHeader** forked_link_;  // A forked child: what points to it; nullptr: in no list.

 public:
  // A root's, on behalf of all that it has forked.
  Executor* executor;
  RegistrySlot* registry_slot;
  Level level;           // Priority; kInheritLevel until it is spawned.
  bool has_deadline;     // Its extras say which. Constant once it is scheduled.
  std::int16_t home;     // The worker that it must stay on, or kAnywhere.
  bool threw;            // The result is an exception.
  bool threw_cancelled;  // A TaskCancelled.
  bool killed;           // There is no result.
};

// A task that was spawned: it can be joined.
class SpawnedTask final : public JoinState, public TaskHeader {
 public:
  SpawnedTask() noexcept : JoinState(nullptr), TaskHeader(TaskKind::kRoot) {}
  // One that runs `handle` on `on`.
  SKUA_ALWAYS_INLINE SpawnedTask(const JoinVTable* table, std::uint64_t number,
                                 std::coroutine_handle<> handle, Executor* on,
                                 std::int16_t stays_on) noexcept
      : JoinState(table, number), TaskHeader(handle, on, stays_on) {}

  // Of the one that spawns it. Throws std::bad_alloc. Before it is scheduled.
  SKUA_COLD void inherit_deadline(const TaskHeader& spawner);
};

}  // namespace skua::internal
