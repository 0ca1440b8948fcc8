// SPDX-License-Identifier: Apache-2.0
#include "skua/sync/oneshot.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <variant>

#include <gtest/gtest.h>

#include "skua/internal/task_header.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "tests/support/manual_executor.h"
#include "tests/support/manual_fixture.h"
#include "tests/support/tracked.h"

namespace skua {
namespace {

using internal::TaskHeader;
using test::ManualExecutor;
using test::Tracked;

Task<std::optional<int>> receive(OneshotReceiver<int> rx) { co_return co_await rx.recv(); }
Task<std::optional<int>> receive_from(OneshotReceiver<int>* rx) { co_return co_await rx->recv(); }
// Waits until nobody wants the value, and tries to send it all the same.
Task<bool> send_when_closed(OneshotSender<int> tx) {
  co_await tx.closed();
  EXPECT_TRUE(tx.is_closed());
  co_return tx.send(1);
}
Task<> wait_until_closed(OneshotSender<int>* tx) { co_await tx->closed(); }
Task<> nothing() { co_return; }

class OneshotTest : public test::ManualTest {
 protected:
  template <typename T>
  static JoinResult<T> result(JoinHandle<T> handle) {
    EXPECT_TRUE(handle.is_finished());
    internal::JoinShare<T> share = std::move(handle).release_share();
    return JoinResult<T>(share.slot());
  }
};

// --- Each order of what the two ends do -----------------------------------------------------------

TEST_F(OneshotTest, AValueThatIsThereIsReceivedWithoutSuspending) {
  auto [tx, rx] = oneshot<int>();
  EXPECT_TRUE(tx.send(7));
  auto task = spawn(receive(std::move(rx)));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_EQ(result(std::move(task)).value(), 7);
}

TEST_F(OneshotTest, ASendWakesTheReceiverThatWaits) {
  auto [tx, rx] = oneshot<int>();
  auto task = spawn(receive(std::move(rx)));
  executor_.drain();
  EXPECT_FALSE(task.is_finished());
  EXPECT_TRUE(tx.send(7));
  EXPECT_EQ(executor_.ready(), 1u);
  executor_.drain();
  EXPECT_EQ(result(std::move(task)).value(), 7);
}

TEST_F(OneshotTest, ASenderThatIsDroppedEndsTheWaitWithNothing) {
  auto [tx, rx] = oneshot<int>();
  auto task = spawn(receive(std::move(rx)));
  executor_.drain();
  {
    const OneshotSender<int> dropped = std::move(tx);
  }
  executor_.drain();
  EXPECT_EQ(result(std::move(task)).value(), std::nullopt);
}

TEST_F(OneshotTest, ASenderThatWasDroppedIsSeenWithoutSuspending) {
  auto [tx, rx] = oneshot<int>();
  {
    const OneshotSender<int> dropped = std::move(tx);
  }
  auto task = spawn(receive(std::move(rx)));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_EQ(result(std::move(task)).value(), std::nullopt);
}

TEST_F(OneshotTest, ASendToADroppedReceiverFailsAndDestroysTheValue) {
  std::atomic<int> live{0};
  auto [tx, rx] = oneshot<Tracked>();
  EXPECT_FALSE(tx.is_closed());
  {
    const OneshotReceiver<Tracked> dropped = std::move(rx);
  }
  EXPECT_TRUE(tx.is_closed());
  EXPECT_FALSE(tx.send(Tracked(1, &live)));
  EXPECT_EQ(live, 0);
}

TEST_F(OneshotTest, AValueThatNobodyTakesIsDestroyedWithTheReceiver) {
  std::atomic<int> live{0};
  auto [tx, rx] = oneshot<Tracked>();
  EXPECT_TRUE(tx.send(Tracked(1, &live)));
  EXPECT_EQ(live, 1);
  {
    const OneshotReceiver<Tracked> dropped = std::move(rx);
  }
  EXPECT_EQ(live, 0);
}

TEST_F(OneshotTest, TheEndsMayBeDroppedUnusedInEitherOrder) {
  {
    auto [tx, rx] = oneshot<int>();
    const OneshotSender<int> first = std::move(tx);
  }
  {
    auto [tx, rx] = oneshot<int>();
    const OneshotReceiver<int> first = std::move(rx);
  }
}  // Judged by the leak check.

TEST_F(OneshotTest, TryRecvTellsNothingYetFromNothingMore) {
  std::atomic<int> live{0};
  auto [tx, rx] = oneshot<Tracked>();
  EXPECT_FALSE(rx.try_recv().has_value());
  EXPECT_FALSE(rx.is_closed());
  EXPECT_TRUE(tx.send(Tracked(7, &live)));
  EXPECT_FALSE(rx.is_closed());  // The value is there.
  {
    const std::optional<Tracked> received = rx.try_recv();
    ASSERT_TRUE(received.has_value());
    EXPECT_EQ(received->value(), 7);
    EXPECT_EQ(live, 1);
  }
  EXPECT_TRUE(rx.is_closed());
  EXPECT_FALSE(rx.try_recv().has_value());

  auto [dropped, abandoned] = oneshot<int>();
  {
    const OneshotSender<int> end = std::move(dropped);
  }
  EXPECT_TRUE(abandoned.is_closed());
  EXPECT_FALSE(abandoned.try_recv().has_value());
}

TEST_F(OneshotTest, AfterTheValueThereIsNothingMore) {
  auto [tx, rx] = oneshot<int>();
  EXPECT_TRUE(tx.send(7));
  const auto receive_three_times = [](OneshotReceiver<int> end) -> Task<int> {
    const std::optional<int> first = co_await end.recv();
    const std::optional<int> second = co_await end.recv();
    OneshotReceiver<int> moved = std::move(end);
    const std::optional<int> third = co_await moved.recv();
    EXPECT_FALSE(second.has_value() || third.has_value());
    co_return *first;
  };
  auto task = spawn(receive_three_times(std::move(rx)));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_EQ(result(std::move(task)).value(), 7);
  EXPECT_FALSE(rx.try_recv().has_value());  // NOLINT(bugprone-use-after-move): it is specified.
  EXPECT_FALSE(rx.blocking_recv().has_value());
}

TEST_F(OneshotTest, AClosedReceiverGetsNothingAndTheSendFails) {
  auto [tx, rx] = oneshot<int>();
  rx.close();
  EXPECT_TRUE(rx.is_closed());
  EXPECT_TRUE(tx.is_closed());
  rx.close();
  EXPECT_FALSE(tx.send(7));
  EXPECT_FALSE(rx.try_recv().has_value());
}

TEST_F(OneshotTest, AValueThatWasSentBeforeTheCloseCanStillBeReceived) {
  auto [tx, rx] = oneshot<int>();
  EXPECT_TRUE(tx.send(7));
  rx.close();
  EXPECT_FALSE(rx.is_closed());
  EXPECT_EQ(rx.try_recv(), 7);
}

TEST_F(OneshotTest, ClosedWaitsForTheReceiversDrop) {
  auto [tx, rx] = oneshot<int>();
  auto task = spawn(send_when_closed(std::move(tx)));
  executor_.drain();
  EXPECT_FALSE(task.is_finished());
  {
    const OneshotReceiver<int> dropped = std::move(rx);
  }
  executor_.drain();
  EXPECT_FALSE(result(std::move(task)).value());
}

TEST_F(OneshotTest, ClosedWaitsForTheReceiversClose) {
  auto [tx, rx] = oneshot<int>();
  auto task = spawn(send_when_closed(std::move(tx)));
  executor_.drain();
  rx.close();
  executor_.drain();
  EXPECT_FALSE(result(std::move(task)).value());
}

TEST_F(OneshotTest, ClosedDoesNotSuspendOnceTheReceiverIsGone) {
  auto [tx, rx] = oneshot<int>();
  rx.close();
  auto task = spawn(send_when_closed(std::move(tx)));
  EXPECT_TRUE(executor_.run_one());
  EXPECT_TRUE(task.is_finished());
}

// --- Ends and values ------------------------------------------------------------------------------

TEST_F(OneshotTest, AnAssignedEndDropsItsOldChannel) {
  auto [old_tx, old_rx] = oneshot<int>();
  auto [tx, rx] = oneshot<int>();
  old_tx = std::move(tx);
  EXPECT_TRUE(old_rx.is_closed());
  EXPECT_TRUE(old_tx.send(7));
  old_rx = std::move(rx);
  EXPECT_EQ(old_rx.try_recv(), 7);
}

TEST_F(OneshotTest, AChannelOfVoidSendsTheFactAlone) {
  auto [tx, rx] = oneshot<void>();
  EXPECT_FALSE(rx.try_recv().has_value());
  EXPECT_TRUE(tx.send());
  EXPECT_EQ(rx.try_recv(), std::monostate());
}

TEST_F(OneshotTest, AMoveOnlyValueIsNotCopied) {
  auto [tx, rx] = oneshot<std::unique_ptr<int>>();
  auto sent = std::make_unique<int>(7);
  const int* const address = sent.get();
  EXPECT_TRUE(tx.send(std::move(sent)));
  EXPECT_EQ(rx.try_recv()->get(), address);
}

TEST_F(OneshotTest, AValueThatIsATemporaryOfTheAwaitIsDestroyedOnce) {
  const auto receive_at_once = [](OneshotReceiver<Tracked> rx) -> Task<int> {
    co_return (co_await rx.recv())->value();
  };
  std::atomic<int> live{0};
  auto [tx, rx] = oneshot<Tracked>();
  auto task = spawn(receive_at_once(std::move(rx)));
  executor_.drain();
  EXPECT_TRUE(tx.send(Tracked(7, &live)));
  executor_.drain();
  EXPECT_EQ(result(std::move(task)).value(), 7);
  EXPECT_EQ(live, 0);
}

struct alignas(std::max_align_t) Aligned {
  Aligned() = default;
  Aligned(Aligned&&) noexcept {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(this) % alignof(std::max_align_t), 0u);
  }
};

TEST_F(OneshotTest, AValueMayHaveTheLargestFundamentalAlignment) {
  auto [tx, rx] = oneshot<Aligned>();
  EXPECT_TRUE(tx.send(Aligned()));
  EXPECT_TRUE(rx.try_recv().has_value());
}

// A list whose links are channels: its type is incomplete where it names them.
struct Link {
  Link(int v, OneshotReceiver<Link> rest) noexcept : value(v), next(std::move(rest)) {}
  int value;
  OneshotReceiver<Link> next;
};

TEST_F(OneshotTest, AValueMayHoldTheEndOfAChannelOfItsOwnType) {
  auto [tx, rx] = oneshot<Link>();
  {
    auto [next_tx, next_rx] = oneshot<Link>();
    auto [last_tx, last_rx] = oneshot<Link>();
    EXPECT_TRUE(next_tx.send(Link(2, std::move(last_rx))));
    EXPECT_TRUE(tx.send(Link(1, std::move(next_rx))));
  }
  std::optional<Link> first = rx.try_recv();
  std::optional<Link> second = first->next.try_recv();
  EXPECT_EQ(second->value, 2);
  EXPECT_TRUE(second->next.is_closed());
}

// Throws when it is moved, as often as it is told.
struct Reluctant {
  explicit Reluctant(int* throws) : throws_left(throws) {}
  Reluctant(Reluctant&& other) : throws_left(other.throws_left) {
    if (*throws_left > 0) {
      --*throws_left;
      throw std::runtime_error("not yet");
    }
  }
  int* throws_left;
};

TEST_F(OneshotTest, WhatTheMoveThrowsLeavesTheValueToBeSentOrReceivedAgain) {
  auto [tx, rx] = oneshot<Reluctant>();
  int throws = 1;
  Reluctant value(&throws);
  const auto send = [&tx = tx, &value] { return tx.send(std::move(value)); };
  EXPECT_THROW(send(), std::runtime_error);
  EXPECT_FALSE(rx.try_recv().has_value());
  EXPECT_FALSE(rx.is_closed());
  EXPECT_TRUE(send());
  throws = 2;
  EXPECT_THROW(static_cast<void>(rx.try_recv()), std::runtime_error);
  const auto recv = [](OneshotReceiver<Reluctant>* end) -> Task<> {
    [[maybe_unused]] const auto received = co_await end->recv();
  };
  auto failing = spawn(recv(&rx));
  executor_.drain();
  EXPECT_NE(result(std::move(failing)).exception(), nullptr);
  EXPECT_TRUE(rx.try_recv().has_value());
}

// --- Cancellation ---------------------------------------------------------------------------------

TEST_F(OneshotTest, AnAbortedRecvTakesTheReceiverWithIt) {
  auto [tx, rx] = oneshot<int>();
  auto task = spawn(receive(std::move(rx)));
  executor_.drain();
  task.abort();
  executor_.drain();
  EXPECT_TRUE(result(std::move(task)).cancelled());
  EXPECT_TRUE(tx.is_closed());
  EXPECT_FALSE(tx.send(7));
}

TEST_F(OneshotTest, AReceiverThatOutlivesAnAbortedRecvIsAsItWas) {
  auto [tx, rx] = oneshot<int>();
  for (int i = 0; i < 2; ++i) {
    auto aborted = spawn(receive_from(&rx));
    executor_.drain();
    aborted.abort();
    executor_.drain();
    EXPECT_TRUE(result(std::move(aborted)).cancelled());
  }
  auto task = spawn(receive_from(&rx));
  executor_.drain();
  EXPECT_TRUE(tx.send(7));
  executor_.drain();
  EXPECT_EQ(result(std::move(task)).value(), 7);
}

TEST_F(OneshotTest, AnAbortAfterTheSendComesTooLate) {
  auto [tx, rx] = oneshot<int>();
  auto task = spawn(receive(std::move(rx)));
  executor_.drain();
  EXPECT_TRUE(tx.send(7));
  task.abort();
  executor_.drain();
  EXPECT_EQ(result(std::move(task)).value(), 7);
}

// Is asked to end before it suspends.
Task<std::optional<int>> abort_itself_and_receive(
    OneshotReceiver<int> rx, std::optional<JoinHandle<std::optional<int>>>* self) {
  (*self)->abort();
  co_return co_await rx.recv();
}

TEST_F(OneshotTest, AnAbortBeforeTheRecvSuspendsEndsItThere) {
  auto [tx, rx] = oneshot<int>();
  std::optional<JoinHandle<std::optional<int>>> task;
  task.emplace(spawn(abort_itself_and_receive(std::move(rx), &task)));
  executor_.drain();
  EXPECT_TRUE(result(*std::move(task)).cancelled());
  EXPECT_FALSE(tx.send(7));
}

TEST_F(OneshotTest, AnAbortBeforeTheRecvOfAValueThatIsThereDoesNotLoseIt) {
  auto [tx, rx] = oneshot<int>();
  EXPECT_TRUE(tx.send(7));
  std::optional<JoinHandle<std::optional<int>>> task;
  task.emplace(spawn(abort_itself_and_receive(std::move(rx), &task)));
  executor_.drain();
  EXPECT_EQ(result(*std::move(task)).value(), 7);
}

TEST_F(OneshotTest, ASenderThatOutlivesAnAbortedClosedIsAsItWas) {
  auto [tx, rx] = oneshot<int>();
  for (int i = 0; i < 2; ++i) {
    auto aborted = spawn(wait_until_closed(&tx));
    executor_.drain();
    aborted.abort();
    executor_.drain();
    EXPECT_TRUE(result(std::move(aborted)).cancelled());
  }
  EXPECT_TRUE(tx.send(7));
  EXPECT_EQ(rx.try_recv(), 7);
}

TEST_F(OneshotTest, AnAbortAfterTheCloseComesTooLateForClosed) {
  auto [tx, rx] = oneshot<int>();
  auto task = spawn(send_when_closed(std::move(tx)));
  executor_.drain();
  rx.close();
  task.abort();
  executor_.drain();
  EXPECT_FALSE(result(std::move(task)).value());
}

TEST_F(OneshotTest, WhileBothEndsWaitTheAbortOfOneEndsTheOthersWait) {
  for (const bool abort_receiver : {true, false}) {
    auto [tx, rx] = oneshot<int>();
    auto receiver = spawn(receive(std::move(rx)));
    auto sender = spawn(send_when_closed(std::move(tx)));
    executor_.drain();
    if (abort_receiver) {
      receiver.abort();
    } else {
      sender.abort();
    }
    executor_.drain();
    JoinResult<std::optional<int>> received = result(std::move(receiver));
    JoinResult<bool> sent = result(std::move(sender));
    EXPECT_EQ(received.cancelled(), abort_receiver);
    EXPECT_EQ(sent.cancelled(), !abort_receiver);
    if (abort_receiver) {
      EXPECT_FALSE(sent.value());
    } else {
      EXPECT_EQ(received.value(), std::nullopt);
    }
  }
}

TEST_F(OneshotTest, AValueWhoseReceiverWasWokenAndNeverResumedGoesWithTheReceiver) {
  std::atomic<int> live{0};
  auto [tx, rx] = oneshot<Tracked>();
  TaskHeader header(internal::TaskKind::kRoot);
  internal::WorkerCore core;
  core.budget = internal::kRunBudget;
  header.worker = &core;
  header.executor = &executor_;
  const auto frame = nothing().release_handle();  // A handle to wait with.
  frame.promise().task = &header;
  {
    auto awaiter = rx.recv();
    EXPECT_FALSE(awaiter.await_ready());
    EXPECT_TRUE(awaiter.await_suspend(frame));
    EXPECT_TRUE(tx.send(Tracked(7, &live)));
    EXPECT_EQ(executor_.pop(), &header);
  }
  EXPECT_EQ(live, 1);
  {
    const OneshotReceiver<Tracked> dropped = std::move(rx);
  }
  EXPECT_EQ(live, 0);
  frame.destroy();
}

TEST_F(OneshotTest, AnAwaiterThatIsNotReadyYetFindsTheValueWhenItSuspends) {
  auto [tx, rx] = oneshot<int>();
  TaskHeader header(internal::TaskKind::kRoot);
  internal::WorkerCore core;
  core.budget = internal::kRunBudget;
  header.worker = &core;
  header.executor = &executor_;
  const auto frame = nothing().release_handle();
  frame.promise().task = &header;
  auto awaiter = rx.recv();
  EXPECT_FALSE(awaiter.await_ready());
  EXPECT_TRUE(tx.send(7));
  EXPECT_FALSE(awaiter.await_suspend(frame));
  EXPECT_EQ(header.waiting_on, nullptr);
  EXPECT_EQ(awaiter.await_resume(), 7);
  EXPECT_EQ(executor_.ready(), 0u);
  frame.destroy();
}

TEST_F(OneshotTest, ClosedThatIsNotReadyYetFindsTheReceiverGoneWhenItSuspends) {
  auto [tx, rx] = oneshot<int>();
  TaskHeader header(internal::TaskKind::kRoot);
  internal::WorkerCore core;
  core.budget = internal::kRunBudget;
  header.worker = &core;
  header.executor = &executor_;
  const auto frame = nothing().release_handle();
  frame.promise().task = &header;
  {
    auto awaiter = tx.closed();
    EXPECT_FALSE(awaiter.await_ready());
    rx.close();
    EXPECT_FALSE(awaiter.await_suspend(frame));
    EXPECT_EQ(header.waiting_on, nullptr);
  }
  EXPECT_EQ(executor_.ready(), 0u);
  EXPECT_FALSE(tx.send(7));
  frame.destroy();
}

// --- Plain threads --------------------------------------------------------------------------------

TEST_F(OneshotTest, APlainThreadMaySendAndItsWritesAreSeen) {
  int written = 0;
  auto [tx, rx] = oneshot<int>();
  auto task = spawn(receive(std::move(rx)));
  executor_.drain();
  std::thread sender([&written, end = std::move(tx)]() mutable {
    written = 1;  // Plain: published by the send.
    EXPECT_TRUE(end.send(7));
  });
  while (!executor_.run_one()) std::this_thread::yield();
  EXPECT_EQ(written, 1);
  EXPECT_EQ(result(std::move(task)).value(), 7);
  sender.join();
}

TEST_F(OneshotTest, ABlockingRecvReturnsWhatIsThere) {
  auto [tx, rx] = oneshot<int>();
  EXPECT_TRUE(tx.send(7));
  EXPECT_EQ(rx.blocking_recv(), 7);
  EXPECT_EQ(rx.blocking_recv(), std::nullopt);
}

// --- Callers' bugs --------------------------------------------------------------------------------

class OneshotDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(OneshotDeathTest, ASpentSenderCannotBeUsed) {
  auto [tx, rx] = oneshot<int>();
  EXPECT_TRUE(tx.send(1));
  EXPECT_DEATH(tx.send(2), "a spent OneshotSender");
  EXPECT_DEATH(static_cast<void>(tx.is_closed()), "a spent OneshotSender");
  EXPECT_DEATH(static_cast<void>(tx.closed()), "a spent OneshotSender");
}

enum class Use { kWait, kEnd, kMove };

// Uses an end while a task waits on it.
void use_while_waiting(bool receiver, Use use) {
  ManualExecutor executor;
  auto [tx, rx] = oneshot<int>();
  const auto wait = [&, &tx = tx, &rx = rx] {
    if (receiver) {
      static_cast<void>(internal::spawn_on(executor, receive_from(&rx), {}));
    } else {
      static_cast<void>(internal::spawn_on(executor, wait_until_closed(&tx), {}));
    }
    executor.drain();
  };
  wait();
  if (use == Use::kWait) {
    wait();
  } else if (use == Use::kEnd) {
    receiver ? rx.close() : static_cast<void>(tx.send(1));
  } else if (receiver) {
    const OneshotReceiver<int> moved = std::move(rx);
  } else {
    const OneshotSender<int> moved = std::move(tx);
  }
}

TEST_F(OneshotDeathTest, AnEndThatATaskWaitsOnCannotBeUsed) {
  EXPECT_DEATH(use_while_waiting(true, Use::kWait), "two wait on one OneshotReceiver");
  EXPECT_DEATH(use_while_waiting(true, Use::kEnd), "while a task waits in its recv");
  EXPECT_DEATH(use_while_waiting(false, Use::kWait), "two tasks wait in closed");
  EXPECT_DEATH(use_while_waiting(false, Use::kEnd), "a task waits in (its )?closed");
#ifndef NDEBUG
  EXPECT_DEATH(use_while_waiting(true, Use::kMove), "a task waits in recv");
  EXPECT_DEATH(use_while_waiting(false, Use::kMove), "a task waits in closed");
#endif
}

TEST_F(OneshotDeathTest, ABlockingRecvOnAWorkerIsReported) {
  const auto die = [] {
    const auto block = []() -> Task<> {
      auto [tx, rx] = oneshot<int>();
      tx.send(1);  // It may not block there, ready or not.
      static_cast<void>(rx.blocking_recv());
      co_return;
    };
    Runtime runtime({.worker_threads = 1});
    runtime.block_on(block());
  };
  EXPECT_DEATH(die(), "blocking_recv was called on a worker");
}

}  // namespace
}  // namespace skua
