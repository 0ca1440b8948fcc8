// SPDX-License-Identifier: Apache-2.0
#include "workers/stand_ins.h"

#include <new>
#include <system_error>
#include <utility>

#include "skua/internal/check.h"

namespace skua::internal {

StandIns::~StandIns() {
  MutexLock lock(&mu_);
  SKUA_CHECK(all_.empty());
}

StandIns::StandIn* StandIns::take() noexcept {
  MutexLock lock(&mu_);
  if (!idle_.empty()) {
    StandIn* const stand_in = idle_.back();
    idle_.pop_back();
    return stand_in;
  }
  try {
    all_.reserve(all_.size() + 1);
    idle_.reserve(all_.size() + 1);  // So that it can always go back.
    auto stand_in = std::make_unique<StandIn>(static_cast<int>(all_.size()));
    stand_in->thread = std::thread([this, self = stand_in.get()] { thread_main(*self); });
    all_.push_back(std::move(stand_in));
  } catch (const std::system_error&) {
    return nullptr;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return all_.back().get();
}

void StandIns::assign(StandIn& stand_in, Worker& worker) noexcept {
  MutexLock lock(&mu_);
  stand_in.worker = &worker;  // [LEND]
  changed_.notify_all();
}

void StandIns::thread_main(StandIn& self) noexcept {
  for (;;) {
    Worker* worker = nullptr;
    {
      MutexLock lock(&mu_);
      while (self.worker == nullptr && !stopping_) changed_.wait(&mu_);
      worker = std::exchange(self.worker, nullptr);
    }
    if (worker == nullptr) return;
    run_(*worker, self.number);
    MutexLock lock(&mu_);
    idle_.push_back(&self);
  }
}

void StandIns::stop() noexcept {
  std::vector<std::unique_ptr<StandIn>> all;
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    all.swap(all_);
    idle_.clear();
    changed_.notify_all();
  }
  for (auto& stand_in : all) stand_in->thread.join();
}

int StandIns::size() const noexcept {
  MutexLock lock(&mu_);
  return static_cast<int>(all_.size());
}

int StandIns::idle() const noexcept {
  MutexLock lock(&mu_);
  return static_cast<int>(idle_.size());
}

}  // namespace skua::internal
