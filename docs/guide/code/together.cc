// SPDX-License-Identifier: Apache-2.0
//
// The code of the chapters on cancellation, structure and sharing. As tasks.cc otherwise.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "docs/guide/code/expect.h"
#include "skua/skua.h"

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// --- Cancellation -----------------------------------------------------------------------------

// Sets a flag when it goes.
class Farewell {
 public:
  explicit Farewell(bool* gone) noexcept : gone_(gone) {}
  Farewell(const Farewell&) = delete;
  Farewell& operator=(const Farewell&) = delete;
  ~Farewell() { *gone_ = true; }

 private:
  bool* const gone_;
};

skua::Task<> wait_for_hours(skua::Event* waits, bool* gone) {
  const Farewell farewell(gone);
  waits->set();
  co_await skua::sleep_for(hours(24));
}

skua::Task<> abort() {
  skua::Event waits;
  bool gone = false;
  // [abort]
  skua::JoinHandle<void> handle = skua::spawn(wait_for_hours(&waits, &gone));
  co_await waits.wait();
  handle.abort();  // Asks, and returns at once.
  const skua::JoinResult<void> ended = co_await std::move(handle).result();
  // Now the task is gone: its sleep was cancelled, and the destructors in its frames have run.
  // [/abort]
  expect(ended.cancelled() && gone, "an aborted task is gone when its handle was awaited");
}

// [computing]
skua::Task<std::int64_t> collatz_steps(std::int64_t from, std::int64_t to) {
  const skua::CancellationToken aborted = skua::this_task::cancellation();
  std::int64_t steps = 0;
  for (std::int64_t n = from; n < to && !aborted.is_cancelled(); ++n) {
    for (std::int64_t x = n; x != 1; ++steps) x = x % 2 == 0 ? x / 2 : 3 * x + 1;
  }
  co_return steps;  // Of as many numbers as there was time for.
}
// [/computing]

// [token]
skua::Task<int> serve(skua::Receiver<int> requests, skua::CancellationToken stop) {
  int served = 0;
  for (;;) {
    auto next = co_await skua::select(requests.recv(), stop.cancelled());
    if (next.index() == 1) break;               // Told to stop. No request was taken.
    if (!std::get<0>(next).has_value()) break;  // No more will come.
    ++served;
  }
  co_return served;
}
// [/token]

skua::Task<> tokens() {
  auto [requests, requests_in] = skua::channel<int>(8);
  // [source]
  skua::CancellationSource server;
  skua::CancellationSource connection = server.child();  // Is cancelled with its parent.
  auto serving = skua::spawn(serve(requests_in, connection.token()));
  for (int i = 0; i < 3; ++i) co_await requests.send(i);
  server.cancel();
  const int served = co_await std::move(serving);
  // [/source]
  expect(served <= 3 && connection.is_cancelled(), "a child is cancelled with its parent");
}

skua::Task<> cancellation_chapter() {
  co_await abort();
  const std::int64_t steps = co_await collatz_steps(1, 10);
  expect(steps == 61, "nobody has aborted it");
  co_await tokens();
}

// --- Structure --------------------------------------------------------------------------------

skua::Task<int> price_of(std::string item) {
  co_await skua::sleep_for(milliseconds(1));
  if (item.empty()) throw std::invalid_argument("no item");
  co_return static_cast<int>(item.size());
}

// [scope]
skua::Task<std::vector<int>> prices_of(std::vector<std::string> items) {
  std::vector<int> prices(items.size());
  const auto store = [](std::string item, int* price) -> skua::Task<> {
    *price = co_await price_of(std::move(item));
  };
  co_await skua::Scope::run([&](skua::Scope& scope) -> skua::Task<> {
    for (std::size_t i = 0; i < items.size(); ++i) scope.spawn(store(items[i], &prices[i]));
    co_return;
  });
  co_return prices;  // All children have ended. If one throws, the others are aborted, and run() rethrows.
}
// [/scope]

// [join_set]
skua::Task<int> cheapest(std::vector<std::string> items) {
  skua::JoinSet<int> prices;
  for (std::string& item : items) prices.spawn(price_of(std::move(item)));
  int least = -1;
  while (std::optional<skua::JoinResult<int>> ended = co_await prices.join_next()) {
    if (!ended->ok()) continue;  // It threw, or was aborted: the others go on.
    if (least < 0 || ended->value() < least) least = ended->value();
  }
  co_return least;
}
// [/join_set]

// [for_each]
skua::Task<int> total(std::vector<std::string> items) {
  int sum = 0;
  skua::Mutex mutex;
  co_await skua::for_each_concurrent(items, 4, [&](const std::string& item) -> skua::Task<> {
    const int price = co_await price_of(item);  // Four of these at a time.
    const skua::MutexGuard guard = co_await mutex.lock();
    sum += price;
  });
  co_return sum;
}
// [/for_each]

skua::Task<std::string> ask(std::string server, milliseconds delay) {
  co_await skua::sleep_for(delay);
  co_return "answer of " + server;
}

skua::Task<> race() {
  // [when_any]
  const std::variant<std::string, std::string> first =
      co_await skua::when_any(ask("a", milliseconds(1)), ask("b", hours(1)));
  // b was aborted, and is gone.
  // [/when_any]
  expect(first.index() == 0 && std::get<0>(first) == "answer of a", "when_any gives the first");
}

