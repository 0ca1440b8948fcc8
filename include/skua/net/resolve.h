// SPDX-License-Identifier: Apache-2.0
//
// Names of hosts.
//
//   absl::StatusOr<std::vector<skua::SocketAddress>> addresses = co_await skua::resolve("example.org", 443);
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "skua/net/socket_address.h"
#include "skua/task.h"

namespace skua {

// The addresses of a host, each with `port`, as getaddrinfo(3) knows them: from /etc/hosts, by DNS, or whatever
// /etc/nsswitch.conf says.
//
// `host` is a name or an IP address in its usual form (without brackets; "fe80::1%eth0" has a scope). An address is
// taken as it is, at once; a name is looked up by a blocking job of BlockingClass::kDns.
//
// Returns: at least one address, none twice, the most promising first (RFC 6724, as getaddrinfo(3) sorts them).
// Errors: kNotFound - there is no such host, or it has no address. kUnavailable - the name servers do not answer now;
//   later they may. kInvalidArgument - the host is empty, or has a zero byte in it. kResourceExhausted - no memory, or
//   no thread for the job. If a system call failed, its errno. The message names the host.
// Cancellation: a look-up that waits for a thread is dropped. One that has begun cannot be called back: the task ends
//   at once, and the look-up goes on by itself until the resolver gives up (resolv.conf(5), about 10 s for each
//   server), its thread with it; a shutdown of the runtime waits for it.
// Requires: awaited on a runtime.
Task<absl::StatusOr<std::vector<SocketAddress>>> resolve(std::string host, std::uint16_t port);

}  // namespace skua
