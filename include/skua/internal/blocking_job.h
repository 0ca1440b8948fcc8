// SPDX-License-Identifier: Apache-2.0
//
// A closure on its way to the blocking pool, joined like a task.
//
// Two parties hold a job, the pool and the handle, and each is to end it, whichever comes first:
//
//   kQueued -> kStarted    the pool runs it, or fails it, and completes the join. Its share goes
//                          *before* that: nothing can end the handle's share until then, so whoever
//                          joins (or the pool itself, if the handle was dropped) is the last, and
//                          results die where they are joined.
//   kQueued -> kCancelled  abort() of the handle, or of the task that awaits it, or the pool
//                          shutting down: it completes the join. The pool's share goes when the
//                          pool meets the corpse in its queue, or at once if it stood in line.
//   kStarted -> kUnwanted  an abort after the beginning: the result is dropped when it comes.
//   either   -> kEnded     the closure has returned. An abort comes too late.
//
// Who has moved it out of kQueued has the closure, and destroys it before the join is complete; but
// a task's abort leaves that to the handle, which goes with the task's frames: a cancel hook may run
// under anybody's lock.
//
// Edges: the pool's queue hands the closure over; [JOIN] of task_header.h the result;
//   [SHARE]     unref()'s fetch_sub (acq_rel) -> that of the other party. The last one frees memory
//               that nobody else still touches.
//   [UNWANTED]  drop_result()'s CAS of phase_ (release) -> the exchange at the end of the run (acquire).
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "skua/cancellation.h"
#include "skua/internal/admission.h"
#include "skua/internal/frame.h"
#include "skua/internal/result_slot.h"
#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"
#include "skua/join_handle.h"

namespace skua::internal {

class BlockingJob;
class BlockingPool;

// Functions that depend on the closure.
struct BlockingJobTable {
  bool (*invoke)(BlockingJob*) noexcept;  // True: threw. Destroys the closure.
  void (*drop_closure)(BlockingJob*) noexcept;
  void (*drop_result)(BlockingJob*) noexcept;
  void (*store_exception)(BlockingJob*, std::exception_ptr) noexcept;
  void (*destroy)(BlockingJob*) noexcept;
  // The source of the token that the closure is called with; nullptr: it takes none.
  const CancellationSource* (*source)(BlockingJob*) noexcept;
};

// What a job is told to be.
struct BlockingJobTraits {
  Level level = kNormalLevel;
  std::uint8_t job_class = 0;
  bool mandatory = false;  // Runs even if the pool shuts down before.
  bool abandoned = false;  // Left behind when the task that awaits it is aborted.
};

class BlockingJob : public JoinState, public AdmissionNode {
 public:
  enum class [[nodiscard]] Met : std::uint8_t {
    kBegun,      // The caller runs the job.
    kCancelled,  // There is nothing to run.
  };

  BlockingJob(const BlockingJob&) = delete;
  BlockingJob& operator=(const BlockingJob&) = delete;

  Level level() const noexcept { return traits_.level; }
  int job_class() const noexcept { return traits_.job_class; }
  bool mandatory() const noexcept { return traits_.mandatory; }
  const CancellationSource* source() noexcept { return table_.source(this); }

  // Destroys a job that nobody knows of yet, its closure too. *this is gone.
  void discard() noexcept;

  // --- The pool, once. ---

  // Before the job gets in line: who cancels it finds it there, even if the pool has gone.
  void set_line(std::shared_ptr<Admission> line) noexcept { line_ = std::move(line); }
  // Cancels it instead of queueing it. *this may be gone.
  void refuse() noexcept {
    cancel();
    unref();
  }
  // Begins the job. If there is nothing to begin, *this may be gone.
  Met begin() noexcept;
  // Runs the closure. True: it threw. After begin().
  [[nodiscard]] bool invoke() noexcept { return table_.invoke(this); }
  // Completes the join, and gives up the pool's share. After invoke(). *this may be gone.
  void end(bool threw) noexcept;
  // Ends the job with `exception` as its result, unless it was cancelled. Instead of begin(). *this may be gone.
  void fail(std::exception_ptr exception) noexcept;

  // --- The thread that has the handle. ---

  // Begins the job where it stands, to be run by the caller, who then calls invoke() and end_here(). False: it has
  // begun, or was cancelled.
  [[nodiscard]] bool begin_here() noexcept;
  void end_here(bool threw) noexcept;

  // --- Any thread that keeps the job alive. ---

