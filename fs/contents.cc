// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/contents.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <span>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "base/unique_fd.h"
#include "fs/requests.h"
#include "skua/fs/file.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {
namespace {

using internal::IoAwaiter;
using internal::IoRequest;
using internal::path_error;
using internal::UniqueFd;

// `status`, which does not say of which file, does.
absl::Status with_path(const absl::Status& status, const std::string& path) {
  if (status.ok()) return status;
  absl::Status named(status.code(), std::string(status.message()) + ": " + path);
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& value) { named.SetPayload(url, value); });
  return named;
}

std::span<const std::byte> bytes_of(const std::string& data) noexcept {
  return std::as_bytes(std::span(data));
}

}  // namespace

Task<absl::StatusOr<std::string>> fs::read_file(std::string path, ReadFileOptions options) {
  absl::StatusOr<File> file = co_await File::open(path);
  if (!file.ok()) co_return file.status();
  absl::StatusOr<std::string> content = co_await file->read_all(options.size_max);
  if (!content.ok()) co_return with_path(content.status(), path);
  // Nothing was written, so a close has nothing to report; but it may take its time.
  const absl::Status closed = co_await file->close();
  if (!closed.ok()) co_return with_path(closed, path);
  co_return content;
}

// --- Writing ------------------------------------------------------------------------------------

namespace {

Task<absl::Status> write_in_place(std::string path, std::string data,
                                  fs::WriteFileOptions options) {
  OpenOptions how;
  how.read = false;
  how.write = true;
  how.create = true;
  how.truncate = true;
  how.mode = options.mode;
  absl::StatusOr<File> file = co_await File::open(path, how);
  if (!file.ok()) co_return file.status();
  absl::Status status = co_await file->write_all_at(0, bytes_of(data));
  if (status.ok() && options.sync) status = co_await file->sync();
  if (!status.ok()) co_return with_path(status, path);
  status = co_await file->close();
  co_return with_path(status, path);
}

// A name that nobody else uses. Whoever owns it removes what has it.
class TemporaryName {
 public:
  explicit TemporaryName(int directory) : directory_(directory) {
    std::uint64_t random[2] = {};
    const ssize_t size = ::getrandom(random, sizeof(random), 0);
    SKUA_CHECK(size == sizeof(random), size);  // So few bytes always come whole (getrandom(2)).
    char name[64];
    std::snprintf(name, sizeof(name), ".skua-%016llx%016llx.tmp",
                  static_cast<unsigned long long>(random[0]),
                  static_cast<unsigned long long>(random[1]));
    name_ = name;
  }
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  // Here because nothing can be awaited when a task is aborted. Whatever has become of the open, by now or for the
  // one who asks: nobody else would clean up.
  ~TemporaryName() {
    if (!gone_) ::unlinkat(directory_, name_.c_str(), 0);
  }

  const char* c_str() const noexcept { return name_.c_str(); }
  void set_gone() noexcept { gone_ = true; }

 private:
  const int directory_;
  std::string name_;
  bool gone_ = false;
};

Task<absl::Status> write_beside(std::string path, std::string data, fs::WriteFileOptions options) {
  const std::size_t slash = path.find_last_of('/');
  std::string parent = ".";
  if (slash != std::string::npos) parent = path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty()) co_return path_error(path.empty() ? -ENOENT : -EISDIR, "open", path);

  const UniqueFd directory(co_await IoAwaiter(
      internal::open_request(AT_FDCWD, parent.c_str(), O_RDONLY | O_DIRECTORY, 0)));
  if (!directory) {
    const int error = directory.get();
    co_return path_error(error, "open", parent);
  }
  TemporaryName temporary(directory.get());
  UniqueFd fd(co_await IoAwaiter(internal::open_request(
      directory.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL, options.mode)));
  if (!fd) {
    const int error = fd.get();
    if (error == -EEXIST) temporary.set_gone();  // Another's: 128 random bits say that it never is.
    co_return path_error(error, "open", parent + "/" + temporary.c_str());
  }
  File file(fd.release());
  absl::Status status = co_await file.write_all_at(0, bytes_of(data));
  if (status.ok()) status = co_await file.sync();
  if (status.ok()) status = co_await file.close();
  if (status.ok()) {
    const int renamed = co_await IoAwaiter(internal::rename_request(
        directory.get(), temporary.c_str(), directory.get(), name.c_str(), 0));
    if (renamed < 0) status = path_error(renamed, "rename", temporary.c_str());
  }
  if (!status.ok()) {
    // Before it returns, and not on the worker if that can be.
    const int removed =
        co_await IoAwaiter(internal::unlink_request(directory.get(), temporary.c_str(), 0));
    if (removed == 0) temporary.set_gone();
    co_return with_path(status, path);
  }
  temporary.set_gone();
  const int synced = co_await IoAwaiter(internal::fsync_request(directory.get()));
  // Some file systems have nothing to sync there, and say so.
  if (synced < 0 && synced != -EINVAL) {
    co_return path_error(synced, "fsync of the directory of", path);
  }
  co_return absl::OkStatus();
}

}  // namespace

