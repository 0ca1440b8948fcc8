// SPDX-License-Identifier: Apache-2.0
//
// How often a test makes threads meet.
#pragma once

#include <chrono>

namespace skua::test {

// Counts the rounds of a race: as many as asked for, but no more once some seconds are over. Where the threads have to
// take turns on a CPU, a round is several time slices long, and they seldom meet: further ones would take minutes and
// show little. At least one round is made. One thread.
class Rounds {
 public:
  explicit Rounds(int most) : most_(most) {}
  Rounds(const Rounds&) = delete;
  Rounds& operator=(const Rounds&) = delete;

  // Begins another round, whose number is made(); false: there have been enough.
  bool another() {
    if (made_ == most_ || (made_ > 0 && std::chrono::steady_clock::now() >= enough_)) return false;
    ++made_;
    return true;
  }
  int made() const { return made_; }

 private:
  const int most_;
  const std::chrono::steady_clock::time_point enough_ =
      std::chrono::steady_clock::now() + std::chrono::seconds(3);
  int made_ = 0;
};

}  // namespace skua::test
