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
  RuntimeOptions (*options)(int workers);
};

constexpr std::array kPolicies = {
    Policy{"work_stealing", [](int workers) { return RuntimeOptions{.worker_threads = workers}; }},
    Policy{"no_slot",
           [](int workers) {
             return RuntimeOptions{.scheduler = SchedulerPolicy::kWorkStealingNoSlot,
                                   .worker_threads = workers};
           }},
    Policy{"global_queue",
           [](int workers) {
             return RuntimeOptions{.scheduler = SchedulerPolicy::kGlobalQueue,
                                   .worker_threads = workers};
           }},
    Policy{"thread_per_core",
           [](int workers) {
             return RuntimeOptions{.flavor = Flavor::kThreadPerCore, .worker_threads = workers};
           }},
    Policy{"current_thread",
           [](int /*workers*/) { return RuntimeOptions{.flavor = Flavor::kCurrentThread}; }},
};

constexpr auto kPolicyNames = [] {
  std::array<std::string_view, kPolicies.size()> names;
  std::transform(kPolicies.begin(), kPolicies.end(), names.begin(),
                 [](const Policy& policy) { return policy.name; });
  return names;
}();

RuntimeOptions options_of(const EngineOptions& options) {
  const auto policy = std::find_if(kPolicies.begin(), kPolicies.end(),
                                   [&](const Policy& p) { return p.name == options.policy; });
  SKUA_REQUIRE(policy != kPolicies.end());
  return policy->options(options.workers);
}

}  // namespace

std::span<const std::string_view> SkuaEngine::policies() { return kPolicyNames; }

SkuaEngine::SkuaEngine(const EngineOptions& options)
    : workers_(options.workers), runtime_(options_of(options)) {}

}  // namespace skua::bench
