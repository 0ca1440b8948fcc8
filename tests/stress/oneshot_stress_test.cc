// SPDX-License-Identifier: Apache-2.0
//
// Oneshot channels between threads: the two ends meet at every moment of each other's lives. A lost wake-up shows as
// a test that never ends, a block freed twice or never in the leak check or under AddressSanitizer.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/oneshot.h"
#include "skua/task.h"
#include "tests/support/leak_check.h"
#include "tests/support/manual_executor.h"
#include "tests/support/runtime_fixture.h"
#include "tests/support/tracked.h"

namespace skua {
namespace {

using test::Tracked;

// --- Two threads --------------------------------------------------------------------------------------

// Runs `a` here and `b` on another thread, from about the same moment on.
template <typename A, typename B>
void race(A a, B b) {
  std::atomic<int> gate{0};
  const auto pass_gate = [&] {
    gate.fetch_add(1, std::memory_order_acq_rel);
    while (gate.load(std::memory_order_acquire) < 2) std::this_thread::yield();
  };
  std::thread other([&] {
    pass_gate();
    b();
  });
  pass_gate();
  a();
  other.join();
}

class OneshotRaceTest : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(live_, 0);
    EXPECT_EQ(leaks_.report(), "");
  }

  const test::LeakCheck leaks_;
  std::atomic<int> live_{0};
};

// Goal: a thread that blocks is woken by a send and by a drop, and sees what was done before.
// Method: the other thread starts at about the same time; many rounds, so that it comes before, meanwhile and after.
TEST_F(OneshotRaceTest, ABlockingRecvIsWokenByASendAndByADrop) {
  for (int round = 0; round < 1'000; ++round) {
    auto [tx, rx] = oneshot<int>();
    int written = 0;  // Plain: published by the end of the sender.
    std::optional<int> received;
    race([&received, end = std::move(rx)]() mutable { received = end.blocking_recv(); },
         [&written, round, end = std::move(tx)]() mutable {
           written = round;
           if (round % 2 == 0) {
             EXPECT_TRUE(end.send(round));
           } else {
             const OneshotSender<int> dropped = std::move(end);
           }
         });
    EXPECT_EQ(received, round % 2 == 0 ? std::optional<int>(round) : std::nullopt);
    EXPECT_EQ(written, round);
  }
}

// Goal: whatever the ends do at the same moment, they agree on what has become of the value, it is destroyed once
// and the block freed once. Method: each of the sender's two ends against each of the receiver's three.
TEST_F(OneshotRaceTest, TheEndsAgreeOnWhatHasBecomeOfTheValue) {
  enum ReceiverEnd { kDrop, kClose, kTry, kReceiverEnds };
  for (int round = 0; round < 3'000; ++round) {
    auto [tx, rx] = oneshot<Tracked>();
    const bool sends = (round / kReceiverEnds) % 4 != 0;
    bool sent = false;
    bool received = false;
    bool closed = false;
    auto end_receiver = [&, how = round % kReceiverEnds, end = std::move(rx)]() mutable {
      if (how == kDrop) {
        const OneshotReceiver<Tracked> dropped = std::move(end);
        return;
      }
      if (how == kClose) end.close();
      const std::optional<Tracked> value = end.try_recv();
      received = value.has_value();
      closed = end.is_closed();
      EXPECT_EQ(received ? value->value() : round, round);
    };
    auto end_sender = [&, end = std::move(tx)]() mutable {
      if (sends) {
        sent = end.send(Tracked(round, &live_));
      } else {
        const OneshotSender<Tracked> dropped = std::move(end);
      }
    };
    race(std::move(end_receiver), std::move(end_sender));
    if (round % kReceiverEnds == kClose) {
      EXPECT_EQ(sent, received) << "round " << round;
      EXPECT_TRUE(closed);
    } else if (received) {
      EXPECT_TRUE(sent) << "round " << round;
    }
    ASSERT_EQ(live_, 0) << "round " << round;
  }
}

Task<int> receive_from(OneshotReceiver<Tracked>* rx) {
  const std::optional<Tracked> received = co_await rx->recv();
  co_return received.has_value() ? received->value() : -1;
}

