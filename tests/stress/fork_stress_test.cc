// SPDX-License-Identifier: Apache-2.0
//
// Random trees of forks on real workers: suspended in every way, thrown through, and aborted from outside. What a tree
// gives is known from its seed, so each result is checked.
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/membarrier.h"
#include "skua/internal/atomic.h"
#include "skua/join_handle.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "skua/time.h"
#include "tests/support/random_tree.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

// Its leaves yield, sleep, or wait until another leaf of any tree, or a task that serves them, hands them a permit.
class StressTree final : public test::RandomTree {
 public:
  StressTree(std::uint64_t seed, int depth, Semaphore* asked, Semaphore* granted)
      : RandomTree(seed, depth), asked_(asked), granted_(granted) {}

 protected:
  Task<> suspend(std::uint64_t hash) override {
    switch (hash % 8) {
      case 0:
      case 1:
      case 2:
        for (std::uint64_t i = 0; i <= (hash >> 8 & 3); ++i) co_await yield_now();
        break;
      case 3:
      case 4:
      case 5: {
        asked_->add_permits(1);
        SemaphorePermit permit = co_await granted_->acquire();
        permit.forget();
        break;
      }
      case 6:
        co_await sleep_for(std::chrono::milliseconds(0));
        break;
      default:
        co_await sleep_for(std::chrono::milliseconds(1));
        break;
    }
  }

 private:
  Semaphore* const asked_;
  Semaphore* const granted_;
};

// Grants a permit for each that is asked for. A permit that was asked for by a leaf that is aborted meanwhile is left
// over, which does no harm: only too few would.
Task<> serve(Semaphore* asked, Semaphore* granted) {
  for (;;) {
    SemaphorePermit permit = co_await asked->acquire();
    permit.forget();
    granted->add_permits(1);
  }
}

// True: it was cancelled.
Task<bool> join_and_check(JoinHandle<test::RandomTree::Outcome> handle,
                          test::RandomTree::Outcome expected) {
  JoinResult<test::RandomTree::Outcome> result = co_await std::move(handle).result();
  if (result.cancelled()) co_return true;
  EXPECT_TRUE(result.ok() && result.value() == expected);
  co_return false;
}

#if SKUA_TSAN || SKUA_ASAN
constexpr int kRounds = 60;
#else
constexpr int kRounds = 250;
#endif
constexpr std::size_t kTreesAtOnce = 8;

