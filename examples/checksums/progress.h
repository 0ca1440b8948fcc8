// SPDX-License-Identifier: Apache-2.0
//
// How far the job is: counters, error lines and a progress bar, on stderr.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include <absl/status/status.h>

#include "skua/task.h"

namespace checksums {

// Threads: any, for all functions. What they do takes no longer than a line to stderr.
class Progress {
 public:
  Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add_files_found(std::size_t count) noexcept;
  void add_file_done() noexcept;
  void add_bytes_read(std::size_t count) noexcept;
  // From here on the number of files found is the number of all files.
  void set_listing_done() noexcept;

  // Counts an error and writes a line about it, above the bar if there is one. The second form
  // takes an errno.
  void error(std::string_view path, std::string_view cause);
  void error(std::string_view path, int error);
  void error(std::string_view path, const absl::Status& status);

  // The bar, if stderr is a terminal; else nothing happens.
  void draw_bar();
  void erase_bar();
  bool has_bar() const noexcept { return is_terminal_; }

  std::uint64_t bytes_read() const noexcept;
  std::uint64_t errors() const noexcept;
  std::chrono::duration<double> elapsed() const;

 private:
  // Constant after construction.
  const bool is_terminal_;
  const std::chrono::steady_clock::time_point start_;

  // Any thread.
  std::atomic<std::uint64_t> files_found_{0};
  std::atomic<std::uint64_t> files_done_{0};
  std::atomic<std::uint64_t> bytes_read_{0};
  std::atomic<std::uint64_t> errors_{0};
  std::atomic<bool> listing_done_{false};

  // Keeps lines whole. Never held across a co_await.
  std::mutex mu_;
};

// Draws the bar ten times a second, until it is aborted.
//
// Lifetime: `progress` outlives the task.
skua::Task<> draw_bar_until_aborted(Progress* progress);

}  // namespace checksums
