// SPDX-License-Identifier: Apache-2.0
#include "io_driver/socket_choice.h"

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "skua/net/unix_stream.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/time.h"
#include "tests/support/socket_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using test::read_byte;
using test::write_byte;

// Bytes go both ways by whatever engine the runtime has, whatever has used the sockets before.
Task<> talk(std::pair<UnixStream, UnixStream>* pair) {
  for (int round = 0; round < 3; ++round) {
    JoinHandle<int> reader = spawn(read_byte(&pair->first));
    co_await sleep_for(1ms);
    co_await write_byte(&pair->second, 'e');
    EXPECT_EQ(co_await std::move(reader), 'e');
  }
}

TEST(SocketEngineTest, ASocketIsUsedByRuntimesOfBothEngines) {
  auto pair = UnixStream::pair();
  Runtime ready({.worker_threads = 2, .socket_engine = SocketEngine::kReadiness});
  Runtime complete({.worker_threads = 2, .socket_engine = SocketEngine::kCompletion});
  for (int round = 0; round < 3; ++round) {
    complete.block_on(talk(&*pair));
    ready.block_on(talk(&*pair));
  }
}

SocketEngine engine_of(RuntimeOptions options) {
  options.worker_threads = 1;
  Runtime runtime(options);
  auto pair = UnixStream::pair();
  runtime.block_on(talk(&*pair));
  EXPECT_NE(runtime.metrics().socket_engine_reason, "");
  return runtime.metrics().socket_engine;
}

TEST(SocketEngineTest, TheEnvironmentChoosesUnlessTheProgramDoes) {
  constexpr auto kUring = IoBackend::kUring;
  const char* const value = std::getenv("SKUA_SOCKETS");
  const std::optional<std::string> before =
      value != nullptr ? std::optional<std::string>(value) : std::nullopt;
  ::unsetenv("SKUA_SOCKETS");
  EXPECT_EQ(engine_of({.io_backend = kUring}), SocketEngine::kReadiness);
  ::setenv("SKUA_SOCKETS", "completion", 1);
  EXPECT_EQ(engine_of({.io_backend = kUring}), SocketEngine::kCompletion);
  EXPECT_EQ(engine_of({.io_backend = kUring, .socket_engine = SocketEngine::kReadiness}),
            SocketEngine::kReadiness);
  ::setenv("SKUA_SOCKETS", "readiness", 1);
  EXPECT_EQ(engine_of({.io_backend = kUring}), SocketEngine::kReadiness);
  EXPECT_EQ(engine_of({.io_backend = kUring, .socket_engine = SocketEngine::kCompletion}),
            SocketEngine::kCompletion);
  ::setenv("SKUA_SOCKETS", "poll", 1);
  const auto refused = Runtime::create({.worker_threads = 1});
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << refused.status();
  if (before.has_value()) {
    ::setenv("SKUA_SOCKETS", before->c_str(), 1);
  } else {
    ::unsetenv("SKUA_SOCKETS");
  }
}

TEST(SocketEngineTest, OnEpollReadinessRunsAndSaysWhy) {
  Runtime runtime({.worker_threads = 1,
                   .io_backend = IoBackend::kEpoll,
                   .socket_engine = SocketEngine::kCompletion});
  auto pair = UnixStream::pair();
  runtime.block_on(talk(&*pair));
  EXPECT_EQ(runtime.metrics().socket_engine, SocketEngine::kReadiness);
  EXPECT_NE(runtime.metrics().socket_engine_reason.find("needs io_uring"), std::string::npos);
}

}  // namespace
}  // namespace skua
