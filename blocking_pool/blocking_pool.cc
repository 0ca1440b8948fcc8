// SPDX-License-Identifier: Apache-2.0
#include "blocking_pool/blocking_pool.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "base/futex.h"
#include "skua/internal/check.h"

namespace skua::internal {
namespace {

// Far enough to be forever, near enough to be added to the clock.
constexpr std::chrono::hours kKeepAliveMax{24 * 365};

std::int64_t steady_now_ns() noexcept {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

ThreadShares shares_of(const BlockingPoolOptions& options) {
  std::vector<ClassLimits> classes;
  for (const BlockingClassOptions& c : options.classes) {
    classes.push_back({.limit = c.max_threads == 0 ? options.max_threads : c.max_threads,
                       .reserve = c.reserved_threads});
  }
  return ThreadShares(options.max_threads, std::move(classes));
}

constexpr std::uint32_t bit(int c) noexcept { return std::uint32_t{1} << c; }

bool is_mandatory(const AdmissionNode* node) noexcept {
  return node->kind() == AdmissionNode::Kind::kJob &&
         static_cast<const BlockingJob*>(node)->mandatory();
}

}  // namespace

// --- Construction -----------------------------------------------------------------------------

BlockingPool::BlockingPool(BlockingPoolOptions options)
    : options_(std::move(options)),
      keep_alive_ns_(std::chrono::nanoseconds(
                         std::min<std::chrono::milliseconds>(options_.keep_alive, kKeepAliveMax))
                         .count()),
      shares_(shares_of(options_)),
      waiting_of_(options_.classes.size()) {
  SKUA_REQUIRE(options_.keep_alive.count() >= 0, options_.keep_alive.count());
  for (const BlockingClassOptions& c : options_.classes) {
    starts_.push_back({.pool = this, .job_class = static_cast<int>(starts_.size())});
    classes_.push_back(std::make_unique<JobClass>(c.name, c.queue_limit, c.delay_target.count(),
                                                  c.overload_interval.count()));
  }
}

BlockingPool::~BlockingPool() {
  begin_shutdown();
  while (!wait_idle_until(std::numeric_limits<std::int64_t>::max())) {
  }
  for (const auto& c : classes_) SKUA_CHECK(c->pending() == 0, c->pending());
}

// --- Submitting -------------------------------------------------------------------------------

JobClass& BlockingPool::required_class(int c) const noexcept {
  SKUA_REQUIRE(c >= 0 && static_cast<std::size_t>(c) < classes_.size(), c, classes_.size());
  return of_class(c);
}

void BlockingPool::submit(BlockingJob* job) noexcept {
  JobClass& job_class = required_class(job->job_class());
  if (SKUA_UNLIKELY(job_class.admission != nullptr)) {
    job->pool = this;
    job->queued_ns = steady_now_ns();
    job->set_line(job_class.admission);
    switch (job_class.admission->enter(job)) {
      case Admission::Entry::kAdmitted:
        break;
      case Admission::Entry::kInLine:
        return;  // *job may be gone.
      case Admission::Entry::kClosed:
        job->refuse();
        return;
    }
  }
  submit_admitted(job);
}

void BlockingPool::submit_admitted(BlockingJob* job) noexcept {
  const bool mandatory = job->mandatory();
  if (SKUA_UNLIKELY(mandatory)) mandatory_.fetch_add(1, std::memory_order_seq_cst);  // [PROMISE]
  if (SKUA_UNLIKELY(stopping_.load(std::memory_order_seq_cst))) {  // [STOP], [PROMISE]
    const int c = job->job_class();
    job->refuse();
    give_back(c);
    if (mandatory) drop_mandatory();
    return;
  }
  required_class(job->job_class());
  job->pool = this;
  job->queued_ns = steady_now_ns();
  enqueue(job);
}

void BlockingPool::enqueue(BlockingJob* job) noexcept {
  const int c = job->job_class();
  const bool mandatory = job->mandatory();
  if (SKUA_UNLIKELY(mandatory) && options_.before_mandatory) options_.before_mandatory();
  if (SKUA_UNLIKELY(!of_class(c).push(job))) {
    end_unrun(job, ENOMEM);
    give_back(c);
    if (mandatory) drop_mandatory();
    return;
  }
  request_thread(c);
}

void BlockingPool::drop_mandatory() noexcept {
  MutexLock lock(&mu_);  // Which wait_idle_until() passes: the pool stays until this is over.
  // Relaxed: read by this thread, or later under the lock.
  mandatory_.fetch_sub(1, std::memory_order_relaxed);
  announce_if_all_left();
}

bool BlockingPool::try_reserve(int job_class) noexcept {
  const JobClass& c = required_class(job_class);
  return c.admission == nullptr || c.admission->try_enter();
}

bool BlockingPool::reserve(int job_class, AdmissionNode* node) noexcept {
  const JobClass& c = required_class(job_class);
  return c.admission == nullptr || c.admission->enter(node) == Admission::Entry::kAdmitted;
}

bool BlockingPool::leave_line(int job_class, AdmissionNode* node) noexcept {
  return of_class(job_class).admission->remove(node);
}

void BlockingPool::give_back(int job_class) noexcept {
  const JobClass& c = of_class(job_class);
  if (SKUA_LIKELY(c.admission == nullptr)) return;
  // Relaxed: a shutdown looks into the line, where it finds the job, or passes the line's lock after this.
  const auto count = [this](const AdmissionNode* node) {
    if (is_mandatory(node)) mandatory_.fetch_add(1, std::memory_order_relaxed);
  };
  if (AdmissionNode* const node = c.admission->give_back(count)) admit(node);
}

void BlockingPool::admit(AdmissionNode* node) noexcept {
  if (node->kind() == AdmissionNode::Kind::kTask) {
    static_cast<ReserveAwaiter*>(node)->grant();  // *node may be gone.
  } else {
    enqueue(static_cast<BlockingJob*>(node));  // *node may be gone.
  }
}

// --- The wake ---------------------------------------------------------------------------------

void BlockingPool::start_wake(int c) noexcept {
  for (; c != ThreadShares::kNone; c = stranded_class()) {
    JobClass& job_class = of_class(c);
    if (!job_class.take_wake()) continue;  // [LOOK] The holder looks.
    const int error = hand_over_wake(c);
    if (SKUA_LIKELY(error == 0)) return;
    // Neither a thread nor a way to get one: no one else will end what is queued, in this class or another. The
    // submitters meanwhile leave their jobs to us, so look again after lowering.
    end_pending(c, error);
    job_class.lower_wake();
  }
}

int BlockingPool::stranded_class() const noexcept {
  for (int c = 0; c < static_cast<int>(classes_.size()); ++c) {
    if (of_class(c).pending() != 0 && !of_class(c).wake_held()) return c;
  }
  return ThreadShares::kNone;
}

int BlockingPool::hand_over_wake(int c) noexcept {
  std::atomic<std::uint32_t>* sleeper = nullptr;
  bool grows = false;
  bool stalled = false;
  {
    MutexLock lock(&mu_);
    if (stopping_.load(std::memory_order_relaxed) &&
        mandatory_.load(std::memory_order_seq_cst) == 0) {  // [PROMISE]
      return ECANCELED;
    }
    if (!shares_.may_assign(c)) {
      lower_wake_unserved(c);
      stalled = note_stall(c);
    } else if (sleepers_.empty() && threads_ == options_.max_threads) {
      // There are threads without a class: those that the shutdown has dismissed, on their way to rest().
      SKUA_CHECK(stopping_.load(std::memory_order_relaxed), threads_);
      lower_wake_unserved(c);
    } else {
      shares_.assign(c);
      note_starving();
      sleeper = sleepers_.pop(PoolThread::kNotified, c);
      if (sleeper == nullptr) {
        // The place is taken before the thread is there, so that the bound holds without the lock.
        ++threads_;
        grows = true;
      }
    }
  }
  if (sleeper != nullptr) futex_wake_one(sleeper);
  if (stalled) report_stall(c);
  if (!grows) return 0;
  const int error = create_thread(c);
  return SKUA_LIKELY(error == 0) ? 0 : hand_over_elsewhere(c, error);
}

int BlockingPool::hand_over_elsewhere(int c, int error) noexcept {
  std::atomic<std::uint32_t>* sleeper = nullptr;
  bool stalled = false;
  {
    MutexLock lock(&mu_);
    --threads_;
    shares_.release(c);
    // A thread may have gone to sleep since the first look, before a submitter left us its job.
    if (!sleepers_.empty()) {
      shares_.assign(c);
      sleeper = sleepers_.pop(PoolThread::kNotified, c);
    } else if (threads_ == 0) {
      announce_if_all_left();
      return error;
    } else {
      lower_wake_unserved(c);  // The busy ones see the jobs.
      stalled = note_stall(c);
    }
  }
  if (sleeper != nullptr) futex_wake_one(sleeper);
  if (stalled) report_stall(c);
  return 0;
}

int BlockingPool::create_thread(int c) noexcept {
  if (options_.create_thread_error) {
    const int error = options_.create_thread_error();
    if (error != 0) return error;
  }
  return PoolThread::create(&thread_main, &starts_[static_cast<std::size_t>(c)]);
}

void BlockingPool::lower_wake_unserved(int c) noexcept {
  of_class(c).lower_wake();
  // If it has threads, they come by rest() later than this: [REST]. At its limit it can have no more than these.
  if (shares_.assigned(c) == shares_.limit(c)) return;
  shares_.set_starving(c);
  note_starving();
}

// --- Jobs that are not run --------------------------------------------------------------------

BlockingJob* BlockingPool::take(JobClass& job_class, JobClass::Reader& reader,
                                std::uint32_t turn) noexcept {
  BlockingJob* const job = job_class.take(reader, turn);
  if (SKUA_UNLIKELY(job_class.admission != nullptr)) give_back(job->job_class());
  return job;
}

void BlockingPool::end_pending(int c, int error) noexcept {
  JobClass& job_class = of_class(c);
  JobClass::Reader reader(job_class);
  while (job_class.claim()) {
    BlockingJob* const job = take(job_class, reader, 0);
    const bool mandatory = job->mandatory();
    end_unrun(job, error);
    if (mandatory) drop_mandatory();
  }
}

void BlockingPool::end_unrun(BlockingJob* job, int error) noexcept {
  if (!job->mandatory() &&
      (error == ECANCELED || stopping_.load(std::memory_order_acquire))) {  // [STOP]
    job->refuse();
    return;
  }
  SKUA_CHECK(error != ECANCELED);  // [PROMISE]
  job->fail(std::make_exception_ptr(std::system_error(
      error, std::generic_category(),
      error == ENOMEM ? "skua: no memory to queue a blocking job"
                      : "skua: the blocking pool has no thread and cannot create one; check "
                        "ulimit -u and the control group's pids.max")));
}

// --- Pool threads -----------------------------------------------------------------------------

void* BlockingPool::thread_main(void* start) noexcept {
  const auto& [pool, job_class] = *static_cast<const Start*>(start);
  pool->run_thread(job_class);
  return nullptr;
}

void BlockingPool::run_thread(int c) noexcept {
  pthread_setname_np(pthread_self(), options_.thread_name.substr(0, 15).c_str());
  PoolThread self(this);
  self.job_class = c;
  set_current_blocking_pool(this);
  set_current_pool_thread(&self);
  enter(&self);
  options_.on_thread_start();
  for (Next next = Next::kLookAsHolder; next != Next::kLeave; next = rest(&self)) {
    if (next == Next::kLookAsHolder) {
      JobClass& job_class = of_class(self.job_class);
      job_class.lower_wake();  // Before the look: what comes later has a wake of its own.
      // One job for this thread; for more of them, the woken one wakes the next.
      if (job_class.pending() > 1) request_thread(self.job_class);
    }
    if (next != Next::kRest) run_jobs(&self);
  }
  // The pool stays until this thread, too, is joined.
  set_current_pool_thread(nullptr);
  if (self.predecessor.has_value()) pthread_join(*self.predecessor, nullptr);
}

void BlockingPool::run_jobs(PoolThread* self) noexcept {
  JobClass& job_class = of_class(self->job_class);
  JobClass::Reader reader(job_class);
  while (job_class.claim()) {
    BlockingJob* const job = take(job_class, reader, self->next_turn());
    // Relaxed: until this thread leaves, under the lock, the pool has not ended.
    if (SKUA_UNLIKELY(job->mandatory())) mandatory_.fetch_sub(1, std::memory_order_relaxed);
    const std::int64_t now_ns = steady_now_ns();
    job_class.delay.taken(job->queued_ns, now_ns, job_class.pending_hint() == 0);
    if (SKUA_UNLIKELY(stopping_.load(std::memory_order_acquire)) && !job->mandatory()) {  // [STOP]
      end_unrun(job, ECANCELED);
    } else if (SKUA_LIKELY(job->begin() == BlockingJob::Met::kBegun)) {
      job->end(run_begun(self, job, now_ns));  // *job may be gone.
    }
    // Relaxed: a hint. Who starves is seen under mu_.
    if (SKUA_UNLIKELY(starving_.load(std::memory_order_relaxed))) return;
  }
}

bool BlockingPool::run_begun(PoolThread* self, BlockingJob* job, std::int64_t now_ns) noexcept {
  PoolThread::Run run{.job = job, .begun_ns = now_ns};
  self->begin_job(&run);
  // A shutdown that did not find the job in `self` has stored stopping_ before: both have had the thread's lock.
  const CancellationSource* const source = job->source();
  if (source != nullptr && stopping_.load(std::memory_order_acquire)) source->cancel();  // [STOP]
  const bool threw = job->invoke();
  self->end_job(run);
  return threw;
}

void BlockingPool::run_here(PoolThread* self, BlockingJob* job) noexcept {
  job->end_here(run_begun(self, job, steady_now_ns()));
}

bool BlockingPool::find_class(PoolThread* self, int last) noexcept {
  const int c = shares_.next_class(last, [this](int i) { return of_class(i).pending() != 0; });
  if (c != ThreadShares::kNone) {
    shares_.assign(c);
    self->job_class = c;
    if (last != ThreadShares::kNone && last != c && of_class(last).pending() != 0) {
      shares_.set_starving(last);  // Its turn comes again.
    }
  }
  note_starving();
  return c != ThreadShares::kNone;
}

BlockingPool::Next BlockingPool::rest(PoolThread* self) noexcept {
  {
    MutexLock lock(&mu_);
    const int c = self->job_class;
    if (c != ThreadShares::kNone) {
      if (of_class(c).pending() != 0 && !shares_.starves_for(c)) return Next::kLook;  // [REST]
      shares_.release(c);
      self->job_class = ThreadShares::kNone;
    }
    if (find_class(self, c)) return Next::kLook;
    if (stopping_.load(std::memory_order_relaxed)) {
      leave(self);
      return Next::kLeave;
    }
    sleepers_.push(self);
  }
  return sleep(self);
}

BlockingPool::Next BlockingPool::sleep(PoolThread* self) noexcept {
  const std::int64_t deadline_ns = steady_now_ns() + keep_alive_ns_;
  for (;;) {
    const std::uint32_t word = self->word.load(std::memory_order_acquire);  // [ASSIGN]
    if (word == PoolThread::kNotified) return Next::kLookAsHolder;
    if (word == PoolThread::kDismissed) return Next::kRest;
    if (futex_wait_until(&self->word, PoolThread::kAsleep, deadline_ns)) continue;

    MutexLock lock(&mu_);
    if (self->word.load(std::memory_order_relaxed) != PoolThread::kAsleep)
      continue;  // Woken after all.
    sleepers_.remove(self);
    // Not needed for safety, but the submitter might find no thread and no way to create one.
    if (find_class(self, ThreadShares::kNone)) return Next::kLook;
    leave(self);
    return Next::kLeave;
  }
}

void BlockingPool::enter(PoolThread* self) noexcept {
  MutexLock lock(&mu_);
  ++threads_created_;
  threads_peak_ = std::max(threads_peak_, ++threads_entered_);
  self->prev = nullptr;
  self->next = all_;
  if (all_ != nullptr) all_->prev = self;
  all_ = self;
}

void BlockingPool::leave(PoolThread* self) noexcept {
  --threads_;
  --threads_entered_;
  jobs_run_by_left_ += self->jobs_run();
  (self->prev != nullptr ? self->prev->next : all_) = self->next;
  if (self->next != nullptr) self->next->prev = self->prev;
  self->predecessor = std::exchange(last_left_, pthread_self());
  announce_if_all_left();
}

// --- Jobs that wait for jobs --------------------------------------------------------------------

void BlockingPool::begin_wait(PoolThread* self) noexcept {
  std::vector<int> stalled;
  std::uint32_t pending = 0;
  {
    MutexLock lock(&mu_);
    ++waiting_;
    ++waiting_of_[static_cast<std::size_t>(self->job_class)];
    for (int c = 0; c < shares_.classes(); ++c) {
      if (of_class(c).pending() == 0) continue;
      if (shares_.may_assign(c)) {
        pending |= bit(c);  // A creation has failed, or somebody is about to try.
      } else if (note_stall(c)) {
        stalled.push_back(c);
      }
    }
  }
  for (int c = 0; pending != 0; ++c, pending >>= 1) {
    if ((pending & 1) != 0) request_thread(c);
  }
  for (const int c : stalled) report_stall(c);
}

void BlockingPool::end_wait(PoolThread* self) noexcept {
  MutexLock lock(&mu_);
  --waiting_;
  --waiting_of_[static_cast<std::size_t>(self->job_class)];
  stalled_ = 0;
}

bool BlockingPool::note_stall(int c) noexcept {
  if ((stalled_ & bit(c)) != 0 || of_class(c).pending() == 0) return false;
  const int own = shares_.assigned(c);
  const bool own_wait = own == shares_.limit(c) && waiting_of_[static_cast<std::size_t>(c)] == own;
  if (!own_wait && waiting_ != threads_) return false;
  stalled_ |= bit(c);
  ++stalls_;
  return true;
}

void BlockingPool::report_stall(int c) noexcept {
  options_.on_stall(
      "blocking jobs of the class \"" + of_class(c).name +
      "\" are queued, and every thread that could run them waits for something in "
      "blocking_join() or Runtime::block_on(). If that needs one of the queued jobs, none of "
      "them ever ends: let jobs not wait for jobs, or raise "
      "RuntimeOptions::max_blocking_threads or the class's max_threads");
}

// --- Shutdown ---------------------------------------------------------------------------------

void BlockingPool::announce_if_all_left() noexcept {
  if (threads_ != 0 || !stopping_.load(std::memory_order_relaxed)) return;
  if (mandatory_.load(std::memory_order_seq_cst) != 0) return;  // [PROMISE]
  all_left_.store(1, std::memory_order_release);                // [ALL-LEFT]
  futex_wake_one(&all_left_);
}

void BlockingPool::begin_shutdown() noexcept {
  std::vector<CancellationSource> sources;
  {
    MutexLock lock(&mu_);
    if (stopping_.load(std::memory_order_relaxed)) return;
    mandatory_.fetch_add(1, std::memory_order_relaxed);  // Seen by who sees the next one.
    stopping_.store(true, std::memory_order_seq_cst);    // [STOP], [PROMISE]
    // Under the lock, for once: there is no list to remember them in.
    while (std::atomic<std::uint32_t>* const sleeper =
               sleepers_.pop(PoolThread::kDismissed, ThreadShares::kNone)) {
      futex_wake_one(sleeper);
    }
    for (PoolThread* thread = all_; thread != nullptr; thread = thread->next) {
      thread->add_sources(&sources);
    }
  }
  for (const CancellationSource& source : sources) source.cancel();

  std::vector<BlockingJob*> mandatory;
  const auto end = [&](BlockingJob* job) {
    if (job->mandatory()) {
      mandatory.push_back(job);
    } else {
      end_unrun(job, ECANCELED);
    }
  };
  for (const auto& job_class : classes_) {
    if (job_class->admission != nullptr) {
      job_class->admission->close();
      while (AdmissionNode* const node = job_class->admission->pop_job()) {
        if (is_mandatory(node)) mandatory_.fetch_add(1, std::memory_order_relaxed);
        end(static_cast<BlockingJob*>(node));
      }
    }
    JobClass::Reader reader(*job_class);
    while (job_class->claim()) end(take(*job_class, reader, 0));
  }
  for (BlockingJob* const job : mandatory) enqueue(job);

  drop_mandatory();
}

bool BlockingPool::wait_idle_until(std::int64_t steady_deadline_ns) noexcept {
  SKUA_REQUIRE(stopping_.load(std::memory_order_acquire));
  for (;;) {
    while (all_left_.load(std::memory_order_acquire) == 0) {  // [ALL-LEFT]
      if (futex_wait_until(&all_left_, 0, steady_deadline_ns)) continue;
      if (all_left_.load(std::memory_order_acquire) == 0) return false;
    }
    std::optional<pthread_t> last;
    {
      MutexLock lock(&mu_);
      // A job that comes too late, and is refused, may bring a thread: it was counted for a moment.
      if (threads_ != 0 || mandatory_.load(std::memory_order_relaxed) != 0) {
        all_left_.store(0, std::memory_order_relaxed);  // It will be announced again.
        continue;
      }
      last = std::exchange(last_left_, std::nullopt);
    }
    if (last.has_value()) pthread_join(*last, nullptr);
    return true;
  }
}

// --- Looking at it ----------------------------------------------------------------------------

bool BlockingPool::overloaded(int job_class) const noexcept {
  const JobClass& c = required_class(job_class);
  return c.delay.overloaded(steady_now_ns(), c.pending_hint() == 0);
}

BlockingPoolMetrics BlockingPool::metrics() const {
  BlockingPoolMetrics metrics;
  const std::int64_t now_ns = steady_now_ns();
  for (const auto& c : classes_) {
    BlockingClassMetrics& of = metrics.classes.emplace_back();
    of.name = c->name;
    of.queue_depth = c->pending_hint();
    of.in_line = c->admission == nullptr ? 0 : c->admission->in_line();
    of.overloaded = c->delay.overloaded(now_ns, of.queue_depth == 0);
    if (of.queue_depth > 0) {
      of.oldest_age = std::chrono::nanoseconds(c->delay.oldest_age_ns(now_ns));
    }
    metrics.queue_depth += of.queue_depth;
  }
  MutexLock lock(&mu_);
  for (int c = 0; c < shares_.classes(); ++c) {
    metrics.classes[static_cast<std::size_t>(c)].threads = shares_.assigned(c);
  }
  metrics.jobs_run = jobs_run_by_left_;
  for (const PoolThread* thread = all_; thread != nullptr; thread = thread->next) {
    metrics.jobs_run += thread->jobs_run();
  }
  metrics.threads = threads_;
  metrics.threads_idle = sleepers_.size();
  metrics.threads_peak = threads_peak_;
  metrics.threads_created = threads_created_;
  metrics.wakes = sleepers_.pops();
  metrics.stalls = stalls_;
  return metrics;
}

std::vector<RunningBlockingJob> BlockingPool::running_jobs() const {
  std::vector<RunningBlockingJob> jobs;
  const std::int64_t now_ns = steady_now_ns();
  MutexLock lock(&mu_);
  for (const PoolThread* thread = all_; thread != nullptr; thread = thread->next) {
    if (thread->job_class == ThreadShares::kNone) continue;
    thread->add_running(of_class(thread->job_class).name, now_ns, &jobs);
  }
  return jobs;
}

}  // namespace skua::internal
