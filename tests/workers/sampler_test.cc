// SPDX-License-Identifier: Apache-2.0
#include "workers/sampler.h"

#include <cstdint>

#include <gtest/gtest.h>

#include "skua/internal/task_header.h"
#include "skua/internal/worker_core.h"

namespace skua::internal {
namespace {

class SamplerTest : public testing::Test {
 protected:
  // Queues `task` as the one of the next 64 that is noted.
  void queue_and_note(const TaskHeader* task) {
    for (int i = 1; i < Sampler::kInterval; ++i) sampler_.queued(&other_);
    sampler_.queued(task);
  }
  std::uint64_t delays() const { return sampler_.delay.snapshot().samples(); }

  WorkerCore core_;
  WorkerCore peer_;
  SpawnedTask task_;
  SpawnedTask other_;
  Sampler sampler_{core_};
};

TEST_F(SamplerTest, TimesOneRunOfAnInterval) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 1; i < Sampler::kInterval; ++i) EXPECT_FALSE(sampler_.begin_run(&task_));
    EXPECT_TRUE(sampler_.begin_run(&task_));
    sampler_.end_run(1'500);
  }
  const DurationHistogram histogram = sampler_.run_time.snapshot();
  EXPECT_EQ(histogram.samples(), 3u);
  EXPECT_EQ(histogram.buckets[10], 3u);  // 1024 to 2047 ns.
}

TEST_F(SamplerTest, TheMeanFollowsTheLastRuns) {
  EXPECT_EQ(sampler_.mean_run_ns(), Sampler::kLongRunNs);
  for (int i = 0; i < 50; ++i) sampler_.end_run(2'000);
  EXPECT_LE(sampler_.mean_run_ns(), 2'500);
  EXPECT_GE(sampler_.mean_run_ns(), 2'000);
  sampler_.end_run(std::int64_t{1} << 62);  // Counts as a long one, and is forgotten as soon.
  EXPECT_GT(sampler_.mean_run_ns(), 20'000);
  EXPECT_LT(sampler_.mean_run_ns(), 30'000);
  for (int i = 0; i < 20; ++i) sampler_.end_run(2'000);
  EXPECT_LT(sampler_.mean_run_ns(), 5'000);
}

TEST_F(SamplerTest, ShortTasksAreSharedLater) {
  EXPECT_FALSE(sampler_.are_worth_a_peer(0));
  EXPECT_TRUE(sampler_.are_worth_a_peer(1));  // Nothing is known: it may be long.
  for (int i = 0; i < 100; ++i) sampler_.end_run(25'000);
  EXPECT_FALSE(sampler_.are_worth_a_peer(1));
  EXPECT_TRUE(sampler_.are_worth_a_peer(3));
  for (int i = 0; i < 100; ++i) sampler_.end_run(10'000);
  EXPECT_FALSE(sampler_.are_worth_a_peer(50));
  EXPECT_TRUE(sampler_.are_worth_a_peer(101));
  sampler_.met_long_run();
  EXPECT_TRUE(sampler_.are_worth_a_peer(1));
}

TEST_F(SamplerTest, MeasuresHowLongTheNotedTaskWaits) {
  task_.id = 7;
  queue_and_note(&task_);
  EXPECT_FALSE(sampler_.begin_run(&other_));
  EXPECT_EQ(delays(), 0u);
  sampler_.begin_run(&task_);
  EXPECT_EQ(delays(), 1u);
  sampler_.begin_run(&task_);  // Was not noted.
  EXPECT_EQ(delays(), 1u);
  // One that this worker has run before.
  task_.worker = &core_;
  queue_and_note(&task_);
  sampler_.begin_run(&task_);
  EXPECT_EQ(delays(), 2u);
}

TEST_F(SamplerTest, DropsATaskThatHasRunElsewhere) {
  queue_and_note(&task_);
  task_.worker = &peer_;
  sampler_.begin_run(&task_);
  EXPECT_EQ(delays(), 0u);
}

TEST_F(SamplerTest, DropsATaskWhoseMemoryIsAnothers) {
  task_.id = 7;
  queue_and_note(&task_);
  task_.id = 8;
  sampler_.begin_run(&task_);
  EXPECT_EQ(delays(), 0u);
}

TEST_F(SamplerTest, NotesTheNextIfItCannotTellTheTaskLater) {
  SpawnedTask from_peer;
  from_peer.worker = &peer_;
  TaskHeader forked(&other_, &core_);
  queue_and_note(&from_peer);
  sampler_.queued(&forked);
  sampler_.begin_run(&from_peer);
  sampler_.begin_run(&forked);
  EXPECT_EQ(delays(), 0u);
  sampler_.queued(&task_);
  sampler_.begin_run(&task_);
  EXPECT_EQ(delays(), 1u);
}

TEST_F(SamplerTest, ATaskThatNeverComesGivesWayToTheNext) {
  queue_and_note(&other_);
  task_.id = 1;
  queue_and_note(&task_);
  sampler_.begin_run(&task_);
  EXPECT_EQ(delays(), 1u);
}

}  // namespace
}  // namespace skua::internal
