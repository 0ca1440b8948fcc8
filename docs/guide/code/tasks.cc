// SPDX-License-Identifier: Apache-2.0
//
// The code of the chapters on tasks, spawning, blocking and priorities. What stands between // [name] and // [/name]
// is shown there; the rest lets it run, and checks that it does what is said.
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "docs/guide/code/expect.h"
#include "skua/skua.h"

namespace {

// --- Tasks ------------------------------------------------------------------------------------

// [square]
skua::Task<int> square(int x) {
  const int result = x * x;
  co_return result;
}

skua::Task<int> sum_of_squares(int a, int b) {
  const int left = co_await square(a);
  const int right = co_await square(b);
  co_return left + right;
}
// [/square]

skua::Task<> mark(bool* ran) {
  *ran = true;
  co_return;
}

skua::Task<> lazy() {
  bool ran = false;
  // [lazy]
  skua::Task<> task = mark(&ran);  // Has not begun: ran is false.
  co_await std::move(task);        // Runs here and now, as a part of this task: ran is true.
  // [/lazy]
  expect(ran, "a task runs when it is awaited");
  ran = false;
  {
    skua::Task<> dropped = mark(&ran);
    expect(static_cast<bool>(dropped), "a task that was not started is there");
  }
  expect(!ran, "a dropped task never runs");
}

// [parameters]
// By value: the coroutine may run long after the caller's string is gone.
skua::Task<std::size_t> length(std::string text) {
  co_await skua::yield_now();
  co_return text.size();
}
// [/parameters]

// [errors]
skua::Task<absl::StatusOr<int>> parse(std::string text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const std::from_chars_result parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    co_return absl::InvalidArgumentError("not a number: " + text);
  }
  co_return value;
}

skua::Task<absl::StatusOr<int>> add(std::string a, std::string b) {
  const absl::StatusOr<int> left = co_await parse(std::move(a));
  if (!left.ok()) co_return left.status();
  const absl::StatusOr<int> right = co_await parse(std::move(b));
  if (!right.ok()) co_return right.status();
  co_return *left + *right;
}
// [/errors]

skua::Task<int> checked_root(int square) {
  for (int root = 0; root * root <= square; ++root) {
    if (root * root == square) co_return root;
  }
  throw std::domain_error("no square");
}

skua::Task<bool> exceptions() {
  bool caught = false;
  // [exceptions]
  try {
    const int root = co_await checked_root(8);
    caught = root < 0;  // Is not reached.
  } catch (const std::domain_error&) {
    caught = true;  // What the task throws comes out of the await. No co_await stands in here.
  }
  // [/exceptions]
  co_return caught;
}

skua::Task<> parallel() {
  // [when_all]
  const auto [two, three] = co_await skua::when_all(square(2), square(3));  // std::tuple<int, int>

  const auto part = [](std::size_t i) { return square(static_cast<int>(i)); };
  const std::vector<int> squares = co_await skua::when_all_n(10, part);
  // [/when_all]
  expect(two == 4 && three == 9, "when_all gives the results in order");
  expect(squares.size() == 10 && squares[9] == 81, "when_all_n makes its children");
}

// [generator]
skua::Generator<std::string> words(std::string text) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    co_yield text.substr(begin, end - begin);
    begin = end + 1;
  }
}

skua::Task<std::size_t> longest_word(std::string text) {
  std::size_t longest = 0;
  skua::Generator<std::string> all = words(std::move(text));
  while (const std::optional<std::string> word = co_await all.next()) {
    longest = std::max(longest, word->size());
  }
  co_return longest;
}
// [/generator]

skua::Task<> tasks_chapter() {
  const int sum = co_await sum_of_squares(3, 4);
  expect(sum == 25, "a task gives what it returns");
  co_await lazy();
  const std::size_t size = co_await length("skua");
  expect(size == 4, "parameters are there after an await");
  const absl::StatusOr<int> good = co_await add("1", "2");
  const absl::StatusOr<int> bad = co_await add("1", "two");
  expect(good.ok() && *good == 3 && absl::IsInvalidArgument(bad.status()), "errors are values");
  const bool caught = co_await exceptions();
  expect(caught, "an exception comes out of the await");
  co_await parallel();
  const std::size_t longest = co_await longest_word("birds that live by stealing");
  expect(longest == 8, "a generator gives values one by one");
}

// --- Spawning ---------------------------------------------------------------------------------

skua::Task<> spawning() {
  // [spawn]
  skua::JoinHandle<int> handle = skua::spawn(square(6));  // Runs at once, on any worker.
  // ... what is done here is done at the same time ...
  const int result = co_await std::move(handle);  // What it returned; rethrows what it threw.
  // [/spawn]
  expect(result == 36, "a handle gives the result");

  std::string name = "skua";
  // [spawn_lambda]
  // With captures: the lambda itself is given away, uncalled, and lives as long as the task.
  auto greeting = skua::spawn([name = std::move(name)]() -> skua::Task<std::string> {
    co_await skua::yield_now();
    co_return "hello, " + name;
  });
  const std::string text = co_await std::move(greeting);
  // [/spawn_lambda]
  expect(text == "hello, skua", "a spawned lambda keeps its captures");

  skua::JoinHandle<int> root = skua::spawn(checked_root(8));
  // [result]
  skua::JoinResult<int> ended = co_await std::move(root).result();  // Throws nothing.
  int value = -1;
  if (ended.ok()) {
    value = ended.value();
  } else if (ended.cancelled()) {
    value = -2;  // It was aborted.
  } else {
    const std::exception_ptr thrown = ended.exception();
    expect(thrown != nullptr, "an exception is kept");
  }
  // [/result]
  expect(value == -1, "a result says how a task ended");
}

