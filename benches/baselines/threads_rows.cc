// SPDX-License-Identifier: Apache-2.0
//
// threads_rows: the rows with a std::thread for each task, std::mutex, std::condition_variable, std::promise. What one
// has without a scheduler of one's own; the kernel's does the work. Sizes are smaller than in the rows' definitions: so
// many threads at a time as those would need, a system does not give.
#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <future>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "benches/baselines/cpus.h"
#include "benches/harness/measure.h"
#include "benches/harness/program.h"
#include "benches/harness/workloads.h"

namespace skua::bench {
namespace {

// --- Threads that do nothing ------------------------------------------------------------------

Outcome run_spawn_join(ConfinedThreads& /*threads*/, std::int64_t tasks) {
  std::int64_t sum = 0;
  const Usage used = measure([&] {
    std::vector<std::thread> batch;
    std::array<std::int64_t, kSpawnJoinBatch> results{};
    for (std::int64_t left = tasks; left > 0; left -= kSpawnJoinBatch) {
      const auto count = static_cast<std::size_t>(std::min(left, kSpawnJoinBatch));
      for (std::size_t i = 0; i < count; ++i) {
        batch.emplace_back([result = &results[i]] { *result = 1; });
      }
      for (std::size_t i = 0; i < count; ++i) {
        batch[i].join();
        sum += std::exchange(results[i], 0);
      }
      batch.clear();
    }
  });
  return {.ops = tasks, .right = sum == tasks, .used = used};
}

// A thread keeps its stack until it is joined: that is what bounds the size.
Outcome run_spawn_external(ConfinedThreads& /*threads*/, std::int64_t tasks) {
  std::atomic<std::int64_t> run{0};
  const Usage used = measure([&] {
    std::vector<std::thread> started;
    for (std::int64_t i = 0; i < tasks; ++i) {
      // Relaxed: the joins order it before the check.
      started.emplace_back([&run] { run.fetch_add(1, std::memory_order_relaxed); });
    }
    for (std::thread& task : started) task.join();
  });
  return {.ops = tasks, .right = run.load(std::memory_order_relaxed) == tasks, .used = used};
}

// Each link starts the next one, in the place after its own. Who joins the links in order finds each in its place.
struct Chain {
  std::vector<std::thread> threads;
  std::int64_t links = 0;  // Written by one thread after the other.
};

void start_link(Chain* chain, std::size_t place) {
  if (place == chain->threads.size()) return;
  chain->threads[place] = std::thread([chain, place] {
    ++chain->links;
    start_link(chain, place + 1);
  });
}

Outcome run_chained_spawn(ConfinedThreads& /*threads*/, std::int64_t length) {
  Chain chain;
  const Usage used = measure([&] {
    chain.threads.resize(static_cast<std::size_t>(length));
    start_link(&chain, 0);
    for (std::thread& link : chain.threads) link.join();
  });
  return {.ops = length, .right = chain.links == length, .used = used};
}

Outcome run_yield(ConfinedThreads& /*threads*/, std::int64_t times) {
  std::vector<std::int64_t> yields(kYieldTasks);
  const Usage used = measure([&] {
    std::vector<std::thread> tasks;
    for (std::int64_t& done : yields) {
      tasks.emplace_back([&done, times] {
        std::int64_t count = 0;
        for (; count < times; ++count) std::this_thread::yield();
        done = count;
      });
    }
    for (std::thread& task : tasks) task.join();
  });
  const std::int64_t sum = std::accumulate(yields.begin(), yields.end(), std::int64_t{0});
  return {.ops = kYieldTasks * times, .right = sum == kYieldTasks * times, .used = used};
}

// --- Trees ------------------------------------------------------------------------------------

std::int64_t fib(std::int64_t n) {
  if (n < 2) return n;
  std::int64_t a = 0;
  std::int64_t b = 0;
  std::thread first([&] { a = fib(n - 1); });
  std::thread second([&] { b = fib(n - 2); });
  first.join();
  second.join();
  return a + b;
}

Outcome run_fib(ConfinedThreads& /*threads*/, std::int64_t n) {
  std::int64_t number = 0;
  const Usage used = measure([&] { number = fib(n); });
  return {.ops = fib_tasks(n), .right = number == fib_number(n), .used = used};
}

std::int64_t skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) return first;
  const std::int64_t share = leaves / kSkynetBranches;
  std::array<std::int64_t, kSkynetBranches> parts{};
  std::vector<std::thread> children;
  for (std::int64_t i = 0; i < kSkynetBranches; ++i) {
    children.emplace_back([first, share, i, part = &parts[static_cast<std::size_t>(i)]] {
      *part = skynet(first + i * share, share);
    });
  }
  for (std::thread& child : children) child.join();
  return std::accumulate(parts.begin(), parts.end(), std::int64_t{0});
}