// Goal: an abort of a recv that races a send loses no value: the task gets it, or it stays in the channel.
// Method: one thread aborts while the other one sends or drops; in half of the rounds the task suspends meanwhile.
TEST_F(OneshotRaceTest, AnAbortThatRacesASendLosesNoValue) {
  test::ManualExecutor executor;
  for (int round = 0; round < 3'000; ++round) {
    auto [tx, rx] = oneshot<Tracked>();
    JoinHandle<int> task = internal::spawn_on(executor, receive_from(&rx), {});
    if (round % 2 == 0) executor.drain();
    const bool sends = round % 3 != 0;
    auto end_sender = [&, end = std::move(tx)]() mutable {
      if (sends) {
        EXPECT_TRUE(end.send(Tracked(round, &live_)));
      } else {
        const OneshotSender<Tracked> dropped = std::move(end);
      }
    };
    race(
        [&] {
          if (round % 2 != 0) executor.run_one();
          task.abort();
        },
        std::move(end_sender));
    executor.drain();
    ASSERT_TRUE(task.is_finished());
    internal::JoinShare<int> share = std::move(task).release_share();
    JoinResult<int> result(share.slot());
    const std::optional<Tracked> left = rx.try_recv();
    if (!sends) {
      EXPECT_FALSE(left.has_value());
      EXPECT_EQ(result.ok() ? result.value() : -1, -1);
    } else if (left.has_value()) {
      EXPECT_TRUE(result.cancelled());
    } else {
      ASSERT_TRUE(result.ok()) << "round " << round;
      EXPECT_EQ(result.value(), round);
    }
  }
}

// Goal: the same for closed(): the task learns of the close, or is ended, and the sender is usable in both cases.
TEST_F(OneshotRaceTest, AnAbortThatRacesACloseEndsTheWait) {
  test::ManualExecutor executor;
  const auto wait = [](OneshotSender<Tracked>* tx) -> Task<> { co_await tx->closed(); };
  for (int round = 0; round < 2'000; ++round) {
    auto [tx, rx] = oneshot<Tracked>();
    JoinHandle<void> task = internal::spawn_on(executor, wait(&tx), {});
    if (round % 2 == 0) executor.drain();
    race(
        [&] {
          if (round % 2 != 0) executor.run_one();
          task.abort();
        },
        [&rx = rx] { rx.close(); });
    executor.drain();
    ASSERT_TRUE(task.is_finished());
    EXPECT_FALSE(tx.send(Tracked(round, &live_)));
  }
}

// --- Tasks of a runtime -----------------------------------------------------------------------------

using OneshotStressTest = test::RuntimeTest;
SKUA_TEST_ALL_RUNTIMES(OneshotStressTest);

Task<std::optional<int>> receive(OneshotReceiver<int> rx) { co_return co_await rx.recv(); }
Task<> wait_until_closed(OneshotSender<int> tx) { co_await tx.closed(); }

Task<> answer(OneshotReceiver<int> request, OneshotSender<int> reply) {
  const std::optional<int> asked = co_await request.recv();
  EXPECT_TRUE(reply.send(*asked + 1));
}

Task<int> ask(int question) {
  auto [request_tx, request_rx] = oneshot<int>();
  auto [reply_tx, reply_rx] = oneshot<int>();
  spawn(answer(std::move(request_rx), std::move(reply_tx)));
  request_tx.send(question);
  const std::optional<int> reply = co_await reply_rx.recv();
  co_return *reply;
}

Task<int> ask_many(int times) {
  std::vector<JoinHandle<int>> tasks;
  tasks.reserve(static_cast<std::size_t>(times));
  int sum = 0;
  for (int i = 0; i < times; ++i) tasks.push_back(spawn(ask(i)));
  for (JoinHandle<int>& task : tasks) sum += co_await std::move(task);
  co_return sum;
}

TEST_P(OneshotStressTest, PairsOfTasksAskAndAnswer) {
  constexpr int kPairs = 500;
  EXPECT_EQ(runtime().block_on(ask_many(kPairs)), kPairs * (kPairs + 1) / 2);
}

TEST_P(OneshotStressTest, ABlockingJobAndATaskSendToEachOther) {
  const auto main = []() -> Task<int> {
    auto [to_job, in_job] = oneshot<int>();
    auto [from_job, in_task] = oneshot<int>();
    auto job = spawn_blocking([rx = std::move(in_job), tx = std::move(from_job)]() mutable {
      const std::optional<int> asked = rx.blocking_recv();
      return tx.send(*asked + 1);
    });
    to_job.send(6);
    const std::optional<int> received = co_await in_task.recv();
    EXPECT_TRUE(co_await std::move(job));
    co_return *received;
  };
  EXPECT_EQ(runtime().block_on(main()), 7);
}

