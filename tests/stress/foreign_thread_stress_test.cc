// SPDX-License-Identifier: Apache-2.0
//
// Threads that belong to no runtime wake, abort and spawn while the runtime they touch comes to its end.
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "skua/sync/semaphore.h"
#include "skua/time.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

using ForeignThreadStressTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(ForeignThreadStressTest);

Task<> sleeps() { co_await sleep_for(1h); }

// Goal: a handle may outlive its runtime, and be used at any moment of the runtime's end.
// Method: one thread aborts while the other destroys; which comes first varies.
TEST_P(ForeignThreadStressTest, AbortsWhileTheRuntimeEnds) {
  for (int round = 0; round < 300; ++round) {
    std::optional<Runtime> short_lived(std::in_place, options());
    JoinHandle<void> handle = short_lived->spawn(sleeps());
    std::atomic<int> ready{0};
    std::thread aborter([&] {
      ready.fetch_add(1);
      while (ready.load() != 2) std::this_thread::yield();
      if (round % 2 == 0) std::this_thread::yield();
      handle.abort();
    });
    ready.fetch_add(1);
    while (ready.load() != 2) std::this_thread::yield();
    short_lived.reset();
    aborter.join();
    EXPECT_TRUE(handle.is_finished());
  }
}

Task<> takes(Semaphore* semaphore) {
  [[maybe_unused]] const auto permit = co_await semaphore->acquire();
}

// Goal: a wake-up from outside may be the one that lets the last task end, and with it the runtime.
// Method: the waker is a thread that is not waited for before the runtime goes.
TEST_P(ForeignThreadStressTest, WakesTheLastTaskWhileTheRuntimeEnds) {
  for (int round = 0; round < 300; ++round) {
    Semaphore semaphore(0);
    std::optional<Runtime> short_lived(std::in_place, options());
    JoinHandle<void> handle = short_lived->spawn(takes(&semaphore));
    std::thread waker([&] { semaphore.add_permits(1); });
    if (round % 2 == 0) {
      const auto join = [](JoinHandle<void> task) -> Task<> { co_await std::move(task); };
      short_lived->block_on(join(std::move(handle)));
    }
    short_lived.reset();
    waker.join();
  }
}

// Goal: a spawn from outside is taken and run, or refused; its task is destroyed once in either case.
// Method: a thread that spawns without end until it is refused.
TEST_P(ForeignThreadStressTest, SpawnsUntilItIsRefused) {
  for (int round = 0; round < 50; ++round) {
    Runtime short_lived(options());
    std::atomic<bool> begun{false};
    std::thread spawner([&] {
      for (;;) {
        JoinHandle<void> handle = short_lived.spawn(sleeps());
        begun.store(true);
        if (handle.is_finished()) return;
      }
    });
    while (!begun.load()) std::this_thread::yield();
    EXPECT_TRUE(short_lived.shutdown(1min));
    spawner.join();
  }
}

}  // namespace
}  // namespace skua
