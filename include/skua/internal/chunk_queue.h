// SPDX-License-Identifier: Apache-2.0
//
// What a channel keeps its values in: a list of chunks, so that values never move, and memory follows their number.
//
//   head_ -> | ....vvvvvvvv | -> | vvvvvvvvvvvv | -> | vvvvv....... | <- tail_      spares_ -> chunk -> chunk
//                ^ head_at_                                 ^ tail_at_
//
// No operation but reserve() and the destructor allocates or frees: the queue is used under a lock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "skua/internal/frame.h"

namespace skua::internal {

template <typename T>
class ChunkQueue {
 public:
  struct Chunk {
    Chunk() noexcept {}
    ~Chunk() {}

    // The largest that is recycled is 1 KiB.
    static constexpr std::size_t kSlots =
        std::clamp<std::size_t>((1024 - 2 * sizeof(void*)) / sizeof(T), 4, 64);
    Chunk* next = nullptr;
    union {
      T slots[kSlots];
    };
  };
  static constexpr std::size_t kSlots = Chunk::kSlots;

  ChunkQueue() noexcept = default;
  ChunkQueue(const ChunkQueue&) = delete;
  ChunkQueue& operator=(const ChunkQueue&) = delete;
  ~ChunkQueue() {
    while (head_ != nullptr && !is_empty()) {
      std::destroy_at(front());
      drop_front(1);
    }
    if (head_ != nullptr) free(head_);
    free(spares_);
  }

  // Chunks for `values` values, wherever the first of them stands. Throws std::bad_alloc.
  void reserve(std::size_t values) {
    for (std::size_t room = 0; room < values + 2 * (kSlots - 1); room += kSlots)
      add_spare(allocate());
  }

  // A new chunk. Throws std::bad_alloc. Without the lock.
  static Chunk* allocate() { return ::new (allocate_block(sizeof(Chunk))) Chunk; }
  // Frees a list of chunks. Without the lock.
  static void free(Chunk* chunks) noexcept {
    while (chunks != nullptr) {
      Chunk* const chunk = std::exchange(chunks, chunks->next);
      chunk->~Chunk();
      free_block(chunk, sizeof(Chunk));
    }
  }
  void add_spare(Chunk* chunk) noexcept {
    chunk->next = spares_;
    spares_ = chunk;
    ++spare_count_;
  }
  // A spare beyond `keep`, for free(); nullptr: there is none.
  Chunk* take_surplus(std::size_t keep) noexcept {
    if (spare_count_ <= keep) return nullptr;
    Chunk* const chunk = take_spare();
    chunk->next = nullptr;
    return chunk;
  }

  bool is_empty() const noexcept { return head_ == tail_ && head_at_ == tail_at_; }
  // Whether push() can be called.
  bool has_room() const noexcept {
    return (tail_ != nullptr && tail_at_ < kSlots) || spares_ != nullptr;
  }
  // Requires: has_room(), and T's move does not throw.
  void push(T&& value) noexcept {
    if (tail_ == nullptr || tail_at_ == kSlots) {
      Chunk* const chunk = take_spare();
      chunk->next = nullptr;
      if (tail_ == nullptr) {
        head_ = chunk;
      } else {
        tail_->next = chunk;
      }
      tail_ = chunk;
      tail_at_ = 0;
    }
    ::new (static_cast<void*>(tail_->slots + tail_at_)) T(std::move(value));
    ++tail_at_;
  }

  // The oldest value. Requires: it is not empty; so the next two.
  T* front() noexcept { return head_->slots + head_at_; }
  // How many values stand side by side, from front() on.
  std::size_t front_count() const noexcept {
    return (head_ == tail_ ? tail_at_ : kSlots) - head_at_;
  }
  // Leaves out the first `count` values, which were destroyed. Requires: count <= front_count().
  void drop_front(std::size_t count) noexcept {
    head_at_ += count;
    if (head_ == tail_) {
      if (head_at_ == tail_at_)
        head_at_ = tail_at_ = 0;  // The same slots again: they are in the cache.
    } else if (head_at_ == kSlots) {
      add_spare(std::exchange(head_, head_->next));
      head_at_ = 0;
    }
  }

  void swap(ChunkQueue& other) noexcept {
    std::swap(head_, other.head_);
    std::swap(head_at_, other.head_at_);
    std::swap(tail_, other.tail_);
    std::swap(tail_at_, other.tail_at_);
    std::swap(spares_, other.spares_);
    std::swap(spare_count_, other.spare_count_);
  }

 private:
  Chunk* take_spare() noexcept {
    --spare_count_;
    return std::exchange(spares_, spares_->next);
  }

  Chunk* head_ = nullptr;
  std::size_t head_at_ = 0;
  Chunk* tail_ = nullptr;
  std::size_t tail_at_ = 0;
  Chunk* spares_ = nullptr;
  std::size_t spare_count_ = 0;
};

}  // namespace skua::internal