  // Ends the job without running it, unless it has begun. True: this call cancelled it.
  bool cancel() noexcept;
  // As cancel(); if it has begun, and not ended, its result will be dropped, and its token is cancelled.
  void abort() noexcept;
  // True after an abort that came when it had begun, until its end.
  bool unwanted() const noexcept {
    return phase_.load(std::memory_order_relaxed) == Phase::kUnwanted;
  }

  // Gives up one of the two shares. *this may be gone.
  void unref() noexcept {
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) table_.destroy(this);  // [SHARE]
  }

  // The job that `join` stands for; nullptr: it is a task's.
  static BlockingJob* of_join(JoinState* join) noexcept {
    return join->vtable->cancel_join == &cancel_join ? static_cast<BlockingJob*>(join) : nullptr;
  }

  // Set by submit(): where, and when on the steady clock.
  const BlockingPool* pool = nullptr;
  std::int64_t queued_ns = 0;

 protected:
  BlockingJob(const JoinVTable* vtable, const BlockingJobTable& table, BlockingJobTraits traits,
              std::uint64_t job_id) noexcept
      : JoinState(vtable), AdmissionNode(Kind::kJob), table_(table), traits_(traits) {
    id = job_id;
  }
  ~BlockingJob() { free_extras(); }

  static void release(JoinState* state) noexcept;
  static void abort_join(JoinState* state) noexcept { static_cast<BlockingJob*>(state)->abort(); }
  static CancelOutcome cancel_join(JoinState* state, std::uintptr_t joiner) noexcept;

 private:
  enum class Phase : std::uint8_t { kQueued, kStarted, kUnwanted, kEnded, kCancelled };

  // Leaves kQueued for `phase`, and the line. False: another party did so first.
  [[nodiscard]] bool leave_queued(Phase phase) noexcept;
  // Has the result dropped that is to come, and cancels the token. Nothing happens unless the job is running.
  void drop_result() noexcept;
  void drop_closure() noexcept;
  // Completes the join of a job that was run.
  void finish(bool threw) noexcept;

  // Constant after construction.
  const BlockingJobTable& table_;
  const BlockingJobTraits traits_;
  // Constant once submitted. nullptr: it has never been in line.
  std::shared_ptr<Admission> line_;
  // Whoever has moved it out of kQueued; then, by [JOIN], the handle.
  bool has_closure_ = true;
  // Any thread.
  std::atomic<Phase> phase_{Phase::kQueued};
  std::atomic<std::uint8_t> shares_{2};
};

// What a closure gives: called without arguments, or, if it cannot be, with a CancellationToken.
template <typename F>
struct BlockingCall {
  static constexpr bool kTakesToken = true;
  using Result = std::invoke_result_t<F&&, CancellationToken>;
};
template <typename F>
  requires std::invocable<F&&>
struct BlockingCall<F> {
  static constexpr bool kTakesToken = false;
  using Result = std::invoke_result_t<F&&>;
};
template <typename F>
using BlockingResult = typename BlockingCall<F>::Result;

template <typename F>
class BlockingJobOf final : public BlockingJob {
  using R = BlockingResult<F>;
  static constexpr bool kTakesToken = BlockingCall<F>::kTakesToken;
  struct NoSource {};

 public:
  // With two shares, the pool's and the handle's. Throws what F's move does, or std::bad_alloc.
  static BlockingJobOf* create(F f, BlockingJobTraits traits, std::uint64_t job_id) {
    if constexpr (kRecycled) {
      void* const block = allocate_block(sizeof(BlockingJobOf));
      try {
        return ::new (block) BlockingJobOf(std::move(f), traits, job_id);
      } catch (...) {
        free_block(block, sizeof(BlockingJobOf));
        throw;
      }
    } else {
      return new BlockingJobOf(std::move(f), traits, job_id);
    }
  }

  ResultSlot<R>* slot() noexcept { return &slot_; }

 private:
  // A closure may be over-aligned; the recycled blocks are not.
  static constexpr bool kRecycled = alignof(F) <= kFrameAlignment;

  BlockingJobOf(F f, BlockingJobTraits traits, std::uint64_t job_id)
      : BlockingJob(&kVTable, kTable, traits, job_id) {
    std::construct_at(std::addressof(closure_), std::move(f));
  }
  ~BlockingJobOf() {}

