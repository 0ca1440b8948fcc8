// SPDX-License-Identifier: Apache-2.0
//
// Prints what is appended to a file, as `tail -f` does.
//
//   tail_follow FILE [BYTES]    ends when the file is deleted, or after so many bytes
//
// inotify tells when the file was written to; between two events nothing runs. The file is read through the ring.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "skua/fs/file.h"
#include "skua/fs/watcher.h"
#include "skua/runtime.h"
#include "skua/task.h"

namespace {

int fail(const absl::Status& status) {
  std::fprintf(stderr, "tail_follow: %s\n", status.ToString().c_str());
  return 1;
}

skua::Task<int> follow(std::string path, std::uint64_t bytes_max) {
  using skua::WatchMask;
  // The watch comes before the first read, or an append between the two would be missed.
  absl::StatusOr<skua::fs::Watcher> watcher = co_await skua::fs::watch(
      path, WatchMask::kModify | WatchMask::kDeleteSelf | WatchMask::kAttributes);
  if (!watcher.ok()) co_return fail(watcher.status());
  absl::StatusOr<skua::File> file = co_await skua::File::open(path);
  if (!file.ok()) co_return fail(file.status());
  std::uint64_t offset = 0;
  std::array<std::byte, 16'384> buffer;
  for (;;) {
    for (;;) {
      const absl::StatusOr<std::size_t> size = co_await file->read_at(offset, buffer);
      if (!size.ok()) co_return fail(size.status());
      if (*size == 0) break;
      std::fwrite(buffer.data(), 1, *size, stdout);
      offset += *size;
    }
    std::fflush(stdout);
    if (offset >= bytes_max) co_return 0;
    const absl::StatusOr<skua::WatchEvent> event = co_await watcher->next();
    if (!event.ok()) co_return fail(event.status());
    if (event->mask.has(WatchMask::kDeleteSelf)) co_return 0;
    // While it is open here, a file whose last name goes is not deleted; its attributes change.
    if (event->mask.has(WatchMask::kAttributes)) {
      const absl::StatusOr<skua::FileMetadata> metadata = co_await file->metadata();
      if (!metadata.ok()) co_return fail(metadata.status());
      if (metadata->links == 0) co_return 0;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fputs("usage: tail_follow FILE [BYTES]\n", stderr);
    return 2;
  }
  const std::uint64_t bytes = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : UINT64_MAX;
  return skua::run(follow(argv[1], bytes), {.worker_threads = 1});
}
