// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/pool_thread.h"

#include <unistd.h>

namespace skua::internal {

namespace {

// Whether there is more to tell of it than its number.
bool is_watched(BlockingJob* job) noexcept {
  return job != nullptr && (job->name() != nullptr || job->source() != nullptr);
}

}  // namespace

PoolThread::PoolThread(BlockingPool* of_pool) noexcept
    : pool(of_pool), context_(this_context()), tid_(gettid()) {}

PoolThread::Run PoolThread::begin_job(Run run) noexcept {
  // Relaxed: written by this thread alone, and whoever joins the job sees it by [JOIN].
  jobs_run_.store(jobs_run_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  const Run outer = run_;
  show(run);
  return outer;
}

void PoolThread::end_job(Run outer) noexcept { show(outer); }

void PoolThread::show(Run run) noexcept {
  const bool was_watched = is_watched(run_.job);
  run_ = run;
  if (run.job != nullptr) context_.spawn_level = run.job->level();
  // Relaxed: each is right by itself, for somebody who looks.
  begun_ns_.store(run.begun_ns, std::memory_order_relaxed);
  job_id_.store(run.job != nullptr ? run.job->id : 0, std::memory_order_relaxed);
  const bool watched = is_watched(run.job);
  if (SKUA_LIKELY(!watched && !was_watched)) return;
  MutexLock lock(&mu_);
  watched_ = watched ? run.job : nullptr;
}

std::optional<RunningJobSnapshot> PoolThread::running() const {
  RunningJobSnapshot snapshot;
  snapshot.id = job_id_.load(std::memory_order_relaxed);
  if (snapshot.id == 0) return std::nullopt;
  snapshot.begun_ns = begun_ns_.load(std::memory_order_relaxed);
  snapshot.thread = tid_;
  MutexLock lock(&mu_);
  if (watched_ != nullptr) {
    snapshot.id = watched_->id;
    if (watched_->name() != nullptr) snapshot.name = watched_->name();
  }
  return snapshot;
}

std::optional<CancellationSource> PoolThread::source() const {
  MutexLock lock(&mu_);
  if (watched_ == nullptr || watched_->source() == nullptr) return std::nullopt;
  return *watched_->source();
}

}  // namespace skua::internal
