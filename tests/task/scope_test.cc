// SPDX-License-Identifier: Apache-2.0
//
// Scope, and for_each_concurrent, which is built of the same parts.
#include "skua/scope.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/blocking.h"
#include "skua/for_each_concurrent.h"
#include "skua/join.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/channel.h"
#include "skua/sync/event.h"
#include "skua/task.h"
#include "skua/this_task.h"
#include "skua/time.h"
#include "skua/when_any.h"
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

class ScopeTest : public test::ManualTest {
 protected:
  Log log_;
};

template <typename T>
T result_of(JoinHandle<T> handle) {
  return std::move(handle).release_share().slot().take();
}

Task<> wait_on(ManualOp* op, Log* log, std::string name) {
  const Guard guard(log, std::move(name));
  co_await ManualOpAwaiter(op);
}

Task<> fail_after(ManualOp* op, std::string what) {
  co_await ManualOpAwaiter(op);
  throw std::runtime_error(what);
}

TEST_F(ScopeTest, ItEndsWhenTheBodyAndAllChildrenHaveEnded) {
  ManualOp a, b;
  auto owner = spawn([](ManualOp* a, ManualOp* b, Log* log) -> Task<int> {
    int borrowed = 1;
    const int result = co_await Scope::run([&](Scope& scope) -> Task<int> {
      scope.spawn(wait_on(a, log, "a"));
      scope.spawn([&]() -> Task<> {
        co_await ManualOpAwaiter(b);
        borrowed = 2;
      });
      co_return 40;
    });
    log->push_back("back");
    co_return result + borrowed;
  }(&a, &b, &log_));
  executor_.drain();
  EXPECT_TRUE(b.complete());
  executor_.drain();
  EXPECT_FALSE(owner.is_finished());
  EXPECT_TRUE(a.complete());
  executor_.drain();
  ASSERT_TRUE(owner.is_finished());
  EXPECT_EQ(log_, (Log{"~a", "back"}));
  EXPECT_EQ(result_of(std::move(owner)), 42);
}

TEST_F(ScopeTest, TheFirstExceptionCancelsTheOthersAndComesBackWhenTheyAreGone) {
  ManualOp fails, kept(ManualOp::OnCancel::kKeep), body_waits;
  auto owner = spawn([](ManualOp* fails, ManualOp* kept, ManualOp* body, Log* log) -> Task<> {
    try {
      co_await Scope::run([&](Scope& scope) -> Task<> {
        scope.spawn(wait_on(kept, log, "kept"));
        scope.spawn(fail_after(fails, "first"));
        const Guard guard(log, "body");
        co_await ManualOpAwaiter(body);
      });
    } catch (const std::runtime_error& error) {
      log->push_back(error.what());
    }
  }(&fails, &kept, &body_waits, &log_));
  executor_.drain();
  EXPECT_TRUE(fails.complete());
  executor_.drain();
  EXPECT_EQ(log_, Log{"~body"});
  EXPECT_EQ(kept.cancels(), 1);
  EXPECT_TRUE(kept.complete_cancelled());
  executor_.drain();
  EXPECT_TRUE(owner.is_finished());
  EXPECT_EQ(log_, (Log{"~body", "~kept", "first"}));
}

TEST_F(ScopeTest, AnExceptionOfTheBodyCancelsTheChildrenAndLaterOnesAreDropped) {
  ManualOp op;
  auto owner = spawn([](ManualOp* op, Log* log) -> Task<> {
    co_await Scope::run([&](Scope& scope) -> Task<> {
      scope.spawn(wait_on(op, log, "child"));
      scope.spawn([]() -> Task<> {
        co_await yield_now();
        throw std::logic_error("second");
      });
      throw std::runtime_error("first");
      co_return;
    });
  }(&op, &log_));
  executor_.drain();
  ASSERT_TRUE(owner.is_finished());
  EXPECT_THROW(result_of(std::move(owner)), std::runtime_error);
}

