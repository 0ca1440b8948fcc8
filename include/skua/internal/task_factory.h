// SPDX-License-Identifier: Apache-2.0
//
// Functions that give a Task: kept alive for as long as the Task lives, so that a lambda with captures may be a
// coroutine.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include "skua/task.h"

namespace skua::internal {

template <typename F>
using FactoryTask = std::remove_cvref_t<std::invoke_result_t<F&>>;

// Called without arguments, F gives a Task.
template <typename F>
concept TaskFactory = std::invocable<F&> && requires {
  typename FactoryTask<F>::value_type;
  requires std::same_as<std::invoke_result_t<F&>, Task<typename FactoryTask<F>::value_type>>;
};
template <TaskFactory F>
using FactoryResult = typename FactoryTask<F>::value_type;

// The Task that `make` gives, and `make` itself, in one frame: what `make` holds is destroyed after the Task's own
// frame.
template <TaskFactory F>
Task<FactoryResult<F>> run_factory(F make) {
  co_return co_await make();
}

}  // namespace skua::internal
