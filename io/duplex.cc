// SPDX-License-Identifier: Apache-2.0
#include "skua/io/duplex.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "skua/internal/check.h"
#include "skua/internal/io_source.h"
#include "skua/internal/mutex.h"
#include "skua/status.h"
#include "skua/sync/notify.h"

namespace skua {
namespace internal {

// One direction: a ring of bytes. Who finds nothing to do waits for a notification, which is kept if it comes before,
// and looks again; so it never matters whether the other one was notified once too often.
class DuplexPipe {
 public:
  explicit DuplexPipe(std::size_t capacity)
      : capacity_(capacity), bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity)) {}
  DuplexPipe(const DuplexPipe&) = delete;
  DuplexPipe& operator=(const DuplexPipe&) = delete;

  Task<absl::StatusOr<std::size_t>> read(std::span<std::byte> buffer) {
    co_await BudgetAwaiter();
    for (;;) {
      const Moved moved = take(buffer);
      if (moved.count > 0 || moved.ended) co_return moved.count;
      co_await readable_.notified();
    }
  }

  Task<absl::StatusOr<std::size_t>> write(std::span<const std::byte> data) {
    co_await BudgetAwaiter();
    for (;;) {
      const Moved moved = put(data);
      if (moved.ended) co_return errno_to_status(EPIPE, "write");
      if (moved.count > 0) co_return moved.count;
      co_await writable_.notified();
    }
  }

  // Nothing more is written.
  void end_writing() noexcept SKUA_EXCLUDES(mu_) {
    {
      MutexLock lock(&mu_);
      write_ended_ = true;
    }
    readable_.notify_one();
    writable_.notify_one();  // A task that waits to write, on the side that has ended it.
  }
  // Nobody reads any more.
  void end_reading() noexcept SKUA_EXCLUDES(mu_) {
    {
      MutexLock lock(&mu_);
      read_ended_ = true;
    }
    writable_.notify_one();
  }

 private:
  struct Moved {
    std::size_t count;
    bool ended;
  };

  Moved take(std::span<std::byte> buffer) SKUA_EXCLUDES(mu_) {
    std::size_t count = 0;
    {
      MutexLock lock(&mu_);
      if (size_ == 0) return {.count = 0, .ended = write_ended_};
      while (count < buffer.size() && size_ > 0) {
        const std::size_t piece = std::min({buffer.size() - count, size_, capacity_ - begin_});
        std::memcpy(buffer.data() + count, bytes_.get() + begin_, piece);
        begin_ = (begin_ + piece) % capacity_;
        size_ -= piece;
        count += piece;
      }
    }
    writable_.notify_one();
    return {.count = count, .ended = false};
  }

  Moved put(std::span<const std::byte> data) SKUA_EXCLUDES(mu_) {
    std::size_t count = 0;
    {
      MutexLock lock(&mu_);
      if (read_ended_ || write_ended_) return {.count = 0, .ended = true};
      while (count < data.size() && size_ < capacity_) {
        const std::size_t end = (begin_ + size_) % capacity_;
        const std::size_t piece =
            std::min({data.size() - count, capacity_ - size_, capacity_ - end});
        std::memcpy(bytes_.get() + end, data.data() + count, piece);
        size_ += piece;
        count += piece;
      }
    }
    if (count > 0) readable_.notify_one();
    return {.count = count, .ended = false};
  }

  const std::size_t capacity_;
  Notify readable_;
  Notify writable_;
  Mutex mu_;
  const std::unique_ptr<std::byte[]> bytes_ SKUA_GUARDED_BY(mu_);
  std::size_t begin_ SKUA_GUARDED_BY(mu_) = 0;
  std::size_t size_ SKUA_GUARDED_BY(mu_) = 0;
  bool write_ended_ SKUA_GUARDED_BY(mu_) = false;
  bool read_ended_ SKUA_GUARDED_BY(mu_) = false;
};

}  // namespace internal

DuplexStream::DuplexStream(std::shared_ptr<internal::DuplexPipe> in,
                           std::shared_ptr<internal::DuplexPipe> out) noexcept
    : in_(std::move(in)), out_(std::move(out)) {}

DuplexStream::DuplexStream(DuplexStream&& other) noexcept = default;

DuplexStream& DuplexStream::operator=(DuplexStream&& other) noexcept {
  if (this != &other) {
    close();
    in_ = std::move(other.in_);
    out_ = std::move(other.out_);
  }
  return *this;
}

DuplexStream::~DuplexStream() { close(); }

void DuplexStream::close() noexcept {
  if (in_ == nullptr) return;
  in_->end_reading();
  out_->end_writing();
}

Task<absl::StatusOr<std::size_t>> DuplexStream::read(std::span<std::byte> buffer) {
  SKUA_REQUIRE(in_ != nullptr);
  SKUA_REQUIRE(!buffer.empty());
  return in_->read(buffer);
}

Task<absl::StatusOr<std::size_t>> DuplexStream::write(std::span<const std::byte> data) {
  SKUA_REQUIRE(out_ != nullptr);
  SKUA_REQUIRE(!data.empty());
  return out_->write(data);
}

void DuplexStream::shutdown() noexcept {
  SKUA_REQUIRE(out_ != nullptr);
  out_->end_writing();
}

std::pair<DuplexStream, DuplexStream> duplex(std::size_t capacity) {
  SKUA_REQUIRE(capacity > 0, capacity);
  auto there = std::make_shared<internal::DuplexPipe>(capacity);
  auto back = std::make_shared<internal::DuplexPipe>(capacity);
  return {DuplexStream(back, there), DuplexStream(there, back)};
}

}  // namespace skua
