// SPDX-License-Identifier: Apache-2.0
//
// Random reads of 4 KiB of a file of 256 MiB, a number of them at a time, each by a task that reads again and again.
#include <array>
#include <cstdint>
#include <unistd.h>
#include <vector>

#include "benches/harness/measure.h"
#include "benches/harness/random_file.h"
#include "benches/rows/rows.h"
#include "skua/fs/file.h"
#include "skua/spawn.h"

namespace skua::bench {
namespace {

// The reads from `begin` to `end`. The sum of the pages' numbers; 0: one has failed.
Task<std::uint64_t> read_pages(File* file, const RandomFile* pages, std::int64_t begin,
                               std::int64_t end) {
  AlignedBuffer buffer(kPageBytes);
  std::uint64_t sum = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const auto offset = static_cast<std::uint64_t>(pages->page_of(i)) * kPageBytes;
    const absl::StatusOr<std::size_t> count = co_await file->read_at(offset, buffer.span());
    if (!count.ok() || *count != kPageBytes) co_return 0;
    sum += RandomFile::number_in(buffer.data());
  }
  co_return sum;
}

Task<std::uint64_t> read_all_pages(File* file, const RandomFile* pages, std::int64_t reads,
                                   std::int64_t at_a_time) {
  std::vector<JoinHandle<std::uint64_t>> readers;
  for (std::int64_t i = 0; i < at_a_time; ++i) {
    readers.push_back(
        spawn(read_pages(file, pages, reads * i / at_a_time, reads * (i + 1) / at_a_time)));
  }
  std::uint64_t sum = 0;
  for (JoinHandle<std::uint64_t>& reader : readers) sum += co_await std::move(reader);
  co_return sum;
}

template <Caching kCaching, std::int64_t kAtATime>
Outcome run_file_read(SkuaEngine& engine, std::int64_t reads) {
  const RandomFile& pages = RandomFile::for_reads(reads, kCaching);
  File file(::dup(pages.fd()));
  std::uint64_t sum = 0;
  const Usage used = measure(
      [&] { sum = engine.runtime().block_on(read_all_pages(&file, &pages, reads, kAtATime)); });
  return {.ops = reads,
          .right = sum == pages.expected_sum(reads),
          .used = used,
          .figures = {{"cpu_ns_per_op", used.cpu_s * 1e9 / static_cast<double>(reads)}}};
}

}  // namespace

std::span<const SkuaRow> file_read_rows() {
  static constexpr std::array kRows = {
      SkuaRow{kFileRead, run_file_read<Caching::kBuffered, 64>},
      SkuaRow{kFileRead1, run_file_read<Caching::kBuffered, 1>},
      SkuaRow{kFileReadDirect, run_file_read<Caching::kDirect, 64>},
      SkuaRow{kFileReadDirect32, run_file_read<Caching::kDirect, 32>}};
  return kRows;
}

}  // namespace skua::bench
