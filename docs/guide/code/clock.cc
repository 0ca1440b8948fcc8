// SPDX-License-Identifier: Apache-2.0
//
// The code of the chapters on time and on testing. Its clock is virtual, so it is through at once. As tasks.cc
// otherwise.
#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "docs/guide/code/expect.h"
#include "skua/skua.h"

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// --- Time -------------------------------------------------------------------------------------

skua::Task<> sleeping() {
  const auto begin = skua::now();
  // [sleep]
  co_await skua::sleep_for(milliseconds(250));  // At least so long: late by up to 1 ms.
  co_await skua::sleep_until(skua::now() + seconds(1));
  // [/sleep]
  expect(skua::now() - begin >= milliseconds(1250), "a sleep is never early");
}

// [interval]
skua::Task<> report_every_second(int times) {
  skua::Interval every(seconds(1), skua::MissedTicks::kSkip);
  for (int i = 0; i < times; ++i) {
    co_await every.tick();  // The first one at once.
    // ... report ...
  }
}
// [/interval]

skua::Task<std::string> ask(std::string server, seconds delay) {
  co_await skua::sleep_for(delay);
  co_return "answer of " + server;
}

// [timeout]
skua::Task<std::string> ask_for_a_while(std::string server, seconds delay) {
  const absl::StatusOr<std::string> answer =
      co_await skua::timeout(seconds(2), ask(std::move(server), delay));
  if (absl::IsDeadlineExceeded(answer.status())) co_return "too late";
  co_return answer.ok() ? *answer : answer.status().ToString();
}
// [/timeout]

// [deadline]
skua::Task<bool> is_there_time_for(seconds needed) {
  const auto deadline = skua::this_task::deadline();  // std::optional<steady_clock::time_point>
  co_return !deadline || skua::now() + needed <= *deadline;
}

skua::Task<absl::StatusOr<bool>> within_a_minute(seconds needed) {
  // What the task starts has until then, too: its forks, its scopes, its timeouts.
  return skua::with_deadline(skua::now() + minutes(1), is_there_time_for(needed));
}
// [/deadline]

skua::Task<> time_chapter() {
  co_await sleeping();
  const auto begin = skua::now();
  co_await report_every_second(4);
  expect(skua::now() - begin >= seconds(3), "an interval ticks once each period");
  const std::string soon = co_await ask_for_a_while("a", seconds(1));
  const std::string late = co_await ask_for_a_while("b", seconds(3));
  expect(soon == "answer of a" && late == "too late", "a timeout ends what is late");
  const absl::StatusOr<bool> enough = co_await within_a_minute(seconds(59));
  const absl::StatusOr<bool> more = co_await within_a_minute(seconds(61));
  expect(enough.ok() && *enough && more.ok() && !*more, "a deadline is known within");
}

// --- Testing ----------------------------------------------------------------------------------

// [retry]
// Asks until there is an answer: again after 1 s, 2 s, 4 s, ... Returns how often it has asked.
skua::Task<int> ask_until_answered(int failures) {
  seconds pause(1);
  for (int attempt = 1;; ++attempt) {
    if (attempt > failures) co_return attempt;
    co_await skua::sleep_for(pause);
    pause *= 2;
  }
}
// [/retry]

// [virtual]
skua::Task<> test_backing_off() {
  skua::test_clock::pause();  // From here on, time goes by only when all tasks wait.
  const auto begin = skua::now();
  const int attempts = co_await ask_until_answered(10);
  expect(attempts == 11, "it asks once more than it fails");
  expect(skua::now() - begin == seconds(1023), "1 + 2 + 4 + ... + 512 seconds");
  skua::test_clock::resume();
}
// [/virtual]

// [advance]
skua::Task<> test_step_by_step() {
  skua::test_clock::pause(skua::AutoAdvance::kNo);  // Time goes by only in advance().
  skua::JoinHandle<int> asking = skua::spawn(ask_until_answered(2));
  co_await skua::test_clock::advance(milliseconds(2999));
  expect(!asking.is_finished(), "the second pause is not over");
  co_await skua::test_clock::advance(milliseconds(1));  // What is due has run when it returns.
  expect(asking.is_finished(), "the third attempt was made after 3 s");
  skua::test_clock::resume();
  const int attempts = co_await std::move(asking);
  expect(attempts == 3, "two failures, and an answer");
}
// [/advance]

// [protocol]
// For any stream: a TcpStream in the program, an end of a duplex() in the test.
template <typename Stream>
skua::Task<absl::Status> greet(Stream* stream) {
  skua::BufferedReader<Stream&> lines(*stream);
  const absl::StatusOr<std::optional<std::string>> name = co_await lines.read_line(100);
  if (!name.ok()) co_return name.status();
  const std::string greeting = "hello, " + name->value_or("nobody") + "\n";
  co_return co_await skua::write_all(*stream, std::as_bytes(std::span(greeting)));
}

skua::Task<> test_greeting() {
  auto [client, server] = skua::duplex(4096);
  skua::JoinHandle<absl::Status> greeting = skua::spawn(greet(&server));
  static constexpr std::string_view kName = "ada\n";
  const absl::Status asked = co_await skua::write_all(client, std::as_bytes(std::span(kName)));
  std::array<std::byte, 11> answer;
  const absl::Status answered = co_await skua::read_exact(client, answer);
  expect(asked.ok() && answered.ok(), "the server answers");
  expect(std::string_view(reinterpret_cast<const char*>(answer.data()), 11) == "hello, ada\n",
         "it greets by name");
  const absl::Status greeted = co_await std::move(greeting);
  expect(greeted.ok(), "the server has ended well");
}
// [/protocol]

skua::Task<> all_chapters() {
  skua::test_clock::pause();
  co_await time_chapter();
  skua::test_clock::resume();
  co_await test_backing_off();
  co_await test_step_by_step();
  co_await test_greeting();
}

}  // namespace

int main() { skua::run(all_chapters()); }
