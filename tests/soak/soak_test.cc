// SPDX-License-Identifier: Apache-2.0
//
// Random trees of everything, aborted at random, for as long as one likes.
//
//   SKUA_SOAK_S=600 build/release/tests/soak_test      for ten minutes; 2 seconds if it is not set
//   SKUA_SOAK_SEED=N                                   the first seed, as printed by the run that failed
//
// Each round has a seed, which is printed before it begins, a runtime of a random shape, and a world of primitives that
// all its tasks share. Goal: nothing hangs, leaks, is lost or doubled. Method: what can be counted is counted, twice.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <gtest/gtest.h>

#include "skua/skua.h"
#include "tests/support/leak_check.h"

namespace skua {
namespace {

using namespace std::chrono_literals;

std::uint64_t number_of_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// A value that is counted while it lives, and knows who sent it.
class Parcel {
 public:
  Parcel(std::size_t number, std::atomic<int>* live) : number_(number), live_(live) { count(1); }
  Parcel(Parcel&& other) noexcept : number_(other.number_), live_(other.live_) { count(1); }
  Parcel& operator=(Parcel&&) = delete;
  ~Parcel() { count(-1); }
  std::size_t number() const { return number_; }

 private:
  void count(int n) const { live_->fetch_add(n, std::memory_order_relaxed); }
  const std::size_t number_;
  std::atomic<int>* const live_;
};

struct World {
  static constexpr std::size_t kParcelsMax = 100'000;
  static constexpr std::size_t kPermits = 3;

  explicit World(std::mt19937_64* random)
      : sent(kParcelsMax),
        received(kParcelsMax),
        channels{channel<Parcel>(1 + (*random)() % 4), channel<Parcel>(64),
                 unbounded_channel<Parcel>()} {}

  std::atomic<int> live{0};  // Nodes and parcels.
  std::atomic<std::size_t> parcels{0};
  std::vector<std::atomic<std::uint8_t>> sent;      // Noted by who was told so.
  std::vector<std::atomic<std::uint8_t>> received;  // How often.
  std::array<ChannelPair<Parcel>, 3> channels;
  Mutex mutex;
  std::int64_t under_mutex = 0;  // Plain.
  std::atomic<std::int64_t> locks{0};
  RwLock rw_lock;
  std::int64_t under_rw_lock = 0;  // Plain.
  std::atomic<std::int64_t> writes{0};
  Semaphore semaphore{kPermits};
  std::atomic<int> holders{0};
  Notify notify;
  BroadcastPair<int> news = broadcast<int>(4);
  WatchPair<int> latest = watch<int>(0);
  CancellationSource stop;

  std::optional<Parcel> new_parcel() {
    const std::size_t number = parcels.fetch_add(1, std::memory_order_relaxed);
    if (number >= kParcelsMax) return std::nullopt;
    return std::optional<Parcel>(std::in_place, number, &live);
  }
  void note_sent(std::size_t number) { sent[number].store(1, std::memory_order_relaxed); }
  void take(const Parcel& parcel) {
    received[parcel.number()].fetch_add(1, std::memory_order_relaxed);
  }
  void check() {
    for (auto& pair : channels) {
      while (const std::optional<Parcel> left = pair.receiver.try_recv()) take(*left);
    }
    const std::size_t made = std::min(parcels.load(), kParcelsMax);
    for (std::size_t i = 0; i < made; ++i) {
      EXPECT_LE(received[i].load(), 1) << "parcel " << i << " was received twice";
      EXPECT_GE(received[i].load(), sent[i].load()) << "parcel " << i << " was lost";
    }
    EXPECT_EQ(under_mutex, locks.load());
    EXPECT_EQ(under_rw_lock, writes.load());
    EXPECT_EQ(semaphore.available(), kPermits);
    EXPECT_FALSE(mutex.is_locked());
    EXPECT_EQ(live.load(), 0) << "nodes or parcels that never ended";
  }
};

class Alive {
 public:
  explicit Alive(std::atomic<int>* live) : live_(live) { live_->fetch_add(1); }
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
  ~Alive() { live_->fetch_sub(1); }

