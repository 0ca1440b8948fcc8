// SPDX-License-Identifier: Apache-2.0
//
// Who may take what a receiver has claimed or reserved. The rest of a channel: channel_test.cc.
#include "skua/internal/receiver_claim.h"

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/internal/executor.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/sync/channel.h"
#include "skua/sync/semaphore.h"
#include "skua/task.h"
#include "tests/support/manual_executor.h"
#include "tests/support/manual_fixture.h"

namespace skua {
namespace {

using test::ManualExecutor;
using Values = std::vector<int>;

class ReceiverClaimTest : public test::ManualTest {};

// A number whose move calls what the test says: this is how one gets in between.
class Number {
 public:
  explicit Number(int value) : value_(value) {}
  Number(Number&& other) noexcept : value_(other.value_) {
    if (on_move) std::exchange(on_move, nullptr)();
  }
  Number& operator=(Number&&) = delete;
  int value() const { return value_; }

  inline static std::function<void()> on_move = nullptr;

 private:
  int value_;
};

Task<> receive_number(const Receiver<Number>* rx, Values* received) {
  const std::optional<Number> number = co_await rx->recv();
  received->push_back(number ? number->value() : -1);
}
Task<> receive_numbers_with_a_move(const Receiver<Number>* rx, std::size_t at, Values* received) {
  for (;;) {
    if (received->size() == at) {
      Number::on_move = [rx] {
        Receiver<Number> copy(*rx);
        const Receiver<Number> moved(std::move(copy));
      };
    }
    const std::optional<Number> number = co_await rx->recv();
    if (!number) co_return;
    received->push_back(number->value());
  }
}

// Another thread may move a copy of its own at any moment: here, while the owner takes from its claim.
TEST_F(ReceiverClaimTest, AMoveOfACopyLeavesTheClaimToItsOwner) {
  constexpr int kNumbers = 12;
  for (std::size_t at = 0; at < kNumbers; ++at) {
    auto [tx, rx] = channel<Number>(64);  // Of which four are claimed at a time.
    for (int i = 0; i < kNumbers; ++i) ASSERT_TRUE(tx.try_send(Number(i)));
    tx.close();
    Values received;
    auto task = spawn(receive_numbers_with_a_move(&rx, at, &received));
    executor_.drain();
    ASSERT_TRUE(task.is_finished()) << at;
    Values all;
    for (int i = 0; i < kNumbers; ++i) all.push_back(i);
    ASSERT_EQ(received, all) << at;
  }
}

TEST_F(ReceiverClaimTest, AMoveOfTheOnlyReceiverKeepsTheOrder) {
  auto [tx, rx] = channel<Number>(64);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(tx.try_send(Number(i)));
  Values received;
  auto first = spawn(receive_number(&rx, &received));
  executor_.drain();
  const Receiver<Number> moved(std::move(rx));
  auto second = spawn(receive_number(&moved, &received));
  executor_.drain();
  EXPECT_TRUE(first.is_finished() && second.is_finished());
  while (const std::optional<Number> number = moved.try_recv()) {
    received.push_back(number->value());
  }
  EXPECT_EQ(received, (Values{0, 1, 2, 3}));
}

// A value that holds an end of the channel it goes through. Values move under the channel's lock.
struct Letter {
  int number = 0;
  std::optional<Receiver<Letter>> reply_from = std::nullopt;
};

Task<> receive_letter(const Receiver<Letter>* rx, std::optional<Letter>* letter) {
  std::optional<Letter> received = co_await rx->recv();
  letter->emplace(*std::move(received));
}

TEST_F(ReceiverClaimTest, AReceiverMayGoThroughItsOwnChannel) {
  auto [tx, rx] = channel<Letter>(64);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(tx.try_send(Letter{.number = i}));
  std::optional<Letter> first;
  auto task = spawn(receive_letter(&rx, &first));  // Claims four more.
  executor_.drain();
  ASSERT_TRUE(task.is_finished());
  EXPECT_TRUE(tx.try_send(Letter{.number = 10, .reply_from = rx}));
  for (int i = 1; i < 10; ++i) {
    const std::optional<Letter> letter = rx.try_recv();
    ASSERT_TRUE(letter.has_value());
    EXPECT_EQ(letter->number, i);
  }
  // It comes out again, and receives.
  EXPECT_TRUE(tx.try_send(Letter{.number = 11}));
  const std::optional<Letter> sent = rx.try_recv();
  ASSERT_TRUE(sent.has_value());
  ASSERT_TRUE(sent->reply_from.has_value());
  const std::optional<Letter> last = sent->reply_from->try_recv();
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->number, 11);
}

Task<> send_numbers(Sender<int> tx, int count) {
  for (int i = 1; i <= count; ++i) EXPECT_TRUE(co_await tx.send(i));
}
Task<> receive_at_the_end_of_the_budget(Receiver<int> rx, Semaphore* budget, Values* received) {
  for (int i = 1; i < internal::kRunBudget; ++i) {
    const SemaphorePermit unit = co_await budget->acquire();
  }
  const std::optional<int> value = co_await rx.recv();
  received->push_back(value.value_or(-1));
}
Task<> receive_all(Receiver<int> rx, Values* received) {
  while (const std::optional<int> value = co_await rx.recv()) received->push_back(*value);
}

// While a value is reserved, another receiver waits. The room that is made when it is taken lets in the value of a
// sender that waits, which is the other receiver's.
TEST_F(ReceiverClaimTest, WhoTakesWhatItHasReservedServesThoseWhoWait) {
  auto [tx, rx] = channel<int>(1);
  Semaphore budget(1'000);
  Values of_a;
  Values of_b;
  auto sender = spawn(send_numbers(std::move(tx), 2));
  ASSERT_TRUE(executor_.run_one());  // 1 is stored; it waits with 2.
  auto a = spawn(receive_at_the_end_of_the_budget(rx, &budget, &of_a));
  auto b = spawn(receive_all(std::move(rx), &of_b));
  ASSERT_TRUE(executor_.run_one());  // Reserves 1, and goes to the back of the line.
  ASSERT_TRUE(executor_.run_one());  // Waits.
  executor_.drain();
  EXPECT_TRUE(sender.is_finished() && a.is_finished());
  EXPECT_TRUE(b.is_finished());
  EXPECT_EQ(of_a, Values{1});
  EXPECT_EQ(of_b, Values{2});
  b.abort();  // Should it wait.
  executor_.drain();
}

// A message may hold the end that receives it: it is moved into the channel under the channel's own lock.
struct SelfAddressed {
  std::optional<Receiver<SelfAddressed>> receiver;
};

TEST(ChannelCycleTest, ItsOwnReceiverIsSentThroughAChannelThatHasAClaim) {
  Runtime runtime({.flavor = Flavor::kCurrentThread});
  runtime.block_on([]() -> Task<> {
    auto [tx, rx] = unbounded_channel<SelfAddressed>();
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(tx.try_send(SelfAddressed()));
    EXPECT_TRUE((co_await rx.recv()).has_value());  // Claims the others: it is the only receiver.
    std::optional<Receiver<SelfAddressed>> other(rx);
    SelfAddressed message;
    message.receiver.emplace(std::move(rx));  // Leaves the claim, for there are two.
    Receiver<SelfAddressed> last(*other);
    other.reset();
    EXPECT_TRUE(tx.try_send(std::move(message)));
    int count = 0;
    while (last.try_recv().has_value()) ++count;
    EXPECT_EQ(count, 5);
  }());
}

}  // namespace
}  // namespace skua