// [spawn_local]
// Tasks of one worker never run at the same time: what they share needs no lock.
skua::Task<int> count_on_this_worker() {
  int counter = 0;
  const auto add_ten = [](int* sum) -> skua::Task<> {
    for (int i = 0; i < 10; ++i) {
      ++*sum;
      co_await skua::yield_now();
    }
  };
  skua::JoinHandle<void> first = skua::spawn_local(add_ten(&counter));
  skua::JoinHandle<void> second = skua::spawn_local(add_ten(&counter));
  co_await std::move(first);
  co_await std::move(second);
  co_return counter;
}
// [/spawn_local]

int from_a_thread() {
  // [runtime]
  skua::Runtime runtime({.worker_threads = 2, .thread_name = "app"});
  skua::JoinHandle<int> handle = runtime.spawn(square(7));        // From any thread.
  const int first = skua::blocking_join(std::move(handle));       // Blocks this thread.
  const int second = runtime.block_on(sum_of_squares(first, 1));  // The same in one call.
  // [/runtime]
  return second;
}

// --- Blocking ---------------------------------------------------------------------------------

std::size_t slow_hash(const std::string& text) { return std::hash<std::string>()(text); }

skua::Task<> blocking() {
  const std::string text = "a text";
  // [blocking]
  auto job = skua::spawn_blocking([text] { return slow_hash(text); });  // Its own statement.
  const std::size_t hash = co_await std::move(job);
  // [/blocking]
  expect(hash == slow_hash(text), "a blocking job gives what its function returns");

  // [in_place]
  const std::size_t same = skua::block_in_place([&] { return slow_hash(text); });
  // [/in_place]
  expect(same == hash, "block_in_place gives what its function returns");
}

// [classes]
skua::RuntimeOptions with_a_database() {
  skua::RuntimeOptions options;
  options.max_blocking_threads = 16;
  // BlockingClass::user(0): four threads at most, of which two are always free for it.
  options.blocking_classes.push_back(
      {.name = "database", .max_threads = 4, .reserved_threads = 2, .queue_limit = 100});
  return options;
}

skua::Task<absl::StatusOr<int>> query(int key) {
  auto job = skua::try_spawn_blocking(
      [key] { return key * 2; }, {.name = "query", .pool_class = skua::BlockingClass::user(0)});
  if (!job.ok()) co_return job.status();  // kResourceExhausted: 100 are waiting already.
  const int row = co_await *std::move(job);
  co_return row;
}
// [/classes]

// [token]
// Computes until nobody wants the result any more.
std::int64_t search(skua::CancellationToken stop) {
  std::int64_t candidates = 0;
  while (!stop.is_cancelled()) {
    ++candidates;
    std::this_thread::yield();
  }
  return candidates;
}
// [/token]

skua::Task<> aborted_job() {
  skua::Event running;
  // [abort_job]
  skua::JoinHandle<std::int64_t> job = skua::spawn_blocking([&](skua::CancellationToken stop) {
    running.set();
    return search(std::move(stop));
  });
  co_await running.wait();
  job.abort();  // Cancels the token. A job that has not begun never does.
  const skua::JoinResult<std::int64_t> ended = co_await std::move(job).result();
  // [/abort_job]
  expect(ended.cancelled(), "an aborted job is cancelled when it has ended");
}

// --- Priorities -------------------------------------------------------------------------------

skua::Task<skua::Priority> my_priority() { co_return skua::this_task::priority(); }

skua::Task<> priorities() {
  // [priority]
  auto urgent = skua::spawn(my_priority(), {.priority = skua::Priority::kHigh, .name = "urgent"});
  auto batch = skua::spawn(my_priority(), {.priority = skua::Priority::kLow});
  auto inherits = skua::spawn(my_priority());  // That of the task that spawns it: kNormal here.
  // [/priority]
  const skua::Priority high = co_await std::move(urgent);
  const skua::Priority low = co_await std::move(batch);
  const skua::Priority normal = co_await std::move(inherits);
  expect(high == skua::Priority::kHigh && low == skua::Priority::kLow &&
             normal == skua::Priority::kNormal,
         "a task has the priority it was spawned with");
}

// [yield]
skua::Task<std::int64_t> sum_up(std::vector<std::int64_t> numbers) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    sum += numbers[i];
    if (i % 10'000 == 9'999) co_await skua::yield_now();  // Now and then: tens of microseconds.
  }
  co_return sum;
}
// [/yield]

skua::Task<> all_chapters() {
  co_await tasks_chapter();
  co_await spawning();
  const int counted = co_await count_on_this_worker();
  expect(counted == 20, "local tasks take turns");
  co_await blocking();
  const absl::StatusOr<int> row = co_await query(21);
  expect(row.ok() && *row == 42, "a job of a class of its own");
  co_await aborted_job();
  co_await priorities();
  const std::int64_t sum = co_await sum_up(std::vector<std::int64_t>(25'000, 2));
  expect(sum == 50'000, "a computation that yields");
}

}  // namespace

int main() {
  expect(from_a_thread() == 2402, "a runtime takes work from threads");
  skua::run(all_chapters(), with_a_database());
}
