// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/channel.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/executor.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "tests/support/abort_script.h"
#include "tests/support/leak_check.h"
#include "tests/support/manual_executor.h"
#include "tests/support/tracked.h"

namespace skua {
namespace {

using test::ManualExecutor;
using test::Tracked;
using Values = std::vector<int>;

class ChannelTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(live_, 0);
    EXPECT_EQ(leaks_.report(), "");
  }

  template <typename T>
  JoinHandle<T> spawn(Task<T> task) {
    return internal::spawn_on(executor_, std::move(task), {});
  }

  const test::LeakCheck leaks_;
  ManualExecutor executor_;
  std::atomic<int> live_{0};
};

Task<> send_one(Sender<int> tx, int value, Values* sent) {
  const bool stored =
      co_await tx.send(value);  // In the condition, GCC 12 fails: docs/compilers.md.
  if (stored) sent->push_back(value);
}
Task<> send_many(Sender<int> tx, int first, int count, Values* sent) {
  for (int value = first; value < first + count; ++value) {
    if (!co_await tx.send(value)) co_return;
    sent->push_back(value);
  }
}
Task<> receive_one(Receiver<int> rx, Values* received) {
  const std::optional<int> value = co_await rx.recv();
  received->push_back(value.value_or(-1));
}
Task<> receive_all(Receiver<int> rx, Values* received) {
  while (const std::optional<int> value = co_await rx.recv()) received->push_back(*value);
}

TEST_F(ChannelTest, ValuesComeOutInTheOrderTheyWentInAndTheBoundHolds) {
  auto [tx, rx] = channel<int>(3);
  EXPECT_TRUE(tx.try_send(1));
  EXPECT_TRUE(tx.try_send(2));
  EXPECT_TRUE(tx.try_send(3));
  EXPECT_FALSE(tx.try_send(4));
  EXPECT_FALSE(tx.is_closed());
  EXPECT_EQ(rx.try_recv(), 1);
  EXPECT_TRUE(tx.try_send(4));
  EXPECT_FALSE(tx.try_send(5));
  EXPECT_EQ(rx.try_recv(), 2);
  EXPECT_EQ(rx.try_recv(), 3);
  EXPECT_EQ(rx.try_recv(), 4);
  EXPECT_EQ(rx.try_recv(), std::nullopt);
  EXPECT_FALSE(rx.is_closed());
}

TEST_F(ChannelTest, AValueThatCouldNotBeSentStaysWithTheCaller) {
  auto [tx, rx] = channel<std::unique_ptr<int>>(1);
  EXPECT_TRUE(tx.try_send(std::make_unique<int>(1)));
  auto value = std::make_unique<int>(2);
  EXPECT_FALSE(tx.try_send(std::move(value)));
  ASSERT_NE(value, nullptr);  // NOLINT(bugprone-use-after-move): it is specified.
  rx.close();
  EXPECT_FALSE(tx.try_send(std::move(value)));
  EXPECT_NE(value, nullptr);
  EXPECT_EQ(**rx.try_recv(), 1);
  EXPECT_TRUE(rx.is_closed());
}

TEST_F(ChannelTest, SendersWaitWhileItIsFullAndReceiversWhileItIsEmpty) {
  auto [tx, rx] = channel<int>(1);
  Values sent;
  auto a = spawn(send_one(tx, 1, &sent));
  auto b = spawn(send_one(tx, 2, &sent));
  auto c = spawn(send_one(tx, 3, &sent));
  executor_.drain();
  EXPECT_EQ(sent, (Values{1}));
  EXPECT_FALSE(tx.try_send(9));  // Nobody overtakes those that wait.
  EXPECT_EQ(rx.try_recv(), 1);   // b's value is stored with this.
  EXPECT_FALSE(tx.try_send(9));
  executor_.drain();
  EXPECT_EQ(sent, (Values{1, 2}));
  EXPECT_EQ(rx.try_recv(), 2);
  EXPECT_EQ(rx.try_recv(), 3);
  EXPECT_EQ(rx.try_recv(), std::nullopt);
  executor_.drain();
  EXPECT_EQ(sent, (Values{1, 2, 3}));
  Values received;
  auto d = spawn(receive_one(rx, &received));
  auto e = spawn(receive_one(rx, &received));
  executor_.drain();
  EXPECT_TRUE(tx.try_send(4));
  EXPECT_TRUE(tx.try_send(5));
  EXPECT_TRUE(tx.try_send(6));  // Stored: the others were handed over.
  EXPECT_EQ(rx.try_recv(), 6);
  executor_.drain();
  EXPECT_EQ(received, (Values{4, 5}));
}

