// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <cstdio>
#include <system_error>
#include <unistd.h>

#include "format.h"
#include "skua/status.h"
#include "skua/time.h"

namespace checksums {
namespace {

using std::chrono::steady_clock;

// All counters are numbers to look at, and order nothing. The final values are read after the tasks
// have been awaited.
constexpr auto kRelaxed = std::memory_order_relaxed;

constexpr std::size_t kBarWidth = 30;
// Back to the first column; erase to the end of the line.
constexpr const char* kEraseLine = "\r\033[K";

}  // namespace

Progress::Progress() : is_terminal_(isatty(STDERR_FILENO) == 1), start_(steady_clock::now()) {}

void Progress::add_files_found(std::size_t count) noexcept {
  files_found_.fetch_add(count, kRelaxed);
}
void Progress::add_file_done() noexcept { files_done_.fetch_add(1, kRelaxed); }
void Progress::add_bytes_read(std::size_t count) noexcept {
  bytes_read_.fetch_add(count, kRelaxed);
}
void Progress::set_listing_done() noexcept { listing_done_.store(true, kRelaxed); }

std::uint64_t Progress::bytes_read() const noexcept { return bytes_read_.load(kRelaxed); }
std::uint64_t Progress::errors() const noexcept { return errors_.load(kRelaxed); }
std::chrono::duration<double> Progress::elapsed() const { return steady_clock::now() - start_; }

void Progress::error(std::string_view path, std::string_view cause) {
  errors_.fetch_add(1, kRelaxed);
  // A name with a newline must not look like two errors.
  const std::string line =
      "checksums: " + escape_name(path).name + ": " + std::string(cause) + "\n";
  const std::lock_guard lock(mu_);
  if (is_terminal_) std::fputs(kEraseLine, stderr);
  std::fputs(line.c_str(), stderr);
}

void Progress::error(std::string_view path, int error_number) {
  error(path, std::generic_category().message(error_number));
}

void Progress::error(std::string_view path, const absl::Status& status) {
  const int error_number = skua::errno_of(status);
  if (error_number != 0) {
    error(path, error_number);
  } else {
    error(path, std::string(status.message()));
  }
}

void Progress::draw_bar() {
  if (!is_terminal_) return;
  const std::uint64_t found = files_found_.load(kRelaxed);
  const std::uint64_t done = files_done_.load(kRelaxed);
  std::string line = kEraseLine;
  if (!listing_done_.load(kRelaxed)) {
    line += "listing: " + std::to_string(found) + " files";
  } else {
    const double share = found == 0 ? 1 : static_cast<double>(done) / static_cast<double>(found);
    const auto filled = static_cast<std::size_t>(share * kBarWidth);
    line += '[';
    line.append(filled, '#');
    line.append(kBarWidth - filled, ' ');
    line += "] ";
    line += std::to_string(done) + "/" + std::to_string(found) + " files  ";
    line += format_rate(bytes_read(), elapsed());
  }
  const std::lock_guard lock(mu_);
  std::fputs(line.c_str(), stderr);
}

void Progress::erase_bar() {
  if (!is_terminal_) return;
  const std::lock_guard lock(mu_);
  std::fputs(kEraseLine, stderr);
}

skua::Task<> draw_bar_until_aborted(Progress* progress) {
  for (;;) {
    progress->draw_bar();
    co_await skua::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace checksums