  bool invoke_closure() noexcept {
    bool threw = false;
    try {
      if constexpr (std::is_void_v<R>) {
        call();
        slot_.emplace();
      } else if constexpr (std::is_reference_v<R>) {
        slot_.emplace(std::addressof(call()));
      } else {
        slot_.emplace(call());
      }
    } catch (...) {
      slot_.set_exception(std::current_exception());
      threw = true;
    }
    std::destroy_at(std::addressof(closure_));
    return threw;
  }
  R call() {
    if constexpr (kTakesToken) {
      return std::invoke(std::move(closure_), source_.token());
    } else {
      return std::invoke(std::move(closure_));
    }
  }
  void destroy() noexcept {
    if constexpr (kRecycled) {
      this->~BlockingJobOf();
      free_block(this, sizeof(BlockingJobOf));
    } else {
      delete this;
    }
  }
  const CancellationSource* source() noexcept {
    if constexpr (kTakesToken) {
      return &source_;
    } else {
      return nullptr;
    }
  }

  static BlockingJobOf* of(BlockingJob* job) noexcept { return static_cast<BlockingJobOf*>(job); }

  static bool invoke_job(BlockingJob* job) noexcept { return of(job)->invoke_closure(); }
  static void drop_closure_of(BlockingJob* job) noexcept {
    std::destroy_at(std::addressof(of(job)->closure_));
  }
  static void drop_result_of(BlockingJob* job) noexcept { of(job)->slot_.clear(); }
  static void store_exception_in(BlockingJob* job, std::exception_ptr exception) noexcept {
    of(job)->slot_.set_exception(std::move(exception));
  }
  static void destroy_job(BlockingJob* job) noexcept { of(job)->destroy(); }
  static const CancellationSource* source_of(BlockingJob* job) noexcept {
    return of(job)->source();
  }

  static constexpr JoinVTable kVTable{
      .release = &release, .abort = &abort_join, .cancel_join = &cancel_join};
  static constexpr BlockingJobTable kTable{.invoke = &invoke_job,
                                           .drop_closure = &drop_closure_of,
                                           .drop_result = &drop_result_of,
                                           .store_exception = &store_exception_in,
                                           .destroy = &destroy_job,
                                           .source = &source_of};

  union {
    F closure_;
  };
  ResultSlot<R> slot_;
  [[no_unique_address]] std::conditional_t<kTakesToken, CancellationSource, NoSource> source_;
};

// The blocking pool of the runtime that this thread is a worker or a pool thread of; nullptr: it is none.
BlockingPool* current_blocking_pool() noexcept;
// The same, or the process ends with `operation` named.
BlockingPool& require_blocking_pool(const char* operation) noexcept;

// Queues `job`; the pool takes over one of its two shares. A job that cannot be queued has ended
// when this returns: cancelled, or failed. Any thread.
void submit_job(BlockingPool& pool, BlockingJob* job) noexcept;
// The same for a job that has a place in the queue of its class already.
void submit_admitted_job(BlockingPool& pool, BlockingJob* job) noexcept;
// Takes a place in the queue of a class. False: there is none. Any thread.
[[nodiscard]] bool try_reserve_place(BlockingPool& pool, int job_class) noexcept;
// Takes one, or gets in line. True: has one. Any thread.
[[nodiscard]] bool reserve_place(BlockingPool& pool, int job_class, AdmissionNode* node) noexcept;
// Leaves the line. False: a place is on its way. Any thread that keeps the node alive.
[[nodiscard]] bool leave_line(BlockingPool& pool, int job_class, AdmissionNode* node) noexcept;
// Gives back a place that was reserved, and not used. Any thread.
void give_back_place(BlockingPool& pool, int job_class) noexcept;
// Any thread.
bool blocking_class_overloaded(const BlockingPool& pool, int job_class) noexcept;
// What a job inherits that is made on this thread: that of the task or the job that runs here. `worker` is the one that
// this thread is, or nullptr.
Level inherited_level(const WorkerCore* worker) noexcept;

// Waits on this thread for the end of what `join` stands for, a job or a task. The thread that has the handle. Runs a
// job that has not begun, if the one that runs here is of the same pool and class. Not on a worker.
void wait_for_join(JoinState* join) noexcept;

// Tells the pool, if this thread is one of its, that the job which runs here waits for others meanwhile.
class BlockedThread {
 public:
  BlockedThread() noexcept;
  BlockedThread(const BlockedThread&) = delete;
  BlockedThread& operator=(const BlockedThread&) = delete;
  ~BlockedThread();
};

}  // namespace skua::internal
