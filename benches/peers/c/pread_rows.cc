// SPDX-License-Identifier: Apache-2.0
//
// pread_rows: the reads of a file by the plainest means: a thread that calls pread, and then calls it again. As many
// threads as reads are to be in flight; but from the page cache a read waits for nothing, so that more threads than
// CPUs would only change places: there they are as many as --workers.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <thread>
#include <unistd.h>
#include <vector>

#include "benches/baselines/cpus.h"
#include "benches/harness/measure.h"
#include "benches/harness/program.h"
#include "benches/harness/random_file.h"

namespace skua::bench {
namespace {

class PreadEngine : public ConfinedThreads {
 public:
  explicit PreadEngine(const EngineOptions& options)
      : ConfinedThreads(options), workers_(options.workers) {}

  std::int64_t workers() const { return workers_; }

 private:
  const std::int64_t workers_;
};

struct alignas(kPageBytes) Page {
  std::array<std::byte, kPageBytes> bytes;
};

// The reads from `begin` to `end`. Returns the sum of the pages' numbers; 0: one has failed.
std::uint64_t read_pages(const RandomFile& file, std::int64_t begin, std::int64_t end) {
  Page page;
  std::uint64_t sum = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const off_t offset = file.page_of(i) * static_cast<off_t>(kPageBytes);
    const ssize_t count = ::pread(file.fd(), &page, kPageBytes, offset);
    if (count != static_cast<ssize_t>(kPageBytes)) return 0;
    sum += RandomFile::number_in(&page);
  }
  return sum;
}

// By so many threads, of which the calling one is the first.
std::uint64_t read_all_pages(const RandomFile& file, std::int64_t reads, std::int64_t threads) {
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads));
  std::vector<std::thread> others;
  const auto read_part = [&](std::int64_t i) {
    sums[static_cast<std::size_t>(i)] =
        read_pages(file, reads * i / threads, reads * (i + 1) / threads);
  };
  for (std::int64_t i = 1; i < threads; ++i) others.emplace_back(read_part, i);
  read_part(0);
  for (std::thread& other : others) other.join();
  return std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
}

template <Caching kCaching, std::int64_t kAtATime>
Outcome run_file_read(PreadEngine& engine, std::int64_t reads) {
  const RandomFile& file = RandomFile::for_reads(reads, kCaching);
  const std::int64_t threads =
      kCaching == Caching::kDirect ? kAtATime : std::min(engine.workers(), kAtATime);
  std::uint64_t sum = 0;
  const Usage used = measure([&] { sum = read_all_pages(file, reads, threads); });
  return {.ops = reads,
          .right = sum == file.expected_sum(reads),
          .used = used,
          .figures = {{"cpu_ns_per_op", used.cpu_s * 1e9 / static_cast<double>(reads)}}};
}

}  // namespace
}  // namespace skua::bench

int main(int argc, char** argv) {
  using namespace skua::bench;
  static constexpr std::array kRows = {
      Row<PreadEngine>{kFileRead, run_file_read<Caching::kBuffered, 64>},
      Row<PreadEngine>{kFileRead1, run_file_read<Caching::kBuffered, 1>},
      Row<PreadEngine>{kFileReadDirect, run_file_read<Caching::kDirect, 64>},
      Row<PreadEngine>{kFileReadDirect32, run_file_read<Caching::kDirect, 32>}};
  const ProgramInfo program = {.name = "pread_rows",
                               .purpose = "Reads a file by threads that call pread."};
  return run_program<PreadEngine>(program, kRows, argc, argv);
}
