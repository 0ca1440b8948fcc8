// SPDX-License-Identifier: Apache-2.0
//
// Finds what a test leaves behind: coroutine frames, file descriptors, threads.
#pragma once

#include <cstdint>
#include <string>

namespace skua::test {

// Taken before a test; report() after it says what there is more of.
class LeakCheck {
 public:
  LeakCheck();

  // Empty if nothing leaked, else one line. A joined thread shows in /proc for a moment after its end, so the
  // check looks again for up to ten seconds before it complains.
  std::string report() const;

 private:
  struct Counts {
    std::int64_t frames = 0;
    std::int64_t descriptors = 0;
    std::int64_t threads = 0;
    bool operator==(const Counts&) const = default;
  };
  static Counts count();

  const Counts before_;
};

// Calls `condition` until it is true, for up to a minute; returns whether it became true. For state of the
// kernel or of another thread that announces itself to nobody.
bool eventually(bool (*condition)(void*), void* arg);

template <typename F>
bool eventually(F condition) {
  return eventually([](void* f) { return static_cast<bool>((*static_cast<F*>(f))()); }, &condition);
}

}  // namespace skua::test
