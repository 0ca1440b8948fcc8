// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/pool_thread.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <unistd.h>

namespace skua::internal {

namespace {

// Whether there is more to tell of it than the number of its job.
bool is_watched(const PoolThread::Run* run) noexcept {
  return run != nullptr &&
         (run->job->name() != nullptr || run->job->source() != nullptr || run->outer != nullptr);
}

}  // namespace

int PoolThread::create(void* (*main)(void*), void* argument) noexcept {
  // A new thread inherits the mask. Signals are for the application's own threads, but a fault of
  // the job itself must reach its handler.
  sigset_t mask;
  sigset_t before;
  sigfillset(&mask);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) {
    sigdelset(&mask, fault);
  }
  pthread_sigmask(SIG_SETMASK, &mask, &before);
  pthread_t thread;  // It tells who it is when it leaves.
  const int error = pthread_create(&thread, nullptr, main, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

PoolThread::PoolThread(BlockingPool* of_pool) noexcept
    : pool(of_pool), context_(this_context()), tid_(gettid()) {}

void PoolThread::begin_job(Run* run) noexcept {
  // Relaxed: written by this thread alone, and whoever joins the job sees it by [JOIN].
  jobs_run_.store(jobs_run_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  run->outer = run_;
  show(run);
}

void PoolThread::end_job(const Run& run) noexcept { show(run.outer); }

void PoolThread::show(const Run* run) noexcept {
  const bool was_watched = is_watched(run_);
  run_ = run;
  if (run != nullptr) context_.spawn_level = run->job->level();
  // Relaxed: each is right by itself, for somebody who looks.
  begun_ns_.store(run != nullptr ? run->begun_ns : 0, std::memory_order_relaxed);
  job_id_.store(run != nullptr ? run->job->id : 0, std::memory_order_relaxed);
  const bool watched = is_watched(run);
  if (SKUA_LIKELY(!watched && !was_watched)) return;
  MutexLock lock(&mu_);
  watched_ = watched ? run : nullptr;
}

void PoolThread::add_running(const std::string& class_name, std::int64_t now_ns,
                             std::vector<RunningBlockingJob>* jobs) const {
  const auto add = [&](std::uint64_t id, const char* name, std::int64_t begun_ns) {
    jobs->push_back(
        {.id = id,
         .name = name != nullptr ? name : "",
         .class_name = class_name,
         .running_for = std::chrono::nanoseconds(std::max<std::int64_t>(now_ns - begun_ns, 0)),
         .thread = tid_});
  };
  MutexLock lock(&mu_);
  for (const Run* run = watched_; run != nullptr; run = run->outer) {
    add(run->job->id, run->job->name(), run->begun_ns);
  }
  if (watched_ != nullptr) return;
  const std::uint64_t id = job_id_.load(std::memory_order_relaxed);
  if (id != 0) add(id, nullptr, begun_ns_.load(std::memory_order_relaxed));
}

void PoolThread::add_sources(std::vector<CancellationSource>* sources) const {
  MutexLock lock(&mu_);
  for (const Run* run = watched_; run != nullptr; run = run->outer) {
    const CancellationSource* const source = run->job->source();
    if (source != nullptr) sources->push_back(*source);
  }
}

}  // namespace skua::internal
