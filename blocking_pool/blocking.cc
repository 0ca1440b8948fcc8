// SPDX-License-Identifier: Apache-2.0
//
// What the public headers call of the pool, and what a thread knows of it.
#include "skua/blocking.h"

#include <string>
#include <utility>

#include "blocking_pool/blocking_pool.h"
#include "blocking_pool/pool_thread.h"
#include "skua/internal/check.h"
#include "skua/internal/executor.h"

namespace skua {
namespace internal {
namespace {

thread_local constinit BlockingPool* current_pool = nullptr;
thread_local constinit PoolThread* current_thread = nullptr;

SKUA_NOINLINE PoolThread* current_pool_thread() noexcept {
  asm volatile("");  // Else the compiler proves the function pure and merges two calls.
  return current_thread;
}

}  // namespace

SKUA_NOINLINE BlockingPool* current_blocking_pool() noexcept {
  asm volatile("");
  return current_pool;
}

void set_current_pool_thread(PoolThread* thread) noexcept { current_thread = thread; }

SKUA_NOINLINE BlockingPool* set_current_blocking_pool(BlockingPool* pool) noexcept {
  asm volatile("");
  return std::exchange(current_pool, pool);
}

BlockingPool& require_blocking_pool(const char* operation) noexcept {
  BlockingPool* const pool = current_blocking_pool();
  if (SKUA_UNLIKELY(pool == nullptr)) {
    fatal(std::string(operation) +
          " was called outside a runtime: call it from a task or a blocking job, or use the "
          "function of the same name of a skua::Runtime");
  }
  return *pool;
}

void submit_job(BlockingPool& pool, BlockingJob* job) noexcept { pool.submit(job); }
void submit_admitted_job(BlockingPool& pool, BlockingJob* job) noexcept {
  pool.submit_admitted(job);
}
bool try_reserve_place(BlockingPool& pool, int job_class) noexcept {
  return pool.try_reserve(job_class);
}
bool reserve_place(BlockingPool& pool, int job_class, AdmissionNode* node) noexcept {
  return pool.reserve(job_class, node);
}
bool leave_line(BlockingPool& pool, int job_class, AdmissionNode* node) noexcept {
  return pool.leave_line(job_class, node);
}
void give_back_place(BlockingPool& pool, int job_class) noexcept { pool.give_back(job_class); }
bool blocking_class_overloaded(const BlockingPool& pool, int job_class) noexcept {
  return pool.overloaded(job_class);
}

absl::Status blocking_queue_full() {
  return absl::ResourceExhaustedError(
      "the queue of the blocking jobs' class is full (BlockingClassOptions::queue_limit)");
}

void wait_for_join(JoinState* join) noexcept {
  require_may_block("skua::blocking_join");
  PoolThread* const self = current_pool_thread();
  BlockingJob* const job = BlockingJob::of_join(join);
  if (self != nullptr && job != nullptr && job->pool == self->pool &&
      job->job_class() == self->job_class && job->begin_here()) {
    self->pool->run_here(self, job);
    return;
  }
  ThreadJoiner joiner;
  const auto tagged = reinterpret_cast<std::uintptr_t>(&joiner) | JoinState::kThreadTag;
  if (!join->set_joiner(tagged)) return;
  const BlockedThread blocked;
  joiner.wait();
}

BlockedThread::BlockedThread() noexcept {
  if (PoolThread* const self = current_pool_thread()) self->pool->begin_wait(self);
}

BlockedThread::~BlockedThread() {
  if (PoolThread* const self = current_pool_thread()) self->pool->end_wait(self);
}

}  // namespace internal

bool this_job::aborted() noexcept {
  const internal::PoolThread* const self = internal::current_pool_thread();
  return self != nullptr && self->job() != nullptr && self->job()->unwanted();
}

}  // namespace skua