TEST_F(ChannelTest, TheLastSendersDropEndsTheReceiversWhenNothingIsLeft) {
  auto [tx, rx] = channel<int>(4);
  Values received;
  std::optional<Sender<int>> other(tx);
  EXPECT_TRUE(other->try_send(1));
  auto a = spawn(receive_all(rx, &received));
  auto b = spawn(receive_all(rx, &received));
  executor_.drain();
  tx = *std::move(other);
  other.reset();
  executor_.drain();
  EXPECT_FALSE(a.is_finished());
  EXPECT_TRUE(tx.try_send(2));
  {
    const Sender<int> last = std::move(tx);
  }
  EXPECT_FALSE(tx);  // NOLINT(bugprone-use-after-move): it is specified.
  executor_.drain();
  EXPECT_TRUE(a.is_finished() && b.is_finished());
  EXPECT_EQ(received, (Values{1, 2}));
  EXPECT_TRUE(rx.is_closed());
  EXPECT_EQ(rx.try_recv(), std::nullopt);
}

TEST_F(ChannelTest, TheLastReceiversDropDestroysWhatIsLeftAndEndsTheSenders) {
  std::optional<ChannelPair<Tracked>> ends(channel<Tracked>(2));
  EXPECT_TRUE(ends->sender.try_send(Tracked(1, &live_)));
  EXPECT_TRUE(ends->sender.try_send(Tracked(2, &live_)));
  std::optional<bool> result;
  const auto send = [](Sender<Tracked> tx, std::atomic<int>* live,
                       std::optional<bool>* r) -> Task<> {
    *r = co_await tx.send(Tracked(3, live));
  };
  auto waiting = spawn(send(ends->sender, &live_, &result));
  executor_.drain();
  const int before = live_;
  Sender<Tracked> tx = ends->sender;
  ends.reset();
  EXPECT_EQ(live_, before - 2);
  executor_.drain();
  EXPECT_EQ(result, false);
  EXPECT_TRUE(tx.is_closed());
  EXPECT_FALSE(tx.try_send(Tracked(4, &live_)));
  auto late = spawn(send(tx, &live_, &result));
  executor_.drain();
  EXPECT_EQ(result, false);
}

// A value that holds both ends of the channel it is in.
struct Nested {
  Sender<std::unique_ptr<Nested>> tx;
  Receiver<std::unique_ptr<Nested>> rx;
};

TEST_F(ChannelTest, AValueMayHoldEndsOfAChannelToo) {
  auto [inner_tx, inner_rx] = unbounded_channel<std::unique_ptr<Nested>>();
  auto [tx, rx] = channel<std::unique_ptr<Nested>>(1);
  EXPECT_TRUE(tx.try_send(std::make_unique<Nested>(Nested{tx, inner_rx})));
  EXPECT_TRUE(inner_tx.try_send(std::make_unique<Nested>(Nested{inner_tx, rx})));
  std::unique_ptr<Nested> value = *rx.try_recv();
  EXPECT_TRUE(value->tx.try_send(nullptr));
  {
    const auto dropped = std::move(rx);
  }
  EXPECT_TRUE(tx.try_send(std::move(value)) ==
              false);                            // inner's value holds the other receiver ...
  EXPECT_NE(inner_rx.try_recv(), std::nullopt);  // ... until now.
  EXPECT_TRUE(tx.is_closed());
}