Task<absl::Status> fs::write_file(std::string path, std::string data, WriteFileOptions options) {
  if (options.atomic) return write_beside(std::move(path), std::move(data), options);
  return write_in_place(std::move(path), std::move(data), options);
}

// --- Copying ------------------------------------------------------------------------------------

namespace {

// A call of the blocking pool at a time is no longer than this takes: an abort waits for it.
constexpr std::uint64_t kCopyChunk = 8 << 20;
constexpr std::size_t kBufferSize = 256 << 10;

struct CopyRange {
  CopyRange(int from_fd, int to_fd, std::uint64_t at, std::uint64_t length) noexcept
      : from(from_fd), to(to_fd), offset(at), size(std::min(length, kCopyChunk)) {}
  static std::int32_t call(void* self) noexcept {
    const auto* const range = static_cast<const CopyRange*>(self);
    auto in = static_cast<off64_t>(range->offset);
    off64_t out = in;
    const ssize_t size = ::copy_file_range(range->from, &in, range->to, &out, range->size, 0);
    return size < 0 ? -errno : static_cast<std::int32_t>(size);
  }

  const int from;
  const int to;
  const std::uint64_t offset;
  const std::size_t size;
};

// Where the next data begin from `offset` on, and where they end. ENXIO: there are none.
struct FindData {
  FindData(int file, std::uint64_t from) noexcept : fd(file), offset(from) {}
  static std::int32_t call(void* self) noexcept {
    auto* const find = static_cast<FindData*>(self);
    const off64_t data = ::lseek64(find->fd, static_cast<off64_t>(find->offset), SEEK_DATA);
    if (data < 0) return -errno;
    const off64_t hole = ::lseek64(find->fd, data, SEEK_HOLE);
    if (hole < 0) return -errno;
    find->begin = static_cast<std::uint64_t>(data);
    find->end = static_cast<std::uint64_t>(hole);
    return 0;
  }

  const int fd;
  const std::uint64_t offset;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct ChangeMode {
  ChangeMode(int file, unsigned permissions) noexcept : fd(file), mode(permissions) {}
  static std::int32_t call(void* self) noexcept {
    const auto* const change = static_cast<const ChangeMode*>(self);
    return ::fchmod(change->fd, change->mode) < 0 ? -errno : 0;
  }

  const int fd;
  const unsigned mode;
};

// The kernel cannot copy between these two.
bool copies_otherwise(int error) noexcept {
  return error == -EXDEV || error == -EINVAL || error == -EOPNOTSUPP || error == -ENOSYS ||
         error == -EPERM || error == -ETXTBSY;
}

// One copy, from open file to open file. The files outlive it.
class Copy {
 public:
  Copy(File* from, File* to) noexcept : from_(from), to_(to) {}

