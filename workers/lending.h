// SPDX-License-Identifier: Apache-2.0
//
// Which thread a worker is, while tasks block in it on purpose (block_in_place).
//
//   its own thread --lend()--> a stand-in takes turns --claim()--> ... --> its own thread, at the end of a turn
//
// A thread that blocks in a task lends the worker to a stand-in; when it is through it claims the worker, and goes on
// with its task as soon as whoever is the worker has ended the turn that it is in. The claimants have it in their
// order. A stand-in may lend in its turn. The worker's own thread claims it whenever it has given it to somebody else,
// so that it comes back.
//
//   [LEND]  The worker's plain fields go from thread to thread under mu_, or with the assignment of a stand-in.
#pragma once

#include <cstdint>
#include <deque>

#include "skua/internal/mutex.h"

namespace skua::internal {

class Lending {
 public:
  Lending() = default;
  Lending(const Lending&) = delete;
  Lending& operator=(const Lending&) = delete;

  // The caller is about to give the worker to a stand-in, and will claim it. The thread that is the worker.
  void lend() SKUA_EXCLUDES(mu_);

  // A claim, on the stack of the thread that makes it.
  class Claim {
   public:
    Claim() = default;
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    friend Lending;
    bool granted_ = false;
  };
  // Queues the claim; `lent` if it ends a lend(). The caller then makes the worker look (wanted()) and calls await().
  void claim(Claim& claim, bool lent) SKUA_EXCLUDES(mu_);
  // Waits until the caller is the worker.
  void await(const Claim& claim) SKUA_EXCLUDES(mu_);
  // The thread that is the worker gives it to the first claimant, if there is one, after queueing its own claim, if it
  // has one. True: somebody else is the worker now.
  bool pass_on(Claim* own) SKUA_EXCLUDES(mu_);

  // Waits until somebody claims, if anybody has lent. False: nobody has. The thread that is the worker.
  bool wait_for_claim() SKUA_EXCLUDES(mu_);
  bool wanted() SKUA_EXCLUDES(mu_);
  // Whether a task blocks on a thread that has lent the worker. Any thread.
  bool is_lent() SKUA_EXCLUDES(mu_);

 private:
  Mutex mu_;
  CondVar changed_;
  int lent_ SKUA_GUARDED_BY(mu_) = 0;  // Threads that have lent the worker and not claimed it yet.
  std::deque<Claim*> claims_ SKUA_GUARDED_BY(mu_);
};

}  // namespace skua::internal
