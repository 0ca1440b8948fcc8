// SPDX-License-Identifier: Apache-2.0
//
// The names that programs outside this repository are compiled against, used as such a program would: by one include,
// in the form that is promised. What they do is tested with their modules.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "skua/skua.h"

namespace {

using namespace std::chrono_literals;
using skua::Task;

Task<int> number(int n) { co_return n; }
Task<> nothing() { co_return; }
Task<int> late() {
  co_await skua::sleep_for(1h);
  co_return 0;
}
Task<int> throws() {
  throw std::runtime_error("thrown");
  co_return 0;
}

std::span<const std::byte> bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

static_assert(!std::is_copy_constructible_v<skua::Runtime>);
static_assert(!std::is_move_constructible_v<skua::Runtime>);
static_assert(!std::is_copy_constructible_v<Task<int>> && std::is_move_constructible_v<Task<int>>);
static_assert(std::is_copy_constructible_v<skua::Sender<int>>);
static_assert(std::is_copy_constructible_v<skua::Receiver<int>>);

TEST(ContractTest, Runtime) {
  const skua::RuntimeOptions defaults;
  EXPECT_EQ(defaults.flavor, skua::Flavor::kMultiThread);
  EXPECT_EQ(defaults.worker_threads, 0);
  EXPECT_EQ(defaults.max_blocking_threads, 512);
  EXPECT_EQ(defaults.blocking_keep_alive, 10'000ms);
  EXPECT_EQ(defaults.global_queue_interval, 61);
  EXPECT_EQ(defaults.event_interval, 61);
  EXPECT_EQ(defaults.thread_name, "skua");
  for (const skua::Flavor flavor :
       {skua::Flavor::kMultiThread, skua::Flavor::kCurrentThread, skua::Flavor::kThreadPerCore}) {
    skua::Runtime runtime({.flavor = flavor, .worker_threads = 2});
    EXPECT_EQ(runtime.block_on(number(3)), 3);
    runtime.spawn(nothing());
    skua::JoinHandle<int> job = runtime.spawn_blocking([] { return 4; });
    EXPECT_EQ(runtime.block_on([](skua::JoinHandle<int> handle) -> Task<int> {
      co_return co_await std::move(handle);
    }(std::move(job))),
              4);
    [[maybe_unused]] const skua::RuntimeMetrics metrics = runtime.metrics();
    EXPECT_TRUE(runtime.shutdown(std::chrono::hours(1)));
  }
  absl::StatusOr<std::unique_ptr<skua::Runtime>> made = skua::Runtime::create();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THROW((*made)->block_on(throws()), std::runtime_error);
  EXPECT_EQ(skua::run(number(5), {.worker_threads = 1}), 5);
}

Task<> spawning() {
  skua::JoinHandle<int> handle =
      skua::spawn(number(1), {.priority = skua::Priority::kHigh, .name = "one"});
  [[maybe_unused]] const skua::TaskId id = handle.id();
  const int one = co_await std::move(handle);
  EXPECT_EQ(one, 1);
  skua::spawn(nothing());

  skua::JoinHandle<int> aborted = skua::spawn(late());
  EXPECT_FALSE(aborted.is_finished());
  aborted.abort();
  skua::JoinResult<int> result = co_await std::move(aborted).result();
  EXPECT_TRUE(result.cancelled());
  EXPECT_FALSE(result.ok());
  result = co_await skua::spawn(number(2)).result();
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.value(), 2);
  result = co_await skua::spawn(throws()).result();
  EXPECT_NE(result.exception(), nullptr);
  bool was_cancelled = false;
  try {
    skua::JoinHandle<int> other = skua::spawn(late());
    other.abort();
    const int never = co_await std::move(other);
    ADD_FAILURE() << never;
  } catch (const skua::TaskCancelled&) {
    was_cancelled = true;
  }
  EXPECT_TRUE(was_cancelled);

  skua::JoinHandle<int> job = skua::spawn_blocking([] { return 3; });
  const int three = co_await std::move(job);
  EXPECT_EQ(three, 3);
  EXPECT_EQ(skua::block_in_place([] { return 4; }), 4);
  co_await skua::yield_now();
  EXPECT_EQ(skua::this_task::priority(), skua::Priority::kNormal);
  [[maybe_unused]] const skua::TaskId own = skua::this_task::id();
  const skua::CancellationToken token = skua::this_task::cancellation();
  EXPECT_FALSE(token.is_cancelled());
}

TEST(ContractTest, Spawning) { skua::run(spawning(), {.worker_threads = 2}); }

Task<> structure() {
  const std::tuple<int, std::monostate> both = co_await skua::when_all(number(1), nothing());
  EXPECT_EQ(std::get<0>(both), 1);
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 3; ++i) tasks.push_back(number(i));
  const std::vector<int> all = co_await skua::when_all(std::move(tasks));
  EXPECT_EQ(all, (std::vector<int>{0, 1, 2}));
  const std::array<int, 10> ten =
      co_await skua::when_all_n<10>([](std::size_t i) { return number(static_cast<int>(i)); });
  EXPECT_EQ(ten[9], 9);
  const std::vector<int> some =
      co_await skua::when_all_n(4, [](std::size_t i) { return number(static_cast<int>(i)); });
  EXPECT_EQ(some.size(), 4u);
  const std::variant<int, int> any = co_await skua::when_any(late(), number(7));
  EXPECT_EQ(any.index(), 1u);
  EXPECT_EQ(std::get<1>(any), 7);

