// SPDX-License-Identifier: Apache-2.0
//
// The end of a coroutine: what it was given is destroyed once and its frame freed once, whether it is destroyed or,
// with nothing to destroy, only freed; however it ends, and whatever part it plays.
#include "skua/internal/final_awaiter.h"

#include <array>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/frame_cache.h"
#include "skua/join.h"
#include "skua/join_handle.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "task/frame_count.h"
#include "tests/support/manual_executor.h"

namespace skua::internal {
namespace {

using test::ManualExecutor;
using test::ManualOp;
using test::ManualOpAwaiter;

// The parameters that are alive. Each is there once.
using Alive = std::set<const void*>;

class Parameter {
 public:
  explicit Parameter(Alive* alive) : alive_(alive) { note(); }
  Parameter(const Parameter& other) : alive_(other.alive_) { note(); }
  Parameter& operator=(const Parameter&) = delete;
  ~Parameter() { EXPECT_EQ(alive_->erase(this), 1u) << "destroyed, and not alive"; }

 private:
  void note() { EXPECT_TRUE(alive_->insert(this).second) << "made where one is alive"; }
  Alive* const alive_;
};

enum class Ending { kValue, kException, kAbort, kNotStarted };

// --- Coroutines of each kind. Given 20, they return 21. ---------------------------------------------

Task<int> with_destructor([[maybe_unused]] Parameter parameter, int value, Ending ending,
                          ManualOp* op) {
  if (ending == Ending::kAbort) co_await ManualOpAwaiter(op);
  if (ending == Ending::kException) throw std::runtime_error("thrown");
  co_return value + 1;
}

Task<int> without_destructor(int value, Ending ending, ManualOp* op) {
  if (ending == Ending::kAbort) co_await ManualOpAwaiter(op);
  if (ending == Ending::kException) throw std::runtime_error("thrown");
  co_return value + 1;
}

// The object is a reference for the coroutine: it is not destroyed with the frame.
class Object {
 public:
  explicit Object(Alive* alive) : held_(alive) {}

  Task<int> with_destructor([[maybe_unused]] Parameter parameter, int value, Ending ending,
                            ManualOp* op) const {
    if (ending == Ending::kAbort) co_await ManualOpAwaiter(op);
    if (ending == Ending::kException) throw std::runtime_error("thrown");
    co_return value + one_;
  }
  Task<int> without_destructor(int value, Ending ending, ManualOp* op) & {
    if (ending == Ending::kAbort) co_await ManualOpAwaiter(op);
    if (ending == Ending::kException) throw std::runtime_error("thrown");
    co_return value + one_;
  }

 private:
  Parameter held_;
  int one_ = 1;
};

// What the body holds is gone before the end.
Task<int> with_locals(Alive* alive, int value, Ending ending, ManualOp* op) {
  const Parameter local(alive);
  const auto boxed = std::make_unique<int>(value);
  if (ending == Ending::kAbort) co_await ManualOpAwaiter(op);
  if (ending == Ending::kException) throw std::runtime_error("thrown");
  co_return *boxed + 1;
}

// Its frame is larger than those that are recycled.
Task<int> with_large_frame(int value, Ending ending, ManualOp* op) {
  std::array<char, kFrameClasses * kFrameClassBytes> large{};
  large.back() = static_cast<char>(value);
  if (ending == Ending::kAbort) co_await ManualOpAwaiter(op);
  if (ending == Ending::kException) throw std::runtime_error("thrown");
  co_return large.back() + 1;
}

template <typename... Parameters>
inline constexpr bool kIsPlain =
    std::same_as<typename std::coroutine_traits<Task<int>, Parameters...>::promise_type,
                 PlainPromise<int>>;
static_assert(kIsPlain<>);
static_assert(kIsPlain<int, Ending, ManualOp*>);
static_assert(kIsPlain<Object&, const Parameter&, Parameter&&>);
static_assert(!kIsPlain<Parameter>);
static_assert(!kIsPlain<Object&, int, Parameter>);
static_assert(!kIsPlain<std::string, int>);

// --- The parts that a coroutine plays ---------------------------------------------------------------

Task<int> awaits(Task<int> child) {
  const int value = co_await std::move(child);
  co_return value;
}

Task<int> forks(std::vector<Task<int>> children) {
  int sum = 0;
  const std::vector<int> parts = co_await when_all(std::move(children));
  for (const int part : parts) sum += part;
  co_return sum;
}

class FinalAwaiterTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_TRUE(alive_.empty());
    EXPECT_EQ(live_blocks(), blocks_before_) << "coroutine frames leaked, or were freed twice";
  }

