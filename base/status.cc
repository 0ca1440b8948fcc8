// SPDX-License-Identifier: Apache-2.0
#include "skua/status.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include <absl/strings/cord.h>
#include <absl/types/optional.h>

namespace skua {
namespace {

constexpr char kErrnoPayload[] = "skua/errno";

absl::StatusCode code_of(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ESRCH:
    case ENOMEDIUM:
      return absl::StatusCode::kNotFound;
    case EEXIST:
    case EADDRINUSE:
    case EALREADY:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EINVAL:
    case ENAMETOOLONG:
    case E2BIG:
    case EFAULT:
    case EDESTADDRREQ:
    case ELOOP:
    case EDOM:
    case EILSEQ:
    case EMSGSIZE:
    case ENOPROTOOPT:
    case ENOTSOCK:
    case ENOTTY:
    case EPROTOTYPE:
    case ESPIPE:
      return absl::StatusCode::kInvalidArgument;
    case EBADF:
    case ENOTDIR:
    case ECHILD:
    case EISDIR:
    case ENOTEMPTY:
    case ENOTCONN:
    case EISCONN:
    case EBUSY:
    case ETXTBSY:
    case EPIPE:
    case ENOTBLK:
    case ESHUTDOWN:
    case EXDEV:
      return absl::StatusCode::kFailedPrecondition;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC:
    case EDQUOT:
    case EMLINK:
    case EUSERS:
      return absl::StatusCode::kResourceExhausted;
    case EAGAIN:
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EINTR:
    case EHOSTDOWN:
    case ENETRESET:
    case ENOLCK:
      return absl::StatusCode::kUnavailable;
    case ECONNRESET:
    case ECONNABORTED:
    case ESTALE:
    case EDEADLK:
      return absl::StatusCode::kAborted;
    case ETIMEDOUT:
    case ETIME:
      return absl::StatusCode::kDeadlineExceeded;
    case ECANCELED:
      return absl::StatusCode::kCancelled;
    case ERANGE:
    case EFBIG:
    case EOVERFLOW:
      return absl::StatusCode::kOutOfRange;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ESOCKTNOSUPPORT:
      return absl::StatusCode::kUnimplemented;
    case EIO:
      return absl::StatusCode::kDataLoss;
    default:
      return absl::StatusCode::kUnknown;
  }
}

}  // namespace

int errno_of(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kErrnoPayload);
  if (!payload.has_value()) return 0;
  return std::atoi(std::string(*payload).c_str());
}

absl::Status internal::errno_to_status(int error, std::string_view operation) {
  const std::string text = std::string(operation) + ": " + std::generic_category().message(error) +
                           " (errno " + std::to_string(error) + ")";
  absl::Status status(code_of(error), text);
  // From a string_view: Clang 19 mangles the constructor template for std::string otherwise than the GCC 12
  // that Debian's Abseil was built with.
  const std::string digits = std::to_string(error);
  status.SetPayload(kErrnoPayload, absl::Cord(absl::string_view(digits)));
  return status;
}

}  // namespace skua
