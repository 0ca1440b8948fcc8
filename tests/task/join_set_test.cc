// SPDX-License-Identifier: Apache-2.0
#include "skua/join_set.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/event.h"
#include "skua/task.h"
#include "skua/time.h"
#include "tests/support/leak_check.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using JoinSetTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(JoinSetTest);

Task<int> give_after(Event* event, int value) {
  co_await event->wait();
  co_return value;
}

TEST_P(JoinSetTest, ResultsComeInTheOrderInWhichTheyEnd) {
  runtime().block_on([]() -> Task<> {
    Event events[3];
    JoinSet<int> set;
    EXPECT_TRUE(set.empty());
    for (int i = 0; i < 3; ++i) set.spawn(give_after(&events[i], i));
    EXPECT_EQ(set.size(), 3u);
    EXPECT_FALSE(set.try_join_next().has_value());
    for (const int i : {1, 2, 0}) {
      events[i].set();
      std::optional<JoinResult<int>> next = co_await set.join_next();
      EXPECT_EQ(next.value().value(), i);
    }
    EXPECT_TRUE(set.empty());
    const std::optional<JoinResult<int>> none = co_await set.join_next();
    EXPECT_FALSE(none.has_value());
  }());
}

TEST_P(JoinSetTest, EveryEndIsTold) {
  runtime().block_on([]() -> Task<> {
    Event never;
    JoinSet<int> set;
    set.spawn(give_after(&never, 1));
    set.spawn([]() -> Task<int> { throw std::runtime_error("failed"); });
    std::optional<JoinResult<int>> failed = co_await set.join_next();
    EXPECT_NE(failed.value().exception(), nullptr);
    set.abort_all();
    std::optional<JoinResult<int>> aborted = co_await set.join_next();
    EXPECT_TRUE(aborted.value().cancelled());
    set.spawn([text = std::make_unique<int>(3)]() -> Task<int> {
      co_await yield_now();
      co_return *text;
    });
    std::optional<JoinResult<int>> value = co_await set.join_next();
    EXPECT_EQ(value.value().value(), 3);
  }());
}

TEST_P(JoinSetTest, ACancelledJoinNextLosesNothing) {
  runtime().block_on([]() -> Task<> {
    Event first, second;
    JoinSet<int> set;
    set.spawn(give_after(&first, 1));
    set.spawn(give_after(&second, 2));
    struct Wait {
      static Task<> next(JoinSet<int>* from) {
        co_await from->join_next();
        ADD_FAILURE() << "resumed";
      }
    };
    const absl::Status late = co_await timeout(std::chrono::milliseconds(1), Wait::next(&set));
    EXPECT_TRUE(absl::IsDeadlineExceeded(late));
    EXPECT_EQ(set.size(), 2u);
    second.set();
    first.set();
    int sum = 0;
    while (!set.empty()) {
      std::optional<JoinResult<int>> next = co_await set.join_next();
      sum += next.value().value();
    }
    EXPECT_EQ(sum, 3);
  }());
}

TEST_P(JoinSetTest, DroppingASetAbortsWhatIsLeft) {
  struct Note {
    explicit Note(Event* e) : event(e) {}
    ~Note() { event->set(); }
    Event* const event;
    static Task<> wait(Event* never, Event* gone) {
      const Note note(gone);
      co_await yield_now();
      co_await never->wait();
    }
  };
  Event never, running_gone, fresh_gone;
  runtime().block_on([](Event* never, Event* running, Event* fresh) -> Task<> {
    {
      JoinSet<> set;
      set.spawn(Note::wait(never, running));
      for (int i = 0; i < 3; ++i) co_await yield_now();
      set.spawn(Note::wait(never, fresh));
      set.spawn([]() -> Task<> { co_return; });
      JoinSet<> other = std::move(set);
      EXPECT_EQ(other.size(), 3u);
    }
    co_await running->wait();
  }(&never, &running_gone, &fresh_gone));
}

TEST_P(JoinSetTest, DetachedTasksGoOn) {
  runtime().block_on([]() -> Task<> {
    Event go, done;
    struct Work {
      static Task<> run(Event* go, Event* done) {
        co_await go->wait();
        done->set();
      }
    };
    JoinSet<> set;
    set.spawn(Work::run(&go, &done));
    set.spawn([]() -> Task<> { co_return; });
    co_await yield_now();
    set.detach_all();
    EXPECT_TRUE(set.empty());
    go.set();
    co_await done.wait();
    set.spawn([]() -> Task<> { co_return; });
    const std::optional<JoinResult<void>> next = co_await set.join_next();
    EXPECT_TRUE(next.value().ok());
  }());
}

TEST_P(JoinSetTest, AShutdownEndsAllOfIt) {
  Event never;
  runtime().spawn([](Event* event) -> Task<> {
    JoinSet<int> set;
    for (int i = 0; i < 10; ++i) set.spawn(give_after(event, i));
    co_await set.join_next();
    ADD_FAILURE() << "resumed";
  }(&never));
  EXPECT_TRUE(runtime().shutdown(std::chrono::hours(1)));
}

// Goal: sets that are emptied, aborted, dropped and detached while their tasks end on all workers leave nothing behind.
TEST_P(JoinSetTest, ManySetsAtOnce) {
  struct Stress {
    static Task<int> work(int i, std::atomic<int>* ended) {
      if (i % 2 == 0) co_await yield_now();
      if (i % 5 == 0) co_await sleep_for(std::chrono::milliseconds(1));
      ended->fetch_add(1, std::memory_order_relaxed);
      if (i % 4 == 0) throw std::runtime_error("4");
      co_return i;
    }
    static Task<> set(int n, std::shared_ptr<std::atomic<int>> ended) {
      JoinSet<int> tasks;
      for (int i = 0; i < 20; ++i) {
        tasks.spawn([i, ended]() { return keep(i, ended); });
      }
      std::size_t taken = 0;
      const std::size_t wanted = static_cast<std::size_t>(n % 22);
      while (taken < wanted) {
        const std::optional<JoinResult<int>> next = co_await tasks.join_next();
        if (!next) break;
        EXPECT_FALSE(next->cancelled());
        ++taken;
      }
      EXPECT_EQ(tasks.size(), 20u - taken);
      if (n % 3 != 0) co_return;
      tasks.abort_all();
      while (!tasks.empty()) {
        const std::optional<JoinResult<int>> next = co_await tasks.join_next();
        EXPECT_TRUE(next.has_value());
      }
    }
    static Task<int> keep(int i, std::shared_ptr<std::atomic<int>> ended) {
      co_return co_await work(i, ended.get());
    }
  };
  runtime().block_on([]() -> Task<> {
    auto ended = std::make_shared<std::atomic<int>>(0);
    JoinSet<> sets;
    for (int n = 0; n < 200; ++n) sets.spawn(Stress::set(n, ended));
    while (!sets.empty()) {
      const std::optional<JoinResult<void>> next = co_await sets.join_next();
      EXPECT_TRUE(next.value().ok());
    }
  }());
}

}  // namespace
}  // namespace skua
