// SPDX-License-Identifier: Apache-2.0
#include "benches/harness/random_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace skua::bench {
namespace {

// Of /proc, through which a file that has lost its name can be opened again.
std::string path_of(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

void write_all(int fd, const std::byte* from, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd, from, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) not_possible("writing the file to be read, in TMPDIR", errno);
    from += written;  // Less than all: what stands in the way of the rest is told by the next one.
    size -= static_cast<std::size_t>(written);
  }
}

}  // namespace

RandomFile::RandomFile(std::int64_t pages, Caching caching) : pages_(pages) {
  std::error_code error;
  std::string path = (std::filesystem::temp_directory_path(error) / "skua_bench_XXXXXX").string();
  if (error) not_possible("the folder TMPDIR", error.value());
  fd_ = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd_ < 0) not_possible("a file in TMPDIR", errno);
  // At once: however the process ends, nothing is left behind.
  ::unlink(path.c_str());
  constexpr std::int64_t kPagesAtOnce = 256;
  std::vector<std::byte> buffer(kPagesAtOnce * kPageBytes);
  for (std::int64_t page = 0; page < pages; page += kPagesAtOnce) {
    const std::int64_t count = std::min(kPagesAtOnce, pages - page);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto number = static_cast<std::uint64_t>(page + i);
      std::memcpy(buffer.data() + i * static_cast<std::int64_t>(kPageBytes), &number,
                  sizeof(number));
    }
    write_all(fd_, buffer.data(), static_cast<std::size_t>(count) * kPageBytes);
  }
  if (::fsync(fd_) != 0) not_possible("fsync of the file to be read, in TMPDIR", errno);
  if (caching == Caching::kDirect) {
    const int direct = ::open(path_of(fd_).c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (direct < 0) not_possible("a file with O_DIRECT in TMPDIR", errno);
    ::close(fd_);
    fd_ = direct;
  }
}

RandomFile::~RandomFile() { ::close(fd_); }

const RandomFile& RandomFile::for_reads(std::int64_t reads, Caching caching) {
  static std::map<std::pair<std::int64_t, Caching>, std::unique_ptr<RandomFile>> files;
  const std::int64_t pages = std::min(reads, kFilePagesMax);
  std::unique_ptr<RandomFile>& file = files[{pages, caching}];
  if (file == nullptr) file = std::make_unique<RandomFile>(pages, caching);
  return *file;
}

// As splitmix64 makes random numbers (Vigna).
std::int64_t RandomFile::page_of(std::int64_t read) const {
  std::uint64_t z = (static_cast<std::uint64_t>(read) + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return static_cast<std::int64_t>(z % static_cast<std::uint64_t>(pages_));
}

std::uint64_t RandomFile::number_in(const void* page) {
  std::uint64_t number = 0;
  std::memcpy(&number, page, sizeof(number));
  return number;
}

std::uint64_t RandomFile::expected_sum(std::int64_t reads) const {
  std::uint64_t sum = 0;
  for (std::int64_t i = 0; i < reads; ++i) sum += static_cast<std::uint64_t>(page_of(i));
  return sum;
}

}  // namespace skua::bench
