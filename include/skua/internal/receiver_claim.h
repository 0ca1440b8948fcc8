// SPDX-License-Identifier: Apache-2.0
//
// How the only receiver of a channel takes many values under one lock: it claims a run of them, and takes one after
// the other without the lock. The claim belongs to a task, which runs on one thread at a time. Whoever else comes,
// by a copy of the receiver, by a pointer to it, or by try_recv(), revokes the claim first, once and for all.
//
//   owner, for each value                     revoker, under the channel's lock
//     busy_ = true                              owner_ = nullptr
//     (compiler fence)                          membarrier(): a full barrier in every running thread
//     owner_ == me? take a value                until busy_ is false
//     busy_ = false                             the rest is the channel's again
//
//   [CLAIM]  Store-load on both sides: the owner sees that it was revoked, or the revoker sees it busy. leave()'s
//            store of busy_ (release) -> revoke()'s load (acquire): which values are left. owner_'s stores (release)
//            -> enter()'s load (acquire).
#pragma once

#include <atomic>

#include "skua/internal/config.h"

namespace skua::internal {

class TaskHeader;

class ReceiverClaim {
 public:
  ReceiverClaim() noexcept = default;
  ReceiverClaim(const ReceiverClaim&) = delete;
  ReceiverClaim& operator=(const ReceiverClaim&) = delete;

  // True: the claim is this task's, and nobody takes it away before leave(). The thread that runs `task`.
  [[nodiscard]] SKUA_ALWAYS_INLINE bool enter(const TaskHeader* task) noexcept {
    // Relaxed: a look, so that others leave busy_ alone.
    if (owner_.load(std::memory_order_relaxed) != task) return false;
    busy_.store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (SKUA_LIKELY(owner_.load(std::memory_order_acquire) == task)) return true;  // [CLAIM]
    leave();
    return false;
  }
  // After enter() was true.
  SKUA_ALWAYS_INLINE void leave() noexcept { busy_.store(false, std::memory_order_release); }

  // Whether there is a claim. Under the channel's lock; without it, who has the only receiver to itself.
  bool is_held() const noexcept { return owner_.load(std::memory_order_relaxed) != nullptr; }
  bool is_held_by(const TaskHeader* task) const noexcept {
    return owner_.load(std::memory_order_relaxed) == task;
  }

  // --- Under the channel's lock. ---

  // Whether there may be another claim.
  bool is_allowed() const noexcept { return allowed_; }
  void allow() noexcept;  // If the kernel offers membarrier(2). Before the channel is used.
  void grant(const TaskHeader* task) noexcept { owner_.store(task, std::memory_order_release); }
  // Ends the claim. The owner, or who has the only receiver to itself.
  void end() noexcept { owner_.store(nullptr, std::memory_order_relaxed); }
  // Ends the claim of another task, and all further ones. Waits until the owner has taken what it is about to take.
  SKUA_COLD void revoke() noexcept;

 private:
  std::atomic<const TaskHeader*> owner_{nullptr};
  std::atomic<bool> busy_{false};
  bool allowed_ = false;
};

}  // namespace skua::internal
