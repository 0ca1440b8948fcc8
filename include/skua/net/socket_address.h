// SPDX-License-Identifier: Apache-2.0
//
// Where a socket is: an IPv4 or IPv6 address with a port, or a Unix socket's path or abstract name.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace skua {

// A value: copies and compares.
//
// Threads: as a plain value.
class SocketAddress {
 public:
  // What kind of address it is.
  enum class Family : std::uint8_t {
    kNone,  // Of a socket that has no address: a Unix socket that was never bound.
    kV4,
    kV6,
    kUnix,
  };
  // Longest path or abstract name of a Unix socket, in bytes.
  static constexpr std::size_t kUnixNameMax = 107;

  // Family::kNone.
  SocketAddress() noexcept = default;

  // Reads an address. No name is resolved: that would block.
  //
  //   127.0.0.1:80   [::1]:80   [fe80::1%eth0]:80   unix:/run/a.sock   unix:@name   (abstract)
  //
  // Returns: what to_string() writes is read again as the same address, or the same file.
  // Errors: kInvalidArgument - none of these; the message says what is wrong with the text.
  static absl::StatusOr<SocketAddress> parse(std::string_view text);

  // The bytes of an IP address stand in the order in which they are written: {127, 0, 0, 1}.
  static SocketAddress v4(std::array<std::uint8_t, 4> ip, std::uint16_t port) noexcept;
  // `scope` is the number of an interface, for link-local addresses; 0: none.
  static SocketAddress v6(std::array<std::uint8_t, 16> ip, std::uint16_t port,
                          std::uint32_t scope = 0) noexcept;
  // 127.0.0.1, and ::1.
  static SocketAddress loopback_v4(std::uint16_t port) noexcept { return v4({127, 0, 0, 1}, port); }
  static SocketAddress loopback_v6(std::uint16_t port) noexcept;
  // All addresses of this machine: 0.0.0.0, and ::.
  static SocketAddress any_v4(std::uint16_t port) noexcept { return v4({}, port); }
  static SocketAddress any_v6(std::uint16_t port) noexcept { return v6({}, port); }

  // A Unix socket in the file system.
  //
  // Errors: kInvalidArgument - empty, longer than kUnixNameMax, or with a zero byte in it.
  static absl::StatusOr<SocketAddress> unix_path(std::string_view path);
  // A Unix socket that has a name, and no file: it goes with its last descriptor.
  //
  // Errors: kInvalidArgument - empty, or longer than kUnixNameMax.
  static absl::StatusOr<SocketAddress> unix_abstract(std::string_view name);

  Family family() const noexcept { return family_; }
  // IPv4 or IPv6.
  bool is_ip() const noexcept { return family_ == Family::kV4 || family_ == Family::kV6; }
  // Requires: is_ip().
  std::uint16_t port() const noexcept;
  // The same with another port.
  //
  // Requires: is_ip().
  SocketAddress with_port(std::uint16_t port) const noexcept;
  // The path, or the abstract name. Empty if it is no Unix socket, or has no name.
  std::string_view unix_name() const noexcept;
  // A Unix socket with a name, and no file.
  bool is_abstract() const noexcept;

  // As parse() reads it; "none" for Family::kNone, "unix:" for a Unix socket without a name. A path that begins with
  // '@' is written as "unix:./@path", which is the same file.
  std::string to_string() const;

  friend bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept;

  // For the library. A sockaddr of `size` bytes, as the kernel writes it; kNone if its family is unknown.
  static SocketAddress from_system(const void* address, std::size_t size) noexcept;
  const void* system_address() const noexcept { return bytes_.data(); }
  std::size_t system_size() const noexcept { return size_; }

 private:
  static constexpr std::size_t kBytes = 112;  // A sockaddr_un has 110.

  SocketAddress(Family family, const void* address, std::size_t size) noexcept;

  alignas(8) std::array<std::byte, kBytes> bytes_{};
  std::uint8_t size_ = 0;
  Family family_ = Family::kNone;
};

}  // namespace skua
