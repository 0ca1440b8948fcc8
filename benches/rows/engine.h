// SPDX-License-Identifier: Apache-2.0
//
// Skua as an engine for the rows: a runtime with the workers and the policy of the command line.
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

  // Requires: options.policy is one of policies().
  explicit SkuaEngine(const EngineOptions& options);

  Runtime& runtime() { return runtime_; }
  int workers() const { return workers_; }

 private:
  const int workers_;
  Runtime runtime_;
};

using SkuaRow = Row<SkuaEngine>;

}  // namespace skua::bench
