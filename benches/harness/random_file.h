// SPDX-License-Identifier: Apache-2.0
//
// A file whose pages are read in a random order that is the same for everybody, and the rows that do so.
#pragma once

#include <cstddef>
#include <cstdint>

#include "benches/harness/program.h"

namespace skua::bench {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::int64_t kFilePagesMax = 65'536;  // 256 MiB.

enum class Caching : std::uint8_t { kBuffered, kDirect };

// Lies in the folder for temporary files, without a name. Each page begins with its number. After the constructor it is
// on the disk; buffered, it is in the page cache, too.
class RandomFile {
 public:
  // Ends the process with kExitNotPossible and a message if the file system refuses. Leaves no file behind, even if the
  // process is killed meanwhile.
  RandomFile(std::int64_t pages, Caching caching);
  RandomFile(const RandomFile&) = delete;
  RandomFile& operator=(const RandomFile&) = delete;
  ~RandomFile();

  // The one for so many reads, made at the first call: as many pages as reads, but no more than kFilePagesMax.
  static const RandomFile& for_reads(std::int64_t reads, Caching caching);

  int fd() const { return fd_; }
  // What the i-th read reads.
  std::int64_t page_of(std::int64_t read) const;
  static std::uint64_t number_in(const void* page);
  // The sum of the numbers in all pages that are read.
  std::uint64_t expected_sum(std::int64_t reads) const;

 private:
  const std::int64_t pages_;
  int fd_ = -1;
};

// Buffered or direct, 64 at a time or as many as the name says.
inline constexpr Sizes kBufferedReads = {
    .full = 1'000'000, .warm_up = 65'536, .smoke = 300, .min = 64, .max = 1'000'000'000};
inline constexpr Sizes kDirectReads = {
    .full = 100'000, .warm_up = 65'536, .smoke = 300, .min = 64, .max = 1'000'000'000};
inline constexpr RowInfo kFileRead = {
    .name = "file_read", .size_is = "reads of 4 KiB", .sizes = kBufferedReads, .does_io = true};
inline constexpr RowInfo kFileRead1 = {
    .name = "file_read_1", .size_is = "reads of 4 KiB", .sizes = kBufferedReads, .does_io = true};
inline constexpr RowInfo kFileReadDirect = {.name = "file_read_direct",
                                            .size_is = "reads of 4 KiB",
                                            .sizes = kDirectReads,
                                            .does_io = true};
inline constexpr RowInfo kFileReadDirect32 = {.name = "file_read_direct_32",
                                              .size_is = "reads of 4 KiB",
                                              .sizes = kDirectReads,
                                              .does_io = true};

}  // namespace skua::bench