TEST_F(ScopeTest, AnAbortCancelsTheBodyAndTheChildrenAndComesBackWhenTheyAreGone) {
  ManualOp kept(ManualOp::OnCancel::kKeep), body_waits;
  auto owner = spawn([](ManualOp* kept, ManualOp* body, Log* log) -> Task<> {
    const Guard guard(log, "owner");
    co_await Scope::run([&](Scope& scope) -> Task<> {
      scope.spawn(wait_on(kept, log, "kept"));
      const Guard body_guard(log, "body");
      co_await ManualOpAwaiter(body);
    });
    log->push_back("resumed");
  }(&kept, &body_waits, &log_));
  executor_.drain();
  owner.abort();
  executor_.drain();
  EXPECT_FALSE(owner.is_finished());
  EXPECT_TRUE(kept.complete_cancelled());
  executor_.drain();
  EXPECT_TRUE(owner.is_finished());
  EXPECT_EQ(log_, (Log{"~body", "~kept", "~owner"}));
}

TEST_F(ScopeTest, NothingStartsInAScopeThatIsBeingCancelled) {
  ManualOp op(ManualOp::OnCancel::kKeep);
  auto owner = spawn([](ManualOp* op, Log* log) -> Task<> {
    co_await Scope::run([&](Scope& scope) -> Task<> {
      struct SpawnAtEnd {
        SpawnAtEnd(Scope* s, Log* l) : scope(s), log(l) {}
        ~SpawnAtEnd() {
          EXPECT_TRUE(scope->is_cancelled());
          scope->spawn([guard = std::make_unique<Guard>(log, "late")]() -> Task<> {
            ADD_FAILURE() << "started";
            co_return;
          });
        }
        Scope* const scope;
        Log* const log;
      };
      EXPECT_FALSE(scope.is_cancelled());
      const SpawnAtEnd at_end(&scope, log);
      co_await ManualOpAwaiter(op);
    });
  }(&op, &log_));
  executor_.drain();
  owner.abort();
  EXPECT_TRUE(op.complete_cancelled());
  executor_.drain();
  EXPECT_TRUE(owner.is_finished());
  EXPECT_EQ(log_, Log{"~late"});
}

TEST_F(ScopeTest, ChildrenMaySpawnInTheScopeAndWhatOneLeavesIsFreedAtItsEnd) {
  struct Tree {
    static Task<> grow(Scope* scope, int depth, int* count) {
      ++*count;
      if (depth == 0) co_return;
      scope->spawn(grow(scope, depth - 1, count));
      scope->spawn(grow(scope, depth - 1, count));
    }
  };
  int count = 0;
  auto owner = spawn([](int* n) -> Task<> {
    co_await Scope::run([n](Scope& scope) { return Tree::grow(&scope, 9, n); });
  }(&count));
  executor_.drain();
  EXPECT_TRUE(owner.is_finished());
  EXPECT_EQ(count, 1023);
}

TEST_F(ScopeTest, AClosureLivesAsLongAsItsTask) {
  ManualOp op;
  auto owner = spawn([](ManualOp* op, Log* log) -> Task<> {
    co_await Scope::run([&](Scope& scope) -> Task<> {
      scope.spawn([op, log, guard = std::make_unique<Guard>(log, "closure")]() -> Task<> {
        const Guard inner(log, "local");
        co_await ManualOpAwaiter(op);
        log->push_back(guard != nullptr ? "there" : "gone");
      });
      co_return;
    });
  }(&op, &log_));
  executor_.drain();
  EXPECT_TRUE(op.complete());
  executor_.drain();
  EXPECT_EQ(log_, (Log{"there", "~local", "~closure"}));
}

// --- for_each_concurrent --------------------------------------------------------------------------

