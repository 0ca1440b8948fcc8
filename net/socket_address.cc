// SPDX-License-Identifier: Apache-2.0
#include "skua/net/socket_address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "skua/internal/check.h"

namespace skua {
namespace {

constexpr std::size_t kUnixHeader = offsetof(sockaddr_un, sun_path);
constexpr std::string_view kUnixPrefix = "unix:";

absl::Status malformed(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError("socket address \"" + std::string(text) +
                                    "\": " + std::string(why));
}

// Decimal digits and nothing else.
template <typename T>
bool parse_number(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// The number or the name of an interface.
std::uint32_t scope_of(const std::string& text) {
  std::uint32_t scope = 0;
  if (parse_number(std::string_view(text), scope)) return scope;
  return ::if_nametoindex(text.c_str());
}

// What tells an abstract name from a path. A path that looks like one is written so that it does not.
const char* mark_of(bool abstract, std::string_view name) noexcept {
  if (abstract) return "@";
  return name.starts_with('@') ? "./" : "";
}

}  // namespace

SocketAddress::SocketAddress(Family family, const void* address, std::size_t size) noexcept
    : size_(static_cast<std::uint8_t>(size)), family_(family) {
  SKUA_CHECK(size <= kBytes, size);
  std::memcpy(bytes_.data(), address, size);
}

SocketAddress SocketAddress::v4(std::array<std::uint8_t, 4> ip, std::uint16_t port) noexcept {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  std::memcpy(&address.sin_addr, ip.data(), ip.size());
  return {Family::kV4, &address, sizeof(address)};
}

SocketAddress SocketAddress::v6(std::array<std::uint8_t, 16> ip, std::uint16_t port,
                                std::uint32_t scope) noexcept {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  address.sin6_scope_id = scope;
  std::memcpy(&address.sin6_addr, ip.data(), ip.size());
  return {Family::kV6, &address, sizeof(address)};
}

SocketAddress SocketAddress::loopback_v6(std::uint16_t port) noexcept {
  std::array<std::uint8_t, 16> ip{};
  ip.back() = 1;
  return v6(ip, port);
}

absl::StatusOr<SocketAddress> SocketAddress::unix_path(std::string_view path) {
  if (path.empty()) return malformed("unix:", "the path is empty");
  if (path.size() > kUnixNameMax) return malformed(path, "the path is longer than 107 bytes");
  if (path.find('\0') != std::string_view::npos) return malformed(path, "a zero byte in the path");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return SocketAddress(Family::kUnix, &address, kUnixHeader + path.size() + 1);
}

absl::StatusOr<SocketAddress> SocketAddress::unix_abstract(std::string_view name) {
  if (name.empty()) return malformed("unix:@", "the name is empty");
  if (name.size() > kUnixNameMax) return malformed(name, "the name is longer than 107 bytes");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  return SocketAddress(Family::kUnix, &address, kUnixHeader + 1 + name.size());
}

absl::StatusOr<SocketAddress> SocketAddress::parse(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) {
    const std::string_view name = text.substr(kUnixPrefix.size());
    return name.starts_with('@') ? unix_abstract(name.substr(1)) : unix_path(name);
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return malformed(text, "no port");
  std::string_view host = text.substr(0, colon);
  std::uint16_t port = 0;
  if (!parse_number(text.substr(colon + 1), port)) {
    return malformed(text, "the port is no number from 0 to 65535");
  }
  if (!host.starts_with('[')) {
    std::array<std::uint8_t, 4> ip;
    if (::inet_pton(AF_INET, std::string(host).c_str(), ip.data()) != 1) {
      return malformed(text, host.find(':') != std::string_view::npos
                                 ? "an IPv6 address stands in brackets"
                                 : "no IPv4 address (a name has to be resolved first)");
    }
    return v4(ip, port);
  }
  if (!host.ends_with(']')) return malformed(text, "the bracket is not closed");
  host = host.substr(1, host.size() - 2);
  std::uint32_t scope = 0;
  if (const std::size_t percent = host.find('%'); percent != std::string_view::npos) {
    scope = scope_of(std::string(host.substr(percent + 1)));
    if (scope == 0) return malformed(text, "no such interface");
    host = host.substr(0, percent);
  }
  std::array<std::uint8_t, 16> ip;
  if (::inet_pton(AF_INET6, std::string(host).c_str(), ip.data()) != 1) {
    return malformed(text, "no IPv6 address");
  }
  return v6(ip, port, scope);
}

SocketAddress SocketAddress::from_system(const void* address, std::size_t size) noexcept {
  sa_family_t family = AF_UNSPEC;
  if (size >= sizeof(family)) std::memcpy(&family, address, sizeof(family));
  if (family == AF_INET && size >= sizeof(sockaddr_in)) {
    return {Family::kV4, address, sizeof(sockaddr_in)};
  }
  if (family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    return {Family::kV6, address, sizeof(sockaddr_in6)};
  }
  if (family == AF_UNIX) return {Family::kUnix, address, std::min(size, sizeof(sockaddr_un))};
  return {};
}

std::uint16_t SocketAddress::port() const noexcept {
  SKUA_REQUIRE(is_ip(), family_);
  // Both kinds have it at the same place.
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  std::uint16_t port = 0;
  std::memcpy(&port, bytes_.data() + offsetof(sockaddr_in, sin_port), sizeof(port));
  return ntohs(port);
}

SocketAddress SocketAddress::with_port(std::uint16_t port) const noexcept {
  SKUA_REQUIRE(is_ip(), family_);
  SocketAddress result = *this;
  const std::uint16_t number = htons(port);
  std::memcpy(result.bytes_.data() + offsetof(sockaddr_in, sin_port), &number, sizeof(number));
  return result;
}

bool SocketAddress::is_abstract() const noexcept {
  return family_ == Family::kUnix && size_ > kUnixHeader + 1 && bytes_[kUnixHeader] == std::byte{0};
}

std::string_view SocketAddress::unix_name() const noexcept {
  if (family_ != Family::kUnix || size_ <= kUnixHeader) return {};
  const auto* const name = reinterpret_cast<const char*>(bytes_.data()) + kUnixHeader;
  const std::size_t size = size_ - kUnixHeader;
  if (is_abstract()) return {name + 1, size - 1};
  return {name, ::strnlen(name, size)};
}

std::string SocketAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text;
  switch (family_) {
    case Family::kNone:
      break;
    case Family::kV4:
      ::inet_ntop(AF_INET, bytes_.data() + offsetof(sockaddr_in, sin_addr), text.data(),
                  text.size());
      return std::string(text.data()) + ":" + std::to_string(port());
    case Family::kV6: {
      sockaddr_in6 address{};
      std::memcpy(&address, bytes_.data(), sizeof(address));
      ::inet_ntop(AF_INET6, &address.sin6_addr, text.data(), text.size());
      // Appended, not added: GCC 12 warns of `"text" + std::string` (gcc.gnu.org/PR105651).
      std::string result(1, '[');
      result += text.data();
      if (address.sin6_scope_id != 0) {
        result += '%';
        result += std::to_string(address.sin6_scope_id);
      }
      result += "]:";
      result += std::to_string(port());
      return result;
    }
    case Family::kUnix:
      return std::string(kUnixPrefix) + mark_of(is_abstract(), unix_name()) +
             std::string(unix_name());
  }
  return "none";
}

bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept {
  if (a.family_ != b.family_) return false;
  if (a.family_ == SocketAddress::Family::kUnix) {
    return a.is_abstract() == b.is_abstract() && a.unix_name() == b.unix_name();
  }
  return a.size_ == b.size_ && std::memcmp(a.bytes_.data(), b.bytes_.data(), a.size_) == 0;
}

}  // namespace skua