// Rounds of trees that run at once. In half of them some are aborted, at any time.
void run_rounds(Runtime& runtime, std::uint64_t seed, int rounds) {
  std::mt19937_64 random(seed);
  int cancelled = 0;
  int finished = 0;
  for (int round = 0; round < rounds; ++round) {
    Semaphore asked(0);
    Semaphore granted(0);
    auto server = runtime.spawn(serve(&asked, &granted));
    std::vector<std::unique_ptr<StressTree>> trees;
    std::vector<std::optional<JoinHandle<test::RandomTree::Outcome>>> handles;
    for (std::size_t i = 0; i < kTreesAtOnce; ++i) {
      trees.push_back(std::make_unique<StressTree>(random(), 1 + static_cast<int>(random() % 7),
                                                   &asked, &granted));
      const SpawnOptions options{.priority = static_cast<Priority>(random() % 3)};
      handles.emplace_back(runtime.spawn(trees.back()->run(), options));
    }
    const bool aborts = round % 2 == 1;
    if (aborts) {
      for (auto& handle : handles) {
        for (auto i = random() % (1u << (random() % 14)); i > 0; --i) internal::cpu_relax();
        if (random() % 2 == 0) handle->abort();
      }
    }
    for (std::size_t i = 0; i < kTreesAtOnce; ++i) {
      const bool was_cancelled =
          runtime.block_on(join_and_check(std::move(*handles[i]), trees[i]->expected()));
      EXPECT_TRUE(aborts || !was_cancelled);
      ++(was_cancelled ? cancelled : finished);
      EXPECT_EQ(trees[i]->live(), 0);
    }
    server.abort();
    const auto join = [](JoinHandle<void> handle) -> Task<bool> {
      const JoinResult<void> result = co_await std::move(handle).result();
      co_return result.cancelled();
    };
    EXPECT_TRUE(runtime.block_on(join(std::move(server))));
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(finished, 0);
  EXPECT_GT(cancelled, 0);
}

class ForkStressTest : public test::RuntimeTest {
 protected:
  ForkStressTest() { RecordProperty("seed", std::to_string(seed_)); }

  const std::uint64_t seed_ = std::random_device{}();
};
INSTANTIATE_TEST_SUITE_P(Workers, ForkStressTest, testing::Values(0, 1, 2, 8),
                         test::RuntimeTest::name);

TEST_P(ForkStressTest, RandomTreesGiveTheirResultsOrAreAborted) {
  SCOPED_TRACE("seed " + std::to_string(seed_));
  run_rounds(runtime(), seed_, kRounds);
}

// Goal: a shutdown ends trees in any state. Method: many short-lived runtimes, whose end meets trees that run.
TEST_P(ForkStressTest, AShutdownEndsTreesInAnyState) {
  SCOPED_TRACE("seed " + std::to_string(seed_));
  std::mt19937_64 random(seed_);
  Semaphore asked(0);
  Semaphore granted(0);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<std::unique_ptr<StressTree>> trees;
    std::vector<JoinHandle<test::RandomTree::Outcome>> handles;
    {
      Runtime short_lived(options());
      for (int i = 0; i < 4; ++i) {
        trees.push_back(std::make_unique<StressTree>(random(), 6, &asked, &granted));
        handles.push_back(short_lived.spawn(trees.back()->run()));
      }
      if (round % 2 == 0) {
        // Runs the trees on kCurrentThread, too.
        const auto yields = [](std::uint64_t times) -> Task<> {
          for (; times > 0; --times) co_await yield_now();
        };
        short_lived.block_on(yields(random() % 64));
      } else {
        for (auto i = random() % (1u << (random() % 16)); i > 0; --i) internal::cpu_relax();
      }
      EXPECT_TRUE(short_lived.shutdown(std::chrono::minutes(1)));
    }
    for (const auto& handle : handles) EXPECT_TRUE(handle.is_finished());
    for (const auto& tree : trees) EXPECT_EQ(tree->live(), 0);
  }
}

// --- Without membarrier(2) ----------------------------------------------------------------------

// From here on membarrier(2) is refused to this thread and to what it starts.
void refuse_membarrier() {
  const std::array<sock_filter, 4> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(__NR_membarrier), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(EPERM)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog program{static_cast<unsigned short>(filter.size()),
                     const_cast<sock_filter*>(filter.data())};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) std::abort();
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) std::abort();
}

// In a process of its own, for a filter stays for ever.
[[noreturn]] void run_without_membarrier(int workers, std::uint64_t seed) {
  refuse_membarrier();
  bool good = !internal::membarrier_available();
  if (!good) std::fprintf(stderr, "membarrier(2) was not refused\n");
  {
    Runtime runtime({.worker_threads = workers});
    run_rounds(runtime, seed, kRounds);
  }
  good = good && !testing::Test::HasFailure();
  std::_Exit(good ? 0 : 1);
}

class ForkStressRefusedTest : public testing::TestWithParam<int> {
 protected:
  // The child begins anew and runs this test alone, so that nobody has asked for the barrier before.
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};
INSTANTIATE_TEST_SUITE_P(Workers, ForkStressRefusedTest, testing::Values(1, 2, 8),
                         test::RuntimeTest::name);

TEST_P(ForkStressRefusedTest, TheSameTreesRunWithoutAProcessWideBarrier) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  EXPECT_EXIT(run_without_membarrier(GetParam(), seed), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace skua