  int sum = 0;
  auto body = [&sum](skua::Scope& scope) -> Task<> {
    scope.spawn([](int* out) -> Task<> {
      *out += 1;
      co_return;
    }(&sum));
    co_return;
  };
  co_await skua::Scope::run(body);
  EXPECT_EQ(sum, 1);

  skua::JoinSet<int> set;
  set.spawn(number(1));
  set.spawn(late());
  EXPECT_EQ(set.size(), 2u);
  std::optional<skua::JoinResult<int>> next = co_await set.join_next();
  EXPECT_TRUE(next.has_value() && next->ok() && next->value() == 1);
  set.abort_all();
  next = co_await set.join_next();
  EXPECT_TRUE(next.has_value() && next->cancelled());
  next = co_await set.join_next();
  EXPECT_FALSE(next.has_value());
}

TEST(ContractTest, Structure) { skua::run(structure(), {.worker_threads = 2}); }

Task<> cancellation_and_time() {
  skua::CancellationSource source;
  skua::CancellationToken token = source.token();
  skua::CancellationSource child = source.child();
  source.cancel();
  co_await token.cancelled();
  EXPECT_TRUE(child.token().is_cancelled());

  co_await skua::sleep_for(1ms);
  co_await skua::sleep_until(std::chrono::steady_clock::now());
  const absl::StatusOr<int> timely = co_await skua::timeout(1h, number(2));
  EXPECT_TRUE(timely.ok() && *timely == 2);
  const absl::StatusOr<int> too_late = co_await skua::timeout(1ms, late());
  EXPECT_EQ(too_late.status().code(), absl::StatusCode::kDeadlineExceeded);
  skua::Interval interval(1ms);
  co_await interval.tick();
}

TEST(ContractTest, CancellationAndTime) {
  skua::run(cancellation_and_time(), {.worker_threads = 2});
}

Task<> virtual_time() {
  skua::test_clock::pause();
  skua::JoinHandle<int> sleeper = skua::spawn(late());
  co_await skua::test_clock::advance(2h);
  const int zero = co_await std::move(sleeper);
  EXPECT_EQ(zero, 0);
  skua::test_clock::resume();
}

TEST(ContractTest, VirtualTime) {
  skua::run(virtual_time(), {.flavor = skua::Flavor::kCurrentThread});
  skua::run(virtual_time(), {.worker_threads = 2});
}

Task<> sync() {
  skua::Mutex mutex;
  {
    [[maybe_unused]] auto guard = co_await mutex.lock();
  }
  skua::RwLock lock;
  skua::Semaphore semaphore(1);
  skua::Notify notify;
  skua::Event event;
  skua::Latch latch(1);
  skua::Barrier barrier(1);
  skua::OnceCell<int> cell;
  auto [tx, rx] = skua::channel<int>(2);
  const bool sent = co_await tx.send(1);
  EXPECT_TRUE(sent);
  EXPECT_TRUE(tx.try_send(2));
  const std::optional<int> received = co_await rx.recv();
  EXPECT_EQ(received, 1);
  EXPECT_EQ(rx.try_recv(), 2);
  auto [utx, urx] = skua::unbounded_channel<int>();
  EXPECT_TRUE(utx.try_send(3));
  EXPECT_EQ(urx.try_recv(), 3);
  auto [otx, orx] = skua::oneshot<int>();
  EXPECT_TRUE(otx.send(4));
  const std::optional<int> once = co_await orx.recv();
  EXPECT_EQ(once, 4);
  auto [btx, brx] = skua::broadcast<int>(4);
  btx.send(5);
  const auto heard = co_await brx.recv();
  EXPECT_EQ(*heard, 5);
  auto [wtx, wrx] = skua::watch<int>(6);
  EXPECT_EQ(wrx.get(), 6);
}

