// SPDX-License-Identifier: Apache-2.0
#include "skua/status.h"

#include <cerrno>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace skua {
namespace {

TEST(StatusTest, EveryErrnoIsKeptAndNamed) {
  for (int error = 1; error < 4096; ++error) {
    const absl::Status status = internal::errno_to_status(error, "read file");
    EXPECT_FALSE(status.ok()) << error;
    EXPECT_EQ(errno_of(status), error);
    const std::string message(status.message());
    EXPECT_TRUE(message.starts_with("read file: ")) << message;
    EXPECT_NE(message.find("errno " + std::to_string(error)), std::string::npos) << message;
  }
  EXPECT_EQ(errno_of(absl::OkStatus()), 0);
  EXPECT_EQ(errno_of(absl::NotFoundError("of no system call")), 0);
}

TEST(StatusTest, TheCodeSaysWhatKindOfErrorItIs) {
  using Code = absl::StatusCode;
  constexpr std::pair<int, Code> kExpected[] = {
      {ENOENT, Code::kNotFound},
      {EEXIST, Code::kAlreadyExists},
      {EACCES, Code::kPermissionDenied},
      {EROFS, Code::kPermissionDenied},
      {EINVAL, Code::kInvalidArgument},
      {ESPIPE, Code::kInvalidArgument},
      {ENOTDIR, Code::kFailedPrecondition},
      {ENOTEMPTY, Code::kFailedPrecondition},
      {EXDEV, Code::kFailedPrecondition},
      {EPIPE, Code::kFailedPrecondition},
      {EMFILE, Code::kResourceExhausted},
      {ENOSPC, Code::kResourceExhausted},
      {ENOMEM, Code::kResourceExhausted},
      {EDQUOT, Code::kResourceExhausted},
      {EAGAIN, Code::kUnavailable},
      {ECONNREFUSED, Code::kUnavailable},
      {ECONNRESET, Code::kAborted},
      {EDEADLK, Code::kAborted},
      {ETIMEDOUT, Code::kDeadlineExceeded},
      {ECANCELED, Code::kCancelled},
      {EFBIG, Code::kOutOfRange},
      {ENOSYS, Code::kUnimplemented},
      {EIO, Code::kDataLoss},
      {4000, Code::kUnknown},
  };
  for (const auto& [error, code] : kExpected) {
    EXPECT_EQ(internal::errno_to_status(error, "call").code(), code) << error;
  }
}

}  // namespace
}  // namespace skua
