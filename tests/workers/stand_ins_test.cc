// SPDX-License-Identifier: Apache-2.0
#include "workers/stand_ins.h"

#include <atomic>
#include <latch>
#include <memory>

#include <gtest/gtest.h>

#include "tests/support/leak_check.h"
#include "workers/worker.h"
#include "workers/worker_set.h"

namespace skua::internal {
namespace {

class StandInsTest : public testing::Test {
 protected:
  StandInsTest() {
    auto set = WorkerSet::create({.workers = 1});
    SKUA_CHECK(set.ok());
    set_ = *std::move(set);
  }
  ~StandInsTest() override {
    set_->request_shutdown();
    [[maybe_unused]] const bool stopped = set_->run_here_until_stopped(INT64_MAX);
  }
  Worker& worker() { return set_->worker(0); }

  std::unique_ptr<WorkerSet> set_;
};

TEST_F(StandInsTest, AnIdleOneIsTakenBeforeANewOneIsMade) {
  std::latch* ended = nullptr;
  StandIns stand_ins([&](Worker& worker, int number) {
    EXPECT_EQ(&worker, &this->worker());
    EXPECT_EQ(number, 0);
    ended->count_down();
  });
  EXPECT_EQ(stand_ins.size(), 0);
  for (int i = 0; i < 10; ++i) {
    std::latch run_ended(1);
    ended = &run_ended;
    StandIns::StandIn* const stand_in = stand_ins.take();
    ASSERT_NE(stand_in, nullptr);
    stand_ins.assign(*stand_in, worker());
    run_ended.wait();
    const auto idle = [](void* arg) { return static_cast<StandIns*>(arg)->idle() == 1; };
    ASSERT_TRUE(test::eventually(idle, &stand_ins));
  }
  EXPECT_EQ(stand_ins.size(), 1);
  stand_ins.stop();
}

TEST_F(StandInsTest, ThereAreAsManyAsAreBusyAtATime) {
  std::latch all_busy(3);
  StandIns stand_ins([&](Worker&, int) { all_busy.arrive_and_wait(); });
  for (int i = 0; i < 3; ++i) stand_ins.assign(*stand_ins.take(), worker());
  all_busy.wait();
  EXPECT_EQ(stand_ins.size(), 3);
  stand_ins.stop();
}

}  // namespace
}  // namespace skua::internal
