// SPDX-License-Identifier: Apache-2.0
//
// The work of the row matmul, without its scheduling: c += a * b on square matrices of 32-bit numbers that wrap around,
// split into quadrants down to blocks of 32 x 32.
//
//   | c00 c01 |    | a00 a01 |   | b00 b01 |      step 0:  cij += ai0 * b0j    four tasks, in parallel
//   | c10 c11 | += | a10 a11 | * | b10 b11 |      step 1:  cij += ai1 * b1j    four more, when these have ended
//
// The two steps write to the same quadrants, so one follows the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "benches/harness/program.h"

namespace skua::bench {

inline constexpr std::int64_t kBlockEdge = 32;
inline constexpr std::size_t kQuadrants = 4;

bool is_matrix_edge(std::int64_t edge);

inline constexpr RowInfo kMatmul = {
    .name = "matmul",
    .size_is = "edge of the matrices, a power of 2",
    .sizes =
        {.full = 2048, .warm_up = 256, .smoke = 64, .min = 32, .max = 8192, .fits = is_matrix_edge},
};

// Tasks of the whole product: a node for each product of two squares.
std::int64_t matmul_tasks(std::int64_t edge);

// c += a * b, where each is a square of `edge` within matrices of `stride` numbers a line.
struct Product {
  const std::uint32_t* a = nullptr;
  const std::uint32_t* b = nullptr;
  std::uint32_t* c = nullptr;
  std::int64_t edge = 0;
  std::int64_t stride = 0;

  bool is_block() const { return edge == kBlockEdge; }

  // The part for quadrant 2 * line + column of c in step 0 or 1.
  Product part(int step, std::size_t quadrant) const {
    const std::int64_t half = edge / 2;
    const std::int64_t right = half;
    const std::int64_t down = half * stride;
    const bool is_lower = quadrant >= 2;
    const bool is_right = quadrant % 2 == 1;
    return {.a = a + (is_lower ? down : 0) + (step == 1 ? right : 0),
            .b = b + (step == 1 ? down : 0) + (is_right ? right : 0),
            .c = c + (is_lower ? down : 0) + (is_right ? right : 0),
            .edge = half,
            .stride = stride};
  }
};

// A leaf of the recursion. Requires: edge == kBlockEdge.
void multiply_block(const Product& product);

// Two matrices to multiply, of numbers that look random and are the same in each run.
class Matrices {
 public:
  explicit Matrices(std::int64_t edge);

  Product whole();
  // Whether c is a * b, by multiplying both with a vector (Freivalds): far less work than the product, and a block that
  // was left out or added twice does not pass.
  bool is_product() const;

 private:
  std::int64_t edge_;
  std::vector<std::uint32_t> a_;
  std::vector<std::uint32_t> b_;
  std::vector<std::uint32_t> c_;
};

}  // namespace skua::bench
