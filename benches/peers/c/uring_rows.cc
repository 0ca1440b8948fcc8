// SPDX-License-Identifier: Apache-2.0
//
// uring_rows: the reads of a file that one would write in C with io_uring: one thread, one ring which it alone uses
// (SINGLE_ISSUER, DEFER_TASKRUN), a number of reads in flight, each replaced when it completes.
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>

#include <liburing.h>

#include "benches/harness/measure.h"
#include "benches/harness/program.h"
#include "benches/harness/random_file.h"

namespace skua::bench {
namespace {

// Has one thread, whatever the command line says.
class UringEngine {
 public:
  explicit UringEngine(const EngineOptions&) {
    constexpr unsigned kEntries = 64;
    // The second set is for kernels before 6.1.
    int result = io_uring_queue_init(kEntries, &ring_,
                                     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (result != 0) result = io_uring_queue_init(kEntries, &ring_, 0);
    if (result != 0) not_possible("io_uring_queue_init", -result);
  }
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;
  ~UringEngine() { io_uring_queue_exit(&ring_); }

  io_uring& ring() { return ring_; }

 private:
  io_uring ring_;
};

struct alignas(kPageBytes) Page {
  std::array<std::byte, kPageBytes> bytes;
};

void start_read(io_uring& ring, const RandomFile& file, Page& page, std::int64_t read) {
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring);
  io_uring_prep_read(sqe, file.fd(), &page, kPageBytes,
                     static_cast<std::uint64_t>(file.page_of(read)) * kPageBytes);
  io_uring_sqe_set_data(sqe, &page);
}

// Returns the sum of the pages' numbers; 0: a read has failed.
std::uint64_t read_all_pages(io_uring& ring, const RandomFile& file, std::int64_t reads,
                             std::int64_t at_a_time) {
  const auto pages = std::make_unique<Page[]>(static_cast<std::size_t>(at_a_time));
  std::uint64_t sum = 0;
  bool failed = false;
  std::int64_t started = 0;
  for (; started < at_a_time && started < reads; ++started) {
    start_read(ring, file, pages[static_cast<std::size_t>(started)], started);
  }
  for (std::int64_t done = 0; done < reads;) {
    const int result = io_uring_submit_and_wait(&ring, 1);
    if (result < 0 && result != -EINTR) not_possible("io_uring_submit_and_wait", -result);
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring, head, cqe) {
      ++count;
      auto* const page = static_cast<Page*>(io_uring_cqe_get_data(cqe));
      failed = failed || cqe->res != static_cast<int>(kPageBytes);
      sum += RandomFile::number_in(page);
      if (started < reads) start_read(ring, file, *page, started++);
    }
    io_uring_cq_advance(&ring, count);
    done += count;
  }
  return failed ? 0 : sum;
}

template <Caching kCaching, std::int64_t kAtATime>
Outcome run_file_read(UringEngine& engine, std::int64_t reads) {
  const RandomFile& file = RandomFile::for_reads(reads, kCaching);
  std::uint64_t sum = 0;
  const Usage used = measure([&] { sum = read_all_pages(engine.ring(), file, reads, kAtATime); });
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
      Row<UringEngine>{kFileRead, run_file_read<Caching::kBuffered, 64>},
      Row<UringEngine>{kFileRead1, run_file_read<Caching::kBuffered, 1>},
      Row<UringEngine>{kFileReadDirect, run_file_read<Caching::kDirect, 64>},
      Row<UringEngine>{kFileReadDirect32, run_file_read<Caching::kDirect, 32>}};
  const ProgramInfo program = {.name = "uring_rows",
                               .purpose = "Reads a file by a plain loop over an io_uring."};
  return run_program<UringEngine>(program, kRows, argc, argv);
}
