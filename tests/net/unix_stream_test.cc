// SPDX-License-Identifier: Apache-2.0
//
// Unix sockets, datagrams, pipes and other descriptors.
#include "skua/net/unix_stream.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "skua/net/async_fd.h"
#include "skua/net/pipe.h"
#include "skua/net/process.h"
#include "skua/net/udp_socket.h"
#include "skua/net/unix_listener.h"
#include "skua/runtime.h"
#include "skua/spawn.h"
#include "skua/status.h"
#include "skua/time.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The next bytes as text, "<end>", or "<errno>".
template <typename Stream>
Task<std::string> read_text(Stream* stream) {
  std::array<std::byte, 64> buffer;
  const absl::StatusOr<std::size_t> count = co_await stream->read(buffer);
  if (!count.ok()) co_return "<" + std::to_string(errno_of(count.status())) + ">";
  if (*count == 0) co_return "<end>";
  co_return text_of(std::span(buffer).first(*count));
}

class NetTest : public test::RuntimeTest {};
SKUA_TEST_ALL_RUNTIMES(NetTest);

// --- Unix sockets -----------------------------------------------------------------------------------

Task<> talk_at(SocketAddress address) {
  absl::StatusOr<UnixListener> listener = UnixListener::bind(address);
  EXPECT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(*listener->local_address(), address);
  const absl::StatusOr<UnixListener> second = UnixListener::bind(address);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  JoinHandle<absl::StatusOr<UnixStream>> accept = spawn(listener->accept());
  absl::StatusOr<UnixStream> client = co_await UnixStream::connect(address);
  EXPECT_TRUE(client.ok()) << client.status();
  absl::StatusOr<UnixStream> server = co_await std::move(accept);
  EXPECT_EQ(*client->peer_address(), address);
  EXPECT_EQ(client->local_address()->to_string(), "unix:");
  const absl::StatusOr<PeerCredentials> peer = server->peer_credentials();
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_EQ(peer->uid, ::getuid());
  const absl::Status written = co_await client->write_all(bytes_of("hello"));
  EXPECT_TRUE(written.ok());
  EXPECT_TRUE(client->shutdown(Shutdown::kWrite).ok());
  EXPECT_EQ(co_await read_text(&*server), "hello");
  EXPECT_EQ(co_await read_text(&*server), "<end>");
}

