// SPDX-License-Identifier: Apache-2.0
#include "skua/net/resolve.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <utility>

#include <absl/status/status.h>

#include "io_driver/driver.h"
#include "skua/blocking.h"
#include "skua/status.h"

namespace skua {
namespace {

using Addresses = absl::StatusOr<std::vector<SocketAddress>>;

// `code` is getaddrinfo's, `error` the errno that goes with EAI_SYSTEM.
absl::Status failure(int code, int error, const std::string& host) {
  const std::string what = "look up \"" + host + "\"";
  if (code == EAI_SYSTEM) return internal::errno_to_status(error, what);
  const std::string message = what + ": " + ::gai_strerror(code);
  switch (code) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return absl::NotFoundError(message);
    case EAI_AGAIN:
      return absl::UnavailableError(message);
    case EAI_MEMORY:
      return absl::ResourceExhaustedError(message);
    case EAI_IDN_ENCODE:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnknownError(message);
  }
}

struct FreeList {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

Addresses look_up(internal::SystemCalls& calls, const std::string& host, std::uint16_t port,
                  int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;  // Else each address comes once for each type.
  hints.ai_flags = flags;
  addrinfo* first = nullptr;
  const int code = calls.getaddrinfo(host.c_str(), &hints, &first);
  const int error = errno;
  const std::unique_ptr<addrinfo, FreeList> list(code == 0 ? first : nullptr);
  if (code != 0) return failure(code, error, host);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    const SocketAddress address = SocketAddress::from_system(entry->ai_addr, entry->ai_addrlen);
    if (!address.is_ip()) continue;
    const SocketAddress with_port = address.with_port(port);
    if (std::find(addresses.begin(), addresses.end(), with_port) == addresses.end()) {
      addresses.push_back(with_port);
    }
  }
  if (addresses.empty()) return failure(EAI_NODATA, 0, host);
  return addresses;
}

}  // namespace

Task<absl::StatusOr<std::vector<SocketAddress>>> resolve(std::string host, std::uint16_t port) {
  if (host.empty()) co_return absl::InvalidArgumentError("look up \"\": the host is empty");
  if (host.find('\0') != std::string::npos) {
    co_return absl::InvalidArgumentError("look up \"" + std::string(host.c_str()) +
                                         "\": a zero byte in the host");
  }
  Addresses numeric = look_up(internal::SystemCalls::real(), host, port, AI_NUMERICHOST);
  if (numeric.ok()) co_return std::move(numeric);

  internal::SystemCalls* const calls = &internal::current_driver()->calls();
  SpawnBlockingOptions options;
  options.name = "resolve";
  options.pool_class = BlockingClass::kDns;
  options.on_abort = OnAbort::kAbandon;  // Nothing can call getaddrinfo back.
  JoinHandle<Addresses> job = spawn_blocking(
      [calls, host, port] { return look_up(*calls, host, port, /*flags=*/0); }, options);
  JoinResult<Addresses> result = co_await std::move(job).result();
  if (result.ok()) co_return std::move(result).value();
  if (result.cancelled()) {
    co_return absl::CancelledError("look up \"" + host + "\": the runtime is shutting down");
  }
  co_return absl::ResourceExhaustedError("look up \"" + host + "\": there is no thread for it");
}

}  // namespace skua