TEST_F(ChannelTest, CloseLetsWhatIsThereComeOut) {
  auto [tx, rx] = channel<int>(1);
  Values sent;
  EXPECT_TRUE(tx.try_send(1));
  auto waiting = spawn(send_one(tx, 2, &sent));
  executor_.drain();
  tx.close();
  executor_.drain();
  EXPECT_TRUE(waiting.is_finished());
  EXPECT_TRUE(sent.empty());
  EXPECT_FALSE(rx.is_closed());
  EXPECT_EQ(rx.try_recv(), 1);
  EXPECT_TRUE(rx.is_closed());
}

TEST_F(ChannelTest, AnUnboundedChannelTakesAllAndGivesMemoryBack) {
  constexpr int kValues = 10'000;
  auto [tx, rx] = unbounded_channel<int>();
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kValues; ++i) ASSERT_TRUE(tx.try_send(i));
    Values received;
    auto receiver = spawn(receive_all(std::move(rx), &received));
    executor_.drain();
    ASSERT_EQ(received.size(), static_cast<std::size_t>(kValues));
    for (int i = 0; i < kValues; ++i) ASSERT_EQ(received[static_cast<std::size_t>(i)], i);
    receiver.abort();
    executor_.drain();
    std::tie(tx, rx) = [] {
      auto [new_tx, new_rx] = unbounded_channel<int>();
      return std::pair(new_tx, new_rx);
    }();
  }
}

// --- The claim of the only receiver ---------------------------------------------------------------

Task<> receive_some(const Receiver<int>* rx, int count, Values* received) {
  for (int i = 0; i < count; ++i) received->push_back((co_await rx->recv()).value_or(-1));
}

TEST_F(ChannelTest, WhatTheOnlyReceiverHasClaimedIsFoundByWhoeverComesNext) {
  auto [tx, rx] = channel<int>(1024);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(tx.try_send(i));
  Values received;
  auto first = spawn(receive_some(&rx, 2, &received));  // Claims what there is.
  executor_.drain();
  EXPECT_EQ(rx.try_recv(), 2);
  auto second = spawn(receive_some(&rx, 1, &received));
  executor_.drain();
  Receiver<int> moved = std::move(rx);
  EXPECT_EQ(moved.try_recv(), 4);
  const Receiver<int> copy = moved;
  auto third = spawn(receive_some(&copy, 1, &received));
  executor_.drain();
  EXPECT_EQ(received, (Values{0, 1, 3, 5}));
  EXPECT_EQ(moved.try_recv(), 6);
  tx.close();
  EXPECT_FALSE(moved.is_closed());
  EXPECT_EQ(copy.try_recv(), 7);
  EXPECT_TRUE(moved.is_closed());
}

TEST_F(ChannelTest, AClaimGoesBackWhenTheReceiverMovesOrGoes) {
  auto ends = std::make_optional(channel<Tracked>(1024));
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(ends->sender.try_send(Tracked(i, &live_)));
  const auto receive = [](const Receiver<Tracked>* rx, int expected) -> Task<> {
    const std::optional<Tracked> value = co_await rx->recv();
    EXPECT_EQ(value->value(), expected);
  };
  auto first = spawn(receive(&ends->receiver, 0));
  executor_.drain();
  Receiver<Tracked> moved = std::move(ends->receiver);
  auto second = spawn(receive(&moved, 1));
  executor_.drain();
  EXPECT_EQ(live_, 6);
  ends.reset();
  EXPECT_EQ(live_, 6);
}  // And `moved` goes with a claim that was never used up.

TEST_F(ChannelTest, TheBoundIsExceededByWhatIsClaimedAtMost) {
  auto [tx, rx] = channel<int>(64);
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(tx.try_send(i));
  EXPECT_FALSE(tx.try_send(64));
  Values received;
  auto receiver = spawn(receive_some(&rx, 1, &received));
  executor_.drain();
  int more = 0;
  while (tx.try_send(64 + more)) ++more;
  EXPECT_EQ(more, 1 + 64 / 16);
}

// --- Aborts ---------------------------------------------------------------------------------------

