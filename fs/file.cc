// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/file.h"

#include <climits>
#include <fcntl.h>
#include <linux/stat.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include <liburing.h>

#include "base/unique_fd.h"
#include "skua/internal/check.h"

namespace skua {
namespace {

using internal::IoAwaiter;
using internal::IoRequest;

std::uint64_t address_of(const void* pointer) noexcept {
  return reinterpret_cast<std::uint64_t>(pointer);
}

// Awaits an openat. A descriptor that came although the task was aborted reaches the task all the same (a result
// wins over an abort), and so its owner.
class OpenAwaiter {
 public:
  OpenAwaiter(const char* path, int flags, unsigned mode) noexcept
      : io_(IoRequest(IORING_OP_OPENAT, AT_FDCWD, address_of(path), mode, 0,
                      static_cast<std::uint32_t>(flags | O_CLOEXEC))) {}
  OpenAwaiter(const OpenAwaiter&) = delete;
  OpenAwaiter& operator=(const OpenAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
    return io_.await_suspend(awaiting);
  }
  // A descriptor or -errno.
  int await_resume() const noexcept { return io_.await_resume(); }

 private:
  IoAwaiter io_;
};

Task<absl::StatusOr<FileMetadata>> statx_of(int directory, std::string path, int flags) {
  struct statx buffer = {};
  const int result = co_await IoAwaiter(IoRequest(
      IORING_OP_STATX, directory, address_of(path.c_str()), STATX_SIZE | STATX_TYPE | STATX_MODE,
      address_of(&buffer), static_cast<std::uint32_t>(flags)));
  if (result < 0) {
    const std::string what = path.empty() ? std::string("statx") : "statx " + path;
    co_return internal::errno_to_status(-result, what);
  }
  FileMetadata metadata;
  metadata.size = buffer.stx_size;
  metadata.mode = buffer.stx_mode;
  co_return metadata;
}

// Owns the descriptor until the kernel has it: if the task is aborted before the close has begun, `fd` closes it.
Task<absl::Status> close_of(internal::UniqueFd fd) {
  const int result = co_await IoAwaiter(IoRequest(IORING_OP_CLOSE, fd.get(), 0, 0, 0, 0));
  fd.release();
  if (result < 0) co_return internal::errno_to_status(-result, "close");
  co_return absl::OkStatus();
}

}  // namespace

bool FileMetadata::is_regular() const noexcept { return S_ISREG(mode); }
bool FileMetadata::is_directory() const noexcept { return S_ISDIR(mode); }

internal::ReadAtAwaiter::ReadAtAwaiter(int fd, std::uint64_t offset,
                                       std::span<std::byte> buffer) noexcept
    : io_(IoRequest(IORING_OP_READ, fd, address_of(buffer.data()),
                    static_cast<std::uint32_t>(buffer.size()), offset, 0)) {}

File::File(int fd) noexcept : fd_(fd) { SKUA_REQUIRE(fd >= 0, fd); }

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    internal::UniqueFd closed(fd_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

File::~File() { internal::UniqueFd closed(fd_); }

Task<absl::StatusOr<File>> File::open(std::string path, OpenOptions options) {
  const int fd = co_await OpenAwaiter(path.c_str(), options.flags, options.mode);
  if (fd < 0) {
    const std::string what = "open " + path;
    co_return internal::errno_to_status(-fd, what);
  }
  co_return File(fd);
}

internal::ReadAtAwaiter File::read_at(std::uint64_t offset, std::span<std::byte> buffer) noexcept {
  SKUA_REQUIRE(fd_ >= 0, fd_);
  SKUA_REQUIRE(!buffer.empty() && buffer.size() <= INT_MAX, buffer.size());
  return internal::ReadAtAwaiter(fd_, offset, buffer);
}

Task<absl::StatusOr<FileMetadata>> File::metadata() {
  SKUA_REQUIRE(fd_ >= 0, fd_);
  return statx_of(fd_, std::string(), AT_EMPTY_PATH);
}

Task<absl::Status> File::close() {
  SKUA_REQUIRE(fd_ >= 0, fd_);
  return close_of(internal::UniqueFd(std::exchange(fd_, -1)));
}

Task<absl::StatusOr<FileMetadata>> fs::metadata(std::string path) {
  return statx_of(AT_FDCWD, std::move(path), 0);
}

}  // namespace skua
