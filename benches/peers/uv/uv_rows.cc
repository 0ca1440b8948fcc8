// SPDX-License-Identifier: Apache-2.0
//
// uv_rows: what libuv has of the rows: closures on its pool, and timers. One loop on one thread, whatever --workers
// says, and the pool of four threads that libuv makes unless told otherwise.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <uv.h>
#include <vector>

#include "benches/harness/measure.h"
#include "benches/harness/program.h"
#include "benches/harness/workloads.h"

namespace skua::bench {
namespace {

void check(int result, const char* what) {
  if (result >= 0) return;
  not_possible(what, -result);  // Here libuv's errors are those of errno, below zero.
}

class UvEngine {
 public:
  explicit UvEngine(const EngineOptions& /*options*/) {
    check(uv_loop_init(&loop_), "uv_loop_init");
  }
  UvEngine(const UvEngine&) = delete;
  UvEngine& operator=(const UvEngine&) = delete;
  ~UvEngine() { check(uv_loop_close(&loop_), "uv_loop_close"); }

  uv_loop_t* loop() { return &loop_; }
  // Until nothing is left to wait for.
  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }

 private:
  uv_loop_t loop_;
};

// --- spawn_blocking ---------------------------------------------------------------------------

class Batches {
 public:
  Batches(uv_loop_t* loop, std::int64_t jobs)
      : loop_(loop), left_(jobs), jobs_(static_cast<std::size_t>(kSpawnBlockingBatch)) {}

  // Queues up to a batch of jobs; the last one to end queues the next batch.
  void start() {
    running_ = std::min(left_, kSpawnBlockingBatch);
    left_ -= running_;
    for (std::int64_t i = 0; i < running_; ++i) {
      Job& job = jobs_[static_cast<std::size_t>(i)];
      job.request.data = &job;
      job.batches = this;
      check(uv_queue_work(loop_, &job.request, work, after_work), "uv_queue_work");
    }
  }
  std::int64_t sum() const { return sum_; }

 private:
  struct Job {
    uv_work_t request;
    Batches* batches = nullptr;
    std::int64_t result = 0;
  };

  static void work(uv_work_t* request) { static_cast<Job*>(request->data)->result = 1; }
  static void after_work(uv_work_t* request, int /*status*/) {
    const Job& job = *static_cast<Job*>(request->data);
    Batches& batches = *job.batches;
    batches.sum_ += job.result;
    if (--batches.running_ == 0 && batches.left_ > 0) batches.start();
  }

  uv_loop_t* const loop_;
  std::int64_t left_;  // Not queued yet.
  std::int64_t running_ = 0;
  std::int64_t sum_ = 0;
  std::vector<Job> jobs_;
};

Outcome run_spawn_blocking(UvEngine& engine, std::int64_t jobs) {
  Batches batches(engine.loop(), jobs);
  const Usage used = measure([&] {
    batches.start();
    engine.run();
  });
  return {.ops = jobs, .right = batches.sum() == jobs, .used = used};
}

// --- timers -----------------------------------------------------------------------------------

struct Sleeper {
  uv_timer_t timer;
  std::int64_t due_ns = 0;
  std::int64_t late_ns = 0;
};

void start_sleep(uv_loop_t* loop, Sleeper& sleeper, std::int64_t sleep_ms) {
  check(uv_timer_init(loop, &sleeper.timer), "uv_timer_init");
  sleeper.timer.data = &sleeper;
  sleeper.due_ns = now_ns() + sleep_ms * 1'000'000;
  uv_update_time(loop);  // Else the sleep would begin when the loop last looked.
  const auto wake = [](uv_timer_t* timer) {
    Sleeper& woken = *static_cast<Sleeper*>(timer->data);
    woken.late_ns = now_ns() - woken.due_ns;
  };
  check(uv_timer_start(&sleeper.timer, wake, static_cast<std::uint64_t>(sleep_ms), 0),
        "uv_timer_start");
}

Outcome run_timers(UvEngine& engine, std::int64_t tasks) {
  std::vector<Sleeper> sleepers(static_cast<std::size_t>(tasks));
  const Usage used = measure([&] {
    for (std::size_t i = 0; i < sleepers.size(); ++i) {
      start_sleep(engine.loop(), sleepers[i], sleep_of_task_ms(i));
    }
    engine.run();
  });
  std::vector<std::int64_t> late_ns;
  for (Sleeper& sleeper : sleepers) {
    late_ns.push_back(sleeper.late_ns);
    uv_close(reinterpret_cast<uv_handle_t*>(&sleeper.timer), nullptr);
  }
  engine.run();
  std::sort(late_ns.begin(), late_ns.end());
  // libuv's clock has whole milliseconds: a sleep that begins within one may end that much too early.
  constexpr std::int64_t kEarlyMaxNs = 1'000'000;
  return {.ops = tasks,
          .right = late_ns.front() >= -kEarlyMaxNs,
          .used = used,
          .figures = latency_figures(late_ns)};
}

constexpr std::array kRows = {Row<UvEngine>{kSpawnBlocking, run_spawn_blocking},
                              Row<UvEngine>{kTimers, run_timers}};

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const ProgramInfo program = {.name = "uv_rows",
                               .purpose = "Runs one row of the scheduler comparison on libuv."};
  return run_program<UvEngine>(program, kRows, argc, argv);
}
