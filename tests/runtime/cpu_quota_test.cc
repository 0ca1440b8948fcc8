// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_quota.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <stdlib.h>
#include <string>

#include <gtest/gtest.h>

namespace skua::internal {
namespace {

// A made-up /proc and /sys.
class CpuQuotaTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "skua_quota_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  std::string root_;
};

TEST_F(CpuQuotaTest, ThereIsNoLimitWithoutCgroups) {
  EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt);
}

TEST_F(CpuQuotaTest, ReadsV2) {
  put("/proc/self/cgroup", "0::/a/b\n");
  put("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 1.5);
}

TEST_F(CpuQuotaTest, MaxIsNoLimit) {
  put("/proc/self/cgroup", "0::/a\n");
  put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt);
}

TEST_F(CpuQuotaTest, TheSmallestLimitOfTheGroupsAboveCounts) {
  put("/proc/self/cgroup", "0::/a/b/c\n");
  put("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
  put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  put("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 2.0);
}

TEST_F(CpuQuotaTest, ReadsTheRootThatAContainerSees) {
  put("/proc/self/cgroup", "0::/\n");
  put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 0.5);
}

TEST_F(CpuQuotaTest, ReadsV1UnderEitherNameOfTheMount) {
  put("/proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/x\n");
  put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "300000\n");
  put("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 3.0);
  put("/proc/self/cgroup", "3:cpuset:/y\n4:cpuacct,cpu:/y\n");
  put("/sys/fs/cgroup/cpu/y/cpu.cfs_quota_us", "100000\n");
  put("/sys/fs/cgroup/cpu/y/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), 2.0);
}

TEST_F(CpuQuotaTest, NoQuotaInV1IsNoLimit) {
  put("/proc/self/cgroup", "4:cpu:/x\n");
  put("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt);
}

TEST_F(CpuQuotaTest, NonsenseIsNoLimit) {
  put("/proc/self/cgroup", "nonsense\n:\n0::no slash\n0::/a\n");
  put("/sys/fs/cgroup/a/cpu.max", "a lot\n");
  EXPECT_EQ(cgroup_cpu_limit(root_), std::nullopt);
}

TEST_F(CpuQuotaTest, WorkersAreTheLimitRoundedUpWithinTheMask) {
  EXPECT_EQ(workers_for(8, std::nullopt), 8);
  EXPECT_EQ(workers_for(8, 0.25), 1);
  EXPECT_EQ(workers_for(8, 1.5), 2);
  EXPECT_EQ(workers_for(8, 2.0), 2);
  EXPECT_EQ(workers_for(2, 16.0), 2);
  EXPECT_EQ(workers_for(0, std::nullopt), 1);
}

}  // namespace
}  // namespace skua::internal
