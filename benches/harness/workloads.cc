// SPDX-License-Identifier: Apache-2.0
#include "benches/harness/workloads.h"

namespace skua::bench {

std::int64_t skynet_leaves(std::int64_t depth) {
  std::int64_t leaves = 1;
  for (; depth > 0; --depth) leaves *= kSkynetBranches;
  return leaves;
}

std::int64_t skynet_tasks(std::int64_t depth) {
  return (skynet_leaves(depth + 1) - 1) / (kSkynetBranches - 1);
}

std::int64_t skynet_sum(std::int64_t depth) {
  const std::int64_t leaves = skynet_leaves(depth);
  return leaves % 2 == 0 ? leaves / 2 * (leaves - 1) : leaves * ((leaves - 1) / 2);
}

std::int64_t fib_number(std::int64_t n) {
  std::int64_t a = 0;
  std::int64_t b = 1;
  for (; n > 0; --n) {
    const std::int64_t next = a + b;
    a = b;
    b = next;
  }
  return a;
}

std::int64_t fib_tasks(std::int64_t n) { return 2 * fib_number(n + 1) - 1; }

QueensAnswer queens_answer(std::int64_t queens) {
  static constexpr std::array<QueensAnswer, kQueensMax + 1> kAnswers = {{
      {1, 1},
      {1, 2},
      {0, 3},
      {0, 6},
      {2, 17},
      {10, 54},
      {4, 153},
      {40, 552},
      {92, 2'057},
      {352, 8'394},
      {724, 35'539},
      {2'680, 166'926},
      {14'200, 856'189},
      {73'712, 4'674'890},
      {365'596, 27'358'553},
      {2'279'184, 171'129'072},
  }};
  return kAnswers.at(static_cast<std::size_t>(queens));
}

}  // namespace skua::bench
