// SPDX-License-Identifier: Apache-2.0
//
// The epoll descriptor of a driver, the eventfd that interrupts it, and what is registered there.
//
//   kernel --event--> epoll -- wait() --> the holder -- IoRegistration::on_event() --> word of a direction --> task
//
// A direction's word:
//
//   kNotReady                      the call would say EAGAIN
//   kReady | generation            worth a try. Each event has a generation of its own.
//   kWaiter | ReadinessAwaiter*    a task waits
//   kClosed                        the source is closed, its runtime gone, or the registration free
//
// Registrations are never freed before the poller is: an event that was fetched before its descriptor was closed
// meets a registration that is free, or another's, and there an event too many does no harm, for everybody who is
// woken tries the call and waits again.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <absl/status/statusor.h>

#include "base/unique_fd.h"
#include "skua/internal/config.h"
#include "skua/internal/io_source.h"
#include "skua/internal/mutex.h"

struct epoll_event;

namespace skua::internal {

class Poller;
class WakeBatch;

//   [READY-WAIT]  ReadinessAwaiter::publish()'s CAS of the word (release) -> on_event()'s, end()'s and cancel's CAS
//                 (acquire): the waiter. Whoever takes it out of the word wakes the task, or forgets it.
//   [READY]       on_event()'s CAS (release) -> readiness()'s load (acquire), publish()'s CAS (acquire).
//
// A cache line of its own: the workers that serve neighbours would take it from each other.
class alignas(64) IoRegistration {
 public:
  static constexpr std::uint64_t kNotReady = 0;
  static constexpr std::uint64_t kReady = 1;
  static constexpr std::uint64_t kWaiter = 2;
  static constexpr std::uint64_t kClosed = 4;
  // With kReady: the peer is gone or has said something urgent, so that a short transfer does not mean that no event
  // stands behind it.
  static constexpr std::uint64_t kMoreBehind = 8;
  static constexpr unsigned kGenerationShift = 4;
  static constexpr std::uint64_t kTagMask = 7;  // Of a word with a waiter.

  IoRegistration() = default;
  IoRegistration(const IoRegistration&) = delete;
  IoRegistration& operator=(const IoRegistration&) = delete;

  // What epoll reports. Returns the number of tasks woken, by `batch`. The holder of the driver.
  std::size_t on_event(std::uint32_t events, std::uint64_t generation, WakeBatch& batch) noexcept;

  std::uint64_t word(Direction direction) const noexcept {
    return words_[index_of(direction)].load(std::memory_order_acquire);  // [READY]
  }
  // Fetches what on_event() will touch of who waits. Any thread.
  void prefetch_waiter(Direction direction) const noexcept {
    const std::uint64_t word = words_[index_of(direction)].load(std::memory_order_relaxed);
    if ((word & kWaiter) != 0) __builtin_prefetch(reinterpret_cast<const void*>(word & ~kTagMask));
  }
  // The task that has the word `seen` finds that the call would say EAGAIN. Any thread.
  void clear(Direction direction, std::uint64_t seen) noexcept;

  // What publish() came to.
  enum class Published : std::uint8_t { kWaits, kTryAgain, kClosed };
  // Lets `waiter` wait, if the direction is still as its task has seen it. The task's worker.
  [[nodiscard]] Published publish(ReadinessAwaiter* waiter, Direction direction,
                                  std::uint64_t seen) noexcept;
  // Forgets `waiter`. False: an event or the end was first. Any thread that keeps it alive.
  [[nodiscard]] bool forget(ReadinessAwaiter* waiter, Direction direction) noexcept;

  // Closes both directions and wakes who waits, with `error`. Any thread.
  void end(int error) noexcept;

  Poller& poller() const noexcept { return *poller_; }

 private:
  friend Poller;

  static std::size_t index_of(Direction direction) noexcept {
    return static_cast<std::size_t>(direction);
  }
  std::size_t set_ready(Direction direction, std::uint64_t ready, WakeBatch& batch) noexcept;

