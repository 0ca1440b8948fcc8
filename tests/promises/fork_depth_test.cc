// SPDX-License-Identifier: Apache-2.0
//
// Forks nest deeper than any stack is long: a hundred thousand levels end, by results, by exceptions and by an abort.
// Unoptimized in every configuration, where each frame of a recursion would be largest.
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/config.h"
#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

#if SKUA_TSAN
constexpr int kLevels =
    10'000;  // Each level is a hundred times as slow there, and the other builds show the stack.
#elif SKUA_ASAN
constexpr int kLevels =
    30'000;  // Its frames are larger: a recursion would take more than 8 MB here, too.
#else
constexpr int kLevels = 100'000;
#endif

using ForkDepthTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(ForkDepthTest);

// What the innermost level does.
enum class End { kGives, kThrows, kYields, kWaits };

struct Shape {
  End end;
  std::size_t fan_out;      // Forked at each level.
  std::size_t goes_deeper;  // The child that does.
  Semaphore* begun = nullptr;
};

Task<int> level(const Shape* shape, int levels_left, bool deep) {
  if (!deep) co_return 1;
  if (levels_left == 0) {
    if (shape->begun != nullptr) shape->begun->add_permits(1);
    switch (shape->end) {
      case End::kGives:
        break;
      case End::kThrows:
        throw std::runtime_error("innermost");
      case End::kYields:
        co_await yield_now();
        break;
      case End::kWaits: {
        Semaphore never(0);
        const SemaphorePermit permit = co_await never.acquire();
        break;
      }
    }
    co_return 1;
  }
  const auto make = [shape, levels_left](std::size_t i) {
    return level(shape, levels_left - 1, i == shape->goes_deeper);
  };
  const std::vector<int> parts = co_await when_all_n(shape->fan_out, make);
  int sum = 1;
  for (const int part : parts) sum += part;
  co_return sum;
}

TEST_P(ForkDepthTest, ManyLevelsEndWithTheirResults) {
  for (const End end : {End::kGives, End::kYields}) {
    for (const Shape shape : {Shape{end, 1, 0}, Shape{end, 2, 0}, Shape{end, 2, 1}}) {
      EXPECT_EQ(runtime().block_on(level(&shape, kLevels, true)),
                1 + kLevels * static_cast<int>(shape.fan_out));
    }
  }
}

TEST_P(ForkDepthTest, AnExceptionComesUpThroughManyLevels) {
  const Shape shape{End::kThrows, 2, 1};
  // An exception is rethrown at each level, which takes microseconds.
  constexpr int kThrowingLevels = kLevels / 10;
  try {
    runtime().block_on(level(&shape, kThrowingLevels, true));
    ADD_FAILURE() << "nothing thrown";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "innermost");
  }
}

Task<bool> abort_when_begun(Semaphore* begun, JoinHandle<int>* tree) {
  SemaphorePermit permit = co_await begun->acquire();
  permit.forget();
  tree->abort();
  const JoinResult<int> result = co_await std::move(*tree).result();
  co_return result.cancelled();
}

TEST_P(ForkDepthTest, AnAbortEndsManyLevels) {
  Semaphore begun(0);
  for (const Shape shape : {Shape{End::kWaits, 1, 0, &begun}, Shape{End::kWaits, 2, 0, &begun},
                            Shape{End::kWaits, 2, 1, &begun}}) {
    JoinHandle<int> tree = runtime().spawn(level(&shape, kLevels, true));
    EXPECT_TRUE(runtime().block_on(abort_when_begun(&begun, &tree)));
  }
}

TEST_P(ForkDepthTest, AShutdownEndsManyLevels) {
  Semaphore begun(0);
  const Shape shape{End::kWaits, 2, 0, &begun};
  JoinHandle<int> tree = runtime().spawn(level(&shape, kLevels, true));
  const auto wait = [](Semaphore* semaphore) -> Task<> {
    SemaphorePermit permit = co_await semaphore->acquire();
    permit.forget();
  };
  runtime().block_on(wait(&begun));
  stop();
  EXPECT_TRUE(tree.is_finished());
}

}  // namespace
}  // namespace skua
