// SPDX-License-Identifier: Apache-2.0
#include "skua/net/resolve.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <latch>
#include <memory>
#include <netdb.h>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/blocking.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/tcp_stream.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "tests/support/driver_fixture.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/leak_check.h"

namespace skua {
namespace {

using Addresses = absl::StatusOr<std::vector<SocketAddress>>;

class ResolveTest : public testing::Test {
 protected:
  ResolveTest() {
    internal::DriverOptions options;
    options.calls = &calls_;
    runtime_ = std::make_unique<test::DriverRuntime>(2, std::move(options));
  }
  ~ResolveTest() override {
    runtime_.reset();
    EXPECT_EQ(leaks_.report(), "");
  }
  Addresses resolve_now(std::string host, std::uint16_t port = 80) {
    return runtime_->block_on(resolve(std::move(host), port));
  }

  const test::LeakCheck leaks_;
  // Of a look-up that goes on after its test.
  std::latch begun_{1};
  std::latch go_on_{1};
  test::FaultyCalls calls_;
  std::unique_ptr<test::DriverRuntime> runtime_;
};

TEST_F(ResolveTest, ANameHasItsAddressesWithThePort) {
  const Addresses addresses = resolve_now("localhost", 65535);
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  ASSERT_FALSE(addresses->empty());
  for (const SocketAddress& address : *addresses) {
    EXPECT_TRUE(address == SocketAddress::loopback_v4(65535) ||
                address == SocketAddress::loopback_v6(65535))
        << address.to_string();
    EXPECT_EQ(std::count(addresses->begin(), addresses->end(), address), 1);
  }
}

TEST_F(ResolveTest, AnAddressIsTakenAsItIsWithoutALookUp) {
  calls_.set_resolver([](const char* host, const addrinfo*, addrinfo**) {
    ADD_FAILURE() << host << " was looked up";
    return EAI_FAIL;
  });
  EXPECT_EQ(resolve_now("127.0.0.1", 0)->at(0), SocketAddress::loopback_v4(0));
  EXPECT_EQ(resolve_now("::1", 443)->at(0), SocketAddress::loopback_v6(443));
  const Addresses scoped = resolve_now("fe80::1%lo", 1);
  ASSERT_TRUE(scoped.ok()) << scoped.status();
  EXPECT_EQ(scoped->at(0).to_string(), SocketAddress::parse("[fe80::1%lo]:1")->to_string());
  EXPECT_EQ(scoped->size(), 1u);
}

TEST_F(ResolveTest, AnAddressThatComesTwiceIsGivenOnce) {
  calls_.set_resolver([](const char*, const addrinfo* hints, addrinfo** list) {
    addrinfo any_type = *hints;
    any_type.ai_socktype = 0;  // Each address once for TCP, for UDP, and raw.
    return ::getaddrinfo("127.0.0.7", nullptr, &any_type, list);
  });
  const Addresses addresses = resolve_now("seven.example");
  ASSERT_TRUE(addresses.ok()) << addresses.status();
  ASSERT_EQ(addresses->size(), 1u);
  EXPECT_EQ(addresses->at(0), SocketAddress::v4({127, 0, 0, 7}, 80));
}

TEST_F(ResolveTest, FailuresAreTold) {
  struct Case {
    int code;
    absl::StatusCode expected;
  };
  for (const Case& c : {Case{EAI_NONAME, absl::StatusCode::kNotFound},
                        Case{EAI_NODATA, absl::StatusCode::kNotFound},
                        Case{EAI_AGAIN, absl::StatusCode::kUnavailable},
                        Case{EAI_MEMORY, absl::StatusCode::kResourceExhausted},
                        Case{EAI_FAIL, absl::StatusCode::kUnknown}}) {
    calls_.set_resolver([code = c.code](const char*, const addrinfo*, addrinfo**) { return code; });
    const absl::Status status = resolve_now("some.example").status();
    EXPECT_EQ(status.code(), c.expected) << status;
    EXPECT_NE(status.message().find("some.example"), absl::string_view::npos) << status;
    EXPECT_NE(status.message().find(::gai_strerror(c.code)), absl::string_view::npos) << status;
    EXPECT_EQ(errno_of(status), 0);
  }
  calls_.set_resolver([](const char*, const addrinfo*, addrinfo**) {
    errno = EMFILE;
    return EAI_SYSTEM;
  });
  const absl::Status system = resolve_now("some.example").status();
  EXPECT_EQ(errno_of(system), EMFILE);
  EXPECT_TRUE(absl::IsResourceExhausted(system)) << system;

  EXPECT_TRUE(absl::IsInvalidArgument(resolve_now("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(resolve_now(std::string("a\0b", 3)).status()));
  calls_.set_resolver(nullptr);
  // Reserved (RFC 6761): whoever is asked says no, or nobody can be asked.
  const absl::Status reserved = resolve_now("nobody.invalid").status();
  EXPECT_TRUE(absl::IsNotFound(reserved) || absl::IsUnavailable(reserved)) << reserved;
}

// The look-up hangs until the test lets it go, long after its task has ended.
TEST_F(ResolveTest, AnAbortedTaskDoesNotWaitForItsLookUp) {
  calls_.set_resolver([this](const char*, const addrinfo* hints, addrinfo** list) {
    begun_.count_down();
    go_on_.wait();
    return ::getaddrinfo("127.0.0.1", nullptr, hints, list);
  });
  const auto main = [](std::latch* looked_up) -> Task<bool> {
    JoinHandle<Addresses> look_up = spawn(resolve("slow.example", 80));
    JoinHandle<void> waits = spawn_blocking([looked_up] { looked_up->wait(); });
    co_await std::move(waits);
    look_up.abort();
    const JoinResult<Addresses> result = co_await std::move(look_up).result();
    co_return result.cancelled();
  };
  EXPECT_TRUE(runtime_->block_on(main(&begun_)));
  go_on_.count_down();
}

TEST_F(ResolveTest, ConnectTriesOneAddressAfterTheOther) {
  calls_.set_resolver([](const char* host, const addrinfo* hints, addrinfo** list) {
    // Nobody listens at the first one.
    const int first = ::getaddrinfo("127.0.0.2", nullptr, hints, list);
    if (first != 0 || std::string(host) == "one.example") return first;
    return ::getaddrinfo("127.0.0.1", nullptr, hints, &(*list)->ai_next);
  });
  const auto main = []() -> Task<> {
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    const std::uint16_t port = listener->local_address()->port();
    absl::StatusOr<TcpStream> stream = co_await TcpStream::connect("two.example", port);
    EXPECT_TRUE(stream.ok()) << stream.status();
    EXPECT_EQ(*stream->peer_address(), *listener->local_address());
    stream = co_await TcpStream::connect("one.example", port);
    EXPECT_EQ(errno_of(stream.status()), ECONNREFUSED);
    EXPECT_NE(stream.status().message().find("127.0.0.2"), absl::string_view::npos);
    stream = co_await TcpStream::connect("", port);
    EXPECT_TRUE(absl::IsInvalidArgument(stream.status())) << stream.status();
  };
  runtime_->block_on(main());
}

}  // namespace
}  // namespace skua