// Two senders, two receivers, little room. Whatever is aborted, what the senders have sent is what the receivers get.
template <std::size_t kCapacity>
struct ChannelScript {
  std::vector<Task<>> tasks() {
    auto [tx, rx] = channel<int>(kCapacity);
    std::vector<Task<>> tasks;
    tasks.push_back(receive_all(rx, &received));
    tasks.push_back(send_many(tx, 0, 3, &sent));
    tasks.push_back(send_many(tx, 10, 3, &sent));
    tasks.push_back(receive_all(rx, &received));
    keeps.emplace(rx);
    return tasks;
  }
  void check(std::size_t victim, bool cancelled) {
    EXPECT_TRUE(keeps->is_closed());  // One receiver is always left, and has got the rest.
    std::sort(sent.begin(), sent.end());
    std::sort(received.begin(), received.end());
    // The last value of a sender that was ended before it could note it may be there as well.
    if (cancelled && (victim == 1 || victim == 2) && received.size() == sent.size() + 1) {
      const auto extra = std::mismatch(sent.begin(), sent.end(), received.begin()).second;
      EXPECT_EQ(*extra / 10, static_cast<int>(victim) - 1);
      received.erase(extra);
    }
    EXPECT_EQ(received, sent);
    EXPECT_GE(sent.size(), cancelled && (victim == 1 || victim == 2) ? 3u : 6u);
  }
  std::optional<Receiver<int>> keeps;
  Values sent;
  Values received;
};

TEST_F(ChannelTest, AnAbortAtAnyMomentLosesNoValueAndDoublesNone) {
  EXPECT_GT(test::abort_everywhere<ChannelScript<1>>(), 20u);
  EXPECT_GT(test::abort_everywhere<ChannelScript<1>>(1), 20u);
  EXPECT_GT(test::abort_everywhere<ChannelScript<2>>(2), 20u);
  EXPECT_GT(test::abort_everywhere<ChannelScript<64>>(1), 10u);
}

TEST_F(ChannelTest, AReceiverThatEndsAtTheBackOfTheLineLeavesItsValue) {
  auto [tx, rx] = channel<int>(4);
  executor_.run_budget = 1;
  EXPECT_TRUE(tx.try_send(1));
  EXPECT_TRUE(tx.try_send(2));
  Values received;
  // Aborts itself while it runs: its next suspension, for want of a budget, ends it.
  JoinHandle<void>* self = nullptr;
  const auto abort_and_receive = [](const Receiver<int>* from, JoinHandle<void>** me,
                                    Values* to) -> Task<> {
    (*me)->abort();
    to->push_back((co_await from->recv()).value_or(-1));
  };
  JoinHandle<void> ends = spawn(abort_and_receive(&rx, &self, &received));
  self = &ends;
  EXPECT_TRUE(executor_.run_one());
  auto waits = spawn(receive_some(&rx, 2, &received));
  EXPECT_FALSE(ends.is_finished());
  EXPECT_EQ(rx.try_recv(), 1);  // One is reserved, the other is not.
  EXPECT_EQ(rx.try_recv(), std::nullopt);
  executor_.drain();
  EXPECT_TRUE(ends.is_finished());
  EXPECT_TRUE(tx.try_send(3));
  executor_.drain();
  EXPECT_EQ(received, (Values{2, 3}));
}

TEST_F(ChannelTest, AReservedValueThatIsGivenUpGoesToThoseWhoWaitThoughItIsClosed) {
  auto [tx, rx] = channel<int>(4);
  executor_.run_budget = 1;
  EXPECT_TRUE(tx.try_send(1));
  Values received;
  JoinHandle<void>* self = nullptr;
  const auto abort_and_receive = [](const Receiver<int>* from, JoinHandle<void>** me,
                                    Values* to) -> Task<> {
    (*me)->abort();
    to->push_back((co_await from->recv()).value_or(-1));
  };
  JoinHandle<void> ends = spawn(abort_and_receive(&rx, &self, &received));
  self = &ends;
  auto waits = spawn(receive_some(&rx, 2, &received));
  EXPECT_TRUE(executor_.run_one());  // Has reserved the value, and is to be destroyed.
  EXPECT_TRUE(executor_.run_one());  // Waits.
  tx.close();
  EXPECT_FALSE(rx.is_closed());
  executor_.drain();
  EXPECT_TRUE(ends.is_finished() && waits.is_finished());
  EXPECT_EQ(received, (Values{1, -1}));
  EXPECT_TRUE(rx.is_closed());
}

