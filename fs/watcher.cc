// SPDX-License-Identifier: Apache-2.0
#include "skua/fs/watcher.h"

#include <cerrno>
#include <cstring>
#include <sys/inotify.h>
#include <sys/uio.h>
#include <utility>

#include "fs/requests.h"
#include "io_driver/driver.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {

static_assert(WatchMask::kAccess.bits() == IN_ACCESS && WatchMask::kModify.bits() == IN_MODIFY &&
              WatchMask::kAttributes.bits() == IN_ATTRIB &&
              WatchMask::kCloseWrite.bits() == IN_CLOSE_WRITE &&
              WatchMask::kCloseNoWrite.bits() == IN_CLOSE_NOWRITE &&
              WatchMask::kOpen.bits() == IN_OPEN && WatchMask::kMovedFrom.bits() == IN_MOVED_FROM &&
              WatchMask::kMovedTo.bits() == IN_MOVED_TO && WatchMask::kCreate.bits() == IN_CREATE &&
              WatchMask::kDelete.bits() == IN_DELETE &&
              WatchMask::kDeleteSelf.bits() == IN_DELETE_SELF &&
              WatchMask::kMoveSelf.bits() == IN_MOVE_SELF &&
              WatchMask::kUnmount.bits() == IN_UNMOUNT &&
              WatchMask::kOverflow.bits() == IN_Q_OVERFLOW &&
              WatchMask::kIgnored.bits() == IN_IGNORED && WatchMask::kDirectory.bits() == IN_ISDIR);

namespace fs {

using internal::BudgetAwaiter;
using internal::Direction;
using internal::errno_to_status;
using internal::IoAwaiter;
using internal::IoRequest;
using internal::Readiness;

namespace {

// Looks the path up, which may take its time: for the blocking pool.
struct AddWatch {
  AddWatch(int inotify, std::string watched, WatchMask what)
      : fd(inotify), path(std::move(watched)), mask(what) {}
  static std::int32_t call(void* self) noexcept {
    const auto* const add = static_cast<const AddWatch*>(self);
    const int watch = ::inotify_add_watch(add->fd, add->path.c_str(), add->mask.bits());
    return watch < 0 ? -errno : watch;
  }

  const int fd;
  const std::string path;
  const WatchMask mask;
};

// Returns its size. A function of its own: inotify_event cannot stand in a coroutine's frame, for GCC.
std::size_t parse(const std::byte* record, WatchEvent& event) {
  inotify_event header;
  std::memcpy(&header, record, sizeof(header));
  event.watch = header.wd;
  event.mask = WatchMask(header.mask);
  event.cookie = header.cookie;
  if (header.len > 0) {
    event.name = reinterpret_cast<const char*>(record + sizeof(header));  // Padded by zeros.
  }
  return sizeof(header) + header.len;
}

}  // namespace

Watcher::Watcher(int fd)
    : source_(fd), buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferSize)) {}

absl::StatusOr<Watcher> Watcher::create() {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return errno_to_status(errno, "inotify_init");
  return Watcher(fd);
}

Task<absl::StatusOr<int>> Watcher::add(std::string path, WatchMask mask) {
  const bool the_watcher_is_open = fd() >= 0;
  SKUA_REQUIRE(the_watcher_is_open, fd());
  SKUA_REQUIRE((mask.bits() & IN_ALL_EVENTS) != 0, mask.bits());
  return add_watch(std::move(path), mask);
}

Task<absl::StatusOr<int>> Watcher::add_watch(std::string path, WatchMask mask) {
  AddWatch add(fd(), std::move(path), mask);
  const int watch = co_await IoAwaiter(IoRequest::call(&AddWatch::call, &add));
  if (watch < 0) co_return internal::path_error(watch, "inotify_add_watch", add.path);
  co_return watch;
}

absl::Status Watcher::remove(int watch) {
  const bool the_watcher_is_open = fd() >= 0;
  SKUA_REQUIRE(the_watcher_is_open, fd());
  if (::inotify_rm_watch(fd(), watch) < 0) return errno_to_status(errno, "inotify_rm_watch");
  return absl::OkStatus();
}

Task<absl::StatusOr<WatchEvent>> Watcher::next() {
  const bool the_watcher_is_open = fd() >= 0;
  SKUA_REQUIRE(the_watcher_is_open, fd());
  return take();
}

Task<absl::StatusOr<WatchEvent>> Watcher::take() {
  while (begin_ == end_) {
    const Readiness seen = source_.readiness(Direction::kRead);
    if (seen.ready()) {
      const iovec whole{buffer_.get(), kBufferSize};
      const ssize_t size = internal::current_driver()->calls().readv(fd(), &whole, 1);
      const int error = size < 0 ? errno : 0;
      if (error == EINTR) continue;
      if (error == 0) {
        begin_ = 0;
        end_ = static_cast<std::size_t>(size);
        break;
      }
      if (error != EAGAIN) co_return errno_to_status(error, "read of inotify events");
    }
    const int error = co_await source_.wait(Direction::kRead, seen);
    if (error != 0) co_return errno_to_status(error, "read of inotify events");
  }
  // Before the event is taken: an abort there loses none.
  co_await BudgetAwaiter();
  WatchEvent event;
  begin_ += parse(buffer_.get() + begin_, event);
  co_return event;
}

Task<absl::StatusOr<Watcher>> watch(std::string path, WatchMask mask) {
  absl::StatusOr<Watcher> watcher = Watcher::create();
  if (!watcher.ok()) co_return watcher.status();
  const absl::StatusOr<int> added = co_await watcher->add(std::move(path), mask);
  if (!added.ok()) co_return added.status();
  co_return watcher;
}

}  // namespace fs
}  // namespace skua
