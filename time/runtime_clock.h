// SPDX-License-Identifier: Apache-2.0
//
// The time of a runtime: that of the steady clock, until a test pauses it (skua/test_clock.h).
//
//   kReal --pause()--> kPaused --resume()--> kShifted      kPaused: stands still, but for step()
//                         ^------pause()--------/          kShifted: the steady clock plus what was left behind
//
// It never goes back. While it is paused, the worker that finds all workers asleep moves it, by step(): to the earliest
// deadline, or to what the first advance() asks for, whichever is earlier. So what is due fires in the order of the
// deadlines, each only when all that came of the one before has come to rest, and an advance() returns last.
//
//   [CLOCK]  pause()'s, resume()'s and step()'s critical section -> that of at(), of whoever has read another mode than
//            kReal (acquire) before. The time.
#pragma once

#include <atomic>
#include <cstdint>

#include "skua/internal/config.h"
#include "skua/internal/mutex.h"
#include "skua/internal/timer.h"
#include "skua/test_clock.h"
#include "time/clock.h"

namespace skua::internal {

class RuntimeClock {
 public:
  // Called when deadlines have come nearer by the steady clock, with no lock held.
  using OnNearer = void (*)(void* arg);

  // `on_nearer` may be nullptr.
  RuntimeClock(OnNearer on_nearer, void* arg) noexcept
      : on_nearer_(on_nearer), on_nearer_arg_(arg) {}
  RuntimeClock(const RuntimeClock&) = delete;
  RuntimeClock& operator=(const RuntimeClock&) = delete;

  // Any thread, all but step().

  std::int64_t now_ns() const noexcept { return at(internal::now_ns()); }
  // The time when the steady clock reads `steady_ns`, which it has just read.
  std::int64_t at(std::int64_t steady_ns) const noexcept {
    // [CLOCK] if it is another one. A mode of long ago is as good as the latest: the caller has read the steady clock
    // before that became visible.
    if (SKUA_LIKELY(mode_.load(std::memory_order_acquire) == Mode::kReal)) return steady_ns;
    return virtual_at(steady_ns);
  }
  // What the steady clock will read at `deadline_ns`; kNeverNs while it is paused.
  std::int64_t steady_deadline_ns(std::int64_t deadline_ns) const noexcept {
    if (SKUA_LIKELY(mode_.load(std::memory_order_acquire) == Mode::kReal)) return deadline_ns;
    return virtual_deadline_ns(deadline_ns);
  }
  bool is_paused() const noexcept {
    return SKUA_UNLIKELY(mode_.load(std::memory_order_acquire) == Mode::kPaused);
  }

  // Requires: not paused.
  void pause(AutoAdvance auto_advance) noexcept SKUA_EXCLUDES(mu_);
  // Requires: paused, and no advance() is under way.
  void resume() noexcept SKUA_EXCLUDES(mu_);

  // Registers an advance(). Requires: paused.
  void add(AdvanceNode* node) noexcept SKUA_EXCLUDES(mu_);
  // Takes it out again. False: its time has come, and it is being woken.
  [[nodiscard]] bool remove(AdvanceNode* node) noexcept SKUA_EXCLUDES(mu_);

  // What to do while nothing is runnable.
  enum class Goal : std::uint8_t {
    kNone,      // Nothing to move to.
    kDeadline,  // A timer, unless something else is under way that takes real time.
    kAdvance,   // A test has asked for it.
  };
  Goal goal(std::int64_t earliest_deadline_ns) const noexcept SKUA_EXCLUDES(mu_);
  // Moves to the earlier one of `earliest_deadline_ns` and the target of the first advance(), which is woken in the
  // latter case. The caller fires what is due then. One thread at a time, while nothing is runnable.
  void step(std::int64_t earliest_deadline_ns) noexcept SKUA_EXCLUDES(mu_);

 private:
  enum class Mode : std::uint8_t { kReal, kPaused, kShifted };

  SKUA_COLD std::int64_t virtual_at(std::int64_t steady_ns) const noexcept SKUA_EXCLUDES(mu_);
  SKUA_COLD std::int64_t virtual_deadline_ns(std::int64_t deadline_ns) const noexcept
      SKUA_EXCLUDES(mu_);
  AdvanceNode* first_advance() const noexcept SKUA_REQUIRES(mu_);

  // Constant after construction.
  const OnNearer on_nearer_;
  void* const on_nearer_arg_;

  mutable Mutex mu_;
  std::atomic<Mode> mode_{Mode::kReal};  // Written under mu_.
  AutoAdvance auto_advance_ SKUA_GUARDED_BY(mu_) = AutoAdvance::kYes;
  std::int64_t paused_ns_ SKUA_GUARDED_BY(mu_) = 0;  // kPaused: the time.
  std::int64_t shift_ns_ SKUA_GUARDED_BY(mu_) = 0;   // kShifted: the time less the steady clock's.
  AdvanceNode* advances_ SKUA_GUARDED_BY(mu_) = nullptr;
};

}  // namespace skua::internal