TEST(ContractTest, Sync) { skua::run(sync(), {.worker_threads = 2}); }

Task<> net() {
  absl::StatusOr<skua::SocketAddress> address = skua::SocketAddress::parse("127.0.0.1:0");
  absl::StatusOr<skua::TcpListener> listener = skua::TcpListener::bind(*address);
  absl::StatusOr<skua::SocketAddress> local = listener->local_address();
  auto [accepted, connected] =
      co_await skua::when_all(listener->accept(), skua::TcpStream::connect(*local));
  EXPECT_TRUE(accepted.ok() && connected.ok());
  EXPECT_TRUE(connected->set_no_delay(true).ok());
  const std::string text = "hello\nworld\n";
  const absl::Status written = co_await connected->write_all(bytes(text));
  EXPECT_TRUE(written.ok());
  std::array<std::byte, 2> two;
  const absl::StatusOr<std::size_t> size = co_await accepted->read(two);
  EXPECT_TRUE(size.ok());
  std::array<std::byte, 1> one;
  const absl::Status exact = co_await accepted->read_exact(one);
  EXPECT_TRUE(exact.ok());
  EXPECT_TRUE(connected->shutdown(skua::Shutdown::kWrite).ok());
  skua::BufferedReader reader(*std::move(accepted));
  const auto line = co_await reader.read_line(100);
  EXPECT_TRUE(line.ok() && line->has_value());
  auto [in, out] = (*std::move(connected)).into_split();
  const auto addresses = co_await skua::resolve("127.0.0.1", 80);
  EXPECT_TRUE(addresses.ok() && addresses->size() == 1);
  EXPECT_EQ(skua::errno_of(absl::OkStatus()), 0);
}

TEST(ContractTest, Net) { skua::run(net(), {.worker_threads = 2}); }

using Kinds = std::tuple<skua::UdpSocket, skua::UnixListener, skua::UnixStream, skua::Pipe,
                         skua::Signal, skua::Process, skua::AsyncFd>;
static_assert(std::tuple_size_v<Kinds> == 7);

Task<> files(std::string folder) {
  const std::string path = folder + "/file";
  absl::Status status = co_await skua::fs::write_file(path, "contents");
  EXPECT_TRUE(status.ok()) << status;
  const absl::StatusOr<std::string> text = co_await skua::fs::read_file(path);
  EXPECT_TRUE(text.ok() && *text == "contents");
  absl::StatusOr<skua::File> file = co_await skua::File::open(path, {.read = true, .write = true});
  EXPECT_TRUE(file.ok()) << file.status();
  std::array<std::byte, 4> four;
  const absl::StatusOr<std::size_t> read = co_await file->read_at(0, four);
  EXPECT_TRUE(read.ok() && *read == 4);
  const absl::StatusOr<std::size_t> wrote = co_await file->write_at(8, four);
  EXPECT_TRUE(wrote.ok());
  const auto all = co_await file->read_all();
  EXPECT_TRUE(all.ok());
  status = co_await file->sync();
  EXPECT_TRUE(status.ok());
  const auto size = co_await file->size();
  EXPECT_TRUE(size.ok() && *size == 12);
  status = co_await file->close();
  EXPECT_TRUE(status.ok());
  status = co_await skua::fs::create_dir(folder + "/dir");
  EXPECT_TRUE(status.ok());
  const auto entries = co_await skua::fs::read_dir(folder);
  EXPECT_TRUE(entries.ok() && entries->size() == 2);
  const auto metadata = co_await skua::fs::metadata(path);
  EXPECT_TRUE(metadata.ok());
  status = co_await skua::fs::rename(path, folder + "/dir/file");
  EXPECT_TRUE(status.ok());
  auto walker = skua::fs::walk(folder);
  status = co_await skua::fs::remove(folder + "/dir/file");
  EXPECT_TRUE(status.ok());
  status = co_await skua::fs::remove(folder + "/dir");
  EXPECT_TRUE(status.ok());
}

TEST(ContractTest, Files) {
  std::string folder = testing::TempDir() + "skua_contract_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  skua::run(files(folder), {.worker_threads = 2});
  EXPECT_EQ(rmdir(folder.c_str()), 0);
}

}  // namespace