skua::Task<> structure_chapter() {
  const std::vector<std::string> items = {"gull", "skua", "fulmar"};
  const std::vector<int> prices = co_await prices_of(items);
  expect(prices == std::vector<int>{4, 4, 6}, "a scope waits for its children");
  bool thrown = false;
  std::vector<std::string> bad = {"gull", ""};
  try {
    co_await prices_of(bad);
  } catch (const std::invalid_argument&) {
    thrown = true;
  }
  expect(thrown, "a scope rethrows what a child throws");
  const int least = co_await cheapest(bad);
  expect(least == 4, "a join set goes on when a task has thrown");
  const int sum = co_await total(items);
  expect(sum == 14, "for_each_concurrent comes to every element");
  co_await race();
}

// --- Sharing ----------------------------------------------------------------------------------

// [channel]
skua::Task<> produce(skua::Sender<int> out) {
  for (int i = 1; i <= 100; ++i) {
    const bool sent = co_await out.send(i);  // Waits while the channel is full.
    if (!sent) co_return;                    // All receivers are gone.
  }
}  // The last sender goes: the channel is closed.

skua::Task<int> consume(skua::Receiver<int> in) {
  int sum = 0;
  while (const std::optional<int> value = co_await in.recv()) sum += *value;
  co_return sum;
}

skua::Task<int> through_a_channel() {
  auto [out, in] = skua::channel<int>(10);
  skua::spawn(produce(std::move(out)));
  skua::JoinHandle<int> one = skua::spawn(consume(in));
  const int other = co_await consume(std::move(in));
  co_return other + co_await std::move(one);
}
// [/channel]

skua::Task<> other_channels() {
  // [other_channels]
  auto [answer_tx, answer] = skua::oneshot<int>();  // One value.
  answer_tx.send(42);
  const std::optional<int> value = co_await answer.recv();

  auto [config_tx, config] = skua::watch<std::string>("v1");  // The latest value.
  config_tx.send("v2");
  config_tx.send("v3");
  const bool changed = co_await config.changed();
  const std::string latest = config.get();

  auto [news, listener] = skua::broadcast<std::string>(16);  // Every value, to everybody.
  news.send("it rains");
  const skua::BroadcastResult<std::string> heard = co_await listener.recv();
  // [/other_channels]
  expect(value == 42, "a oneshot carries one value");
  expect(changed && latest == "v3", "a watch tells the latest");
  expect(heard && *heard == "it rains", "a broadcast tells everybody");
}

// [mutex]
class Accounts {
 public:
  // The lock is held across the await in it. First come, first served.
  skua::Task<bool> transfer(std::string from, std::string to, int amount) {
    const skua::MutexGuard guard = co_await mutex_.lock();
    if (balances_[from] < amount) co_return false;
    balances_[from] -= amount;
    co_await skua::sleep_for(milliseconds(1));  // Writes it down somewhere slow.
    balances_[to] += amount;
    co_return true;
  }

 private:
  skua::Mutex mutex_;
  std::map<std::string, int> balances_ = {{"ada", 100}};
};
// [/mutex]

// [semaphore]
skua::Task<> use_a_connection(skua::Semaphore* connections, int* used) {
  const skua::SemaphorePermit permit = co_await connections->acquire();
  co_await skua::sleep_for(milliseconds(1));
  ++*used;
}  // The permit goes back.
// [/semaphore]

skua::Task<> select_of() {
  auto [jobs_tx, jobs] = skua::channel<int>(4);
  skua::Event stop;
  std::string done;
  // [select]
  auto next = co_await skua::select(jobs.recv(), stop.wait(), skua::sleep_for(milliseconds(5)));
  switch (next.index()) {
    case 0:
      done = "a job";
      break;  // std::get<0>(next): std::optional<int>
    case 1:
      done = "stop";
      break;  // std::monostate, as the next one
    default:
      done = "nothing";
      break;  // 5 ms have gone by, and no job was lost.
  }
  const auto job = co_await jobs.recv_for(milliseconds(5));  // The same for a channel and a time.
  if (job.timed_out()) done += " twice";
  // [/select]
  expect(done == "nothing twice", "a select ends with its first operation");
}

skua::Task<> sharing_chapter() {
  const int sum = co_await through_a_channel();
  expect(sum == 5050, "each value of a channel comes to one receiver");
  co_await other_channels();
  Accounts accounts;
  const auto [first, second] = co_await skua::when_all(accounts.transfer("ada", "grace", 60),
                                                       accounts.transfer("ada", "grace", 60));
  expect(first != second, "a mutex lets one after the other in");
  skua::Semaphore connections(1);
  int used = 0;
  co_await skua::when_all(use_a_connection(&connections, &used),
                          use_a_connection(&connections, &used));
  expect(used == 2, "a semaphore lets so many in at a time");
  co_await select_of();
}

skua::Task<> async_main() {
  co_await cancellation_chapter();
  co_await structure_chapter();
  co_await sharing_chapter();
}

}  // namespace

// [main]
int main() { skua::run(async_main()); }
// [/main]