TEST_F(ScopeTest, AtMostSoManyElementsAreWorkedOnAtATimeAndTheRangeIsWalkedLazily) {
  std::vector<ManualOp> ops(6);
  int seen = 0;
  auto owner = spawn([](std::vector<ManualOp>* ops, int* seen, Log* log) -> Task<> {
    auto indices = std::views::iota(0, 6) | std::views::transform([seen](int i) {
                     *seen = i + 1;
                     return i;
                   });
    auto work = [ops, log](int i) {
      return wait_on(&(*ops)[static_cast<std::size_t>(i)], log, "x");
    };
    co_await for_each_concurrent(indices, 2, work);
    log->push_back("back");
  }(&ops, &seen, &log_));
  executor_.drain();
  EXPECT_EQ(seen, 2);
  EXPECT_TRUE(ops[1].complete());
  executor_.drain();
  EXPECT_EQ(seen, 3);
  for (const std::size_t i : {0u, 2u, 3u, 4u, 5u}) {
    EXPECT_TRUE(ops[i].complete()) << i;
    executor_.drain();
  }
  EXPECT_TRUE(owner.is_finished());
  EXPECT_EQ(log_.size(), 7u);
}

TEST_F(ScopeTest, TheFirstExceptionOfAnElementOrOfTheRangeEndsTheLoop) {
  ManualOp waits, fails;
  auto of_element = spawn([](ManualOp* waits, ManualOp* fails, Log* log) -> Task<> {
    auto work = [=](int i) { return i == 0 ? wait_on(waits, log, "a") : fail_after(fails, "x"); };
    co_await for_each_concurrent(std::views::iota(0), 2, work);
  }(&waits, &fails, &log_));
  executor_.drain();
  EXPECT_TRUE(fails.complete());
  executor_.drain();
  ASSERT_TRUE(of_element.is_finished());
  EXPECT_THROW(result_of(std::move(of_element)), std::runtime_error);
  EXPECT_EQ(log_, Log{"~a"});

  std::vector<ManualOp> ops(3);
  auto of_range = spawn([](std::vector<ManualOp>* ops, Log* log) -> Task<> {
    auto indices = std::views::iota(0) | std::views::transform([](int i) {
                     if (i == 3) throw std::out_of_range("3");
                     return i;
                   });
    auto work = [=](int i) { return wait_on(&(*ops)[static_cast<std::size_t>(i)], log, "b"); };
    co_await for_each_concurrent(indices, 2, work);
  }(&ops, &log_));
  executor_.drain();
  EXPECT_TRUE(ops[0].complete());
  executor_.drain();
  EXPECT_TRUE(ops[1].complete());  // The last one waits when its place is to be filled.
  executor_.drain();
  ASSERT_TRUE(of_range.is_finished());
  EXPECT_THROW(result_of(std::move(of_range)), std::out_of_range);
  EXPECT_EQ(log_, (Log{"~a", "~b", "~b", "~b"}));
}

TEST_F(ScopeTest, AnEmptyRangeStartsNothing) {
  auto owner = spawn([]() -> Task<> {
    const std::vector<int> none;
    auto work = [](int) -> Task<> { throw std::logic_error("called"); };
    co_await for_each_concurrent(none, 1, work);
  }());
  executor_.drain();
  EXPECT_NO_THROW(result_of(std::move(owner)));
}

// --- An abort at each moment ----------------------------------------------------------------------

class ScopeScript {
 public:
  std::vector<Task<>> tasks() {
    auto [tx, rx] = channel<int>(1);
    std::vector<Task<>> tasks;
    tasks.push_back(consume(std::move(rx)));
    tasks.push_back(produce(std::move(tx)));
    return tasks;
  }
  void check(std::size_t, bool) { EXPECT_EQ(live_, 0); }

