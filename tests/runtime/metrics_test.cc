// SPDX-License-Identifier: Apache-2.0
#include "skua/metrics.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"

namespace skua {
namespace {

TEST(DurationHistogramTest, BucketsArePowersOfTwo) {
  using Histogram = DurationHistogram;
  EXPECT_EQ(Histogram::bucket_of(-5), 0u);
  EXPECT_EQ(Histogram::bucket_of(0), 0u);
  EXPECT_EQ(Histogram::bucket_of(1), 0u);
  EXPECT_EQ(Histogram::bucket_of(INT64_MAX), Histogram::kBuckets - 1);
  EXPECT_EQ(Histogram::lower_bound_ns(0), 0);
  for (std::size_t bucket = 1; bucket < Histogram::kBuckets; ++bucket) {
    const std::int64_t first = Histogram::lower_bound_ns(bucket);
    EXPECT_EQ(Histogram::bucket_of(first), bucket);
    EXPECT_EQ(Histogram::bucket_of(first - 1), bucket - 1);
  }
}

TEST(DurationHistogramTest, QuantilesAreTheLowerBoundsOfTheirBuckets) {
  DurationHistogram histogram;
  EXPECT_EQ(histogram.quantile_ns(0.5), 0);
  histogram.buckets[3] = 90;
  histogram.buckets[10] = 9;
  histogram.buckets[20] = 1;
  EXPECT_EQ(histogram.samples(), 100u);
  EXPECT_EQ(histogram.quantile_ns(0), 8);
  EXPECT_EQ(histogram.quantile_ns(0.89), 8);
  EXPECT_EQ(histogram.quantile_ns(0.9), 1024);
  EXPECT_EQ(histogram.quantile_ns(0.99), 1 << 20);
  EXPECT_EQ(histogram.quantile_ns(1), 1 << 20);
}

Task<> yields(int times) {
  for (int i = 0; i < times; ++i) co_await yield_now();
}

Task<> joins(std::vector<JoinHandle<void>> handles) {
  for (JoinHandle<void>& handle : handles) co_await std::move(handle);
}

TEST(RuntimeMetricsTest, CountsRunsAndYieldsAndSamplesOneIn128) {
  Runtime runtime({.worker_threads = 1});
  std::vector<JoinHandle<void>> handles;
  for (int i = 0; i < 10; ++i) handles.push_back(runtime.spawn(yields(1280)));
  runtime.block_on(joins(std::move(handles)));
  const RuntimeMetrics metrics = runtime.metrics();
  ASSERT_EQ(metrics.workers.size(), 1u);
  const WorkerMetrics& worker = metrics.workers.front();
  EXPECT_EQ(worker.yields, 12800u);
  EXPECT_GE(worker.runs, 12810u);
  // Nobody steals, so what is noted is found. The last one may still be under way.
  EXPECT_EQ(metrics.run_time().samples(), worker.runs / 128);
  EXPECT_GE(metrics.scheduling_delay().samples(), 12800u / 128 - 1);
  EXPECT_LE(metrics.scheduling_delay().samples(), worker.runs / 128);
}

// One worker, kept busy until the depths have been read.
TEST(RuntimeMetricsTest, ShowsHowManyTasksOfWhichPriorityWaitWhere) {
  // They outlive the runtime: its task may still be about to leave them.
  std::latch begun(1);
  std::latch seen(1);
  Runtime runtime({.worker_threads = 1});
  const auto busy = [](std::latch* in, std::latch* out) -> Task<> {
    for (int i = 0; i < 4; ++i) spawn(yields(0), {.priority = Priority::kLow});
    in->count_down();
    out->wait();
    co_return;
  };
  runtime.spawn(busy(&begun, &seen));
  begun.wait();
  for (int i = 0; i < 5; ++i) runtime.spawn(yields(0), {.priority = Priority::kHigh});
  for (int i = 0; i < 2; ++i) runtime.spawn_on(0, yields(0));
  const RuntimeMetrics metrics = runtime.metrics();
  EXPECT_EQ(metrics.injector_depth, 5u);
  EXPECT_EQ(metrics.injector_depth_by_priority, (ByPriority{5, 0, 0}));
  // Three of the four: the last one is in the slot. And two on their way home.
  EXPECT_EQ(metrics.workers.front().queue_depth_by_priority, (ByPriority{0, 0, 3}));
  EXPECT_EQ(metrics.workers.front().queue_depth, 5u);
  seen.count_down();
}

}  // namespace
}  // namespace skua