 private:
  std::atomic<int>* const live_;
};

std::chrono::microseconds short_time(std::mt19937_64* random) {
  return std::chrono::microseconds((*random)() % 1'500);
}

ChannelPair<Parcel>& any_channel(World* world, std::mt19937_64* random) {
  return world->channels[(*random)() % world->channels.size()];
}

Task<> send_one(World* world, std::mt19937_64* random) {
  std::optional<Parcel> parcel = world->new_parcel();
  if (!parcel.has_value()) co_return;
  const std::size_t number = parcel->number();
  Sender<Parcel> tx = any_channel(world, random).sender;
  if ((*random)() % 2 == 0) {
    auto result = co_await tx.send_for(*std::move(parcel), short_time(random));
    if (result.sent()) world->note_sent(number);
    co_return;
  }
  auto got = co_await select(tx.send(*std::move(parcel)), sleep_for(short_time(random)),
                             world->notify.notified());
  if (got.index() == 0 && std::get<0>(got)) world->note_sent(number);
  if (got.index() == 2) world->notify.notify_one();
}

Task<> receive_one(World* world, std::mt19937_64* random) {
  Receiver<Parcel> a = any_channel(world, random).receiver;
  Receiver<Parcel> b = any_channel(world, random).receiver;
  if ((*random)() % 2 == 0) {
    auto result = co_await a.recv_for(short_time(random));
    if (result.has_value()) world->take(*result);
    co_return;
  }
  BroadcastReceiver<int> news = world->news.receiver;
  WatchReceiver<int> latest = world->latest.receiver;
  auto got = co_await select(a.recv(), b.recv(), news.recv(), latest.changed(),
                             sleep_for(short_time(random)));
  if (got.index() == 0 && std::get<0>(got).has_value()) world->take(*std::get<0>(got));
  if (got.index() == 1 && std::get<1>(got).has_value()) world->take(*std::get<1>(got));
}

Task<> lock_one(World* world, std::mt19937_64* random) {
  switch ((*random)() % 4) {
    case 0: {
      const MutexGuard guard = co_await world->mutex.lock();
      const std::int64_t before = world->under_mutex;
      if ((*random)() % 4 == 0) co_await yield_now();
      world->under_mutex = before + 1;
      world->locks.fetch_add(1, std::memory_order_relaxed);
      break;
    }
    case 1: {
      auto got = co_await select(world->mutex.lock(), world->semaphore.acquire(),
                                 sleep_for(short_time(random)));
      if (got.index() == 0) {
        ++world->under_mutex;
        world->locks.fetch_add(1, std::memory_order_relaxed);
      }
      break;
    }
    case 2: {
      const RwLockWriteGuard guard = co_await world->rw_lock.write();
      const std::int64_t before = world->under_rw_lock;
      if ((*random)() % 4 == 0) co_await yield_now();
      world->under_rw_lock = before + 1;
      world->writes.fetch_add(1, std::memory_order_relaxed);
      break;
    }
    default: {
      const SemaphorePermit permit = co_await world->semaphore.acquire();
      EXPECT_LT(world->holders.fetch_add(1), static_cast<int>(World::kPermits));
      world->holders.fetch_sub(1);
      const RwLockReadGuard guard = co_await world->rw_lock.read();
      const std::int64_t before = world->under_rw_lock;
      if ((*random)() % 4 == 0) co_await yield_now();
      EXPECT_EQ(world->under_rw_lock, before);
    }
  }
}

// For ever, until somebody aborts it.
Task<> wait_for_ever(World* world, std::mt19937_64* random) {
  const Alive alive(&world->live);
  Event never;
  switch ((*random)() % 4) {
    case 0:
      co_await sleep_for(1h);
      break;
    case 1:
      co_await world->stop.token().cancelled();
      break;
    case 2: {
      auto [tx, rx] = oneshot<int>();
      auto got = co_await select(rx.recv(), never.wait(), world->stop.token().cancelled());
      ADD_FAILURE() << "nobody has sent or set anything, but branch " << got.index() << " has won";
      break;
    }
    default:
      co_await never.wait();
  }
}

Task<> node(World* world, std::uint64_t seed, int depth);

Task<> sleep_a_little(std::chrono::microseconds duration) { co_await sleep_for(duration); }

Generator<std::uint64_t> subtrees(World* world, std::uint64_t seed, int depth) {
  const Alive alive(&world->live);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    co_await node(world, seed + i, depth);
    co_yield i;
  }
}

Task<> wait_for_ever_by(World* world, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  co_await wait_for_ever(world, &random);
}

// A node that borrows from its owner's frame, which must outlive it.
Task<> borrow(World* world, std::uint64_t seed, int depth, std::atomic<int>* of_owner) {
  const Alive alive(of_owner);
  co_await node(world, seed, depth);
}

Task<> fail_in_time(std::chrono::microseconds when) {
  co_await sleep_for(when);
  throw std::runtime_error("a child that fails");
}

// Owners and their children: nothing that is borrowed is in use when the owner is back.
Task<> own_children(World* world, std::mt19937_64* random, int depth) {
  const std::uint64_t seed = (*random)();
  std::atomic<int> borrowed{0};
  switch (seed % 5) {
    case 0: {
      const absl::Status status =
          co_await timeout(short_time(random), borrow(world, seed, depth, &borrowed));
      EXPECT_TRUE(status.ok() || absl::IsDeadlineExceeded(status));
      break;
    }
    case 1: {
      auto won = co_await when_any(borrow(world, seed, depth, &borrowed),
                                   borrow(world, seed + 1, depth, &borrowed),
                                   wait_for_ever_by(world, seed));
      EXPECT_LT(won.index(), 3u);
      break;
    }
    case 2: {
      const std::chrono::microseconds failure_at = short_time(random);
      try {
        co_await Scope::run([&](Scope& scope) -> Task<> {
          scope.spawn(borrow(world, seed, depth, &borrowed));
          scope.spawn([&]() -> Task<> {
            scope.spawn(borrow(world, seed + 1, depth, &borrowed));
            co_await yield_now();
          });
          if (seed % 3 == 0) scope.spawn(fail_in_time(failure_at));
          co_await borrow(world, seed + 2, depth, &borrowed);
        });
      } catch (const std::runtime_error&) {
        EXPECT_EQ(seed % 3, 0u);
      }
      break;
    }
    case 3: {
      auto work = [&](int i) {
        return borrow(world, seed + static_cast<std::uint64_t>(i), depth, &borrowed);
      };
      co_await for_each_concurrent(std::views::iota(0, 4), 2, work);
      break;
    }
    default: {
      JoinSet<> set;
      for (std::uint64_t i = 0; i < 3; ++i) set.spawn(node(world, seed + i, depth));
      const std::uint64_t wanted = seed / 5 % 5;
      std::uint64_t taken = 0;
      while (taken < wanted) {
        const std::optional<JoinResult<void>> next = co_await set.join_next();
        if (!next.has_value()) break;
        ++taken;
      }
    }
  }
  EXPECT_EQ(borrowed.load(), 0);
}

Task<> run_child(World* world, std::mt19937_64* random, int depth) {
  const std::uint64_t seed = (*random)();
  if (seed / 7 % 2 == 0) {
    co_await own_children(world, random, depth);
    co_return;
  }
  switch (seed % 9) {
    case 0:
      co_await when_all(node(world, seed, depth), node(world, seed + 1, depth));
      break;
    case 1: {
      Generator<std::uint64_t> parts = subtrees(world, seed, depth);
      const std::uint64_t wanted = (*random)() % 4;
      std::uint64_t taken = 0;
      while (taken < wanted) {
        const std::optional<std::uint64_t> part = co_await parts.next();
        if (!part.has_value()) break;
        ++taken;
      }
      break;
    }
    case 2: {
      // Dropped handles: they end by themselves.
      static_cast<void>(spawn(node(world, seed, depth)));
      break;
    }
    case 3: {
      JoinHandle<void> waits = spawn(wait_for_ever_by(world, seed));
      const std::uint64_t yields = (*random)() % 3;
      for (std::uint64_t i = 0; i < yields; ++i) co_await yield_now();
      waits.abort();
      const JoinResult<void> result = co_await std::move(waits).result();
      EXPECT_TRUE(result.cancelled());
      break;
    }
    case 4: {
      const absl::Status status = co_await timeout(short_time(random), node(world, seed, depth));
      EXPECT_TRUE(status.ok() || absl::IsDeadlineExceeded(status)) << status;
      break;
    }
    case 5: {
      const auto won = co_await when_any(node(world, seed, depth), node(world, seed + 1, depth),
                                         sleep_a_little(short_time(random)));
      EXPECT_LT(won.index(), 3u);
      break;
    }
    case 6: {
      const std::uint64_t children = (*random)() % 4;
      int ended = 0;
      co_await Scope::run([&](Scope& scope) -> Task<> {
        for (std::uint64_t i = 0; i < children; ++i) {
          scope.spawn([&, i]() -> Task<> { co_await node(world, seed + i, depth); });
        }
        co_await yield_now();
        ++ended;
      });
      EXPECT_EQ(ended, 1);
      break;
    }
    case 7: {
      JoinSet<void> set;
      const std::uint64_t children = (*random)() % 4;
      for (std::uint64_t i = 0; i < children; ++i) set.spawn(node(world, seed + i, depth));
      if ((*random)() % 3 == 0) set.abort_all();
      while (!set.empty()) {
        const std::optional<JoinResult<void>> result = co_await set.join_next();
        EXPECT_TRUE(result.has_value());
        if ((*random)() % 8 == 0) break;  // The rest is aborted, and goes by itself.
      }
      break;
    }
    default: {
      JoinHandle<void> child = spawn(node(world, seed, depth));
      if ((*random)() % 2 == 0) {
        co_await sleep_for(short_time(random));
        child.abort();
      }
      static_cast<void>(co_await std::move(child).result());
    }
  }
}

Task<> steps_of_node(World* world, std::uint64_t seed, int depth) {
  std::mt19937_64 random(seed);
  const std::uint64_t steps = 1 + random() % 5;
  for (std::uint64_t i = 0; i < steps; ++i) {
    switch (random() % 8) {
      case 0:
        co_await yield_now();
        break;
      case 1:
        co_await sleep_for(short_time(&random));
        break;
      case 2:
        co_await send_one(world, &random);
        break;
      case 3:
        co_await receive_one(world, &random);
        break;
      case 4:
        co_await lock_one(world, &random);
        break;
      case 5: {
        auto job = spawn_blocking([] { return 7; });
        // A shutdown cancels it before it ends this task, which nobody may be waiting for.
        JoinResult<int> seven = co_await std::move(job).result();
        EXPECT_TRUE(seven.cancelled() || seven.value() == 7);
        break;
      }
      case 6:
        world->notify.notify_one();
        static_cast<void>(world->news.sender.send(static_cast<int>(i)));
        static_cast<void>(world->latest.sender.send(static_cast<int>(i)));
        break;
      default:
        if (depth > 0) co_await run_child(world, &random, depth - 1);
    }
  }
}

Task<> node(World* world, std::uint64_t seed, int depth) {
  const Alive alive(&world->live);
  try {
    co_await steps_of_node(world, seed, depth);
  } catch (const TaskCancelled&) {
    // The runtime is going down: what this task has started was refused.
  }
}

void play_round(std::uint64_t seed) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  SCOPED_TRACE("seed " + std::to_string(seed));
  const test::LeakCheck leaks;
  {
    std::mt19937_64 random(seed);
    World world(&random);
    RuntimeOptions options;
    const int workers = static_cast<int>(random() % 5);
    if (workers == 0) {
      options.flavor = Flavor::kCurrentThread;
    } else {
      options.worker_threads = workers;
    }
    options.max_blocking_threads = 4;
    {
      Runtime runtime(options);
      std::vector<JoinHandle<void>> trees;
      for (int i = 0; i < 12; ++i) trees.push_back(runtime.spawn(node(&world, random(), 5)));
      const auto aborts_some = [](std::vector<JoinHandle<void>>* handles,
                                  std::uint64_t s) -> Task<> {
        std::mt19937_64 own(s);
        co_await sleep_for(short_time(&own));
        for (JoinHandle<void>& handle : *handles) {
          if (own() % 3 == 0) handle.abort();
        }
      };
      runtime.block_on(aborts_some(&trees, random()));
      // One round in four is ended where it stands, by the end of its runtime.
      if (random() % 4 != 0) {
        const auto joins_all = [](std::vector<JoinHandle<void>>* handles) -> Task<> {
          for (JoinHandle<void>& handle : *handles) {
            static_cast<void>(co_await std::move(handle).result());
          }
        };
        runtime.block_on(joins_all(&trees));
      }
    }
    world.check();
  }
  EXPECT_EQ(leaks.report(), "");
}

TEST(SoakTest, RandomTreesThatAreAbortedAtRandomLoseAndLeakNothing) {
  const auto seconds = std::chrono::seconds(number_of_environment("SKUA_SOAK_S", 2));
  const auto end = std::chrono::steady_clock::now() + seconds;
  std::uint64_t seed = number_of_environment("SKUA_SOAK_SEED", std::random_device()());
  int rounds = 0;
  do {
    play_round(seed++);
    ++rounds;
  } while (std::chrono::steady_clock::now() < end && !testing::Test::HasFailure());
  std::printf("%d rounds\n", rounds);
}

}  // namespace
}  // namespace skua
