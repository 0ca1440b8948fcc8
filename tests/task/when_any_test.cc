// SPDX-License-Identifier: Apache-2.0
#include "skua/when_any.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "skua/blocking.h"
#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/scope.h"
#include "skua/spawn.h"
#include "skua/sync/channel.h"
#include "skua/sync/event.h"
#include "skua/sync/mutex.h"
#include "skua/task.h"
#include "skua/time.h"
#include "tests/support/abort_script.h"
#include "tests/support/manual_executor.h"
#include "tests/support/manual_fixture.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using test::Guard;
using test::Log;
using test::ManualExecutor;
using test::ManualOp;
using test::ManualOpAwaiter;

class WhenAnyTest : public test::ManualTest {
 protected:
  Log log_;
};

template <typename T>
Task<T> give_after(ManualOp* op, T value, Log* log, std::string name) {
  const Guard guard(log, std::move(name));
  co_await ManualOpAwaiter(op);
  co_return std::move(value);
}

Task<> end_after(ManualOp* op) { co_await ManualOpAwaiter(op); }

Task<int> throw_after(ManualOp* op) {
  co_await ManualOpAwaiter(op);
  throw std::runtime_error("failed");
}

Task<int> nest(Task<int> inner, Log* log, std::string name) {
  const Guard guard(log, std::move(name));
  co_return co_await std::move(inner);
}

TEST_F(WhenAnyTest, TheFirstToEndWinsAndTheOthersAreGoneInnermostFramesFirst) {
  ManualOp a, b;
  auto winner = spawn([](ManualOp* a, ManualOp* b, Log* log) -> Task<std::string> {
    auto won = co_await when_any(nest(give_after(a, 1, log, "a inner"), log, "a outer"),
                                 give_after(b, std::string("two"), log, "b"));
    log->push_back("back");
    co_return won.index() == 1 ? std::get<1>(std::move(won)) : "wrong";
  }(&a, &b, &log_));
  executor_.drain();
  EXPECT_FALSE(winner.is_finished());
  EXPECT_TRUE(b.complete());
  executor_.drain();
  ASSERT_TRUE(winner.is_finished());
  EXPECT_EQ(log_, (Log{"~b", "~a inner", "~a outer", "back"}));
  EXPECT_EQ(std::move(winner).release_share().slot().take(), "two");
}

TEST_F(WhenAnyTest, ALoserThatCannotBeCancelledAtOnceIsAwaited) {
  ManualOp slow(ManualOp::OnCancel::kKeep), quick;
  auto winner = spawn([](ManualOp* slow, ManualOp* quick, Log* log) -> Task<std::size_t> {
    auto won = co_await when_any(give_after(slow, 1, log, "slow"), end_after(quick));
    co_return won.index();
  }(&slow, &quick, &log_));
  executor_.drain();
  EXPECT_TRUE(quick.complete());
  executor_.drain();
  EXPECT_EQ(slow.cancels(), 1);
  EXPECT_FALSE(winner.is_finished());
  EXPECT_TRUE(slow.complete_cancelled());
  executor_.drain();
  ASSERT_TRUE(winner.is_finished());
  EXPECT_EQ(std::move(winner).release_share().slot().take(), 1u);
}

TEST_F(WhenAnyTest, EqualTypesAreToldApartByTheirIndex) {
  ManualOp a, b;
  auto winner = spawn([](ManualOp* a, ManualOp* b, Log* log) -> Task<int> {
    auto won = co_await when_any(give_after(a, 1, log, "a"), give_after(b, 2, log, "b"));
    co_return won.index() == 0 ? std::get<0>(won) : -1;
  }(&a, &b, &log_));
  executor_.drain();
  EXPECT_TRUE(a.complete());
  executor_.drain();
  ASSERT_TRUE(winner.is_finished());
  EXPECT_EQ(std::move(winner).release_share().slot().take(), 1);
}

TEST_F(WhenAnyTest, AnExceptionIsAnEndLikeAnyOtherAndThoseOfLosersAreDropped) {
  ManualOp a, b;
  auto waits = [](ManualOp* a, ManualOp* b, Log* log) -> Task<int> {
    auto won = co_await when_any(throw_after(a), give_after(b, 2, log, "b"));
    co_return std::get<1>(won);
  };
  auto failing = spawn(waits(&a, &b, &log_));
  executor_.drain();
  EXPECT_TRUE(a.complete());
  executor_.drain();
  EXPECT_EQ(log_, Log{"~b"});
  EXPECT_THROW(std::move(failing).release_share().slot().take(), std::runtime_error);

  auto lucky = spawn(waits(&a, &b, &log_));
  executor_.drain();
  EXPECT_TRUE(b.complete());
  EXPECT_TRUE(a.complete());  // Fails before it is aborted.
  executor_.drain();
  EXPECT_EQ(std::move(lucky).release_share().slot().take(), 2);
}

