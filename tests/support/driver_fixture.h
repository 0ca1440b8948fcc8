// SPDX-License-Identifier: Apache-2.0
//
// A runtime whose driver can be tampered with: workers and a blocking pool put together by the test, where a Runtime
// would hide them.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "blocking_pool/blocking_pool.h"
#include "io_driver/driver.h"
#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "workers/worker_set.h"

namespace skua::test {

class DriverRuntime {
 public:
  DriverRuntime(int workers, internal::DriverOptions driver)
      : pool_({.max_threads = 64,
               .classes = {{.name = "default"}, {.name = "fs"}, {.name = "dns"}},
               .on_thread_start = [this] { internal::set_current_executor(set_.get()); }}) {
    internal::WorkerSetOptions options;
    options.workers = workers;
    options.driver = std::move(driver);
    options.on_thread = [this](bool begins) {
      internal::set_current_blocking_pool(begins ? &pool_ : nullptr);
    };
    auto set = internal::WorkerSet::create(std::move(options));
    if (!set.ok()) std::abort();
    set_ = *std::move(set);
    if (!set_->start().ok()) std::abort();
  }
  DriverRuntime(const DriverRuntime&) = delete;
  DriverRuntime& operator=(const DriverRuntime&) = delete;
  ~DriverRuntime() {
    set_->request_shutdown();
    pool_.begin_shutdown();
    if (!set_->wait_stopped(INT64_MAX) || !pool_.wait_idle_until(INT64_MAX)) std::abort();
    set_->join();
  }

  // Runs `task` and waits for its end. A plain thread.
  template <typename T>
  T block_on(Task<T> task) {
    internal::JoinShare<T> share = internal::spawn_on(*set_, std::move(task), {}).release_share();
    internal::ThreadJoiner joiner;
    const auto word = reinterpret_cast<std::uintptr_t>(&joiner) | internal::JoinState::kThreadTag;
    if (share.state()->set_joiner(word)) joiner.wait();
    return share.slot().take();
  }

  internal::Driver& driver() noexcept { return set_->driver(); }

 private:
  // The pool outlives the workers' threads, and the driver the pool's.
  std::unique_ptr<internal::WorkerSet> set_;
  internal::BlockingPool pool_;
};

}  // namespace skua::test
