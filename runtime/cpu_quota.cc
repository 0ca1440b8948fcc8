// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

namespace skua::internal {
namespace {

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return std::nullopt;
  return line;
}

// "200000 100000" or "max 100000": quota and period in us.
std::optional<double> limit_v2(const std::string& directory) {
  const std::optional<std::string> line = first_line(directory + "/cpu.max");
  if (!line) return std::nullopt;
  std::istringstream words(*line);
  double quota = 0;
  double period = 0;
  if (!(words >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

// The quota is -1 if there is no limit.
std::optional<double> limit_v1(const std::string& directory) {
  const std::optional<std::string> quota_text = first_line(directory + "/cpu.cfs_quota_us");
  const std::optional<std::string> period_text = first_line(directory + "/cpu.cfs_period_us");
  if (!quota_text || !period_text) return std::nullopt;
  const double quota = std::strtod(quota_text->c_str(), nullptr);
  const double period = std::strtod(period_text->c_str(), nullptr);
  if (quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

bool names_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == "cpu") return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

// The smallest limit of the group `path` and of those above it. A container may see its own group as the root, or a
// path from outside that does not exist here: then the mount itself is what there is to read.
template <typename Limit>
std::optional<double> smallest(const std::string& mount, std::string path, Limit limit) {
  std::optional<double> smallest;
  for (;;) {
    if (const std::optional<double> found = limit(mount + path)) {
      smallest = std::min(smallest.value_or(*found), *found);
    }
    if (path.empty()) return smallest;
    const std::size_t slash = path.rfind('/');
    path.resize(slash == std::string::npos ? 0 : slash);
  }
}

}  // namespace

std::optional<double> cgroup_cpu_limit(const std::string& root) {
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  std::optional<double> limit;
  // Each line is HIERARCHY:CONTROLLERS:PATH; v2 has the hierarchy 0 and no controllers.
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    std::optional<double> found;
    if (controllers.empty()) {
      found = smallest(mount, path, limit_v2);
    } else if (names_cpu(controllers)) {
      found = smallest(mount + "/" + controllers, path, limit_v1);
      if (!found) found = smallest(mount + "/cpu", path, limit_v1);
    }
    if (found) limit = std::min(limit.value_or(*found), *found);
  }
  return limit;
}

int workers_for(int cpus, std::optional<double> limit) {
  if (!limit || *limit >= cpus) return std::max(cpus, 1);
  return std::clamp(static_cast<int>(std::ceil(*limit)), 1, std::max(cpus, 1));
}

}  // namespace skua::internal
