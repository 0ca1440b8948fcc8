// SPDX-License-Identifier: Apache-2.0
//
// Memory for direct I/O (OpenOptions::direct), which the device reads and writes itself.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

namespace skua {

// What direct I/O on a file asks for, in bytes. Powers of two.
struct DirectAlignment {
  std::size_t memory = 4096;  // Of the buffer's address.
  std::size_t offset = 4096;  // Of the place in the file, and of the length.
};

// Owns zeroed bytes at an aligned address. Moves, does not copy; converts to the spans that File takes.
//
// Lifetime: outlives the operations on it, as every buffer does.
class AlignedBuffer {
 public:
  // Errors: std::bad_alloc.
  // Requires: size > 0; alignment is a power of two.
  explicit AlignedBuffer(std::size_t size, std::size_t alignment = DirectAlignment{}.memory);
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        alignment_(other.alignment_) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  ~AlignedBuffer();

  // Sizes in bytes. nullptr, and 0, after a move.
  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  std::span<std::byte> span() noexcept { return {data_, size_}; }
  std::span<const std::byte> span() const noexcept { return {data_, size_}; }
  operator std::span<std::byte>() noexcept { return span(); }
  operator std::span<const std::byte>() const noexcept { return span(); }

 private:
  std::byte* data_;
  std::size_t size_;
  std::size_t alignment_;
};

}  // namespace skua
