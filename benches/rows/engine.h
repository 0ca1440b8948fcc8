// SPDX-License-Identifier: Apache-2.0
//
// Skua as an engine for the rows: a runtime with the workers, the policy and the backend that are asked for.
#pragma once

#include <span>
#include <string_view>

#include "benches/harness/program.h"
#include "skua/runtime.h"

namespace skua::bench {

class SkuaEngine {
 public:
  // Names for --policy; the first one is RuntimeOptions' default.
  static std::span<const std::string_view> policies();
  // Names for --backend, the same.
  static std::span<const std::string_view> backends();
  // Whether the policy knows one worker only.
  static bool is_single(std::string_view policy) { return policy == "current_thread"; }

  // Requires: options.policy is one of policies(), options.backend one of backends().
  explicit SkuaEngine(const EngineOptions& options);

  Runtime& runtime() { return runtime_; }
  // What the runtime was made with, for a row that needs one of its own.
  const RuntimeOptions& options() const { return options_; }
  int workers() const { return workers_; }

 private:
  const int workers_;
  const RuntimeOptions options_;
  Runtime runtime_;
};

using SkuaRow = Row<SkuaEngine>;

}  // namespace skua::bench