TEST_P(OneshotStressTest, AChannelConnectsTwoRuntimesAndOutlivesOne) {
  auto [tx, rx] = oneshot<int>();
  auto [kept_tx, kept_rx] = oneshot<int>();
  {
    Runtime other({.worker_threads = 1});
    const auto send_both = [](OneshotSender<int> a, OneshotSender<int> b) -> Task<> {
      EXPECT_TRUE(a.send(7));
      EXPECT_TRUE(b.send(8));
      co_return;
    };
    JoinHandle<void> sends = other.spawn(send_both(std::move(tx), std::move(kept_tx)));
    EXPECT_EQ(runtime().block_on(receive(std::move(rx))), 7);
  }
  EXPECT_EQ(kept_rx.try_recv(), 8);
}

TEST_P(OneshotStressTest, AShutdownEndsBothWaitsAndDestroysWhatWasSent) {
  std::atomic<int> live{0};
  {
    Runtime short_lived(options());
    auto [tx, rx] = oneshot<int>();            // Both ends wait.
    auto [lone_tx, lone_rx] = oneshot<int>();  // The sender stays here.
    auto [sent_tx, sent_rx] = oneshot<Tracked>();
    const auto keep = [](OneshotReceiver<Tracked> unread, OneshotReceiver<int> waits) -> Task<> {
      co_await waits.recv();
      [[maybe_unused]] const auto taken = co_await unread.recv();
      ADD_FAILURE() << "nobody sends";
    };
    EXPECT_TRUE(sent_tx.send(Tracked(7, &live)));
    auto receiver = short_lived.spawn(receive(std::move(rx)));
    auto sender = short_lived.spawn(wait_until_closed(std::move(tx)));
    auto keeper = short_lived.spawn(keep(std::move(sent_rx), std::move(lone_rx)));
    const auto yield = []() -> Task<> { co_await yield_now(); };
    short_lived.block_on(yield());
    EXPECT_TRUE(short_lived.shutdown(std::chrono::minutes(1)));
    EXPECT_TRUE(receiver.is_finished() && sender.is_finished() && keeper.is_finished());
    EXPECT_TRUE(lone_tx.is_closed());
  }
  EXPECT_EQ(live, 0);
}

// --- All of it, at random -----------------------------------------------------------------------------

enum class ReceiverPlan { kRecv, kPoll, kClose, kDrop, kPlans };
enum class SenderPlan { kSend, kSendUnlessClosed, kDrop, kAwaitClosed, kPlans };
enum class Outcome { kNothing, kDone };  // Done: received, or sent.

Task<Outcome> receiver(OneshotReceiver<Tracked> rx, ReceiverPlan plan, int id, int delay) {
  for (int i = 0; i < delay; ++i) co_await yield_now();
  std::optional<int> received;
  if (plan == ReceiverPlan::kRecv) {
    const std::optional<Tracked> value = co_await rx.recv();
    if (value.has_value()) received = value->value();
  } else if (plan == ReceiverPlan::kPoll) {
    for (int i = 0; i < 3 && !received.has_value(); ++i) {
      if (i > 0) co_await yield_now();
      const std::optional<Tracked> value = rx.try_recv();
      if (value.has_value()) received = value->value();
    }
  } else if (plan == ReceiverPlan::kClose) {
    rx.close();
    const std::optional<Tracked> value = rx.try_recv();
    if (value.has_value()) received = value->value();
    EXPECT_TRUE(rx.is_closed());
  }
  if (!received.has_value()) co_return Outcome::kNothing;
  EXPECT_EQ(*received, id);
  co_return Outcome::kDone;
}

Task<Outcome> sender(OneshotSender<Tracked> tx, SenderPlan plan, int id, int delay,
                     std::atomic<int>* live) {
  for (int i = 0; i < delay; ++i) co_await yield_now();
  if (plan == SenderPlan::kDrop) co_return Outcome::kNothing;
  if (plan == SenderPlan::kSendUnlessClosed && tx.is_closed()) co_return Outcome::kNothing;
  if (plan == SenderPlan::kAwaitClosed) co_await tx.closed();
  const bool sent = tx.send(Tracked(id, live));
  EXPECT_FALSE(sent && plan == SenderPlan::kAwaitClosed);
  co_return sent ? Outcome::kDone : Outcome::kNothing;
}