  // Runs a root that gives `value` if it ends so, and ends it as `ending` says.
  void run(Task<int> root, Ending ending, int value, std::vector<ManualOp>& ops) {
    auto handle = spawn_on(executor_, std::move(root), {});
    if (ending == Ending::kNotStarted) handle.abort();
    executor_.drain();
    if (ending == Ending::kAbort) {
      handle.abort();
      executor_.drain();
      for (ManualOp& op : ops) EXPECT_FALSE(op.complete());
    }
    ASSERT_TRUE(handle.is_finished());
    const JoinShare<int> share = std::move(handle).release_share();
    switch (ending) {
      case Ending::kValue:
        EXPECT_EQ(share.slot().take(), value);
        break;
      case Ending::kException:
        EXPECT_THROW(share.slot().take(), std::runtime_error);
        break;
      case Ending::kAbort:
      case Ending::kNotStarted:
        EXPECT_TRUE(share.slot().empty());
    }
  }

  // `make(ending, op)` makes the coroutine. Spawned, awaited, forked, dropped.
  template <typename F>
  void play_each_part(F make) {
    for (const Ending ending :
         {Ending::kValue, Ending::kException, Ending::kAbort, Ending::kNotStarted}) {
      SCOPED_TRACE(static_cast<int>(ending));
      std::vector<ManualOp> ops(3);
      run(make(ending, &ops[0]), ending, 21, ops);
      run(awaits(make(ending, &ops[0])), ending, 21, ops);
      run(awaits(awaits(make(ending, &ops[0]))), ending, 21, ops);
      std::vector<Task<int>> children;
      for (ManualOp& op : ops) children.push_back(make(ending, &op));
      run(forks(std::move(children)), ending, 63, ops);
      const Task<int> dropped = make(ending, &ops[0]);
      EXPECT_TRUE(static_cast<bool>(dropped));
    }
  }

  const std::int64_t blocks_before_ = live_blocks();
  Alive alive_;
  ManualExecutor executor_{1};
};

TEST_F(FinalAwaiterTest, AFunctionsParametersAreDestroyedOnce) {
  play_each_part([this](Ending ending, ManualOp* op) {
    return with_destructor(Parameter(&alive_), 20, ending, op);
  });
}

TEST_F(FinalAwaiterTest, AFrameWithNothingToDestroyIsFreedOnce) {
  play_each_part([](Ending ending, ManualOp* op) { return without_destructor(20, ending, op); });
}

TEST_F(FinalAwaiterTest, AMemberFunctionsObjectOutlivesIt) {
  Object object(&alive_);
  play_each_part([&](Ending ending, ManualOp* op) {
    return object.with_destructor(Parameter(&alive_), 20, ending, op);
  });
  play_each_part(
      [&](Ending ending, ManualOp* op) { return object.without_destructor(20, ending, op); });
  EXPECT_EQ(alive_.size(), 1u);
}

TEST_F(FinalAwaiterTest, AClosureOutlivesItsCoroutineAndItsParametersAreDestroyedOnce) {
  const Parameter held(&alive_);
  const auto with = [held](Parameter, int value, Ending ending, ManualOp* op) -> Task<int> {
    if (ending == Ending::kAbort) co_await ManualOpAwaiter(op);
    if (ending == Ending::kException) throw std::runtime_error("thrown");
    co_return value + 1;
  };
  const auto without = [held](int value, Ending ending, ManualOp* op) -> Task<int> {
    if (ending == Ending::kAbort) co_await ManualOpAwaiter(op);
    if (ending == Ending::kException) throw std::runtime_error("thrown");
    co_return value + 1;
  };
  play_each_part(
      [&](Ending ending, ManualOp* op) { return with(Parameter(&alive_), 20, ending, op); });
  play_each_part([&](Ending ending, ManualOp* op) { return without(20, ending, op); });
  EXPECT_EQ(alive_.size(), 3u);
}

TEST_F(FinalAwaiterTest, LocalsAreGoneBeforeAFrameIsFreed) {
  play_each_part(
      [this](Ending ending, ManualOp* op) { return with_locals(&alive_, 20, ending, op); });
}

TEST_F(FinalAwaiterTest, AFrameThatIsNotRecycledIsFreedOnce) {
  play_each_part([](Ending ending, ManualOp* op) { return with_large_frame(20, ending, op); });
}

Task<int> counts_down(int n) {
  if (n == 0) co_return 0;
  const int rest = co_await counts_down(n - 1);
  co_return rest + 1;
}

Task<int> waits(ManualOp* op) {
  co_await ManualOpAwaiter(op);
  co_return 1;
}

// More end in a row than a thread's free list has room for.
TEST_F(FinalAwaiterTest, FramesFindTheirWayPastAFullFreeList) {
  constexpr int kFrames = 3 * kFramesKept;
  std::vector<ManualOp> ops(kFrames);
  run(counts_down(kFrames), Ending::kValue, kFrames, ops);
  std::vector<Task<int>> children;
  for (ManualOp& op : ops) children.push_back(waits(&op));
  auto parent = spawn_on(executor_, forks(std::move(children)), {});
  executor_.drain();
  for (ManualOp& op : ops) EXPECT_TRUE(op.complete());
  executor_.drain();
  ASSERT_TRUE(parent.is_finished());
  EXPECT_EQ(std::move(parent).release_share().slot().take(), kFrames);
}

}  // namespace
}  // namespace skua::internal