 private:
  struct Alive {
    explicit Alive(int* n) : count(n) { ++*count; }
    ~Alive() { --*count; }
    int* const count;
  };
  Task<> receive(Receiver<int> rx) {
    const Alive alive(&live_);
    while (true) {
      const std::optional<int> value = co_await rx.recv();
      if (!value) co_return;
      if (*value == 3) throw std::runtime_error("3");
    }
  }
  Task<> one(int, Receiver<int> rx) {
    auto won = co_await when_any(receive(rx), receive(rx));
    static_cast<void>(won);
  }
  Task<> consume(Receiver<int> rx) {
    const Alive alive(&live_);
    try {
      co_await Scope::run([&](Scope& scope) -> Task<> {
        const Alive in_body(&live_);
        scope.spawn(receive(rx));
        scope.spawn([&scope, rx, this]() -> Task<> {
          scope.spawn(receive(rx));
          co_await yield_now();
        });
        auto work = [this, rx](int i) { return one(i, rx); };
        co_await for_each_concurrent(std::views::iota(0, 3), 2, work);
      });
    } catch (const std::runtime_error&) {
    }
    EXPECT_EQ(live_, 1);
  }
  static Task<> produce(Sender<int> tx) {
    for (int i = 0; i < 4; ++i) {
      const bool sent = co_await tx.send(i);
      if (!sent) co_return;
      co_await yield_now();
    }
  }

  int live_ = 0;
};

TEST(ScopeAbortTest, AnAbortAtAnyMomentLeavesNothingBehind) {
  EXPECT_GT(test::abort_everywhere<ScopeScript>(), 25u);
  EXPECT_GT(test::abort_everywhere<ScopeScript>(1), 25u);  // Without a budget.
}

// --- On a runtime ---------------------------------------------------------------------------------

using ScopeRuntimeTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(ScopeRuntimeTest);

// Goal: an abort goes through all that is nested, down to what it waits for, and all of it is gone when it is back.
// Method: a when_all in a Scope in a when_any in a timeout, with a timer, an event and a running blocking job as
// leaves; aborted when all of them wait.
TEST_P(ScopeRuntimeTest, AnAbortGoesThroughAllThatIsNested) {
  struct Nest {
    explicit Nest(std::atomic<int>* n) : live(n) { live->fetch_add(1); }
    ~Nest() { live->fetch_sub(1); }
    std::atomic<int>* const live;

    static Task<> sleep(std::atomic<int>* live) {
      const Nest alive(live);
      co_await sleep_for(std::chrono::hours(1));
    }
    static Task<> wait(std::atomic<int>* live, Event* never) {
      const Nest alive(live);
      co_await never->wait();
    }
    static Task<> block(std::atomic<int>* live, Event* blocked) {
      const Nest alive(live);
      auto job = spawn_blocking([live, blocked](CancellationToken token) {
        const Nest running(live);
        Event told;
        const CancellationCallback callback(token, [&told] { told.set(); });
        blocked->set();
        told.blocking_wait();
      });
      co_await std::move(job);
    }
    static Task<> scope(std::atomic<int>* live, Event* never, Event* blocked) {
      const Nest alive(live);
      co_await Scope::run([&](Scope& inner) -> Task<> {
        inner.spawn(wait(live, never));
        inner.spawn([=]() -> Task<> { co_await when_all(sleep(live), wait(live, never)); });
        co_await when_all(block(live, blocked), wait(live, never));
      });
    }
    static Task<> all(std::atomic<int>* live, Event* never, Event* blocked) {
      const Nest alive(live);
      static_cast<void>(co_await timeout(std::chrono::hours(1), any(live, never, blocked)));
    }
    static Task<> any(std::atomic<int>* live, Event* never, Event* blocked) {
      auto won = co_await when_any(scope(live, never, blocked), sleep(live));
      static_cast<void>(won);
    }
  };
  std::atomic<int> live{0};
  Event never, blocked;
  runtime().block_on([](std::atomic<int>* live, Event* never, Event* blocked) -> Task<> {
    auto handle = spawn(Nest::all(live, never, blocked));
    co_await blocked->wait();
    handle.abort();
    const JoinResult<void> result = co_await std::move(handle).result();
    EXPECT_TRUE(result.cancelled());
    EXPECT_EQ(live->load(), 0);
  }(&live, &never, &blocked));
}

