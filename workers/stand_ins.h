// SPDX-License-Identifier: Apache-2.0
//
// Threads that are a worker for as long as its own thread blocks in a task. Made when they are needed, as many as block
// at a time, and kept until the end: what they have submitted to the ring lives as long as they do.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "skua/internal/mutex.h"

namespace skua::internal {

class Worker;

class StandIns {
 public:
  // `run(worker, number)` is called on a stand-in, and returns when the worker is another thread's again. `number`
  // counts the stand-ins from 0.
  using Run = std::function<void(Worker&, int number)>;
  explicit StandIns(Run run) : run_(std::move(run)) {}
  // Requires: stopped, or never used.
  ~StandIns();
  StandIns(const StandIns&) = delete;
  StandIns& operator=(const StandIns&) = delete;

  // Its fields are guarded by mu_, but for the thread, which stop() joins alone.
  class StandIn {
   public:
    explicit StandIn(int n) noexcept : number(n) {}

   private:
    friend StandIns;
    const int number;
    Worker* worker = nullptr;  // That it is to be.
    std::thread thread;
  };
  // One that is idle, or a new one; nullptr if no thread can be created. Any thread.
  [[nodiscard]] StandIn* take() noexcept SKUA_EXCLUDES(mu_);
  // From here on `stand_in` is `worker`. The thread that was it.
  void assign(StandIn& stand_in, Worker& worker) noexcept SKUA_EXCLUDES(mu_);
  // Ends the threads. When none of them is a worker, and nobody will take one.
  void stop() noexcept SKUA_EXCLUDES(mu_);
  // Threads, and those of them that are no worker; any thread.
  int size() const noexcept SKUA_EXCLUDES(mu_);
  int idle() const noexcept SKUA_EXCLUDES(mu_);

 private:
  void thread_main(StandIn& self) noexcept SKUA_EXCLUDES(mu_);

  const Run run_;
  mutable Mutex mu_;
  CondVar changed_;
  bool stopping_ SKUA_GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<StandIn>> all_ SKUA_GUARDED_BY(mu_);
  std::vector<StandIn*> idle_ SKUA_GUARDED_BY(mu_);
};

}  // namespace skua::internal
