// SPDX-License-Identifier: Apache-2.0
//
// How many of the pool's threads work for which class, and how many may. Numbers only; the pool's lock guards them.
//
// Each class has a limit and a reserve. What no class has in reserve is shared: a thread that a class has beyond its
// reserve is one of the shared ones. So a class below its reserve may always have one more, and all together never
// have more than there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace skua::internal {

struct ClassLimits {
  int limit = 1;    // At least 1.
  int reserve = 0;  // At most the limit.
};

class ThreadShares {
 public:
  static constexpr int kClassesMax = 32;
  static constexpr int kNone = -1;

  // A limit above `threads` means that. Requires: 1 to kClassesMax classes; the reserves leave a shared thread, unless
  // every class has one.
  ThreadShares(int threads, std::vector<ClassLimits> classes);

  int classes() const noexcept { return static_cast<int>(classes_.size()); }
  int assigned(int c) const noexcept { return at(c).assigned; }
  int limit(int c) const noexcept { return at(c).limits.limit; }
  int reserve(int c) const noexcept { return at(c).limits.reserve; }

  // Whether one more thread may work for the class.
  bool may_assign(int c) const noexcept;
  // Requires: may_assign(c).
  void assign(int c) noexcept;
  void release(int c) noexcept;

  // The classes that starve, a bit for each: they have jobs and could have another thread, but all that is shared is in
  // use. Kept by the pool.
  std::uint32_t starving() const noexcept { return starving_; }
  void set_starving(int c) noexcept { starving_ |= bit(c); }
  void clear_starving(int c) noexcept { starving_ &= ~bit(c); }
  // Whether a class that starves could use a thread of class `c`, if that gives it up.
  bool starves_for(int c) const noexcept {
    return (starving_ & ~bit(c)) != 0 && assigned(c) > reserve(c);
  }

  // The class that a thread is to work for next, which worked for class `last` (or kNone) and is released: one that
  // starves, the next after `last` in their order; else `last`; else any. `has_jobs(c)` says whether there is
  // anything to do. kNone: nothing that may be done.
  template <typename HasJobs>
  int next_class(int last, const HasJobs& has_jobs) noexcept {
    for (int i = 1; starving_ != 0 && i <= classes(); ++i) {
      const int c = (last + i) % classes();
      if ((starving_ & bit(c)) == 0) continue;
      if (!has_jobs(c)) {
        clear_starving(c);
      } else if (may_assign(c)) {
        return c;
      }
    }
    if (last != kNone && has_jobs(last) && may_assign(last)) return last;
    for (int i = 1; i <= classes(); ++i) {
      const int c = (last + i) % classes();
      if (has_jobs(c) && may_assign(c)) return c;
    }
    return kNone;
  }

 private:
  struct Share {
    ClassLimits limits;
    int assigned = 0;
  };

  static constexpr std::uint32_t bit(int c) noexcept { return std::uint32_t{1} << c; }
  Share& at(int c) noexcept { return classes_[static_cast<std::size_t>(c)]; }
  const Share& at(int c) const noexcept { return classes_[static_cast<std::size_t>(c)]; }

  std::vector<Share> classes_;
  int shared_free_;
  std::uint32_t starving_ = 0;
};

}  // namespace skua::internal
