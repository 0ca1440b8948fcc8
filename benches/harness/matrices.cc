// SPDX-License-Identifier: Apache-2.0
#include "benches/harness/matrices.h"

#include <algorithm>
#include <array>
#include <bit>

namespace skua::bench {
namespace {

// Marsaglia's xorshift. Never 0.
class Numbers {
 public:
  std::uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }

 private:
  std::uint32_t state_ = 2'463'534'242;
};

std::vector<std::uint32_t> times(const std::vector<std::uint32_t>& matrix,
                                 const std::vector<std::uint32_t>& vector) {
  const std::size_t edge = vector.size();
  std::vector<std::uint32_t> product(edge);
  for (std::size_t i = 0; i < edge; ++i) {
    for (std::size_t j = 0; j < edge; ++j) product[i] += matrix[i * edge + j] * vector[j];
  }
  return product;
}

}  // namespace

bool is_matrix_edge(std::int64_t edge) {
  return std::has_single_bit(static_cast<std::uint64_t>(edge));
}

std::int64_t matmul_tasks(std::int64_t edge) {
  return edge == kBlockEdge ? 1 : 1 + 8 * matmul_tasks(edge / 2);
}

void multiply_block(const Product& product) {
  for (std::int64_t i = 0; i < kBlockEdge; ++i) {
    std::uint32_t* const c = product.c + i * product.stride;
    // A copy of the line: it stays in vector registers, and overlaps with nothing that the compiler had to look for.
    std::array<std::uint32_t, kBlockEdge> sums;
    std::copy_n(c, kBlockEdge, sums.begin());
    for (std::int64_t k = 0; k < kBlockEdge; ++k) {
      const std::uint32_t factor = product.a[i * product.stride + k];
      const std::uint32_t* const b = product.b + k * product.stride;
      for (std::size_t j = 0; j < sums.size(); ++j) sums[j] += factor * b[j];
    }
    std::copy(sums.begin(), sums.end(), c);
  }
}

Matrices::Matrices(std::int64_t edge)
    : edge_(edge), a_(static_cast<std::size_t>(edge * edge)), b_(a_.size()), c_(a_.size()) {
  Numbers numbers;
  for (std::uint32_t& number : a_) number = numbers.next();
  for (std::uint32_t& number : b_) number = numbers.next();
}

Product Matrices::whole() {
  return {.a = a_.data(), .b = b_.data(), .c = c_.data(), .edge = edge_, .stride = edge_};
}

bool Matrices::is_product() const {
  Numbers numbers;
  std::vector<std::uint32_t> vector(static_cast<std::size_t>(edge_));
  for (std::uint32_t& number : vector) number = numbers.next();
  return times(c_, vector) == times(a_, times(b_, vector));
}

}  // namespace skua::bench
