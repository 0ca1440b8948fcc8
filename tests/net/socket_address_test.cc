// SPDX-License-Identifier: Apache-2.0
#include "skua/net/socket_address.h"

#include <array>
#include <cstddef>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>

#include <gtest/gtest.h>

namespace skua {
namespace {

using Family = SocketAddress::Family;

std::string parsed(std::string_view text) {
  const absl::StatusOr<SocketAddress> address = SocketAddress::parse(text);
  return address.ok() ? address->to_string() : std::string(address.status().message());
}

TEST(SocketAddressTest, ReadsWhatItWrites) {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::]:0",
                           "[::1]:80", "[2001:db8::ff]:443", "[::ffff:1.2.3.4]:1", "[fe80::1%1]:9",
                           "unix:/run/a.sock", "unix:relative", "unix:@name", "unix:@with:colon"}) {
    EXPECT_EQ(parsed(text), text);
  }
  EXPECT_EQ(parsed("[fe80::1%lo]:9"), "[fe80::1%1]:9");
  EXPECT_EQ(parsed("[0:0:0:0:0:0:0:1]:80"), "[::1]:80");
}

TEST(SocketAddressTest, SaysWhatIsWrongWithAText) {
  const auto expect = [](std::string_view text, std::string_view why) {
    const absl::StatusOr<SocketAddress> address = SocketAddress::parse(text);
    ASSERT_TRUE(absl::IsInvalidArgument(address.status())) << text;
    EXPECT_NE(std::string(address.status().message()).find(why), std::string::npos)
        << address.status();
  };
  expect("", "no port");
  expect("127.0.0.1", "no port");
  for (const char* text : {"127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
                           "127.0.0.1: 80", "127.0.0.1:80 ", "[::1]:http"}) {
    expect(text, "port is no number");
  }
  expect("localhost:80", "resolved first");
  expect("127.0.0.256:80", "no IPv4");
  expect("127.0.0.1.:80", "no IPv4");
  expect("::1:80", "in brackets");
  expect("[::1:80", "not closed");
  expect("[::g]:80", "no IPv6");
  expect("[fe80::1%no-such-interface]:80", "interface");
  expect("unix:", "empty");
  expect("unix:@", "empty");
  expect("unix:" + std::string(108, 'x'), "longer than 107");
  expect("unix:@" + std::string(108, 'x'), "longer than 107");
}

TEST(SocketAddressTest, KnowsItsParts) {
  const SocketAddress v4 = SocketAddress::v4({10, 0, 0, 1}, 8080);
  EXPECT_EQ(v4.family(), Family::kV4);
  EXPECT_EQ(v4.port(), 8080);
  EXPECT_EQ(v4.with_port(1).to_string(), "10.0.0.1:1");
  EXPECT_EQ(SocketAddress::loopback_v4(7).to_string(), "127.0.0.1:7");
  EXPECT_EQ(SocketAddress::any_v4(7).to_string(), "0.0.0.0:7");
  EXPECT_EQ(SocketAddress::loopback_v6(7).to_string(), "[::1]:7");
  EXPECT_EQ(SocketAddress::any_v6(7).to_string(), "[::]:7");
  EXPECT_EQ(SocketAddress::any_v6(7).with_port(8).port(), 8);
  EXPECT_EQ(v4.unix_name(), "");
  EXPECT_FALSE(v4.is_abstract());

  const SocketAddress path = *SocketAddress::unix_path(std::string(107, 'p'));
  EXPECT_EQ(path.unix_name(), std::string(107, 'p'));
  EXPECT_FALSE(path.is_abstract());
  EXPECT_FALSE(path.is_ip());
  const SocketAddress abstract = *SocketAddress::unix_abstract(std::string("a\0b", 3));
  EXPECT_EQ(abstract.unix_name(), std::string_view("a\0b", 3));
  EXPECT_TRUE(abstract.is_abstract());

  const SocketAddress none;
  EXPECT_EQ(none.family(), Family::kNone);
  EXPECT_EQ(none.to_string(), "none");
}

TEST(SocketAddressTest, Compares) {
  EXPECT_EQ(SocketAddress::loopback_v4(1), *SocketAddress::parse("127.0.0.1:1"));
  EXPECT_NE(SocketAddress::loopback_v4(1), SocketAddress::loopback_v4(2));
  EXPECT_NE(SocketAddress::any_v4(1), SocketAddress::any_v6(1));
  EXPECT_NE(*SocketAddress::unix_path("a"), *SocketAddress::unix_abstract("a"));
  EXPECT_EQ(SocketAddress(), SocketAddress());
}

TEST(SocketAddressTest, TakesWhatTheKernelWrites) {
  EXPECT_EQ(SocketAddress::from_system(nullptr, 0), SocketAddress());
  // A Unix socket that was never bound: the family alone.
  const sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const SocketAddress unnamed = SocketAddress::from_system(&address, sizeof(sa_family_t));
  EXPECT_EQ(unnamed.family(), Family::kUnix);
  EXPECT_EQ(unnamed.to_string(), "unix:");
  // A path that could be read as an abstract name.
  const std::string at = SocketAddress::unix_path("@x")->to_string();
  EXPECT_EQ(at, "unix:./@x");
  EXPECT_FALSE(SocketAddress::parse(at)->is_abstract());
  // A path with and without its zero byte is the same.
  const SocketAddress path = *SocketAddress::unix_path("x");
  EXPECT_EQ(SocketAddress::from_system(path.system_address(), path.system_size() - 1), path);
}

}  // namespace
}  // namespace skua
