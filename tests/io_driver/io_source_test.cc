// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/io_source.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "io_driver/driver.h"
#include "io_driver/poller.h"
#include "skua/net/socket_address.h"
#include "skua/net/tcp_listener.h"
#include "skua/net/unix_stream.h"
#include "skua/runtime.h"
#include "skua/socket_engine.h"
#include "skua/spawn.h"
#include "skua/task.h"
#include "skua/time.h"
#include "task/wake_batch.h"
#include "tests/support/runtime_fixture.h"

namespace skua {
namespace {

using namespace std::chrono_literals;
using internal::Direction;
using internal::IoRegistration;
using internal::IoSource;
using internal::Readiness;

struct SourcePair {
  SourcePair() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    a = IoSource(fds[0]);
    b = IoSource(fds[1]);
  }
  IoSource a;
  IoSource b;
};

// One byte, or -errno; 0: the end.
Task<int> read_byte(IoSource* source) {
  const int closed = co_await source->turn();  // Before it has begun.
  if (closed != 0) co_return -closed;
  for (;;) {
    const Readiness seen = source->readiness(Direction::kRead);
    if (seen.ready()) {
      char byte = 0;
      const ssize_t count = ::read(source->fd(), &byte, 1);
      if (count == 1) co_return byte;
      if (count == 0) co_return 0;
      if (errno != EAGAIN) co_return -errno;
    }
    const int error = co_await source->wait(Direction::kRead, seen);
    if (error != 0) co_return -error;
  }
}

// Until a task has begun to wait for a source that nobody had waited for. Not by sleeping: on a busy machine the sleep
// is over before the task has begun.
Task<> until_registered(std::int64_t sources_before) {
  while (internal::current_driver()->poller().registered() == sources_before) co_await yield_now();
}
std::int64_t registered_sources() { return internal::current_driver()->poller().registered(); }

Task<int> write_byte(IoSource* source, char byte) {
  for (;;) {
    const Readiness seen = source->readiness(Direction::kWrite);
    if (seen.ready()) {
      const ssize_t count = ::write(source->fd(), &byte, 1);
      if (count == 1) co_return 1;
      if (errno != EAGAIN) co_return -errno;
    }
    const int error = co_await source->wait(Direction::kWrite, seen);
    if (error != 0) co_return -error;
  }
}

Task<int> join(JoinHandle<int> handle) { co_return co_await std::move(handle); }

// --- One worker, whose ring has room for 256 tasks -----------------------------------------------

std::uint64_t overflows(const Runtime& runtime) { return runtime.metrics().workers[0].overflows; }

IoSource event_source() { return IoSource(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

void make_ready(const IoSource& source) {
  const std::uint64_t one = 1;
  EXPECT_EQ(::write(source.fd(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
}

Task<> read_event(IoSource* source, int* waiting) {
  ++*waiting;  // Of this worker alone, which suspends the task before it runs another.
  std::uint64_t value = 0;
  Readiness seen = source->readiness(Direction::kRead);
  while (::read(source->fd(), &value, sizeof(value)) < 0) {
    EXPECT_EQ(co_await source->wait(Direction::kRead, seen), 0);
    seen = source->readiness(Direction::kRead);
  }
}

// What does not fit would go to the injector, and wait there behind what comes later.
TEST(EventsTest, NoMoreAreFetchedThanTheRingHasRoomFor) {
  Runtime runtime({.worker_threads = 1});
  std::vector<IoSource> sources;
  for (int i = 0; i < 600; ++i) sources.push_back(event_source());
  std::vector<JoinHandle<void>> readers;
  int waiting = 0;
  for (IoSource& source : sources) readers.push_back(runtime.spawn(read_event(&source, &waiting)));
  runtime.block_on([](const int* count) -> Task<> {
    while (*count < 600) co_await yield_now();
  }(&waiting));
  const std::uint64_t before = overflows(runtime);
  runtime.block_on([](auto* all, auto* handles) -> Task<> {
    for (const IoSource& source : *all) make_ready(source);
    for (JoinHandle<void>& handle : *handles) co_await std::move(handle);
  }(&sources, &readers));
  EXPECT_EQ(overflows(runtime), before);
}

// So few places are left that a look fetches nothing, as a rule; but not always, or this would never end.
TEST(EventsTest, AreFetchedThoughTheRingStaysFullOfTasksThatYield) {
  Runtime runtime({.worker_threads = 1});
  IoSource source = event_source();
  int waiting = 0;
  bool done = false;
  runtime.block_on([](IoSource* s, int* count, bool* end) -> Task<> {
    JoinHandle<void> reader = spawn(read_event(s, count));
    while (*count == 0) co_await yield_now();
    std::vector<JoinHandle<void>> others;
    for (int i = 0; i < 250; ++i) {
      others.push_back(spawn([](const bool* e) -> Task<> {
        while (!*e) co_await yield_now();
      }(end)));
    }
    co_await yield_now();
    make_ready(*s);
    co_await std::move(reader);
    *end = true;
    for (JoinHandle<void>& other : others) co_await std::move(other);
  }(&source, &waiting, &done));
}

class IoSourceTest : public test::RuntimeTest {};
SKUA_TEST_ALL_RUNTIMES(IoSourceTest);

TEST_P(IoSourceTest, WakesAReaderWhenDataComes) {
  SourcePair pair;
  for (char round = 1; round <= 100; ++round) {
    JoinHandle<int> reader = runtime().spawn(read_byte(&pair.a));
    std::thread writer([&] { EXPECT_EQ(::write(pair.b.fd(), &round, 1), 1); });
    EXPECT_EQ(runtime().block_on(join(std::move(reader))), round);
    writer.join();
  }
}

// Both directions of both ends at once, back and forth: an edge that is lost hangs.
TEST_P(IoSourceTest, LosesNoEdgeWhileBothDirectionsAreBusy) {
  constexpr int kRounds = 3000;
  SourcePair there;
  SourcePair back;
  const auto ping = [](IoSource* out, IoSource* in) -> Task<int> {
    for (int i = 0; i < kRounds; ++i) {
      if (co_await write_byte(out, 'x') != 1) co_return -1;
      if (co_await read_byte(in) != 'y') co_return -2;
    }
    co_return 0;
  };
  const auto pong = [](IoSource* in, IoSource* out) -> Task<int> {
    for (int i = 0; i < kRounds; ++i) {
      if (co_await read_byte(in) != 'x') co_return -1;
      if (co_await write_byte(out, 'y') != 1) co_return -2;
    }
    co_return 0;
  };
  JoinHandle<int> first = runtime().spawn(ping(&there.a, &back.a));
  JoinHandle<int> second = runtime().spawn(pong(&there.b, &back.b));
  EXPECT_EQ(runtime().block_on(join(std::move(first))), 0);
  EXPECT_EQ(runtime().block_on(join(std::move(second))), 0);
}

// Goal: no edge is lost while the reader is between its EAGAIN and its wait. Method: a thread writes bytes as fast as
// it can, so that events come at every point of the reader's loop; the socket's buffer is small, so the writer has to
// wait for it too.
TEST_P(IoSourceTest, LosesNoEdgeBetweenACallAndItsWait) {
  constexpr int kBytes = 20'000;
  SourcePair pair;
  const auto reader = [](IoSource* source) -> Task<int> {
    int sum = 0;
    for (;;) {
      const int byte = co_await read_byte(source);
      if (byte <= 0) co_return byte < 0 ? byte : sum;
      ++sum;
    }
  };
  JoinHandle<int> handle = runtime().spawn(reader(&pair.a));
  std::thread writer([fd = pair.b.release()] {
    ASSERT_EQ(::fcntl(fd, F_SETFL, 0), 0);
    const char byte = 'x';
    for (int i = 0; i < kBytes; ++i) ASSERT_EQ(::write(fd, &byte, 1), 1);
    ::close(fd);
  });
  EXPECT_EQ(runtime().block_on(join(std::move(handle))), kBytes);
  writer.join();
}

TEST_P(IoSourceTest, AnAbortedReaderIsGoneAndTheNextOneReads) {
  SourcePair pair;
  const auto main = [](SourcePair* both) -> Task<int> {
    for (int round = 0; round < 100; ++round) {
      JoinHandle<int> reader = spawn(read_byte(&both->a));
      for (int turn = 0; turn < round % 5; ++turn) co_await yield_now();
      if (round % 10 == 0) co_await sleep_for(1ms);
      reader.abort();
      const JoinResult<int> result = co_await std::move(reader).result();
      EXPECT_TRUE(result.cancelled());
    }
    EXPECT_EQ(co_await write_byte(&both->b, 'z'), 1);
    co_return co_await read_byte(&both->a);
  };
  EXPECT_EQ(runtime().block_on(main(&pair)), 'z');
}

// Data and abort race. Whatever wins, no byte may be lost: it is with the reader, or still in the socket.
TEST_P(IoSourceTest, AnAbortThatRacesWithDataLosesNone) {
  SourcePair pair;
  const auto main = [](SourcePair* both) -> Task<> {
    for (int round = 0; round < 300; ++round) {
      JoinHandle<int> reader = spawn(read_byte(&both->a));
      for (int turn = 0; turn < round % 3; ++turn) co_await yield_now();
      EXPECT_EQ(co_await write_byte(&both->b, 'q'), 1);
      for (int turn = 0; turn < round % 4; ++turn) co_await yield_now();
      reader.abort();
      const JoinResult<int> result = co_await std::move(reader).result();
      if (result.cancelled()) {
        EXPECT_EQ(co_await read_byte(&both->a), 'q');
      }
    }
  };
  runtime().block_on(main(&pair));
}

TEST_P(IoSourceTest, ClosingWakesWhoWaits) {
  SourcePair pair;
  const auto main = [](SourcePair* both) -> Task<int> {
    const std::int64_t before = registered_sources();
    JoinHandle<int> reader = spawn(read_byte(&both->a));
    co_await until_registered(before);
    both->a.close();
    co_return co_await std::move(reader);
  };
  EXPECT_EQ(runtime().block_on(main(&pair)), -ECANCELED);
}

// A task that data has woken, and that has not run yet, is not told by the descriptor: its number may be another's.
// Here the closer itself looks at the events, and closes before it lets the reader run.
TEST_P(IoSourceTest, ClosingReachesWhoHasBeenWokenJustNow) {
  if (GetParam() > 1)
    GTEST_SKIP() << "the reader may be in its call, which a closer must not overtake";
  SourcePair pair;
  const auto main = [](SourcePair* both) -> Task<int> {
    const std::int64_t before = registered_sources();
    JoinHandle<int> reader = spawn(read_byte(&both->a));
    co_await until_registered(before);
    EXPECT_EQ(co_await write_byte(&both->b, 'x'), 1);
    internal::Driver* const driver = internal::current_driver();
    EXPECT_TRUE(driver->try_hold());
    EXPECT_EQ(driver->poll(), 1u);
    driver->release();
    both->a.close();
    co_return co_await std::move(reader);
  };
  EXPECT_EQ(runtime().block_on(main(&pair)), -ECANCELED);
}

TEST_P(IoSourceTest, TheEndOfTheStreamReachesWhoHasDrainedIt) {
  // Data and end in one event: a short read then does not mean that no event stands behind it.
  SourcePair pair;
  const auto main = [](SourcePair* both) -> Task<> {
    const std::int64_t before = registered_sources();
    JoinHandle<int> registers = spawn(read_byte(&both->a));
    co_await until_registered(before);
    EXPECT_EQ(co_await write_byte(&both->b, '1'), 1);
    EXPECT_EQ(co_await std::move(registers), '1');
    // Empty and registered: now data and the end at once, before anybody waits.
    EXPECT_EQ(co_await write_byte(&both->b, '2'), 1);
    both->b.close();
    std::array<char, 8> buffer{};
    Readiness seen = both->a.readiness(Direction::kRead);
    for (int i = 0; i < 1000 && !seen.ready(); ++i) {
      co_await sleep_for(1ms);
      seen = both->a.readiness(Direction::kRead);
    }
    EXPECT_TRUE(seen.ready());
    EXPECT_EQ(::read(both->a.fd(), buffer.data(), buffer.size()), 1);
    both->a.drained(Direction::kRead, seen);
    EXPECT_EQ(co_await read_byte(&both->a), 0);
  };
  runtime().block_on(main(&pair));
}

TEST_P(IoSourceTest, AShortReadIsFollowedByAWaitNotByACall) {
  SourcePair pair;
  const auto main = [](SourcePair* both) -> Task<> {
    const std::int64_t before = registered_sources();
    JoinHandle<int> registers = spawn(read_byte(&both->a));
    co_await until_registered(before);
    EXPECT_EQ(co_await write_byte(&both->b, '1'), 1);
    EXPECT_EQ(co_await std::move(registers), '1');
    // An event of before may still be under way; no new one comes.
    for (int i = 0; i < 1000 && both->a.readiness(Direction::kRead).ready(); ++i) {
      both->a.drained(Direction::kRead, both->a.readiness(Direction::kRead));
      co_await sleep_for(1ms);
    }
    EXPECT_FALSE(both->a.readiness(Direction::kRead).ready());
    EXPECT_TRUE(both->a.readiness(Direction::kWrite).ready());
    EXPECT_EQ(co_await write_byte(&both->b, '2'), 1);
    EXPECT_EQ(co_await read_byte(&both->a), '2');
  };
  runtime().block_on(main(&pair));
}

// A descriptor is registered once, however often it waits, and a new one finds the old one's registration.
TEST_P(IoSourceTest, TenThousandSourcesComeAndGo) {
  const auto main = []() -> Task<> {
    for (int round = 0; round < 200; ++round) {
      std::vector<std::unique_ptr<SourcePair>> pairs;
      std::vector<JoinHandle<int>> readers;
      for (int i = 0; i < 50; ++i) {
        pairs.push_back(std::make_unique<SourcePair>());
        readers.push_back(spawn(read_byte(&pairs.back()->a)));
      }
      if (round % 2 == 0) co_await yield_now();
      for (auto& pair : pairs) EXPECT_EQ(co_await write_byte(&pair->b, 'n'), 1);
      for (JoinHandle<int>& reader : readers) EXPECT_EQ(co_await std::move(reader), 'n');
    }
  };
  runtime().block_on(main());
}

TEST_P(IoSourceTest, ARegularFileCannotBeWaitedFor) {
  IoSource source(::open("/proc/self/exe", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const auto main = [](IoSource* file) -> Task<int> {
    co_return co_await file->wait(Direction::kRead, file->readiness(Direction::kRead));
  };
  EXPECT_EQ(runtime().block_on(main(&source)), EPERM);
}

TEST_P(IoSourceTest, ShutdownEndsThoseThatWait) {
  SourcePair pair;
  runtime().spawn(read_byte(&pair.a));
  if (multi_thread()) {
    EXPECT_TRUE(test::eventually([&] { return runtime().metrics().tasks_spawned == 1; }));
  }
  EXPECT_TRUE(runtime().shutdown(1min));
}

TEST_P(IoSourceTest, OutlivesItsRuntimeAndSaysSo) {
  SourcePair pair;
  const auto register_it = [](SourcePair* both) -> Task<> {
    const std::int64_t before = registered_sources();
    JoinHandle<int> reader = spawn(read_byte(&both->a));
    co_await until_registered(before);
    reader.abort();
    const JoinResult<int> result = co_await std::move(reader).result();
    EXPECT_TRUE(result.cancelled());
  };
  runtime().block_on(register_it(&pair));
  stop();
  Runtime other({.worker_threads = 1});
  EXPECT_EQ(other.block_on(read_byte(&pair.a)), -ECANCELED);
  EXPECT_EQ(other.block_on(write_byte(&pair.b, 'x')), 1);
  EXPECT_EQ(other.block_on(read_byte(&pair.a)), 'x');  // What needs no wait still works.
}

TEST_P(IoSourceTest, WakesATaskOfAnotherRuntime) {
  SourcePair pair;
  Runtime other({.worker_threads = 1});
  const auto register_it = [](SourcePair* both) -> Task<int> {
    const std::int64_t before = registered_sources();
    JoinHandle<int> reader = spawn(read_byte(&both->a));
    co_await until_registered(before);
    EXPECT_EQ(co_await write_byte(&both->b, 'r'), 1);
    co_return co_await std::move(reader);
  };
  EXPECT_EQ(other.block_on(register_it(&pair)), 'r');
  JoinHandle<int> reader = runtime().spawn(read_byte(&pair.a));
  std::thread writer([&] { EXPECT_EQ(::write(pair.b.fd(), "o", 1), 1); });
  EXPECT_EQ(runtime().block_on(join(std::move(reader))), 'o');
  writer.join();
}

// --- The states, one by one -----------------------------------------------------------------------

class IoRegistrationTest : public testing::Test {
 protected:
  void SetUp() override {
    auto poller = internal::Poller::create();
    ASSERT_TRUE(poller.ok());
    poller_ = *poller;
    int error = 0;
    registration_ = poller_->add_source(event_, error);
    ASSERT_NE(registration_, nullptr) << error;
  }
  void TearDown() override {
    poller_->remove_source(registration_, event_);
    poller_->shut_down();
    ::close(event_);
  }
  std::uint64_t read_word() const { return registration_->word(Direction::kRead); }

  const int event_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  internal::WakeBatch batch_;
  internal::Poller* poller_ = nullptr;
  IoRegistration* registration_ = nullptr;
};

TEST_F(IoRegistrationTest, BeginsAsReady) {
  EXPECT_EQ(read_word(), IoRegistration::kReady);
  EXPECT_TRUE(Readiness(read_word()).ready());
}

TEST_F(IoRegistrationTest, AnEventBetweenTheCallAndTheClearingIsKept) {
  const std::uint64_t seen = read_word();
  registration_->on_event(EPOLLIN, 7, batch_);
  registration_->clear(Direction::kRead, seen);
  EXPECT_EQ(read_word(), IoRegistration::kReady | 7 << IoRegistration::kGenerationShift);
  registration_->clear(Direction::kRead, read_word());
  EXPECT_EQ(read_word(), IoRegistration::kNotReady);
  EXPECT_FALSE(Readiness(read_word()).ready());
}

TEST_F(IoRegistrationTest, AnEventOfOneDirectionLeavesTheOther) {
  registration_->clear(Direction::kRead, read_word());
  registration_->on_event(EPOLLOUT, 3, batch_);
  EXPECT_EQ(read_word(), IoRegistration::kNotReady);
  registration_->on_event(EPOLLERR, 4, batch_);
  EXPECT_TRUE(Readiness(read_word()).ready());
}

TEST_F(IoRegistrationTest, AShortReadClearsNothingIfTheEndIsBehindIt) {
  for (const std::uint32_t event : {EPOLLRDHUP, EPOLLPRI, EPOLLHUP, EPOLLERR}) {
    registration_->on_event(EPOLLIN | event, 9, batch_);
    registration_->clear(Direction::kRead, read_word());
    EXPECT_TRUE(Readiness(read_word()).ready()) << event;
  }
}

TEST_F(IoRegistrationTest, AfterTheEndNothingMakesItReady) {
  registration_->end(ECANCELED);
  EXPECT_EQ(registration_->on_event(EPOLLIN | EPOLLOUT, 5, batch_), 0u);
  EXPECT_EQ(read_word(), IoRegistration::kClosed);
  EXPECT_TRUE(Readiness(read_word()).ready());  // The call says what is the matter.
}

// --- An abort between the event and the call --------------------------------------------------------

Task<bool> read_one(UnixStream* stream) {
  std::array<std::byte, 1> byte{};
  co_return (co_await stream->read(byte)).value_or(0) == 1;
}
Task<bool> accept_one(TcpListener* listener) { co_return (co_await listener->accept()).ok(); }

// Aborts `task` when the event has woken it, and before it has run: this task looks at the driver by itself.
Task<> abort_when_woken(Task<bool> task, int fd, const SocketAddress* connect_to) {
  JoinHandle<bool> waiting = spawn(std::move(task));
  for (int i = 0; i < 5; ++i) co_await yield_now();
  if (connect_to != nullptr) {
    EXPECT_EQ(::connect(fd, static_cast<const sockaddr*>(connect_to->system_address()),
                        static_cast<socklen_t>(connect_to->system_size())),
              0);
  } else {
    EXPECT_EQ(::send(fd, "x", 1, 0), 1);
  }
  internal::Driver& driver = *internal::current_driver();
  EXPECT_TRUE(driver.try_hold());
  EXPECT_EQ(driver.poll(), 1u);
  driver.release();
  waiting.abort();
  const JoinResult<bool> result = co_await std::move(waiting).result();
  EXPECT_TRUE(result.cancelled());
}

// A when_any or a select would drop what a loser has taken. One thread: with several, the task may be at its call when
// the abort comes. By readiness: a completion has taken it.
TEST(ReadinessTest, WhoIsAbortedBetweenTheEventAndTheCallTakesNothing) {
  const auto main = []() -> Task<> {
    auto pair = UnixStream::pair();
    absl::StatusOr<TcpListener> listener = TcpListener::bind(SocketAddress::loopback_v4(0));
    const SocketAddress address = *listener->local_address();
    for (int round = 0; round < 10; ++round) {
      co_await abort_when_woken(read_one(&pair->second), pair->first.fd(), nullptr);
      EXPECT_TRUE(co_await read_one(&pair->second));
      const internal::UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      co_await abort_when_woken(accept_one(&*listener), client.get(), &address);
      EXPECT_TRUE(co_await accept_one(&*listener));
    }
  };
  for (const Flavor flavor : {Flavor::kCurrentThread, Flavor::kMultiThread}) {
    Runtime runtime(
        {.flavor = flavor, .worker_threads = 1, .socket_engine = SocketEngine::kReadiness});
    runtime.block_on(main());
  }
}

// --- Misuse -----------------------------------------------------------------------------------------

TEST(IoSourceDeathTest, ASecondReaderIsACallersBug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto die = [] {
    SourcePair pair;
    Runtime runtime({.worker_threads = 1});
    const auto main = [](IoSource* source) -> Task<> {
      const std::int64_t before = registered_sources();
      spawn(read_byte(source));
      co_await until_registered(before);
      co_await read_byte(source);
    };
    runtime.block_on(main(&pair.a));
  };
  EXPECT_DEATH(die(), "requirement.*another_task_waits_for_the_same");
}

}  // namespace
}  // namespace skua
