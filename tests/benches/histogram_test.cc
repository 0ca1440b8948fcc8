// SPDX-License-Identifier: Apache-2.0
#include "benches/harness/histogram.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace skua::bench {
namespace {

TEST(HistogramTest, SmallValuesAreKeptAsTheyAre) {
  Histogram histogram;
  for (std::int64_t value = 1; value <= 100; ++value) histogram.add(value);
  EXPECT_EQ(histogram.count(), 100u);
  EXPECT_EQ(histogram.quantile_ns(0), 1);
  EXPECT_EQ(histogram.quantile_ns(0.5), 50);
  EXPECT_EQ(histogram.quantile_ns(0.99), 99);
  EXPECT_EQ(histogram.quantile_ns(1), 100);
}

TEST(HistogramTest, NothingAndNegativesAreZero) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile_ns(0.5), 0);
  EXPECT_EQ(histogram.max_ns(), 0);
  histogram.add(-5);
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.quantile_ns(1), 0);
}

// Against the exact quantile, for values of every size that 64 bits have.
TEST(HistogramTest, QuantilesAreExactToOnePartIn64AndNeverBelow) {
  std::mt19937_64 random(1);
  Histogram histogram;
  std::vector<std::int64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(static_cast<std::int64_t>(random() >> (1 + random() % 63)));
    histogram.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const double rank = std::ceil(fraction * static_cast<double>(values.size()));
    const std::int64_t exact = values[static_cast<std::size_t>(rank) - 1];
    const std::int64_t found = histogram.quantile_ns(fraction);
    EXPECT_GE(found, exact) << fraction;
    EXPECT_LE(found - exact, exact / 64 + 1) << fraction;
  }
  EXPECT_EQ(histogram.max_ns(), values.back());
}

}  // namespace
}  // namespace skua::bench