TEST_F(WhenAnyTest, AVectorGivesTheIndexAndTheValue) {
  std::vector<ManualOp> ops(4);
  auto winner = spawn([](std::vector<ManualOp>* ops, Log* log) -> Task<std::string> {
    std::vector<Task<std::string>> tasks;
    for (ManualOp& op : *ops) {
      tasks.push_back(give_after(&op, std::to_string(tasks.size()), log, "task"));
    }
    AnyResult<std::string> won = co_await when_any(std::move(tasks));
    co_return std::to_string(won.index) + won.value;
  }(&ops, &log_));
  executor_.drain();
  EXPECT_TRUE(ops[2].complete());
  executor_.drain();
  EXPECT_EQ(log_.size(), 4u);
  EXPECT_EQ(std::move(winner).release_share().slot().take(), "22");
}

TEST_F(WhenAnyTest, AnAbortReachesTheChildrenAndComesBackWhenTheyAreGone) {
  ManualOp kept(ManualOp::OnCancel::kKeep), other;
  auto waits = spawn([](ManualOp* kept, ManualOp* other, Log* log) -> Task<> {
    const Guard guard(log, "owner");
    co_await when_any(give_after(kept, 1, log, "kept"), give_after(other, 2, log, "other"));
    log->push_back("resumed");
  }(&kept, &other, &log_));
  executor_.drain();
  waits.abort();
  executor_.drain();
  EXPECT_EQ(log_, Log{"~other"});
  EXPECT_TRUE(kept.complete_cancelled());
  executor_.drain();
  EXPECT_EQ(log_, (Log{"~other", "~kept", "~owner"}));
  EXPECT_TRUE(waits.is_finished());
  EXPECT_TRUE(std::move(waits).release_share().slot().empty());
}

TEST_F(WhenAnyTest, OneThatIsNotAwaitedRunsNothing) {
  ManualOp op;
  {
    const auto dropped = when_any(give_after(&op, 1, &log_, "a"), end_after(&op));
  }
  EXPECT_TRUE(log_.empty());
  EXPECT_FALSE(op.complete());
}

TEST_F(WhenAnyTest, AnAbortOfADeepChainOfOwnersNeedsNoStack) {
  struct Chain {
    static Task<int> link(int depth, ManualOp* op) {
      if (depth == 0) {
        co_await ManualOpAwaiter(op);
        co_return 0;
      }
      auto won = co_await when_any(link(depth - 1, op));
      co_return std::get<0>(won) + 1;
    }
  };
  constexpr int kDepth = 20'000;
  ManualOp op;
  auto chain = spawn(Chain::link(kDepth, &op));
  executor_.drain();
  chain.abort();
  EXPECT_EQ(op.cancels(), 1);
  executor_.drain();
  EXPECT_TRUE(chain.is_finished());
}

// --- An abort at each moment ----------------------------------------------------------------------

// A contest between two receivers and a sender to one of them, through a mutex.
class ContestScript {
 public:
  std::vector<Task<>> tasks() {
    auto [tx, rx] = channel<int>(1);
    auto [idle_tx, idle_rx] = channel<int>(1);
    std::vector<Task<>> tasks;
    tasks.push_back(contest(std::move(rx), std::move(idle_rx)));
    tasks.push_back(send(std::move(tx), std::move(idle_tx)));
    return tasks;
  }
  void check(std::size_t, bool) {
    EXPECT_EQ(live_, 0);
    EXPECT_TRUE(mutex_.try_lock().has_value()) << "the mutex was left locked";
  }

 private:
  Task<int> receive(Receiver<int> rx) {
    const auto alive = std::make_unique<Alive>(&live_);
    {
      const MutexGuard guard = co_await mutex_.lock();
    }
    const std::optional<int> value = co_await rx.recv();
    co_return value.value_or(-1);
  }
  Task<> contest(Receiver<int> rx, Receiver<int> idle) {
    const Alive alive(&live_);
    auto pair = co_await when_all(both(std::move(rx), std::move(idle)), yield_twice());
    EXPECT_TRUE(std::get<0>(pair) == 7 || std::get<0>(pair) == -1);  // -1: no sender was left.
  }
  Task<int> both(Receiver<int> rx, Receiver<int> idle) {
    auto won = co_await when_any(when_any_alone(receive(std::move(idle))), receive(std::move(rx)));
    EXPECT_EQ(live_, 1);
    co_return won.index() == 1 ? std::get<1>(won) : 7;
  }
  static Task<int> when_any_alone(Task<int> task) {
    auto won = co_await when_any(std::move(task));
    co_return std::get<0>(won);
  }
  static Task<> yield_twice() {
    co_await yield_now();
    co_await yield_now();
  }
  static Task<> send(Sender<int> tx, Sender<int> idle) {
    co_await yield_now();
    co_await tx.send(7);
    co_await idle.send(7);
  }

