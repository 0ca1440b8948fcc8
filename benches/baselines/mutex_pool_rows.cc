// SPDX-License-Identifier: Apache-2.0
//
// mutex_pool_rows: the rows on the thread pool that everybody has written once: threads, one queue, one mutex, one
// condition variable. A task is a function: it cannot wait for another one without keeping its thread. So the trees
// count what is missing, and who finds nothing missing goes on for the parent; a yield is a task that queues itself
// again; and spawn_join's spawner is a thread outside of the pool.
#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "benches/baselines/wait_group.h"
#include "benches/harness/measure.h"
#include "benches/harness/program.h"
#include "benches/harness/workloads.h"

namespace skua::bench {
namespace {

class MutexPool {
 public:
  explicit MutexPool(const EngineOptions& options) {
    for (int i = 0; i < options.workers; ++i) threads_.emplace_back([this] { run(); });
  }
  ~MutexPool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    not_empty_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  MutexPool(const MutexPool&) = delete;
  MutexPool& operator=(const MutexPool&) = delete;

  // Any thread.
  void post(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(task));
    }
    not_empty_.notify_one();
  }

 private:
  void run() {
    for (;;) {
      std::unique_lock lock(mutex_);
      not_empty_.wait(lock, [this] { return !queue_.empty() || stopping_; });
      if (queue_.empty()) return;
      const std::function<void()> task = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      task();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable not_empty_;
  // Guarded by mutex_.
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
};

// --- Tasks that do nothing --------------------------------------------------------------------

std::future<std::int64_t> submit_one(MutexPool& pool) {
  // In a shared_ptr, because std::function copies what it is made of.
  auto task = std::make_shared<std::packaged_task<std::int64_t()>>([] { return 1; });
  pool.post([task] { (*task)(); });
  return task->get_future();
}

Outcome run_spawn_join(MutexPool& pool, std::int64_t tasks) {
  std::int64_t sum = 0;
  const Usage used = measure([&] {
    std::vector<std::future<std::int64_t>> batch;
    for (std::int64_t left = tasks; left > 0; left -= kSpawnJoinBatch) {
      for (std::int64_t i = std::min(left, kSpawnJoinBatch); i > 0; --i) {
        batch.push_back(submit_one(pool));
      }
      for (std::future<std::int64_t>& result : batch) sum += result.get();
      batch.clear();
    }
  });
  return {.ops = tasks, .right = sum == tasks, .used = used};
}

Outcome run_spawn_external(MutexPool& pool, std::int64_t tasks) {
  std::atomic<std::int64_t> left{tasks};
  WaitGroup end(1);
  const Usage used = measure([&] {
    for (std::int64_t i = 0; i < tasks; ++i) {
      pool.post([&] {
        if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) end.done();
      });
    }
    end.wait();
  });
  return {.ops = tasks, .right = left.load(std::memory_order_acquire) == 0, .used = used};
}

struct Chain {
  MutexPool& pool;
  std::int64_t links = 0;  // Written by one task after the other.
  WaitGroup end{1};
};

void run_link(Chain* chain, std::int64_t left) {
  ++chain->links;
  if (left == 1) {
    chain->end.done();
  } else {
    chain->pool.post([chain, left] { run_link(chain, left - 1); });
  }
}

Outcome run_chained_spawn(MutexPool& pool, std::int64_t length) {
  Chain chain{.pool = pool};
  const Usage used = measure([&] {
    pool.post([&chain, length] { run_link(&chain, length); });
    chain.end.wait();
  });
  return {.ops = length, .right = chain.links == length, .used = used};
}

struct Yielder {
  MutexPool& pool;
  WaitGroup& all;
  std::int64_t left;
  std::int64_t yields = 0;
};

void run_yielder(Yielder* yielder) {
  if (yielder->left-- == 0) {
    yielder->all.done();
    return;
  }
  ++yielder->yields;
  yielder->pool.post([yielder] { run_yielder(yielder); });
}

Outcome run_yield(MutexPool& pool, std::int64_t times) {
  WaitGroup all(kYieldTasks);
  std::vector<Yielder> yielders(static_cast<std::size_t>(kYieldTasks),
                                Yielder{.pool = pool, .all = all, .left = times});
  const Usage used = measure([&] {
    for (Yielder& yielder : yielders) pool.post([&yielder] { run_yielder(&yielder); });
    all.wait();
  });
  std::int64_t sum = 0;
  for (const Yielder& yielder : yielders) sum += yielder.yields;
  return {.ops = kYieldTasks * times, .right = sum == kYieldTasks * times, .used = used};
}

Outcome run_mutex(MutexPool& pool, std::int64_t times) {
  std::mutex mutex;
  std::int64_t counter = 0;
  WaitGroup all(kMutexTasks);
  const Usage used = measure([&] {
    for (std::int64_t i = 0; i < kMutexTasks; ++i) {
      pool.post([&] {
        for (std::int64_t done = 0; done < times; ++done) {
          const std::lock_guard lock(mutex);
          ++counter;
        }
        all.done();
      });
    }
    all.wait();
  });
  return {.ops = kMutexTasks * times, .right = counter == kMutexTasks * times, .used = used};
}

// --- Trees ------------------------------------------------------------------------------------

// A node that waits for its children.
struct Node {
  Node* parent;
  std::atomic<int> missing;
  std::atomic<std::int64_t> sum{0};
};

// The root: its one child is the tree.
struct Root {
  Node node{.parent = nullptr, .missing = 1};
  WaitGroup end{1};
};

// Called by each child of `node`, once, with its result.
void add_result(Root* root, Node* node, std::int64_t result) {
  for (;;) {
    node->sum.fetch_add(result, std::memory_order_relaxed);  // `missing` orders the sums.
    if (node->missing.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    if (node == &root->node) {
      root->end.done();
      return;
    }
    result = node->sum.load(std::memory_order_relaxed);
    delete std::exchange(node, node->parent);
  }
}

void fib(MutexPool* pool, Root* root, Node* parent, std::int64_t n) {
  if (n < 2) {
    add_result(root, parent, n);
    return;
  }
  Node* const node = new Node{.parent = parent, .missing = 2};
  pool->post([=] { fib(pool, root, node, n - 1); });
  pool->post([=] { fib(pool, root, node, n - 2); });
}

void skynet(MutexPool* pool, Root* root, Node* parent, std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) {
    add_result(root, parent, first);
    return;
  }
  Node* const node = new Node{.parent = parent, .missing = static_cast<int>(kSkynetBranches)};
  const std::int64_t share = leaves / kSkynetBranches;
  for (std::int64_t i = 0; i < kSkynetBranches; ++i) {
    pool->post([=] { skynet(pool, root, node, first + i * share, share); });
  }
}

// The result of the tree whose first task is `grow(root)`.
template <typename Grow>
std::int64_t result_of(MutexPool& pool, const Grow& grow) {
  Root root;
  pool.post([&] { grow(&root); });
  root.end.wait();
  return root.node.sum.load(std::memory_order_relaxed);
}

Outcome run_fib(MutexPool& pool, std::int64_t n) {
  std::int64_t number = 0;
  const Usage used = measure(
      [&] { number = result_of(pool, [&](Root* root) { fib(&pool, root, &root->node, n); }); });
  return {.ops = fib_tasks(n), .right = number == fib_number(n), .used = used};
}

Outcome run_skynet(MutexPool& pool, std::int64_t depth) {
  std::int64_t sum = 0;
  const Usage used = measure([&] {
    sum = result_of(pool,
                    [&](Root* root) { skynet(&pool, root, &root->node, 0, skynet_leaves(depth)); });
  });
  return {.ops = skynet_tasks(depth), .right = sum == skynet_sum(depth), .used = used};
}

// --- The rows ---------------------------------------------------------------------------------

// The whole trees of these rows would take minutes.
constexpr Sizes kSkynetDepth = {.full = 6, .warm_up = 4, .smoke = 3, .min = 0, .max = 7};
constexpr Sizes kFibNumber = {.full = 27, .warm_up = 18, .smoke = 10, .min = 0, .max = 32};

using PoolRow = Row<MutexPool>;
constexpr std::array kRows = {
    PoolRow{resized(kSkynet, kSkynetDepth), run_skynet},
    PoolRow{resized(kFib, kFibNumber), run_fib},
    PoolRow{kSpawnJoin, run_spawn_join},
    PoolRow{kSpawnExternal, run_spawn_external},
    PoolRow{kChainedSpawn, run_chained_spawn},
    PoolRow{kSkynetSpawn, run_skynet},
    PoolRow{kFibSpawn, run_fib},
    PoolRow{kYield, run_yield},
    PoolRow{kMutex, run_mutex},
};

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  const ProgramInfo program = {.name = "mutex_pool_rows",
                               .purpose =
                                   "Runs one row of the scheduler comparison on a pool of "
                                   "threads with one queue and one mutex."};
  return run_program<MutexPool>(program, kRows, argc, argv);
}
