// SPDX-License-Identifier: Apache-2.0
//
// Computing for long without holding anything up: passwords are checked by scrypt in the blocking pool, while a ticker
// shows that no worker stalls.
//
//   password_check [GUESS...]    the password is "skua"
//
// scrypt is made to be slow (here some 100 ms and 32 MiB a guess). On a worker it would stop every other task there.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <openssl/evp.h>

#include "skua/blocking.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/time.h"

namespace {

using Clock = std::chrono::steady_clock;
using Key = std::array<unsigned char, 32>;

constexpr std::array<unsigned char, 16> kSalt = {'a', ' ', 's', 'a', 'l', 't'};

// Blocks for as long as it computes. Throws if OpenSSL fails.
Key derive(const std::string& password) {
  Key key;
  if (EVP_PBE_scrypt(password.data(), password.size(), kSalt.data(), kSalt.size(), 1 << 15, 8, 1,
                     64 << 20, key.data(), key.size()) != 1) {
    throw std::runtime_error("scrypt failed");
  }
  return key;
}

struct Ticks {
  int count = 0;
  std::chrono::microseconds late_max{0};
};

// Until it is aborted.
skua::Task<> tick(Ticks* ticks) {
  for (;;) {
    const Clock::time_point due = Clock::now() + std::chrono::milliseconds(5);
    co_await skua::sleep_until(due);
    ++ticks->count;
    ticks->late_max = std::max(
        ticks->late_max, std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - due));
  }
}

skua::Task<int> async_main(std::vector<std::string> guesses) {
  Ticks ticks;
  skua::JoinHandle<void> ticker = skua::spawn(tick(&ticks));
  // All of them at once, in as many threads as there are guesses, or wait for a thread.
  skua::JoinHandle<Key> stored = skua::spawn_blocking([] { return derive("skua"); });
  std::vector<skua::JoinHandle<Key>> checks;
  for (const std::string& guess : guesses) {
    checks.push_back(skua::spawn_blocking([guess] { return derive(guess); }));
  }
  const Key right = co_await std::move(stored);
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const Key key = co_await std::move(checks[i]);
    std::printf("%s: %s\n", guesses[i].c_str(), key == right ? "right" : "wrong");
  }
  ticker.abort();
  const skua::JoinResult<void> ended = co_await std::move(ticker).result();
  std::fprintf(stderr, "the ticker ticked %d times meanwhile, late by %lld us at most\n",
               ticks.count, static_cast<long long>(ticks.late_max.count()));
  co_return ended.cancelled() && ticks.count > 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> guesses(argv + 1, argv + argc);
  if (guesses.empty()) guesses = {"skuas", "gull", "skua"};
  return skua::run(async_main(std::move(guesses)));
}