// What became of one end: nullopt if its task was aborted in time.
using Ended = std::optional<Outcome>;

Task<Ended> join(JoinHandle<Outcome> handle) {
  JoinResult<Outcome> result = co_await std::move(handle).result();
  EXPECT_EQ(result.exception(), nullptr);
  if (result.cancelled()) co_return std::nullopt;
  co_return result.value();
}

Task<std::vector<Ended>> join_all(std::vector<JoinHandle<Outcome>> handles) {
  std::vector<Ended> outcomes;
  outcomes.reserve(handles.size());
  for (JoinHandle<Outcome>& handle : handles) {
    outcomes.push_back(co_await join(std::move(handle)));
  }
  co_return outcomes;
}

struct Plan {
  ReceiverPlan receiver;
  SenderPlan sender;
  bool abort_receiver;
  bool abort_sender;
};

Plan random_plan(std::mt19937_64& random) {
  Plan plan;
  plan.receiver = static_cast<ReceiverPlan>(random() % static_cast<int>(ReceiverPlan::kPlans));
  plan.sender = static_cast<SenderPlan>(random() % static_cast<int>(SenderPlan::kPlans));
  plan.abort_receiver = random() % 3 == 0;
  plan.abort_sender = random() % 3 == 0;
  // These two would wait for each other.
  if (plan.receiver == ReceiverPlan::kRecv && plan.sender == SenderPlan::kAwaitClosed) {
    (random() % 2 == 0 ? plan.abort_receiver : plan.abort_sender) = true;
  }
  return plan;
}

void check(const Plan& plan, Ended received, Ended sent) {
  EXPECT_TRUE(plan.abort_receiver || received.has_value());
  EXPECT_TRUE(plan.abort_sender || sent.has_value());
  if (received == Outcome::kDone) {
    EXPECT_EQ(sent, Outcome::kDone);
  }
  if (sent == Outcome::kDone && !plan.abort_receiver &&
      (plan.receiver == ReceiverPlan::kRecv || plan.receiver == ReceiverPlan::kClose)) {
    EXPECT_EQ(received, Outcome::kDone);
  }
  if (plan.receiver == ReceiverPlan::kRecv && !plan.abort_receiver && !plan.abort_sender) {
    EXPECT_EQ(received == Outcome::kDone, plan.sender != SenderPlan::kDrop);
  }
}

// Goal: in whatever order the ends of many channels are used, dropped and aborted, on several workers and from
// outside, every task ends, both ends of a channel agree, and no value and no block is left.
// Method: pairs of tasks with random plans; while they run, a thread aborts some of them. Waves, so that the workers
// run dry and park in between.
TEST_P(OneshotStressTest, ManyPairsWithRandomPlansAndAborts) {
  constexpr int kWaves = 150;
  constexpr int kPairs = 250;
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::atomic<int> live{0};
  for (int wave = 0; wave < kWaves; ++wave) {
    std::vector<Plan> plans;
    std::vector<JoinHandle<Outcome>> kept;
    std::vector<JoinHandle<Outcome>> victims;
    for (int id = 0; id < kPairs; ++id) {
      const Plan plan = random_plan(random);
      plans.push_back(plan);
      auto [tx, rx] = oneshot<Tracked>();
      const auto delay = [&random] { return static_cast<int>(random() % 4); };
      (plan.abort_receiver ? victims : kept)
          .push_back(runtime().spawn(receiver(std::move(rx), plan.receiver, id, delay())));
      (plan.abort_sender ? victims : kept)
          .push_back(runtime().spawn(sender(std::move(tx), plan.sender, id, delay(), &live)));
    }
    std::thread aborter([&victims] {
      for (JoinHandle<Outcome>& victim : victims) victim.abort();
    });
    const std::vector<Ended> kept_ends = runtime().block_on(join_all(std::move(kept)));
    aborter.join();
    const std::vector<Ended> victim_ends = runtime().block_on(join_all(std::move(victims)));
    auto next_kept = kept_ends.begin();
    auto next_victim = victim_ends.begin();
    for (const Plan& plan : plans) {
      const Ended received = plan.abort_receiver ? *next_victim++ : *next_kept++;
      const Ended sent = plan.abort_sender ? *next_victim++ : *next_kept++;
      check(plan, received, sent);
    }
    ASSERT_EQ(live, 0) << "wave " << wave;
  }
}

}  // namespace
}  // namespace skua
