// SPDX-License-Identifier: Apache-2.0
//
// A closure on its way to the blocking pool, joined like a task.
//
// Two parties hold a job, the pool and the handle, and each is to end it, whichever comes first:
//
//   kQueued -> kStarted    the pool runs it, or fails it: it destroys the closure and completes the
//                          join. Its share goes *before* that: nothing can end the handle's share
//                          until then, so whoever joins (or the pool itself, if the handle was
//                          dropped) is the last, and results die where they are joined.
//   kQueued -> kCancelled  abort() of the handle, or the pool shutting down: it destroys the
//                          closure and completes the join. The pool's share goes when the pool
//                          meets the corpse in its queue.
//
// Edges: the pool's queue hands the closure over; [JOIN] of task_header.h the result;
//   [SHARE]  unref()'s fetch_sub (acq_rel) -> that of the other party. The last one frees memory
//            that nobody else still touches.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "skua/internal/result_slot.h"
#include "skua/internal/task_header.h"
#include "skua/join_handle.h"

namespace skua::internal {

class BlockingJob : public JoinState {
 public:
  BlockingJob(const JoinVTable* table, std::uint64_t job_id) noexcept : JoinState(table) {
    id = job_id;
  }
  BlockingJob(const BlockingJob&) = delete;
  BlockingJob& operator=(const BlockingJob&) = delete;

  // Runs the closure, unless the job was cancelled first, and ends the job. A run is counted in
  // `runs` before the joiner can know of it. The pool, once. *this may be gone.
  void run_or_skip(std::atomic<std::uint64_t>& runs) noexcept;
  // Ends the job without running it, unless it has begun. True: this call cancelled it. Takes no
  // share. Any thread that keeps the job alive.
  bool cancel() noexcept;
  // Ends the job with `exception` as its result, unless it was cancelled. The pool, instead of
  // run_or_skip(). *this may be gone.
  void fail(std::exception_ptr exception) noexcept;
  // Gives up one of the two shares. *this may be gone.
  void unref() noexcept {
    if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy_(this);  // [SHARE]
  }

 protected:
  ~BlockingJob() { free_name(); }
  // Set by the derived class's constructor.
  bool (*invoke_)(BlockingJob*) noexcept = nullptr;  // True: threw. Destroys the closure.
  void (*drop_closure_)(BlockingJob*) noexcept = nullptr;
  void (*store_exception_)(BlockingJob*, std::exception_ptr) noexcept = nullptr;
  void (*destroy_)(BlockingJob*) noexcept = nullptr;

 private:
  enum class Phase : std::uint8_t { kQueued, kStarted, kCancelled };

  // Leaves kQueued for `phase`. False: the other party did so first.
  [[nodiscard]] bool leave_queued(Phase phase) noexcept;
  // Gives up the pool's share of a job that the pool has ended, and completes it.
  void end(bool threw) noexcept;

  // Any thread.
  std::atomic<Phase> phase_{Phase::kQueued};
  std::atomic<std::uint8_t> shares_{2};
};

template <typename F, typename R>
class BlockingJobOf final : public BlockingJob {
 public:
  BlockingJobOf(F f, std::uint64_t job_id) : BlockingJob(&kVTable, job_id) {
    std::construct_at(std::addressof(closure_), std::move(f));
    invoke_ = [](BlockingJob* job) noexcept { return static_cast<BlockingJobOf*>(job)->invoke(); };
    drop_closure_ = [](BlockingJob* job) noexcept {
      std::destroy_at(std::addressof(static_cast<BlockingJobOf*>(job)->closure_));
    };
    store_exception_ = [](BlockingJob* job, std::exception_ptr exception) noexcept {
      static_cast<BlockingJobOf*>(job)->slot_.set_exception(std::move(exception));
    };
    destroy_ = [](BlockingJob* job) noexcept { delete static_cast<BlockingJobOf*>(job); };
  }
  ~BlockingJobOf() {}

  ResultSlot<R>* slot() noexcept { return &slot_; }

 private:
  bool invoke() noexcept {
    bool threw = false;
    try {
      if constexpr (std::is_void_v<R>) {
        std::invoke(std::move(closure_));
        slot_.emplace();
      } else if constexpr (std::is_reference_v<R>) {
        slot_.emplace(std::addressof(std::invoke(std::move(closure_))));
      } else {
        slot_.emplace(std::invoke(std::move(closure_)));
      }
    } catch (...) {
      slot_.set_exception(std::current_exception());
      threw = true;
    }
    std::destroy_at(std::addressof(closure_));
    return threw;
  }

  static constexpr JoinVTable kVTable{
      .release = [](JoinState* state) noexcept { static_cast<BlockingJob*>(state)->unref(); },
      .abort = [](JoinState* state) noexcept { static_cast<BlockingJob*>(state)->cancel(); },
  };

  union {
    F closure_;
  };
  ResultSlot<R> slot_;
};

class BlockingPool;

// The blocking pool of the runtime that this thread is a worker or a pool thread of, or the process
// ends with `operation` named.
BlockingPool& require_blocking_pool(const char* operation) noexcept;

// Queues `job`; the pool takes over one of its two shares. A job that cannot be queued has ended
// when this returns: cancelled, or failed. Any thread.
void submit_job(BlockingPool& pool, BlockingJob* job) noexcept;

template <typename F, typename R = std::invoke_result_t<F&&>>
JoinHandle<R> spawn_blocking_on(BlockingPool& pool, F f, std::uint64_t id) {
  auto* const job = new BlockingJobOf<F, R>(std::move(f), id);
  JoinHandle<R> handle(job, job->slot());
  submit_job(pool, job);
  return handle;
}

}  // namespace skua::internal