Outcome run_skynet(ConfinedThreads& /*threads*/, std::int64_t depth) {
  std::int64_t sum = 0;
  const Usage used = measure([&] { sum = skynet(0, skynet_leaves(depth)); });
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

// --- Threads that talk to each other ----------------------------------------------------------

std::int64_t ask(std::int64_t question) {
  std::promise<std::int64_t> asked;
  std::promise<std::int64_t> answered;
  std::thread answerer([&] { answered.set_value(asked.get_future().get() + 1); });
  asked.set_value(question);
  const std::int64_t answer = answered.get_future().get();
  answerer.join();
  return answer;
}

Outcome run_ping_pong(ConfinedThreads& /*threads*/, std::int64_t rounds) {
  std::int64_t sum = 0;
  const Usage used = measure([&] {
    std::vector<std::thread> askers;
    std::array<std::int64_t, kPingPongPairs> answers{};
    for (std::int64_t round = 0; round < rounds; ++round) {
      for (std::int64_t i = 0; i < kPingPongPairs; ++i) {
        askers.emplace_back(
            [i, answer = &answers[static_cast<std::size_t>(i)]] { *answer = ask(i); });
      }
      for (std::thread& asker : askers) asker.join();
      askers.clear();
      for (std::int64_t& answer : answers) sum += std::exchange(answer, 0);
    }
  });
  return {.ops = rounds * kPingPongPairs, .right = sum == ping_pong_sum(rounds), .used = used};
}

class BoundedQueue {
 public:
  explicit BoundedQueue(int producers) : producers_(producers) {}

  void push(std::uint64_t value) {
    std::unique_lock lock(mutex_);
    not_full_.wait(lock, [this] { return values_.size() < kChannelCapacity; });
    values_.push_back(value);
    not_empty_.notify_one();
  }
  // By each producer, once.
  void close() {
    const std::lock_guard lock(mutex_);
    if (--producers_ == 0) not_empty_.notify_all();
  }
  // False: it is closed and empty.
  bool pop(std::uint64_t& value) {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [this] { return !values_.empty() || producers_ == 0; });
    if (values_.empty()) return false;
    value = values_.front();
    values_.pop_front();
    not_full_.notify_one();
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable not_empty_;
  std::condition_variable not_full_;
  // Guarded by mutex_.
  std::deque<std::uint64_t> values_;
  int producers_;
};

std::uint64_t pass(int producers, int consumers, std::int64_t messages) {
  BoundedQueue queue(producers);
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(consumers));
  std::vector<std::thread> threads;
  for (std::uint64_t& sum : sums) {
    threads.emplace_back([&queue, &sum] {
      std::uint64_t own = 0;
      for (std::uint64_t value = 0; queue.pop(value);) own += value;
      sum = own;
    });
  }
  for (int i = 0; i < producers; ++i) {
    const auto first = static_cast<std::uint64_t>(messages * i / producers);
    const auto end = static_cast<std::uint64_t>(messages * (i + 1) / producers);
    threads.emplace_back([&queue, first, end] {
      for (std::uint64_t value = first; value < end; ++value) queue.push(value);
      queue.close();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
}

template <int kProducers, int kConsumers>
Outcome run_channel(ConfinedThreads& /*threads*/, std::int64_t messages) {
  std::uint64_t sum = 0;
  const Usage used = measure([&] { sum = pass(kProducers, kConsumers, messages); });
  return {.ops = messages, .right = sum == messages_sum(messages), .used = used};
}

Outcome run_mutex(ConfinedThreads& /*threads*/, std::int64_t times) {
  std::int64_t counter = 0;
  const Usage used = measure([&] {
    std::mutex mutex;
    std::vector<std::thread> lockers;
    for (std::int64_t i = 0; i < kMutexTasks; ++i) {
      lockers.emplace_back([&] {
        for (std::int64_t done = 0; done < times; ++done) {
          const std::lock_guard lock(mutex);
          ++counter;
        }
      });
    }
    for (std::thread& locker : lockers) locker.join();
  });
  return {.ops = kMutexTasks * times, .right = counter == kMutexTasks * times, .used = used};
}

// --- The rows ---------------------------------------------------------------------------------

constexpr Sizes kTasks = {
    .full = 10'000, .warm_up = 1'000, .smoke = 1'200, .min = 1, .max = 20'000};
constexpr Sizes kSkynetDepth = {.full = 3, .warm_up = 2, .smoke = 2, .min = 0, .max = 3};
constexpr Sizes kFibNumber = {.full = 15, .warm_up = 10, .smoke = 8, .min = 0, .max = 18};
constexpr Sizes kYields = {.full = 100, .warm_up = 10, .smoke = 2, .min = 1, .max = 1'000'000};
constexpr Sizes kRounds = {.full = 10, .warm_up = 1, .smoke = 1, .min = 1, .max = 10'000};
constexpr Sizes kMessages = {
    .full = 1'000'000, .warm_up = 100'000, .smoke = 5'000, .min = 1, .max = 100'000'000};

using ThreadsRow = Row<ConfinedThreads>;
constexpr std::array kRows = {
    ThreadsRow{resized(kSkynet, kSkynetDepth), run_skynet},
    ThreadsRow{resized(kFib, kFibNumber), run_fib},
    ThreadsRow{resized(kSpawnJoin, kTasks), run_spawn_join},
    ThreadsRow{resized(kSpawnExternal, kTasks), run_spawn_external},
    ThreadsRow{resized(kChainedSpawn, kTasks), run_chained_spawn},
    ThreadsRow{resized(kSkynetSpawn, kSkynetDepth), run_skynet},
    ThreadsRow{resized(kFibSpawn, kFibNumber), run_fib},
    ThreadsRow{resized(kYield, kYields), run_yield},
    ThreadsRow{resized(kPingPong, kRounds), run_ping_pong},
    ThreadsRow{resized(kMpsc11, kMessages), run_channel<1, 1>},
    ThreadsRow{resized(kMpsc41, kMessages), run_channel<4, 1>},
    ThreadsRow{resized(kMpmc44, kMessages), run_channel<4, 4>},
    ThreadsRow{kMutex, run_mutex},
};

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const ProgramInfo program = {.name = "threads_rows",
                               .purpose =
                                   "Runs one row of the scheduler comparison with a thread "
                                   "for each task, on as many CPUs as there are workers."};
  return run_program<ConfinedThreads>(program, kRows, argc, argv);
}
