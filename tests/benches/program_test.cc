// SPDX-License-Identifier: Apache-2.0
//
// The command line and the output of the rows' programs, on an engine that does nothing.
#include "benches/harness/program.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "benches/harness/measure.h"

namespace skua::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Notes what it was made with and what ran on it.
struct FakeEngine {
  explicit FakeEngine(const EngineOptions& options) { made_with() = options; }

  static EngineOptions& made_with() {
    static EngineOptions options;
    return options;
  }
  static std::vector<std::int64_t>& sizes_run() {
    static std::vector<std::int64_t> sizes;
    return sizes;
  }
};

Outcome run_row(FakeEngine& /*engine*/, std::int64_t size) {
  FakeEngine::sizes_run().push_back(size);
  return {.ops = 2 * size,
          .right = true,
          .used = {.wall_s = 0.5, .cpu_s = 0.75},
          .figures = {{"p99_us", 12.5}}};
}

Outcome run_wrong(FakeEngine& /*engine*/, std::int64_t size) {
  FakeEngine::sizes_run().push_back(size);
  return {.ops = 1, .right = false, .used = {.wall_s = 1, .cpu_s = 1}};
}

// Wrong at its full size only.
Outcome run_wrong_late(FakeEngine& /*engine*/, std::int64_t size) {
  return {.ops = 1, .right = size < 100, .used = {.wall_s = 1, .cpu_s = 1}};
}

bool is_even(std::int64_t size) { return size % 2 == 0; }

constexpr Sizes kSizes = {
    .full = 100, .warm_up = 10, .smoke = 2, .min = 2, .max = 1000, .fits = is_even};

constexpr std::array kRows = {
    Row<FakeEngine>{{.name = "row", .size_is = "pairs", .sizes = kSizes}, run_row},
    Row<FakeEngine>{{.name = "wrong", .size_is = "pairs", .sizes = kSizes}, run_wrong},
    Row<FakeEngine>{{.name = "wrong_late", .size_is = "pairs", .sizes = kSizes}, run_wrong_late},
};

constexpr std::array<std::string_view, 2> kPolicies = {"stealing", "sharing"};
constexpr std::array<std::string_view, 2> kBackends = {"fast", "slow"};

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() { FakeEngine::sizes_run().clear(); }

  // Runs the program, and keeps what it printed.
  int run(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "fake_rows");
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const ProgramInfo program = {.name = "fake_rows",
                                 .purpose = "Does nothing.",
                                 .policies = kPolicies,
                                 .backends = kBackends};
    const int status = run_program<FakeEngine>(program, kRows, static_cast<int>(arguments.size()),
                                               arguments.data());
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return status;
  }

  std::string out_;
  std::string err_;
};

TEST_F(ProgramTest, ARowRunsOnceToWarmUpAndOnceForItsFigures) {
  EXPECT_EQ(run({"row"}), 0);
  EXPECT_THAT(FakeEngine::sizes_run(), ElementsAre(10, 100));
  EXPECT_THAT(out_,
              StartsWith("{\"row\": \"row\", \"ns_per_op\": 2500000.000, \"wall_s\": 0.500000, "
                         "\"ops\": 200, \"cpu_s\": 0.750000, \"max_rss_kib\": "));
  EXPECT_THAT(out_, HasSubstr(", \"size\": 100, \"workers\": 2, \"policy\": \"stealing\", "
                              "\"backend\": \"fast\", \"p99_us\": 12.5000}\n"));
  EXPECT_EQ(err_, "");
}

TEST_F(ProgramTest, TheWarmUpIsNeverLargerThanTheRun) {
  EXPECT_EQ(run({"row", "--size", "4"}), 0);
  EXPECT_THAT(FakeEngine::sizes_run(), ElementsAre(4, 4));
}

TEST_F(ProgramTest, TheEngineIsMadeAsTheCommandLineSays) {
  EXPECT_EQ(run({"--workers", "7", "--policy", "sharing", "--backend", "slow", "row"}), 0);
  EXPECT_EQ(FakeEngine::made_with().workers, 7);
  EXPECT_EQ(FakeEngine::made_with().policy, "sharing");
  EXPECT_EQ(FakeEngine::made_with().backend, "slow");
}

