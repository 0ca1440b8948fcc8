// SPDX-License-Identifier: Apache-2.0
#include "tests/support/leak_check.h"

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>

#include "task/frame_count.h"

namespace skua::test {
namespace {

std::int64_t entries_of(const char* directory) {
  std::int64_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

bool poll_for(std::chrono::seconds limit, bool (*condition)(void*), void* arg) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition(arg)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace

LeakCheck::LeakCheck() : before_(count()) {}

// ThreadSanitizer starts a thread of its own with the program's first: that one must not count as left behind.
// A joined thread stands in /proc for a moment longer, and must not count as there before the test.
LeakCheck::Counts LeakCheck::count() {
  [[maybe_unused]] static const bool first_thread_is_past = [] {
    std::string entry;
    std::thread([&entry] { entry = "/proc/self/task/" + std::to_string(::gettid()); }).join();
    const auto gone = [](void* path) {
      return !std::filesystem::exists(*static_cast<const std::string*>(path));
    };
    return poll_for(std::chrono::seconds(10), gone, &entry);
  }();
  return {.frames = internal::live_blocks(),
          .descriptors = entries_of("/proc/self/fd"),
          .threads = entries_of("/proc/self/task")};
}

std::string LeakCheck::report() const {
  Counts now = count();
  const auto clean = [](void* arg) {
    auto* const state = static_cast<std::pair<const LeakCheck*, Counts*>*>(arg);
    *state->second = count();
    return *state->second == state->first->before_;
  };
  std::pair<const LeakCheck*, Counts*> state(this, &now);
  if (poll_for(std::chrono::seconds(10), clean, &state)) return "";
  const auto change = [](const char* what, std::int64_t before, std::int64_t after) {
    return std::string(what) + " " + std::to_string(before) + " -> " + std::to_string(after);
  };
  return "left behind: " + change("frames", before_.frames, now.frames) + ", " +
         change("descriptors", before_.descriptors, now.descriptors) + ", " +
         change("threads", before_.threads, now.threads);
}

bool eventually(bool (*condition)(void*), void* arg) {
  return poll_for(std::chrono::seconds(60), condition, arg);
}

}  // namespace skua::test