TEST_P(ScopeRuntimeTest, ATaskHearsOfItsAbortByItsToken) {
  struct Busy {
    static Task<> compute(Event* started, bool* told) {
      const CancellationToken token = this_task::cancellation();
      EXPECT_EQ(token, this_task::cancellation());
      EXPECT_FALSE(token.is_cancelled());
      auto job = spawn_blocking([token, started, told] {
        Event stop;
        const CancellationCallback callback(token, [&stop] { stop.set(); });
        started->set();
        stop.blocking_wait();
        *told = true;
      });
      co_await std::move(job);
    }
    static Task<> wait(Event* started) { co_await started->wait(); }
  };
  bool told = false;
  Event started;
  runtime().block_on([](Event* started, bool* told) -> Task<> {
    auto won = co_await when_any(Busy::compute(started, told), Busy::wait(started));
    EXPECT_EQ(won.index(), 1u);
  }(&started, &told));
  EXPECT_TRUE(told);

  // Forks are parts of the task; who asks after the abort hears it at once.
  const bool same = runtime().block_on([]() -> Task<bool> {
    struct Ask {
      static Task<CancellationToken> token() { co_return this_task::cancellation(); }
    };
    const TaskId id = this_task::id();
    auto won = co_await when_any(Ask::token());
    EXPECT_FALSE(std::get<0>(won).is_cancelled()) << "it was not aborted: it has won";
    auto tokens = co_await when_all(Ask::token(), Ask::token());
    co_return std::get<0>(tokens) == std::get<1>(tokens) && id == this_task::id();
  }());
  EXPECT_TRUE(same);
}

TEST_P(ScopeRuntimeTest, ASpawnedClosureLivesAsLongAsItsTask) {
  const int sum = runtime().block_on([]() -> Task<int> {
    auto handle = spawn([part = std::make_unique<int>(20)]() -> Task<int> {
      co_await yield_now();
      co_return *part;
    });
    co_return co_await std::move(handle) + 1;
  }());
  auto outside = runtime().spawn([part = std::make_unique<int>(21)]() -> Task<int> {
    co_await yield_now();
    co_return *part;
  });
  const int more = runtime().block_on([](JoinHandle<int> handle) -> Task<int> {
    co_return co_await std::move(handle);
  }(std::move(outside)));
  EXPECT_EQ(sum + more, 42);
}

// Goal: children that end, fail and are cancelled on all workers at once leave nothing behind, and what is borrowed is
// never used too late. Method: scopes in a when_all, whose children write into the frame that has opened the scope.
TEST_P(ScopeRuntimeTest, ManyScopesAtOnce) {
  struct Stress {
    static Task<> child(int i, std::atomic<int>* sum, bool fails) {
      if (i % 3 == 0) co_await yield_now();
      if (i % 7 == 0) co_await sleep_for(std::chrono::milliseconds(1));
      sum->fetch_add(i, std::memory_order_relaxed);
      if (fails && i == 11) throw std::runtime_error("11");
    }
    static Task<int> scope(std::size_t n) {
      std::atomic<int> sum{0};
      const bool fails = n % 4 == 0;
      try {
        co_await Scope::run([&](Scope& inner) -> Task<> {
          for (int i = 0; i < 20; ++i) inner.spawn(child(i, &sum, fails));
          co_await yield_now();
        });
      } catch (const std::runtime_error&) {
        co_return fails ? 1 : 0;
      }
      co_return sum.load(std::memory_order_relaxed) == 190 && !fails ? 1 : 0;
    }
    static Task<> all() {
      const std::vector<int> right = co_await when_all_n(200, &scope);
      for (const int r : right) EXPECT_EQ(r, 1);
    }
  };
  runtime().block_on(Stress::all());
}

}  // namespace
}  // namespace skua
