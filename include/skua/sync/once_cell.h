// SPDX-License-Identifier: Apache-2.0
//
// OnceCell: a value that is made by the first task that needs it.
//
//   skua::OnceCell<Config> config;
//   Config& c = co_await config.get_or_init(load_config);       // load_config() -> Task<Config>
//
//   [ONCE]  the initializer's store of ready_ (release) -> get()'s load (acquire). The value.
#pragma once

#include <atomic>
#include <concepts>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "skua/internal/check.h"
#include "skua/sync/mutex.h"
#include "skua/task.h"

namespace skua {

// Threads: any, and tasks of any runtime.
// Lifetime: outlives whoever waits, and whoever uses the value.
template <typename T>
class OnceCell {
  static_assert(std::is_object_v<T> && !std::is_array_v<T>, "OnceCell<T>: T is an object type");

 public:
  OnceCell() noexcept {}
  OnceCell(const OnceCell&) = delete;
  OnceCell& operator=(const OnceCell&) = delete;
  ~OnceCell() {
    // Relaxed: whoever ends the cell has it to itself.
    if (ready_.load(std::memory_order_relaxed)) value_.~T();
  }

  // The value; nullptr if it was not made yet. Costs a load.
  //
  // Threads: any.
  T* get() noexcept { return is_ready() ? std::addressof(value_) : nullptr; }
  const T* get() const noexcept { return is_ready() ? std::addressof(value_) : nullptr; }

  // The value, which `make()`, a Task<T>, makes if there is none. One at a time makes it, the others wait.
  //
  // Errors: what `make` throws; there is no value then, and the next one who waits makes it.
  // Cancellation: safe. If the task that makes the value is aborted, the next one who waits makes it.
  // Requires: what `make` does needs no value of this cell.
  template <typename Make>
    requires std::same_as<std::invoke_result_t<Make&>, Task<T>>
  Task<T&> get_or_init(Make make) {
    if (!is_ready()) {
      const MutexGuard guard = co_await mutex_.lock();
      if (!is_ready()) emplace(co_await make());
    }
    co_return value_;
  }

  // Makes the value from `value`. False: there is one already, or a task is making it.
  //
  // Threads: any.
  bool set(T value) {
    if (is_ready()) return false;
    const std::optional<MutexGuard> guard = mutex_.try_lock();
    if (!guard || is_ready()) return false;
    emplace(std::move(value));
    return true;
  }

 private:
  bool is_ready() const noexcept { return ready_.load(std::memory_order_acquire); }  // [ONCE]
  // Under mutex_.
  void emplace(T&& value) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::move(value));
    ready_.store(true, std::memory_order_release);  // [ONCE]
  }

  Mutex mutex_;
  std::atomic<bool> ready_{false};
  union {
    T value_;
  };
};

}  // namespace skua
