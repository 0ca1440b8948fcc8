// SPDX-License-Identifier: Apache-2.0
#include "skua/cancellation.h"

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/spawn.h"
#include "skua/task.h"
#include "tests/support/manual_executor.h"
#include "tests/support/manual_fixture.h"

namespace skua {
namespace {

using test::ManualExecutor;

class CancellationTest : public test::ManualTest {};

Task<> wait_for(CancellationToken token, std::string name, std::vector<std::string>* log) {
  co_await token.cancelled();
  log->push_back(std::move(name));
}

TEST_F(CancellationTest, ATokenTellsWhetherItsSourceWasCancelled) {
  const CancellationSource source;
  const CancellationToken token = source.token();
  const CancellationToken copy = token;
  EXPECT_EQ(token, copy);
  EXPECT_NE(token, CancellationSource().token());
  EXPECT_TRUE(token.can_be_cancelled());
  EXPECT_FALSE(token.is_cancelled());
  EXPECT_TRUE(source.cancel());
  EXPECT_TRUE(source.is_cancelled());
  EXPECT_TRUE(token.is_cancelled());
  EXPECT_TRUE(copy.is_cancelled());
  EXPECT_FALSE(source.cancel());  // The second time.
}

TEST_F(CancellationTest, ATokenOfNoSourceIsNeverCancelled) {
  const CancellationToken token;
  EXPECT_FALSE(token.can_be_cancelled());
  EXPECT_FALSE(token.is_cancelled());
  EXPECT_EQ(token, CancellationToken());
  std::vector<std::string> log;
  auto waiter = spawn(wait_for(token, "a", &log));
  executor_.drain();
  EXPECT_FALSE(waiter.is_finished());
  waiter.abort();
  executor_.drain();
  EXPECT_TRUE(waiter.is_finished());
  EXPECT_TRUE(log.empty());
  int calls = 0;
  const CancellationCallback callback(token, [&calls] { ++calls; });
  EXPECT_EQ(calls, 0);
}

TEST_F(CancellationTest, WaitingTasksAreWokenInTheirOrderAndOnce) {
  const CancellationSource source;
  std::vector<std::string> log;
  auto a = spawn(wait_for(source.token(), "a", &log));
  auto b = spawn(wait_for(source.token(), "b", &log));
  executor_.drain();
  EXPECT_TRUE(log.empty());
  source.cancel();
  EXPECT_TRUE(log.empty());  // Scheduled, not run.
  executor_.drain();
  EXPECT_EQ(log, (std::vector<std::string>{"a", "b"}));
  auto late = spawn(wait_for(source.token(), "late", &log));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_TRUE(late.is_finished());
}

TEST_F(CancellationTest, AnAbortedWaitLeavesNothingBehind) {
  const CancellationSource source;
  std::vector<std::string> log;
  auto a = spawn(wait_for(source.token(), "a", &log));
  auto b = spawn(wait_for(source.token(), "b", &log));
  auto c = spawn(wait_for(source.token(), "c", &log));
  executor_.drain();
  b.abort();
  executor_.drain();
  EXPECT_TRUE(b.is_finished());
  source.cancel();
  c.abort();  // Too late: the wake-up is under way, and wins.
  executor_.drain();
  EXPECT_EQ(log, (std::vector<std::string>{"a", "c"}));
}

TEST_F(CancellationTest, ATaskMayDropTheLastReferenceAsItWakes) {
  auto source = std::make_unique<CancellationSource>();
  std::vector<std::string> log;
  auto waiter = spawn(wait_for(source->token(), "a", &log));
  executor_.drain();
  source->cancel();
  source.reset();
  executor_.drain();
  EXPECT_EQ(log.size(), 1u);
}

TEST_F(CancellationTest, AReadyWaitTakesItsUnitOfTheBudget) {
  const CancellationSource source;
  source.cancel();
  executor_.run_budget = 1;
  std::vector<std::string> log;
  auto waiter = spawn(wait_for(source.token(), "a", &log));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_FALSE(waiter.is_finished());
  executor_.drain();
  EXPECT_TRUE(waiter.is_finished());
}

// --- Children -----------------------------------------------------------------------------------

TEST_F(CancellationTest, ACancelGoesDownTheTreeAndNotUp) {
  const CancellationSource root;
  const CancellationSource left = root.child();
  const CancellationSource right = root.token().child();
  const CancellationSource leaf = left.child();
  std::vector<std::string> log;
  auto waiter = spawn(wait_for(leaf.token(), "leaf", &log));
  executor_.drain();
  left.cancel();
  executor_.drain();
  EXPECT_TRUE(leaf.is_cancelled());
  EXPECT_EQ(log.size(), 1u);
  EXPECT_FALSE(root.is_cancelled());
  EXPECT_FALSE(right.is_cancelled());
  root.cancel();
  EXPECT_TRUE(right.is_cancelled());
  EXPECT_TRUE(root.child().is_cancelled());  // Born cancelled.
  EXPECT_FALSE(CancellationToken().child().is_cancelled());
}

TEST_F(CancellationTest, AChildMayGoBeforeItsParentOrOutliveAllOtherReferencesToIt) {
  std::optional<CancellationSource> root(std::in_place);
  std::optional<CancellationSource> middle(root->child());
  CancellationSource leaf = middle->child();
  middle.reset();  // Only the leaf knows it now; the chain is whole.
  {
    const CancellationSource brief = root->child();
  }
  root->cancel();
  EXPECT_TRUE(leaf.is_cancelled());
  root.reset();
  leaf = CancellationSource();
  EXPECT_FALSE(leaf.is_cancelled());
}

TEST_F(CancellationTest, AChainOfAHundredThousandChildrenCostsNoStack) {
  const CancellationSource root;
  CancellationSource last = root;
  for (int i = 0; i < 100'000; ++i) last = last.child();
  root.cancel();
  EXPECT_TRUE(last.is_cancelled());
}

// --- Callbacks ------------------------------------------------------------------------------------

TEST_F(CancellationTest, CallbacksRunInTheCancelOrAtOnceAndNotOnceTheyAreTakenBack) {
  const CancellationSource source;
  std::vector<std::string> log;
  std::optional<CancellationCallback<std::function<void()>>> taken_back;
  const CancellationCallback first(source.token(), [&log] { log.push_back("first"); });
  taken_back.emplace(source.token(), [&log] { log.push_back("taken back"); });
  const CancellationCallback second(source.token(), [&log] { log.push_back("second"); });
  taken_back.reset();
  EXPECT_TRUE(log.empty());
  source.cancel();
  EXPECT_EQ(log, (std::vector<std::string>{"first", "second"}));
  const CancellationCallback late(source.token(), [&log] { log.push_back("late"); });
  EXPECT_EQ(log.size(), 3u);
}

TEST_F(CancellationTest, ACallbackMayEndItselfOthersAndTheSource) {
  auto source = std::make_optional<CancellationSource>();
  using Callback = CancellationCallback<std::function<void()>>;
  auto self = std::make_unique<std::optional<Callback>>();
  auto other = std::make_unique<std::optional<Callback>>();
  int calls = 0;
  self->emplace(source->token(), [&] {
    ++calls;
    other->reset();
    source.reset();
    self->reset();  // And with it what this function has captured.
  });
  other->emplace(source->token(), [&calls] { calls += 10; });
  source->cancel();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(source.has_value());
}

// Goal: the destructor of a callback returns only when its function has. Method: the function waits for the
// destructor's thread to be about to call it, then stores; the destructor's thread looks after the destructor.
TEST_F(CancellationTest, TheDestructorOfACallbackWaitsForItsFunction) {
  for (int round = 0; round < 200; ++round) {
    const CancellationSource source;
    std::atomic<bool> entered{false};
    std::atomic<bool> leaving{false};
    bool ended = false;  // Plain: the destructor orders it.
    const auto function = [&] {
      entered.store(true, std::memory_order_release);
      while (!leaving.load(std::memory_order_acquire)) std::this_thread::yield();
      ended = true;
    };
    auto callback =
        std::make_unique<CancellationCallback<decltype(function)>>(source.token(), function);
    std::thread canceller([&source] { source.cancel(); });
    while (!entered.load(std::memory_order_acquire)) std::this_thread::yield();
    leaving.store(true, std::memory_order_release);
    callback.reset();
    EXPECT_TRUE(ended);
    canceller.join();
  }
}

// --- std::stop_token ------------------------------------------------------------------------------

TEST_F(CancellationTest, AStopTokenDrivesASource) {
  std::stop_source stop;
  const CancellationSource source(stop.get_token());
  const CancellationSource child = source.child();
  std::vector<std::string> log;
  auto waiter = spawn(wait_for(child.token(), "a", &log));
  executor_.drain();
  stop.request_stop();
  EXPECT_TRUE(source.is_cancelled());
  executor_.drain();
  EXPECT_EQ(log.size(), 1u);
  EXPECT_TRUE(CancellationSource(stop.get_token()).is_cancelled());
  EXPECT_FALSE(CancellationSource(std::stop_token()).is_cancelled());
  const CancellationSource by_itself{std::stop_source().get_token()};
  EXPECT_TRUE(by_itself.cancel());
}

TEST_F(CancellationTest, ASourceMayBeDroppedByACallbackThatAStopTokenHasCalled) {
  std::stop_source stop;
  auto source = std::make_optional<CancellationSource>(stop.get_token());
  std::optional<CancellationCallback<std::function<void()>>> callback;
  int calls = 0;
  callback.emplace(source->token(), [&] {
    ++calls;
    source.reset();
    callback.reset();
  });
  stop.request_stop();
  EXPECT_EQ(calls, 1);
}

// Goal: a stop request that races the end of its source touches nothing that is gone. Method: both at about the same
// moment, many rounds; AddressSanitizer and ThreadSanitizer look on.
TEST_F(CancellationTest, AStopRequestMayRaceTheEndOfItsSource) {
  for (int round = 0; round < 500; ++round) {
    std::stop_source stop;
    auto source = std::make_optional<CancellationSource>(stop.get_token());
    std::optional<CancellationSource> child = source->child();
    std::atomic<int> gate{0};
    const auto pass_gate = [&gate] {
      gate.fetch_add(1, std::memory_order_acq_rel);
      while (gate.load(std::memory_order_acquire) < 2) std::this_thread::yield();
    };
    std::thread requester([&] {
      pass_gate();
      stop.request_stop();
    });
    pass_gate();
    source.reset();
    if (round % 2 == 0) child.reset();
    requester.join();
    EXPECT_TRUE(!child || child->is_cancelled());
  }
}

// --- Threads ----------------------------------------------------------------------------------------

Task<> note_cancel(CancellationToken token, std::atomic<int>* cancelled, const int* written) {
  co_await token.cancelled();
  EXPECT_EQ(*written, 1);  // Plain: [CANCELLED].
  cancelled->fetch_add(1, std::memory_order_relaxed);
}

// Goal: a cancel, an abort and the first suspension of the waiters, all at once: every task ends, once. Method: one
// thread cancels, one aborts every other waiter, this one runs them; in turn they have suspended before or not.
TEST_F(CancellationTest, ACancelMayRaceAbortsAndNewWaiters) {
  constexpr std::size_t kRounds = 1'000;
  constexpr std::size_t kWaiters = 4;
  for (std::size_t round = 1; round <= kRounds; ++round) {
    const CancellationSource source;
    const CancellationSource child = source.child();
    std::atomic<int> cancelled{0};
    int written = 0;
    std::vector<JoinHandle<void>> waiters;
    for (std::size_t i = 0; i < kWaiters; ++i) {
      const CancellationSource& of = i < kWaiters / 2 ? source : child;
      waiters.push_back(spawn(note_cancel(of.token(), &cancelled, &written)));
    }
    for (std::size_t i = 0; i < round % (kWaiters + 1); ++i) executor_.run_one();
    std::atomic<int> gate{0};
    const auto pass_gate = [&gate] {
      gate.fetch_add(1, std::memory_order_acq_rel);
      while (gate.load(std::memory_order_acquire) < 2) std::this_thread::yield();
    };
    std::thread canceller([&] {
      pass_gate();
      written = 1;
      source.cancel();
    });
    std::thread aborter([&] {
      pass_gate();
      for (std::size_t i = 0; i < kWaiters; i += 2) waiters[i].abort();
    });
    while (executor_.ended() < round * kWaiters) {
      if (!executor_.run_one()) std::this_thread::yield();
    }
    canceller.join();
    aborter.join();
    EXPECT_GE(cancelled.load(), static_cast<int>(kWaiters / 2));
  }
}

}  // namespace
}  // namespace skua