// --- Against a model ------------------------------------------------------------------------------

// Does the same to a channel and to a std::deque with two queues of who waits. After each step all that is ready
// runs, so the model knows what everybody must have got.
class ModelTest : public ChannelTest, public testing::WithParamInterface<std::size_t> {
 protected:
  struct Waiting {
    int id;
    int value;
  };
  enum class State { kWaits, kDone, kAborted };

  static Task<> send(Sender<int> tx, int value, std::optional<bool>* result) {
    *result = co_await tx.send(value);
  }
  static Task<> receive(const Receiver<int>* rx, std::optional<int>* result) {
    *result = (co_await rx->recv()).value_or(-1);
  }
};

TEST_P(ModelTest, AChannelDoesWhatADequeWouldDo) {
  const std::size_t capacity = GetParam();
  const bool unbounded = capacity == 0;
  const bool claims =
      unbounded || capacity >= 32;  // Then the bound is not exact: the test stays away from it.
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&random](std::size_t n) { return random() % n; };
    auto ends = unbounded ? unbounded_channel<int>() : channel<int>(capacity);
    std::optional<Sender<int>> tx(std::move(ends.sender));
    std::vector<Receiver<int>> receivers;
    receivers.reserve(4);
    receivers.push_back(std::move(ends.receiver));
    executor_.run_budget = seed % 3 == 0 ? 1 : static_cast<std::int32_t>(1 + below(5));

    std::deque<int> model;
    std::deque<Waiting> senders;  // In their order.
    std::deque<Waiting> receiving;
    std::deque<std::optional<bool>> sent;  // By id.
    std::deque<std::optional<int>> received;
    std::vector<JoinHandle<void>> send_handles;
    std::vector<JoinHandle<void>> receive_handles;
    std::vector<std::optional<bool>> expect_sent;
    std::vector<std::optional<int>> expect_received;
    int next_value = 0;

    const auto refill = [&] {
      while (!senders.empty() && model.size() < capacity) {
        model.push_back(senders.front().value);
        expect_sent[static_cast<std::size_t>(senders.front().id)] = true;
        senders.pop_front();
      }
    };
    const auto deliver = [&](int value) {  // False: it has to be stored.
      if (receiving.empty()) return false;
      expect_received[static_cast<std::size_t>(receiving.front().id)] = value;
      receiving.pop_front();
      return true;
    };
    const auto model_full = [&] { return !unbounded && model.size() >= capacity; };

    for (int step = 0; step < 200; ++step) {
      switch (below(10)) {
        case 0:
        case 1:
        case 2: {  // A task sends.
          if (claims && model_full()) break;
          const int value = next_value++;
          const int id = static_cast<int>(sent.size());
          sent.emplace_back();
          expect_sent.emplace_back();
          send_handles.push_back(spawn(send(*tx, value, &sent.back())));
          if (deliver(value)) {
            expect_sent.back() = true;
          } else if (model_full()) {
            senders.push_back({id, value});
          } else {
            model.push_back(value);
            expect_sent.back() = true;
          }
          break;
        }
        case 3:
        case 4:
        case 5: {  // A task receives.
          const int id = static_cast<int>(received.size());
          received.emplace_back();
          expect_received.emplace_back();
          receive_handles.push_back(
              spawn(receive(&receivers[below(receivers.size())], &received.back())));
          if (model.empty()) {
            receiving.push_back({id, 0});
          } else {
            expect_received.back() = model.front();
            model.pop_front();
            refill();
          }
          break;
        }
        case 6: {
          if (claims && model_full()) break;
          const int value = next_value++;
          const bool delivered = deliver(value);
          const bool expected = delivered || !model_full();
          EXPECT_EQ(tx->try_send(value), expected);
          if (expected && !delivered) model.push_back(value);
          break;
        }
        case 7: {
          if (claims && below(8) != 0) break;  // Ends the claims for good.
          const std::optional<int> got = receivers[below(receivers.size())].try_recv();
          if (model.empty()) {
            EXPECT_EQ(got, std::nullopt);
          } else {
            EXPECT_EQ(got, model.front());
            model.pop_front();
            refill();
          }
          break;
        }
        case 8: {  // Somebody who waits is aborted.
          if (!senders.empty() && below(2) == 0) {
            const auto victim =
                senders.begin() + static_cast<std::ptrdiff_t>(below(senders.size()));
            send_handles[static_cast<std::size_t>(victim->id)].abort();
            senders.erase(victim);
          } else if (!receiving.empty()) {
            const auto victim =
                receiving.begin() + static_cast<std::ptrdiff_t>(below(receiving.size()));
            receive_handles[static_cast<std::size_t>(victim->id)].abort();
            receiving.erase(victim);
          }
          break;
        }
        default:
          if (receivers.size() < 4 && below(4) == 0) receivers.push_back(receivers.front());
      }
      executor_.drain();
    }
    for (auto& waiting : receiving) expect_received[static_cast<std::size_t>(waiting.id)] = -1;
    for (auto& waiting : senders) expect_sent[static_cast<std::size_t>(waiting.id)] = false;
    tx->close();
    executor_.drain();
    ASSERT_TRUE(std::equal(sent.begin(), sent.end(), expect_sent.begin(), expect_sent.end()))
        << "seed " << seed;
    ASSERT_TRUE(std::equal(received.begin(), received.end(), expect_received.begin(),
                           expect_received.end()))
        << "seed " << seed;
    for (const int left : model) ASSERT_EQ(receivers.back().try_recv(), left) << "seed " << seed;
    ASSERT_EQ(receivers.back().try_recv(), std::nullopt) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Capacity, ModelTest, testing::Values(0, 1, 2, 5, 40, 300));

