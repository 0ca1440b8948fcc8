// SPDX-License-Identifier: Apache-2.0
#include "skua/net/pipe.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "net/socket_options.h"
#include "skua/internal/check.h"
#include "skua/status.h"

namespace skua {

absl::StatusOr<PipeReader> PipeReader::from_fd(int fd) {
  SKUA_REQUIRE(fd >= 0, fd);
  if (const absl::Status status = internal::adopt(fd); !status.ok()) return status;
  // In packet mode (O_DIRECT) a read ends where a write did.
  return PipeReader(fd, internal::StreamKind::kPacketPipe);
}

absl::StatusOr<PipeWriter> PipeWriter::from_fd(int fd) {
  SKUA_REQUIRE(fd >= 0, fd);
  if (const absl::Status status = internal::adopt(fd); !status.ok()) return status;
  return PipeWriter(fd, internal::StreamKind::kPacketPipe);
}

absl::StatusOr<std::pair<PipeReader, PipeWriter>> make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return internal::errno_to_status(errno, "pipe2");
  }
  return std::pair<PipeReader, PipeWriter>(PipeReader(fds[0], internal::StreamKind::kPipe),
                                           PipeWriter(fds[1], internal::StreamKind::kPipe));
}

absl::StatusOr<Pipe> Pipe::create() {
  absl::StatusOr<std::pair<PipeReader, PipeWriter>> ends = make_pipe();
  if (!ends.ok()) return ends.status();
  return Pipe(std::move(ends->first), std::move(ends->second));
}

}  // namespace skua