TEST_P(NetTest, UnixSocketsTalkByPathAndByAbstractName) {
  std::string pattern = (std::filesystem::temp_directory_path() / "skua_unix_test_XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  runtime().block_on(talk_at(*SocketAddress::unix_path(pattern + "/socket")));
  const absl::StatusOr<UnixStream> nobody =
      runtime().block_on(UnixStream::connect(*SocketAddress::unix_path(pattern + "/socket")));
  EXPECT_EQ(errno_of(nobody.status()), ECONNREFUSED);
  std::filesystem::remove_all(pattern);
  runtime().block_on(
      talk_at(*SocketAddress::unix_abstract("skua-test-" + std::to_string(::getpid()))));
  const absl::StatusOr<UnixStream> nothing =
      runtime().block_on(UnixStream::connect(*SocketAddress::unix_path(pattern + "/socket")));
  EXPECT_TRUE(absl::IsNotFound(nothing.status())) << nothing.status();
}

// Nothing tells when a full backlog has room again: connect tries again by itself.
TEST_P(NetTest, AUnixConnectWaitsForAFullBacklog) {
  const auto main = []() -> Task<int> {
    const SocketAddress address =
        *SocketAddress::unix_abstract("skua-backlog-" + std::to_string(::getpid()));
    UnixListenOptions options;
    options.backlog = 1;
    absl::StatusOr<UnixListener> listener = UnixListener::bind(address, options);
    std::vector<JoinHandle<absl::StatusOr<UnixStream>>> clients;
    for (int i = 0; i < 8; ++i) clients.push_back(spawn(UnixStream::connect(address)));
    co_await sleep_for(2ms);
    int accepted = 0;
    for (int i = 0; i < 8; ++i) {
      absl::StatusOr<UnixStream> server = co_await listener->accept();
      accepted += server.ok() ? 1 : 0;
    }
    for (auto& client : clients) {
      const absl::StatusOr<UnixStream> stream = co_await std::move(client);
      EXPECT_TRUE(stream.ok()) << stream.status();
    }
    co_return accepted;
  };
  EXPECT_EQ(runtime().block_on(main()), 8);
}

TEST_P(NetTest, PassesDescriptors) {
  const auto main = []() -> Task<> {
    auto pair = UnixStream::pair();
    auto& [a, b] = *pair;
    auto pipe = make_pipe();
    const std::array<int, 2> ends{pipe->first.fd(), pipe->second.fd()};
    JoinHandle<absl::StatusOr<Received>> receiver =
        spawn([](UnixStream* stream) -> Task<absl::StatusOr<Received>> {
          std::array<std::byte, 16> buffer;
          absl::StatusOr<Received> received = co_await stream->receive_with_fds(buffer);
          co_return std::move(received);
        }(&b));
    co_await yield_now();
    const absl::StatusOr<std::size_t> sent = co_await a.send_with_fds(bytes_of("two"), ends);
    EXPECT_EQ(*sent, 3u);
    absl::StatusOr<Received> received = co_await std::move(receiver);
    EXPECT_EQ(received->size, 3u);
    EXPECT_FALSE(received->fds_lost);
    EXPECT_EQ(received->fds.size(), 2u);
    // They are copies of the ends, which may go now.
    pipe->first.close();
    pipe->second.close();
    EXPECT_NE(::fcntl(received->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(::write(received->fds[1].get(), "x", 1), 1);
    absl::StatusOr<PipeReader> reader = PipeReader::from_fd(received->fds[0].release());
    EXPECT_EQ(co_await read_text(&*reader), "x");

    // Fewer are asked for than come: the others are closed, and it says so. With none asked for, too.
    for (const std::size_t most : {std::size_t{1}, std::size_t{0}}) {
      const std::array<int, 2> more{a.fd(), b.fd()};
      const absl::StatusOr<std::size_t> again = co_await a.send_with_fds(bytes_of("y"), more);
      EXPECT_EQ(*again, 1u);
      std::array<std::byte, 16> buffer;
      const absl::StatusOr<Received> some = co_await b.receive_with_fds(buffer, most);
      EXPECT_EQ(some->fds.size(), most);
      EXPECT_TRUE(some->fds_lost);
    }
  };
  runtime().block_on(main());
}

// Messages with descriptors stop a read, so a short one does not mean that nothing is left.
// The task aborts itself while there is always something to read, so it ends where its budget does: between two reads,
// with nothing in its hands.
TEST_P(NetTest, AnAbortTakesNothingAlongThatWasRead) {
  struct Reading {
    std::optional<JoinHandle<void>> handle;
    int abort_at = 0;
    int read = 0;
  };
  const auto read_bytes = [](UnixStream* stream, Reading* reading) -> Task<> {
    for (;;) {
      std::array<std::byte, 1> byte;
      const absl::StatusOr<std::size_t> count = co_await stream->read(byte);
      if (!count.ok() || *count == 0) break;
      if (++reading->read == reading->abort_at) reading->handle->abort();
    }
  };
  const auto main = [](auto read, int abort_at) -> Task<> {
    constexpr int kBytes = 1000;
    absl::StatusOr<std::pair<UnixStream, UnixStream>> ends = UnixStream::pair();
    const std::vector<std::byte> data(kBytes);
    const absl::Status written = co_await ends->first.write_all(data);
    EXPECT_TRUE(written.ok()) << written;
    Reading reading;
    reading.abort_at = abort_at;
    reading.handle.emplace(spawn_local(read(&ends->second, &reading)));
    while (!reading.handle->is_finished()) co_await yield_now();
    const JoinResult<void> result = co_await std::move(*reading.handle).result();
    EXPECT_TRUE(result.cancelled());
    EXPECT_EQ(ends->first.shutdown(Shutdown::kWrite), absl::OkStatus());
    std::vector<std::byte> rest(kBytes);
    int left = 0;
    for (;;) {
      const absl::StatusOr<std::size_t> count = co_await ends->second.read(rest);
      if (!count.ok() || *count == 0) break;
      left += static_cast<int>(*count);
    }
    EXPECT_EQ(reading.read + left, kBytes);
  };
  for (const int abort_at : {1, 2, 100, 127, 128, 129, 300}) {
    runtime().block_on(main(read_bytes, abort_at));
  }
}

TEST_P(NetTest, AReadThatADescriptorCutsShortIsFollowedByAnother) {
  const auto main = []() -> Task<> {
    auto pair = UnixStream::pair();
    auto& [a, b] = *pair;
    JoinHandle<std::string> registers = spawn(read_text(&b));
    co_await sleep_for(1ms);
    absl::Status status = co_await a.write_all(bytes_of("0"));
    EXPECT_EQ(co_await std::move(registers), "0");
    for (int i = 0; i < 3; ++i) {
      const std::array<int, 1> one{a.fd()};
      const absl::StatusOr<std::size_t> sent = co_await a.send_with_fds(bytes_of("m"), one);
      EXPECT_TRUE(sent.ok());
    }
    status = co_await a.write_all(bytes_of("tail"));
    EXPECT_TRUE(status.ok());
    std::string all;
    while (all.size() < 7) all += co_await read_text(&b);
    EXPECT_EQ(all, "mmmtail");
  };
  runtime().block_on(main());
}

// --- Datagrams --------------------------------------------------------------------------------------

TEST_P(NetTest, DatagramsComeWholeWithTheirSender) {
  const auto main = []() -> Task<> {
    absl::StatusOr<UdpSocket> a = UdpSocket::bind(SocketAddress::loopback_v4(0));
    absl::StatusOr<UdpSocket> b = UdpSocket::bind(SocketAddress::loopback_v4(0));
    const SocketAddress to_b = *b->local_address();
    JoinHandle<void> sender = spawn([](UdpSocket* socket, SocketAddress to) -> Task<> {
      for (const char* text : {"first", "", "a long one"}) {
        const std::string data = text;
        co_await yield_now();
        const absl::Status status = co_await socket->send_to(bytes_of(data), to);
        EXPECT_TRUE(status.ok()) << status;
      }
    }(&*a, to_b));
    std::array<std::byte, 6> buffer;
    absl::StatusOr<Datagram> datagram = co_await b->receive_from(buffer);
    EXPECT_EQ(text_of(std::span(buffer).first(datagram->size)), "first");
    EXPECT_EQ(datagram->from, *a->local_address());
    EXPECT_FALSE(datagram->truncated);
    datagram = co_await b->receive_from(buffer);
    EXPECT_EQ(datagram->size, 0u);
    datagram = co_await b->receive_from(buffer);
    EXPECT_EQ(text_of(std::span(buffer).first(datagram->size)), "a long");
    EXPECT_TRUE(datagram->truncated);
    co_await std::move(sender);
    // An answer to a connected peer, and a datagram that is too long for any.
    EXPECT_TRUE(b->connect(*a->local_address()).ok());
    EXPECT_EQ(*b->peer_address(), *a->local_address());
    absl::Status status = co_await b->send(bytes_of("back"));
    EXPECT_TRUE(status.ok()) << status;
    datagram = co_await a->receive_from(buffer);
    EXPECT_EQ(text_of(std::span(buffer).first(datagram->size)), "back");
    const std::vector<std::byte> endless(70'000);
    status = co_await b->send(endless);
    EXPECT_EQ(errno_of(status), EMSGSIZE);
    EXPECT_TRUE(b->set_broadcast(true).ok());
    EXPECT_TRUE(b->set_send_buffer_size(1 << 16).ok());
    EXPECT_TRUE(b->set_receive_buffer_size(1 << 16).ok());
  };
  runtime().block_on(main());
}

TEST_P(NetTest, ARefusedDatagramIsReportedToAConnectedSocket) {
  const auto main = []() -> Task<> {
    SocketAddress nobody;
    {
      absl::StatusOr<UdpSocket> gone = UdpSocket::bind(SocketAddress::loopback_v4(0));
      nobody = *gone->local_address();
    }
    absl::StatusOr<UdpSocket> socket = UdpSocket::bind(SocketAddress::loopback_v4(0));
    EXPECT_TRUE(socket->connect(nobody).ok());
    JoinHandle<int> receiver = spawn([](UdpSocket* at) -> Task<int> {
      std::array<std::byte, 8> buffer;
      const absl::StatusOr<Datagram> datagram = co_await at->receive_from(buffer);
      co_return errno_of(datagram.status());
    }(&*socket));
    co_await sleep_for(1ms);
    const absl::Status sent = co_await socket->send(bytes_of("hello?"));
    EXPECT_TRUE(sent.ok()) << sent;
    EXPECT_EQ(co_await std::move(receiver), ECONNREFUSED);
  };
  runtime().block_on(main());
}

// --- Programs of others -----------------------------------------------------------------------------

// What the program answers with to `text` on its stdin, as much as that is; nullopt: there is no such program.
Task<std::optional<std::string>> talk_through(Command command, std::string text) {
  command.set_stdin(Stdio::kPipe).set_stdout(Stdio::kPipe);
  absl::StatusOr<Process> program = co_await Process::spawn(std::move(command));
  if (!program.ok()) co_return std::nullopt;
  const absl::Status written = co_await program->stdin_pipe().write_all(bytes_of(text));
  EXPECT_TRUE(written.ok()) << written;
  std::string answer(text.size(), ' ');
  const absl::Status read =
      co_await program->stdout_pipe().read_exact(std::as_writable_bytes(std::span(answer)));
  EXPECT_TRUE(read.ok()) << read;
  co_return answer;  // The program is killed.
}

Task<> echo_one_connection(UnixListener* listener) {
  absl::StatusOr<UnixStream> stream = co_await listener->accept();
  for (;;) {
    const std::string text = co_await read_text(&*stream);
    if (text.starts_with("<")) co_return;
    const absl::Status written = co_await stream->write_all(bytes_of(text));
    EXPECT_TRUE(written.ok()) << written;
  }
}

Task<> echo_one_datagram(UdpSocket* socket) {
  std::array<std::byte, 64> buffer;
  const absl::StatusOr<Datagram> datagram = co_await socket->receive_from(buffer);
  const absl::Status sent =
      co_await socket->send_to(std::span(buffer).first(datagram->size), datagram->from);
  EXPECT_TRUE(sent.ok()) << sent;
}

TEST_P(NetTest, SocatAndNcTalkToUnixAndUdpSockets) {
  std::string directory = (std::filesystem::temp_directory_path() / "skua_nc_test_XXXXXX").string();
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const auto main = [](std::string path) -> Task<int> {
    int programs = 0;
    absl::StatusOr<UnixListener> listener = UnixListener::bind(*SocketAddress::unix_path(path));
    EXPECT_TRUE(listener.ok()) << listener.status();
    const Command socat("socat", {"-", "UNIX-CONNECT:" + path});
    const Command nc("nc", {"-U", path});
    for (const Command& program : {socat, nc}) {
      JoinHandle<void> server = spawn(echo_one_connection(&*listener));
      const std::optional<std::string> answer = co_await talk_through(program, "by a path\n");
      if (answer.has_value()) {
        EXPECT_EQ(*answer, "by a path\n");
        ++programs;
      } else {
        server.abort();
      }
      const JoinResult<void> ended = co_await std::move(server).result();
      EXPECT_EQ(ended.cancelled(), !answer.has_value());
    }
    absl::StatusOr<UdpSocket> socket = UdpSocket::bind(SocketAddress::loopback_v4(0));
    JoinHandle<void> server = spawn(echo_one_datagram(&*socket));
    const Command udp("socat", {"-", "UDP4:" + socket->local_address()->to_string()});
    const std::optional<std::string> answer = co_await talk_through(udp, "a datagram\n");
    if (answer.has_value()) {
      EXPECT_EQ(*answer, "a datagram\n");
      ++programs;
    } else {
      server.abort();
    }
    const JoinResult<void> ended = co_await std::move(server).result();
    EXPECT_EQ(ended.cancelled(), !answer.has_value());
    co_return programs;
  };
  const int programs = runtime().block_on(main(directory + "/socket"));
  std::filesystem::remove_all(directory);
  if (programs < 3) GTEST_SKIP() << "socat or nc is not installed";
}

// --- Pipes ------------------------------------------------------------------------------------------

TEST_P(NetTest, APipeCarriesMoreThanItHolds) {
  constexpr std::size_t kSize = 1 << 20;
  const auto main = []() -> Task<bool> {
    auto pipe = make_pipe();
    JoinHandle<absl::Status> writer = spawn([](PipeWriter end) -> Task<absl::Status> {
      std::vector<std::byte> data(kSize);
      for (std::size_t i = 0; i < kSize; ++i) data[i] = static_cast<std::byte>(i * 31 + i / 251);
      co_return co_await end.write_all(data);
    }(std::move(pipe->second)));
    std::vector<std::byte> data(kSize);
    const absl::Status read = co_await pipe->first.read_exact(data);
    EXPECT_TRUE(read.ok()) << read;
    const absl::Status written = co_await std::move(writer);
    EXPECT_TRUE(written.ok()) << written;
    EXPECT_EQ(co_await read_text(&pipe->first), "<end>");
    bool equal = true;
    for (std::size_t i = 0; i < kSize; ++i) {
      equal = equal && data[i] == static_cast<std::byte>(i * 31 + i / 251);
    }
    co_return equal;
  };
  EXPECT_TRUE(runtime().block_on(main()));
}

// SIGPIPE would end the test. One that was pending before is left to be.
TEST_P(NetTest, WritingToAPipeThatNobodyReadsIsAnErrorAndNoSignal) {
  const auto main = []() -> Task<> {
    absl::StatusOr<Pipe> pipe = Pipe::create();
    pipe->reader.close();
    for (int i = 0; i < 3; ++i) {
      const absl::Status written = co_await pipe->writer.write_all(bytes_of("lost"));
      EXPECT_EQ(errno_of(written), EPIPE);
    }
    const std::array<std::span<const std::byte>, 1> parts{bytes_of("lost")};
    const absl::StatusOr<std::size_t> count = co_await pipe->writer.writev(parts);
    EXPECT_EQ(errno_of(count.status()), EPIPE);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, nullptr, &now);
    EXPECT_EQ(sigismember(&now, SIGPIPE), 0);
    sigpending(&now);
    EXPECT_EQ(sigismember(&now, SIGPIPE), 0);
  };
  runtime().block_on(main());
}

// Each packet is a read of its own: a short one does not mean that the pipe is empty.
TEST_P(NetTest, APipeOfPacketsIsReadToItsEnd) {
  const auto main = []() -> Task<> {
    std::array<int, 2> fds{};
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC | O_DIRECT), 0);
    absl::StatusOr<PipeReader> reader = PipeReader::from_fd(fds[0]);
    absl::StatusOr<PipeWriter> writer = PipeWriter::from_fd(fds[1]);
    JoinHandle<std::string> registers = spawn(read_text(&*reader));
    co_await sleep_for(1ms);
    absl::Status status = co_await writer->write_all(bytes_of("0"));
    EXPECT_EQ(co_await std::move(registers), "0");
    for (int i = 1; i <= 3; ++i) {
      const std::string packet = std::to_string(i);
      status = co_await writer->write_all(bytes_of(packet));
      EXPECT_TRUE(status.ok());
    }
    EXPECT_EQ(co_await read_text(&*reader), "1");
    EXPECT_EQ(co_await read_text(&*reader), "2");
    EXPECT_EQ(co_await read_text(&*reader), "3");
  };
  runtime().block_on(main());
}

// --- Any descriptor ---------------------------------------------------------------------------------

TEST_P(NetTest, WaitsForAnyDescriptor) {
  const auto main = []() -> Task<> {
    absl::StatusOr<AsyncFd> event = AsyncFd::from_fd(::eventfd(0, EFD_CLOEXEC));
    EXPECT_TRUE(event.ok());
    JoinHandle<std::uint64_t> reader = spawn([](AsyncFd* fd) -> Task<std::uint64_t> {
      std::uint64_t value = 0;
      const AsyncFd::Call call = [&value](int descriptor) {
        return ::read(descriptor, &value, sizeof(value));
      };
      const absl::StatusOr<std::size_t> count = co_await fd->read_with(call);
      co_return count.ok() ? value : 0;
    }(&*event));
    co_await sleep_for(1ms);
    EXPECT_FALSE(reader.is_finished());
    const std::uint64_t five = 5;
    const AsyncFd::Call writes = [five](int descriptor) {
      return ::write(descriptor, &five, sizeof(five));
    };
    const absl::StatusOr<std::size_t> written = co_await event->write_with(writes);
    EXPECT_EQ(*written, sizeof(five));
    EXPECT_EQ(co_await std::move(reader), five);

    absl::Status status = co_await event->writable();
    EXPECT_TRUE(status.ok());
    JoinHandle<absl::Status> readable = spawn(event->readable());
    co_await sleep_for(1ms);
    EXPECT_FALSE(readable.is_finished());
    EXPECT_EQ(::write(event->fd(), &five, sizeof(five)), 8);
    status = co_await std::move(readable);
    EXPECT_TRUE(status.ok());
    // It stays readable until somebody reads.
    status = co_await event->readable();
    EXPECT_TRUE(status.ok());
    const int fd = event->release();
    EXPECT_EQ(event->fd(), -1);
    ::close(fd);
    EXPECT_EQ(errno_of(AsyncFd::from_fd(1 << 20).status()), EBADF);
  };
  runtime().block_on(main());
}

TEST_P(NetTest, ADescriptorThatCannotBeWaitedForIsAnError) {
  const auto main = []() -> Task<int> {
    absl::StatusOr<AsyncFd> file = AsyncFd::from_fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    const AsyncFd::Call never = [](int) -> std::ptrdiff_t {
      errno = EAGAIN;
      return -1;
    };
    const absl::StatusOr<std::size_t> count = co_await file->read_with(never);
    co_return errno_of(count.status());
  };
  EXPECT_EQ(runtime().block_on(main()), EPERM);
}

}  // namespace
}  // namespace skua
