// SPDX-License-Identifier: Apache-2.0
//
// The clock is a number here.
#include "blocking_pool/queue_delay.h"

#include <gtest/gtest.h>

namespace skua::internal {
namespace {

constexpr std::int64_t kTarget = 10;
constexpr std::int64_t kInterval = 100;

TEST(QueueDelayTest, LongDelaysForAnIntervalAreAnOverload) {
  QueueDelay delay(kTarget, kInterval);
  delay.queued_first(1000);
  delay.taken(1000, 1020, false);  // The first long one.
  EXPECT_FALSE(delay.overloaded(1020, false));
  for (std::int64_t now = 1030; now < 1120; now += 10) delay.taken(now - 20, now, false);
  EXPECT_FALSE(delay.overloaded(1119, false));
  EXPECT_TRUE(delay.overloaded(1120, false));
}

TEST(QueueDelayTest, OneShortDelayEndsIt) {
  QueueDelay delay(kTarget, kInterval);
  delay.taken(1000, 1020, false);
  delay.taken(1100, 1110, false);  // As long as the target is not too long.
  delay.taken(1110, 1130, false);
  EXPECT_FALSE(delay.overloaded(1200, false));
  EXPECT_TRUE(delay.overloaded(1230, false));
  delay.taken(1225, 1231, false);
  EXPECT_FALSE(delay.overloaded(1231, false));
}

TEST(QueueDelayTest, AnEmptyQueueIsNoOverload) {
  QueueDelay delay(kTarget, kInterval);
  delay.taken(1000, 1020, false);
  EXPECT_TRUE(delay.overloaded(1120, false));
  EXPECT_FALSE(delay.overloaded(1120, true));
  delay.taken(1000, 1121, true);  // The last one, however late.
  delay.queued_first(1130);
  EXPECT_FALSE(delay.overloaded(1230, false));
}

TEST(QueueDelayTest, AQueueThatNobodyTakesFromIsAnOverload) {
  QueueDelay delay(kTarget, kInterval);
  delay.queued_first(1000);
  EXPECT_FALSE(delay.overloaded(1109, false));
  EXPECT_TRUE(delay.overloaded(1110, false));
}

TEST(QueueDelayTest, TheOldestIsAsOldAsTheLastTakenOrTheQueue) {
  QueueDelay delay(kTarget, kInterval);
  delay.queued_first(1000);
  EXPECT_EQ(delay.oldest_age_ns(1005), 5);
  delay.taken(1000, 1010, false);
  delay.taken(1008, 1011, true);
  EXPECT_EQ(delay.oldest_age_ns(1018), 10);
  delay.queued_first(1015);
  EXPECT_EQ(delay.oldest_age_ns(1018), 3);
  EXPECT_EQ(delay.oldest_age_ns(1000), 0);  // A clock read before the other one.
}

}  // namespace
}  // namespace skua::internal