  // Returns the size.
  Task<absl::StatusOr<std::uint64_t>> run(std::uint64_t size) {
    std::uint64_t offset = 0;
    while (offset < size) {
      FindData find(from_->fd(), offset);
      const int found = co_await IoAwaiter(IoRequest::call(&FindData::call, &find));
      if (found == -ENXIO) break;  // A hole up to the end.
      if (found < 0 && found != -EINVAL) co_return internal::errno_to_status(-found, "lseek");
      std::uint64_t end = size;
      if (found == 0) {
        offset = find.begin;
        end = find.end;
      }
      const absl::StatusOr<std::uint64_t> copied = co_await copy_data(offset, end);
      if (!copied.ok()) co_return copied.status();
      offset = *copied;
      // The file ends before its size: it has become shorter, or is one of the kernel's.
      if (offset < end) co_return offset;
    }
    // What is behind: data that came since, or a file of the kernel, whose size says nothing.
    const absl::StatusOr<std::uint64_t> total =
        co_await copy_by_buffer(std::max(offset, size), UINT64_MAX);
    if (!total.ok()) co_return total.status();
    const absl::Status sized = co_await to_->set_len(*total);  // A hole at the end.
    if (!sized.ok()) co_return sized;
    co_return *total;
  }

 private:
  // Up to `end`, or the end of the file. Returns where it has stopped.
  Task<absl::StatusOr<std::uint64_t>> copy_data(std::uint64_t offset, std::uint64_t end) {
    while (offset < end && !by_buffer_) {
      CopyRange range(from_->fd(), to_->fd(), offset, end - offset);
      const int count = co_await IoAwaiter(IoRequest::call(&CopyRange::call, &range));
      if (copies_otherwise(count)) {
        by_buffer_ = true;
      } else if (count < 0) {
        co_return internal::errno_to_status(-count, "copy_file_range");
      } else if (count == 0) {
        break;  // Says a file that has become shorter; and one of the kernel, at once.
      } else {
        offset += static_cast<std::uint64_t>(count);
      }
    }
    co_return co_await copy_by_buffer(offset, end);
  }

  // The same, by reads and writes.
  Task<absl::StatusOr<std::uint64_t>> copy_by_buffer(std::uint64_t offset, std::uint64_t end) {
    if (buffer_ == nullptr) buffer_ = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
    while (offset < end) {
      const std::size_t wanted =
          static_cast<std::size_t>(std::min<std::uint64_t>(end - offset, kBufferSize));
      const std::span<std::byte> buffer(buffer_.get(), wanted);
      const absl::StatusOr<std::size_t> count = co_await from_->read_at(offset, buffer);
      if (!count.ok()) co_return count.status();
      if (*count == 0) break;
      const absl::Status written = co_await to_->write_all_at(offset, buffer.first(*count));
      if (!written.ok()) co_return written;
      offset += *count;
    }
    co_return offset;
  }

  File* const from_;
  File* const to_;
  bool by_buffer_ = false;
  std::unique_ptr<std::byte[]> buffer_;
};

}  // namespace

Task<absl::StatusOr<std::uint64_t>> fs::copy(std::string from, std::string to) {
  absl::StatusOr<File> source = co_await File::open(from);
  if (!source.ok()) co_return source.status();
  const absl::StatusOr<FileMetadata> metadata = co_await source->metadata();
  if (!metadata.ok()) co_return with_path(metadata.status(), from);
  if (metadata->is_directory()) co_return path_error(-EISDIR, "copy", from);
  if (!metadata->is_regular()) co_return path_error(-EINVAL, "copy (no regular file)", from);

  // Not truncated by the open: the two may be the same file.
  OpenOptions how;
  how.read = false;
  how.write = true;
  how.create = true;
  how.mode = 0600;
  absl::StatusOr<File> target = co_await File::open(to, how);
  if (!target.ok()) co_return target.status();
  const absl::StatusOr<FileMetadata> old = co_await target->metadata();
  if (!old.ok()) co_return with_path(old.status(), to);
  if (old->is_same_file(*metadata)) co_return path_error(-EINVAL, "copy to itself", to);
  absl::Status status;
  if (old->size > 0) status = co_await target->set_len(0);
  if (!status.ok()) co_return with_path(status, to);

  Copy copy(&*source, &*target);
  const absl::StatusOr<std::uint64_t> size = co_await copy.run(metadata->size);
  if (!size.ok()) co_return with_path(size.status(), from + " to " + to);

  ChangeMode change(target->fd(), metadata->mode & 0777U);
  const int changed = co_await IoAwaiter(IoRequest::call(&ChangeMode::call, &change));
  if (changed < 0) co_return path_error(changed, "chmod", to);
  status = co_await target->close();
  if (!status.ok()) co_return with_path(status, to);
  co_return *size;
}

}  // namespace skua
