// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/aligned_buffer.h"

#include <bit>
#include <cstring>
#include <new>

#include "skua/internal/check.h"

namespace skua {

AlignedBuffer::AlignedBuffer(std::size_t size, std::size_t alignment)
    : size_(size), alignment_(alignment) {
  SKUA_REQUIRE(size > 0, size);
  SKUA_REQUIRE(std::has_single_bit(alignment), alignment);
  data_ = static_cast<std::byte*>(::operator new(size, std::align_val_t(alignment)));
  std::memset(data_, 0, size);
}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  AlignedBuffer moved(std::move(other));
  std::swap(data_, moved.data_);
  std::swap(size_, moved.size_);
  std::swap(alignment_, moved.alignment_);
  return *this;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) ::operator delete(data_, std::align_val_t(alignment_));
}

}  // namespace skua