  struct Alive {
    explicit Alive(int* n) : count(n) { ++*count; }
    ~Alive() { --*count; }
    int* const count;
  };

  int live_ = 0;
  Mutex mutex_;
};

TEST(WhenAnyAbortTest, AnAbortAtAnyMomentLeavesNothingBehind) {
  EXPECT_GT(test::abort_everywhere<ContestScript>(), 15u);
  EXPECT_GT(test::abort_everywhere<ContestScript>(1), 15u);  // Without a budget.
}

// --- On a runtime ---------------------------------------------------------------------------------

using WhenAnyRuntimeTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(WhenAnyRuntimeTest);

TEST_P(WhenAnyRuntimeTest, ARunningBlockingJobOfALoserIsAwaited) {
  struct Job {
    static Task<> run(Event* started, bool* ended) {
      auto job = spawn_blocking([started, ended](CancellationToken token) {
        started->set();
        Event told;
        const CancellationCallback callback(token, [&told] { told.set(); });
        told.blocking_wait();
        *ended = true;
      });
      co_await std::move(job);
    }
    static Task<> wait(Event* started) { co_await started->wait(); }
  };
  Event started;
  bool ended = false;
  runtime().block_on([](Event* started, bool* ended) -> Task<> {
    auto won = co_await when_any(Job::run(started, ended), Job::wait(started));
    EXPECT_EQ(won.index(), 1u);
    EXPECT_TRUE(*ended);
  }(&started, &ended));
}

TEST_P(WhenAnyRuntimeTest, AShutdownEndsThoseThatWait) {
  runtime().spawn([]() -> Task<> {
    Event never;
    struct Wait {
      static Task<> on(Event* event) { co_await event->wait(); }
    };
    co_await when_any(Wait::on(&never), Wait::on(&never));
    ADD_FAILURE() << "resumed";
  }());
  EXPECT_TRUE(runtime().shutdown(std::chrono::hours(1)));
}

// Goal: whatever ends, loses, is late or is aborted at the same time, on all workers, nothing is left when an owner is
// back. Method: contests between racers that yield, sleep, fork or fail, some inside a timeout and a scope; a third of
// them is aborted meanwhile.
TEST_P(WhenAnyRuntimeTest, ManyContestsAtOnceSomeOfThemAborted) {
  struct Race {
    explicit Race(std::atomic<int>* n) : live(n) { live->fetch_add(1, std::memory_order_relaxed); }
    ~Race() { live->fetch_sub(1, std::memory_order_relaxed); }
    Race(const Race&) = delete;
    Race& operator=(const Race&) = delete;
    std::atomic<int>* const live;

    static Task<int> yields(std::atomic<int>* live, int n) {
      const Race alive(live);
      for (int i = 0; i < n; ++i) co_await yield_now();
      if (n == 5) throw std::runtime_error("5");
      co_return n;
    }
    static Task<int> sleeps(std::atomic<int>* live, int n) {
      const Race alive(live);
      auto both = co_await when_all(yields(live, n % 3), naps(live));
      co_return std::get<0>(both);
    }
    static Task<> naps(std::atomic<int>* live) {
      const Race alive(live);
      co_await sleep_for(std::chrono::milliseconds(1));
    }
    static Task<int> scoped(std::atomic<int>* live, int n) {
      co_return co_await Scope::run([=](Scope& scope) -> Task<int> {
        scope.spawn(naps(live));
        co_return co_await yields(live, n);
      });
    }
    static Task<> contest(std::atomic<int>* live, int n) {
      // Borrowed by all racers: whoever touches it too late is found by ASan.
      std::atomic<int> own{0};
      const Race alive(live);
      try {
        auto won = co_await when_any(timeout(std::chrono::milliseconds(n % 3), sleeps(&own, n)),
                                     yields(&own, n % 7 + n % 2), scoped(&own, n % 4));
        EXPECT_LT(won.index(), 3u);
      } catch (const std::runtime_error&) {
      }
      EXPECT_EQ(own.load(), 0);
    }
    static Task<> all(std::atomic<int>* live) {
      constexpr int kContests = 300;
      std::vector<JoinHandle<void>> handles;
      for (int n = 0; n < kContests; ++n) {
        handles.push_back(spawn(contest(live, n)));
        if (n % 3 == 2) {
          co_await yield_now();
          handles[static_cast<std::size_t>(n - n % 7 % 3)].abort();
        }
      }
      for (JoinHandle<void>& handle : handles) {
        const JoinResult<void> result = co_await std::move(handle).result();
        EXPECT_TRUE(result.ok() || result.cancelled());
      }
    }
  };
  std::atomic<int> live{0};
  runtime().block_on(Race::all(&live));
  EXPECT_EQ(live.load(), 0);
}

}  // namespace
}  // namespace skua