TEST_F(ProgramTest, AWrongAnswerIsAFailureAndPrintsNoFigures) {
  EXPECT_EQ(run({"wrong_late"}), kExitWrongAnswer);
  EXPECT_EQ(out_, "");
  EXPECT_THAT(err_, HasSubstr("wrong_late: wrong answer"));
}

TEST_F(ProgramTest, AWrongWarmUpIsAFailureToo) {
  EXPECT_EQ(run({"wrong"}), kExitWrongAnswer);
  EXPECT_THAT(FakeEngine::sizes_run(), ElementsAre(10));
  EXPECT_EQ(out_, "");
}

TEST_F(ProgramTest, TheListNamesEachRowWithItsSizes) {
  EXPECT_EQ(run({"--list"}), 0);
  EXPECT_EQ(out_, "row 100 2 pairs\nwrong 100 2 pairs\nwrong_late 100 2 pairs\n");
}

TEST_F(ProgramTest, HelpExplainsTheOptions) {
  EXPECT_EQ(run({"row", "--help"}), 0);
  EXPECT_THAT(out_, StartsWith("usage: fake_rows ROW"));
  EXPECT_THAT(out_, HasSubstr("--policy P   how tasks are scheduled: stealing sharing; the first"));
  EXPECT_THAT(out_, HasSubstr("--backend B  through what I/O goes: fast slow; the first"));
}

TEST_F(ProgramTest, AMistakeInTheCommandLineIsNamed) {
  const struct {
    std::vector<const char*> arguments;
    const char* message;
  } cases[] = {
      {{}, "which row?"},
      {{"nothing"}, "unknown row nothing"},
      {{"row", "row"}, "one row at a time"},
      {{"row", "--loud"}, "unknown option --loud"},
      {{"row", "--size"}, "--size needs a value"},
      {{"row", "--size", "x"}, "--size needs a number"},
      {{"row", "--size", "4x"}, "--size needs a number"},
      {{"row", "--size", "1"}, "the size of row is from 2 to 1000"},
      {{"row", "--size", "1001"}, "the size of row is from 2 to 1000"},
      {{"row", "--size", "3"}, "the size of row is: pairs"},
      {{"row", "--workers", "0"}, "--workers is from 1"},
      {{"row", "--policy", "luck"}, "unknown policy luck"},
      {{"row", "--backend", "tape"}, "unknown backend tape"},
      {{"row", "--backend"}, "--backend needs a value"},
  };
  for (const auto& [arguments, message] : cases) {
    EXPECT_EQ(run(arguments), kExitUsage) << message;
    EXPECT_THAT(err_, HasSubstr(message));
    EXPECT_THAT(err_, HasSubstr("usage: fake_rows"));
    EXPECT_EQ(out_, "") << message;
  }
}

TEST(NotPossibleTest, ItIsNoWrongAnswerAndSaysWhy) {
  EXPECT_EXIT(not_possible("a file", ENOSPC), testing::ExitedWithCode(kExitNotPossible),
              "not possible here: a file: No space left on device");
}

TEST(LatencyFiguresTest, TheyAreThoseOfTheDistribution) {
  std::vector<std::int64_t> sorted_ns;
  for (std::int64_t us = 0; us <= 10'000; ++us) sorted_ns.push_back(us * 1000);
  std::vector<double> values;
  for (const Figure& figure : latency_figures(sorted_ns)) values.push_back(figure.value);
  EXPECT_THAT(values, ElementsAre(1000, 5000, 9000, 9900, 9990, 9999, 10'000));
  EXPECT_EQ(latency_figures({1'500}).back().value, 1.5);
}

TEST(MeasureTest, WorkCostsTimeAndMemory) {
  const Usage used = measure([] {
    const std::vector<char> bytes(std::size_t{64} << 20, 'x');
    asm volatile(""
                 :
                 : "g"(bytes.data())
                 : "memory");  // Else Clang 19 elides the allocation at -O3.
    EXPECT_EQ(bytes.back(), 'x');
  });
  EXPECT_GT(used.wall_s, 0);
  EXPECT_GE(used.cpu_s, 0);
  EXPECT_GE(peak_rss_kib(), 64 << 10);
  forget_peak_rss();
  EXPECT_LT(peak_rss_kib(), 64 << 10);
}

}  // namespace
}  // namespace skua::bench
