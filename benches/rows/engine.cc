// SPDX-License-Identifier: Apache-2.0
#include "benches/rows/engine.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "skua/internal/check.h"

namespace skua::bench {
namespace {

struct Policy {
  std::string_view name;
  Flavor flavor;
  SchedulerPolicy scheduler = SchedulerPolicy::kWorkStealing;
};
constexpr std::array kPolicies = {
    Policy{"work_stealing", Flavor::kMultiThread},
    Policy{"no_slot", Flavor::kMultiThread, SchedulerPolicy::kWorkStealingNoSlot},
    Policy{"global_queue", Flavor::kMultiThread, SchedulerPolicy::kGlobalQueue},
    Policy{"thread_per_core", Flavor::kThreadPerCore},
    Policy{"current_thread", Flavor::kCurrentThread},
};

struct Backend {
  std::string_view name;
  IoBackend io_backend;
};
constexpr std::array kBackends = {
    Backend{"auto", IoBackend::kAuto},
    Backend{"uring", IoBackend::kUring},
    Backend{"epoll", IoBackend::kEpoll},
};

template <typename Table>
constexpr auto names_of(const Table& table) {
  std::array<std::string_view, std::tuple_size_v<Table>> names;
  std::transform(table.begin(), table.end(), names.begin(),
                 [](const auto& entry) { return entry.name; });
  return names;
}
constexpr auto kPolicyNames = names_of(kPolicies);
constexpr auto kBackendNames = names_of(kBackends);

template <typename Table>
const auto& entry_of(const Table& table, std::string_view name) {
  const auto entry = std::find_if(table.begin(), table.end(),
                                  [&](const auto& candidate) { return candidate.name == name; });
  SKUA_REQUIRE(entry != table.end());
  return *entry;
}

RuntimeOptions options_of(const EngineOptions& options) {
  const Policy& policy = entry_of(kPolicies, options.policy);
  return {.flavor = policy.flavor,
          .scheduler = policy.scheduler,
          .worker_threads = options.workers,
          .io_backend = entry_of(kBackends, options.backend).io_backend};
}

}  // namespace

std::span<const std::string_view> SkuaEngine::policies() { return kPolicyNames; }
std::span<const std::string_view> SkuaEngine::backends() { return kBackendNames; }

SkuaEngine::SkuaEngine(const EngineOptions& options)
    : workers_(options.workers), options_(options_of(options)), runtime_(options_) {}

}  // namespace skua::bench