// --- Threads that block ---------------------------------------------------------------------------

// Goal: threads and tasks share the queues. Method: all values of a thread that blocks to send and of a task arrive,
// in their order, at a thread that blocks to receive and a task.
TEST_F(ChannelTest, ThreadsAndTasksSendAndReceiveTogether) {
  constexpr int kValues = 2'000;
  auto [tx, rx] = channel<int>(2);
  Values of_thread;
  Values of_task;
  Values sent;
  auto sender = spawn(send_many(tx, 0, kValues, &sent));
  auto receiver = spawn(receive_all(rx, &of_task));
  std::thread blocking_receiver([&of_thread, end = std::move(rx)] {
    while (const std::optional<int> value = end.blocking_recv()) of_thread.push_back(*value);
  });
  std::thread blocking_sender([end = std::move(tx)] {
    for (int i = kValues; i < 2 * kValues; ++i) EXPECT_TRUE(end.blocking_send(i));
  });
  while (executor_.ended() < 2) {
    if (!executor_.run_one()) std::this_thread::yield();
  }
  blocking_sender.join();
  blocking_receiver.join();
  std::vector<bool> seen(2 * kValues);
  for (const Values* received : {&of_thread, &of_task}) {
    std::array<int, 2> last = {-1, -1};  // Of each sender.
    for (const int value : *received) {
      const auto from = static_cast<std::size_t>(value / kValues);
      EXPECT_GT(value, last[from]);
      last[from] = value;
      EXPECT_FALSE(seen[static_cast<std::size_t>(value)]);
      seen[static_cast<std::size_t>(value)] = true;
    }
  }
  EXPECT_EQ(of_thread.size() + of_task.size(), seen.size());
}

TEST(ChannelDeathTest, MisuseEndsTheProcessWithAMessage) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(static_cast<void>(channel<int>(0)), "capacity >= 1");
  const auto receive_on_a_worker = [] {
    const ChannelPair<int> ends = channel<int>(1);
    internal::set_runs_tasks(true);
    ends.receiver.blocking_recv();
  };
  EXPECT_DEATH(receive_on_a_worker(), "skua::Receiver::blocking_recv was called on a worker");
  const auto use_moved = [] {
    ChannelPair<int> ends = channel<int>(1);
    const Sender<int> moved = std::move(ends.sender);
    ends.sender.try_send(1);
  };
  EXPECT_DEATH(use_moved(), "moved from");
}

}  // namespace
}  // namespace skua
