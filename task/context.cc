// SPDX-License-Identifier: Apache-2.0
#include "task/context.h"

#include <cxxabi.h>
#include <string>

#include "skua/internal/check.h"

namespace skua::internal {
namespace {
thread_local constinit Context context;
}  // namespace

SKUA_NOINLINE Context& this_context() noexcept {
  asm volatile("");  // Else the compiler proves the function pure and merges two calls.
  return context;
}

void Context::find_exceptions() noexcept {
  exceptions = reinterpret_cast<const ThreadExceptions*>(abi::__cxa_get_globals());
}

SKUA_NOINLINE Executor* current_executor() noexcept {
  asm volatile("");
  return context.executor;
}

void set_current_executor(Executor* executor) noexcept { context.executor = executor; }

Executor& require_executor(const char* operation) noexcept {
  Executor* const executor = current_executor();
  if (SKUA_UNLIKELY(executor == nullptr)) {
    fatal(
        std::string(operation) +
        " was called outside a runtime: call it from a task, or use the function of the same name "
        "of a skua::Runtime");
  }
  return *executor;
}

void set_runs_tasks(bool runs) noexcept { this_context().runs_tasks = runs; }

void require_may_block(const char* operation) noexcept {
  if (SKUA_UNLIKELY(this_context().runs_tasks)) {
    fatal(std::string(operation) +
          " was called on a worker, which must not block: co_await instead, or move the call into "
          "skua::spawn_blocking");
  }
}

SKUA_NOINLINE void set_trampoline(std::coroutine_handle<> next) noexcept {
  asm volatile("");
  context.next = next;
}

}  // namespace skua::internal
