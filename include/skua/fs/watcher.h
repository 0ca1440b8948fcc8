// SPDX-License-Identifier: Apache-2.0
//
// Tells what happens to files and directories (inotify).
//
//   absl::StatusOr<skua::fs::Watcher> watcher = co_await skua::fs::watch("conf.d", skua::WatchMask::kContents);
//   if (!watcher.ok()) co_return watcher.status();
//   for (;;) {
//     absl::StatusOr<skua::WatchEvent> event = co_await watcher->next();
//     if (!event.ok()) co_return event.status();
//     if (event->overflow()) { /* look at everything again */ }
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/internal/io_source.h"
#include "skua/task.h"

namespace skua {

// What to tell, or what has happened: bits. The numbers are those of inotify(7).
class WatchMask {
 public:
  static const WatchMask kAccess;
  static const WatchMask kModify;
  static const WatchMask kAttributes;
  static const WatchMask kCloseWrite;  // Closed by somebody who could write.
  static const WatchMask kCloseNoWrite;
  static const WatchMask kOpen;
  static const WatchMask
      kMovedFrom;  // Out of the directory; the two of a rename have the same cookie.
  static const WatchMask kMovedTo;
  static const WatchMask kCreate;  // In the directory.
  static const WatchMask kDelete;
  static const WatchMask kDeleteSelf;
  static const WatchMask kMoveSelf;
  // Told without being asked for.
  static const WatchMask kUnmount;
  static const WatchMask kOverflow;   // Events were lost. Of no watch: the id is -1.
  static const WatchMask kIgnored;    // The watch is gone, removed or with what it watched.
  static const WatchMask kDirectory;  // It happened to a directory.
  // What a directory holds, and what is in the files, once it is complete.
  static const WatchMask kContents;

  constexpr WatchMask() noexcept = default;
  constexpr explicit WatchMask(std::uint32_t bits) noexcept : bits_(bits) {}
  constexpr std::uint32_t bits() const noexcept { return bits_; }
  constexpr bool has(WatchMask all) const noexcept { return (bits_ & all.bits_) == all.bits_; }
  friend constexpr WatchMask operator|(WatchMask a, WatchMask b) noexcept {
    return WatchMask(a.bits_ | b.bits_);
  }
  friend constexpr bool operator==(WatchMask, WatchMask) noexcept = default;

 private:
  std::uint32_t bits_ = 0;
};

inline constexpr WatchMask WatchMask::kAccess{0x1};
inline constexpr WatchMask WatchMask::kModify{0x2};
inline constexpr WatchMask WatchMask::kAttributes{0x4};
inline constexpr WatchMask WatchMask::kCloseWrite{0x8};
inline constexpr WatchMask WatchMask::kCloseNoWrite{0x10};
inline constexpr WatchMask WatchMask::kOpen{0x20};
inline constexpr WatchMask WatchMask::kMovedFrom{0x40};
inline constexpr WatchMask WatchMask::kMovedTo{0x80};
inline constexpr WatchMask WatchMask::kCreate{0x100};
inline constexpr WatchMask WatchMask::kDelete{0x200};
inline constexpr WatchMask WatchMask::kDeleteSelf{0x400};
inline constexpr WatchMask WatchMask::kMoveSelf{0x800};
inline constexpr WatchMask WatchMask::kUnmount{0x2000};
inline constexpr WatchMask WatchMask::kOverflow{0x4000};
inline constexpr WatchMask WatchMask::kIgnored{0x8000};
inline constexpr WatchMask WatchMask::kDirectory{0x40000000};
inline constexpr WatchMask WatchMask::kContents = WatchMask::kCreate | WatchMask::kDelete |
                                                  WatchMask::kMovedFrom | WatchMask::kMovedTo |
                                                  WatchMask::kCloseWrite;

// Something that has happened. A value.
struct WatchEvent {
  int watch = -1;            // What Watcher::add() has returned.
  WatchMask mask;            // What happened.
  std::uint32_t cookie = 0;  // Not 0: the same in both events of a rename.
  std::string name;  // In the watched directory; empty: it happened to what is watched itself.
  // Events were lost: look at everything again.
  bool overflow() const noexcept { return mask.has(WatchMask::kOverflow); }
};

namespace fs {

// An inotify instance, closed by its destructor. Moves, does not copy; must not move while a task waits.
//
// What is below a watched directory's subdirectories is not watched. If the events come faster than they are fetched,
// the kernel drops those that its queue (fs.inotify.max_queued_events) does not hold, and says so by an event.
//
// Threads: one task may wait in next() (SKUA_REQUIRE if a second one has to), while others add and remove.
// Lifetime: it outlives what is awaited.
class Watcher {
 public:
  // Watches nothing yet. Does not block, and may be called outside a runtime.
  //
  // Errors: kResourceExhausted - no descriptor left, or too many instances of this user.
  static absl::StatusOr<Watcher> create();
  Watcher(Watcher&& other) noexcept = default;
  Watcher& operator=(Watcher&& other) noexcept = default;

  // Watches `path` too. If it is watched already, what is told is replaced.
  //
  // Returns: the watch's number, by which its events and remove() know it.
  // Errors: the errno of inotify_add_watch(2), with the path. ENOSPC - too many watches of this user.
  // Cancellation: safe; it may be watched.
  // Requires: mask has at least one of the bits that are asked for.
  Task<absl::StatusOr<int>> add(std::string path, WatchMask mask);
  // Ends a watch; the last of its events is kIgnored. Does not block.
  //
  // Errors: EINVAL - there is no such watch.
  absl::Status remove(int watch);

  // The next event, in the order in which things happened.
  //
  // Errors: the errno of read(2). kCancelled - closed.
  // Cancellation: safe; no event is lost.
  Task<absl::StatusOr<WatchEvent>> next();

  // Closes the instance; a task that waits is woken with kCancelled. No other task may be about to use it.
  void close() noexcept { source_.close(); }
  // -1 after close().
  int fd() const noexcept { return source_.fd(); }

 private:
  // What one call fetches: at least one event with the longest name, as a rule dozens.
  static constexpr std::size_t kBufferSize = 4096;

  explicit Watcher(int fd);
  Task<absl::StatusOr<int>> add_watch(std::string path, WatchMask mask);
  Task<absl::StatusOr<WatchEvent>> take();

  internal::IoSource source_;
  // Whoever is in next().
  std::unique_ptr<std::byte[]> buffer_;  // What was fetched and not given yet: from begin_ to end_.
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// A watcher of one path.
//
// Errors: as those of Watcher::create() and add().
// Cancellation: safe.
Task<absl::StatusOr<Watcher>> watch(std::string path, WatchMask mask);

}  // namespace fs
}  // namespace skua
