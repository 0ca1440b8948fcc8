// SPDX-License-Identifier: Apache-2.0
//
// A value that tells whether each of its copies was destroyed.
#pragma once

#include <atomic>

namespace skua::test {

// A number. `live` counts the objects there are, those that were moved from included. Move-only.
class Tracked {
 public:
  Tracked(int value, std::atomic<int>* live) : value_(value), live_(live) { count(1); }
  Tracked(Tracked&& other) noexcept : value_(other.value_), live_(other.live_) { count(1); }
  Tracked& operator=(Tracked&&) = delete;
  ~Tracked() { count(-1); }
  int value() const { return value_; }

 private:
  void count(int n) const { live_->fetch_add(n, std::memory_order_relaxed); }
  const int value_;
  std::atomic<int>* const live_;
};

}  // namespace skua::test
