// SPDX-License-Identifier: Apache-2.0
//
// The line before a bounded queue: so many places, and who has none waits for one, first come, first served.
//
// What stands in line is a job, or a task that wants a place for a job to come. A place that is given back goes to the
// first in line, whom the caller of give_back() then has to tell.
#pragma once

#include <cstddef>
#include <cstdint>

#include "skua/internal/mutex.h"

namespace skua::internal {

class Admission;

class AdmissionNode {
 public:
  enum class Kind : std::uint8_t { kJob, kTask };

  AdmissionNode(const AdmissionNode&) = delete;
  AdmissionNode& operator=(const AdmissionNode&) = delete;

  Kind kind() const noexcept { return kind_; }

 protected:
  explicit AdmissionNode(Kind kind) noexcept : kind_(kind) {}
  ~AdmissionNode() = default;

 private:
  friend Admission;

  const Kind kind_;
  // Guarded by the line's mu_.
  bool in_line_ = false;
  AdmissionNode* prev_ = nullptr;
  AdmissionNode* next_ = nullptr;
};

class Admission {
 public:
  enum class [[nodiscard]] Entry : std::uint8_t {
    kAdmitted,  // Has a place.
    kInLine,    // Whoever gives a place back may have met the node already.
    kClosed,    // Jobs are not taken any more.
  };

  explicit Admission(std::size_t places) noexcept : free_(places) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Takes a place, or gets in line. Any thread.
  Entry enter(AdmissionNode* node) noexcept SKUA_EXCLUDES(mu_);
  // Takes a place if one is free, which none is while somebody is in line. Any thread.
  [[nodiscard]] bool try_enter() noexcept SKUA_EXCLUDES(mu_);
  // Gives a place back. The node that has it now; nullptr: nobody was in line. `taken_out(node)` is called before
  // anybody else can find that it is not in the line any more. Any thread.
  template <typename F>
  [[nodiscard]] AdmissionNode* give_back(const F& taken_out) noexcept SKUA_EXCLUDES(mu_) {
    MutexLock lock(&mu_);
    AdmissionNode* const node = first_;
    if (node == nullptr) {
      ++free_;
    } else {
      unlink(node);
      taken_out(node);
    }
    return node;
  }
  // Takes `node` out of the line. False: it is not in it. Any thread that keeps the node alive.
  [[nodiscard]] bool remove(AdmissionNode* node) noexcept SKUA_EXCLUDES(mu_);
  // From now on no job gets in line. Any thread.
  void close() noexcept SKUA_EXCLUDES(mu_);
  // Takes the first job out of the line; nullptr: there is none. Any thread.
  [[nodiscard]] AdmissionNode* pop_job() noexcept SKUA_EXCLUDES(mu_);

  // How many are in line. Any thread.
  std::size_t in_line() const noexcept SKUA_EXCLUDES(mu_);

 private:
  void unlink(AdmissionNode* node) noexcept SKUA_REQUIRES(mu_);

  mutable Mutex mu_;
  std::size_t free_ SKUA_GUARDED_BY(mu_);  // 0 while somebody is in line.
  bool closed_ SKUA_GUARDED_BY(mu_) = false;
  std::size_t in_line_ SKUA_GUARDED_BY(mu_) = 0;
  AdmissionNode* first_ SKUA_GUARDED_BY(mu_) = nullptr;
  AdmissionNode* last_ SKUA_GUARDED_BY(mu_) = nullptr;
};

}  // namespace skua::internal
