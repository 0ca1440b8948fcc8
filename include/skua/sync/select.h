// SPDX-License-Identifier: Apache-2.0
//
// select: waits for the first of several operations, and carries out that one alone.
//
//   auto got = co_await skua::select(jobs.recv(), commands.recv(), skua::sleep_for(1s), stop.cancelled());
//   switch (got.index()) {                            // A std::variant of the results.
//     case 0: run(std::get<0>(got)); break;           // std::optional<Job>
//     ...
//   }
//
// The others have done nothing: no value was taken from their channels or put into them, no lock or notification kept.
// That is what sets it apart from when_any() of tasks, which are started, and lose what they have got when they are
// aborted.
//
// What can be selected: Receiver::recv, Sender::send, OneshotReceiver::recv, BroadcastReceiver::recv,
// WatchReceiver::changed, Notify::notified, Event::wait, Latch::wait, Mutex::lock, Semaphore::acquire, sleep_for,
// sleep_until, Interval::tick, CancellationToken::cancelled.
//
// How: skua/internal/selection.h, sync/README.md.
#pragma once

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "skua/internal/check.h"
#include "skua/internal/promise_base.h"
#include "skua/internal/selection.h"
#include "skua/internal/task_header.h"

namespace skua {
namespace internal {

// What an awaiter offers to a select, beside await_resume():
//
//   select_take(task)       takes what is there, without waiting
//   select_arm(branch)      true: it is there, and was taken, or was not because the selection is decided; false: it is
//                           in the list, and may be claimed
//   select_disarm(branch)   out of the list again, unless it has been taken out; no waker looks at it from here on
//   give_back()             if select_arm() takes things without claiming the branch: what it has taken goes back
template <typename A>
concept Selectable = requires(A& awaiter, TaskHeader* task, SelectBranch* branch) {
  { awaiter.select_take(task) } -> std::same_as<bool>;
  { awaiter.select_arm(branch) } -> std::same_as<bool>;
  awaiter.select_disarm(branch);
};

struct SelectOps {
  bool (*take)(void* awaiter, TaskHeader* task);
  bool (*arm)(void* awaiter, SelectBranch* branch);
  void (*disarm)(void* awaiter, SelectBranch* branch) noexcept;
  void (*give_back)(void* awaiter) noexcept;
};

template <typename A>
inline constexpr SelectOps kSelectOps{
    .take = [](void* a, TaskHeader* task) { return static_cast<A*>(a)->select_take(task); },
    .arm = [](void* a, SelectBranch* branch) { return static_cast<A*>(a)->select_arm(branch); },
    .disarm = [](void* a,
                 SelectBranch* branch) noexcept { static_cast<A*>(a)->select_disarm(branch); },
    .give_back =
        [](void* a) noexcept {
          if constexpr (requires(A& awaiter) { awaiter.give_back(); }) {
            static_cast<A*>(a)->give_back();
          }
        },
};

struct SelectSlot {
  void* awaiter = nullptr;
  const SelectOps* ops = nullptr;
  SelectBranch branch;
  bool armed = false;
};

// Which branch is looked at first. kFair: any, so that none starves behind others that are always ready.
enum class SelectOrder : std::uint8_t { kFair, kAsWritten };

// What does not depend on the types of the branches.
class SelectWaiter : public Waiter {
 protected:
  explicit SelectWaiter(SelectOrder order) noexcept : Waiter(&cancel_select), order_(order) {}

  void set_slots(SelectSlot* slots, std::size_t count) noexcept {
    slots_ = slots;
    count_ = count;
  }

  // Throws what a select_take() does: std::bad_alloc, of an unbounded channel.
  bool suspend(std::coroutine_handle<> awaiting, TaskHeader* selecting);
  // The winner, from 0 on. The task, when it has resumed; no other branch is in any list then.
  std::size_t finish() noexcept;

 private:
  static CancelOutcome cancel_select(Waiter* waiter) noexcept;
  void disarm_losers() noexcept;

  const SelectOrder order_;
  SelectSlot* slots_ = nullptr;  // Constant after set_slots().
  std::size_t count_ = 0;
  Selection selection_;
};

// The result of a branch; void: std::monostate.
template <typename A>
using SelectResult =
    std::conditional_t<std::is_void_v<decltype(std::declval<A&>().await_resume())>, std::monostate,
                       decltype(std::declval<A&>().await_resume())>;

// Returned by select(). Lives in the awaiting frame; so do the awaiters.
template <typename... Awaiters>
class [[nodiscard("co_await it; nothing is waited for otherwise")]] SelectAwaiter final
    : public SelectWaiter {
 public:
  using Result = std::variant<SelectResult<Awaiters>...>;

  explicit SelectAwaiter(SelectOrder order, Awaiters&... awaiters) noexcept
      : SelectWaiter(order), awaiters_(awaiters...) {
    set_slots(slots_.data(), slots_.size());
    std::size_t i = 0;
    ((slots_[i].awaiter = std::addressof(awaiters), slots_[i].ops = &kSelectOps<Awaiters>, ++i),
     ...);
  }

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<PromiseBase> Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) {
    return suspend(awaiting, awaiting.promise().task);  // *this may be gone.
  }
  Result await_resume() { return result_of<0>(finish()); }

 private:
  template <std::size_t I>
  Result result_of(std::size_t winner) {
    if constexpr (I + 1 < sizeof...(Awaiters)) {
      if (winner != I) return result_of<I + 1>(winner);
    }
    auto& awaiter = std::get<I>(awaiters_);
    if constexpr (std::is_void_v<decltype(awaiter.await_resume())>) {
      awaiter.await_resume();
      return Result(std::in_place_index<I>);
    } else {
      return Result(std::in_place_index<I>, awaiter.await_resume());
    }
  }

  const std::tuple<Awaiters&...> awaiters_;
  std::array<SelectSlot, sizeof...(Awaiters)> slots_;
};

}  // namespace internal

// Waits until one of `operations` can be carried out, and carries it out. They are what the functions above return, and
// are given as they come (`select(rx.recv(), ...)`) or by name. If several can be, one of them at random: none starves.
// While it waits, the task has its place in the line of each.
//
// Returns: a std::variant on co_await, whose index() is that of the operation; it holds what awaiting that one alone
//   would give, or std::monostate for void.
// Errors: what that one throws.
// Cancellation: safe, as that of each operation. A value that select() was to send is destroyed with its operation,
//   unless that has won.
// Requires: each operation is awaited once, here.
template <internal::Selectable... Awaiters>
  requires(sizeof...(Awaiters) >= 1)
internal::SelectAwaiter<std::remove_reference_t<Awaiters>...> select(
    Awaiters&&... operations) noexcept {
  return internal::SelectAwaiter<std::remove_reference_t<Awaiters>...>(internal::SelectOrder::kFair,
                                                                       operations...);
}

}  // namespace skua