  // Any thread.
  std::array<std::atomic<std::uint64_t>, 2> words_{kClosed, kClosed};
  // Guarded by the poller's lock.
  IoRegistration* next_free_ = nullptr;
  bool in_use_ = false;
  // Constant after construction.
  Poller* poller_ = nullptr;
};

// What an event is about: tags in the low bits of its data.
inline constexpr std::uint64_t kSourceEventTag = 0;   // IoRegistration*.
inline constexpr std::uint64_t kWakeEventTag = 1;     // The eventfd.
inline constexpr std::uint64_t kOpEventTag = 2;       // IoOp*, of the backend.
inline constexpr std::uint64_t kBackendEventTag = 3;  // The backend's own descriptor.
inline constexpr std::uint64_t kEventTagMask = 7;

// Shared by its driver and by all that is registered: a socket may outlive the runtime it was first awaited on.
class Poller {
 public:
  // That one wait() fetches: less than a ring of a worker has room for, since what these events wake queues others.
  static constexpr int kEventsMax = 224;

  // Errors: kResourceExhausted if no descriptor is left.
  static absl::StatusOr<Poller*> create();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // The driver is gone: who waits is woken with ECANCELED, and nobody waits from now on. Gives up the driver's share.
  // *this may be gone. Once.
  void shut_down() noexcept SKUA_EXCLUDES(mu_);

  // Registers `fd` for both directions. nullptr: `error` is an errno. Any thread.
  IoRegistration* add_source(int fd, int& error) noexcept SKUA_EXCLUDES(mu_);
  // Ends the registration of `fd`, which is still open. *this may be gone. Any thread.
  void remove_source(IoRegistration* registration, int fd) noexcept SKUA_EXCLUDES(mu_);
  // Serializes those that register the same source.
  Mutex& register_lock(const IoSource* source) noexcept;

  // From now on wait() returns, too, whenever this descriptor becomes readable, which ends with its close. 0 or an
  // errno.
  int watch_backend(int fd) noexcept;

  // Waits once, for `events` (EPOLLIN, EPOLLOUT) of `fd`. 0 or -errno. Any worker.
  int add_once(int fd, std::uint32_t events, std::uint64_t data) noexcept;
  int add_again(int fd, std::uint32_t events, std::uint64_t data) noexcept;
  void remove(int fd) noexcept;

  // Fetches up to `events_max` events, 1 to kEventsMax, into event(), waiting for the first if `timeout_ns` (< 0:
  // without end) is not 0. Returns how many; 0 also after a signal. The holder of the driver.
  int wait(std::int64_t timeout_ns, int events_max) noexcept;
  const epoll_event& event(int index) const noexcept;

  // Makes wait(), now or next, return. Any thread.
  void interrupt() noexcept;

  // What may become ready, beside the eventfd. Any thread; a snapshot.
  std::int64_t registered() const noexcept { return registered_.load(std::memory_order_relaxed); }
  std::uint64_t waits() const noexcept { return waits_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kChunk = 64;
  static constexpr std::size_t kRegisterLocks = 16;
  struct alignas(kCacheLine) RegisterLock {
    Mutex mu;
  };

  Poller(UniqueFd epoll, UniqueFd event);
  ~Poller();
  IoRegistration* allocate() SKUA_EXCLUDES(mu_);
  void free(IoRegistration* registration) noexcept SKUA_EXCLUDES(mu_);
  void unref() noexcept;
  int control(int operation, int fd, std::uint32_t events, std::uint64_t data) noexcept;

  // Constant after construction.
  const UniqueFd epoll_;
  const UniqueFd event_;
  // The holder of the driver.
  const std::unique_ptr<epoll_event[]> events_;
  bool has_pwait2_ = true;
  // Any thread.
  std::array<RegisterLock, kRegisterLocks> register_locks_;
  alignas(kCacheLine) std::atomic<std::int64_t> registered_{0};
  std::atomic<std::uint64_t> waits_{0};
  std::atomic<std::size_t> shares_{1};  // The driver, and each registration in use.
  Mutex mu_;
  std::vector<std::unique_ptr<std::array<IoRegistration, kChunk>>> chunks_ SKUA_GUARDED_BY(mu_);
  IoRegistration* free_ SKUA_GUARDED_BY(mu_) = nullptr;
  bool ended_ SKUA_GUARDED_BY(mu_) = false;
};

}  // namespace skua::internal
