// SPDX-License-Identifier: Apache-2.0
#include "io_driver/poller.h"

#include <cerrno>
#include <csignal>
#include <ctime>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include "skua/internal/check.h"
#include "skua/internal/config.h"
#include "skua/status.h"
#include "task/wake_batch.h"

namespace skua::internal {
namespace {

constexpr std::uint32_t kReadEvents = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kWriteEvents = EPOLLOUT | EPOLLHUP | EPOLLERR;
// Events that come once, perhaps together with data: the end of the stream, an error, urgent data.
constexpr std::uint32_t kReadBehind = EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t kWriteBehind = EPOLLHUP | EPOLLERR;

constexpr std::uint64_t kGenerationLimit = std::uint64_t{1}
                                           << (64 - IoRegistration::kGenerationShift);

ReadinessAwaiter* waiter_of(std::uint64_t word) noexcept {
  if ((word & IoRegistration::kWaiter) == 0) return nullptr;
  return reinterpret_cast<ReadinessAwaiter*>(word & ~IoRegistration::kTagMask);
}

std::uint64_t word_of(const ReadinessAwaiter* waiter) noexcept {
  static_assert(alignof(ReadinessAwaiter) >= 8);
  return reinterpret_cast<std::uint64_t>(waiter) | IoRegistration::kWaiter;
}

}  // namespace

// --- IoRegistration -----------------------------------------------------------------------------

std::size_t IoRegistration::on_event(std::uint32_t events, std::uint64_t generation,
                                     WakeBatch& batch) noexcept {
  const std::uint64_t ready = kReady | (generation % kGenerationLimit) << kGenerationShift;
  std::size_t woken = 0;
  if ((events & kReadEvents) != 0) {
    woken +=
        set_ready(Direction::kRead, ready | ((events & kReadBehind) != 0 ? kMoreBehind : 0), batch);
  }
  if ((events & kWriteEvents) != 0) {
    woken += set_ready(Direction::kWrite, ready | ((events & kWriteBehind) != 0 ? kMoreBehind : 0),
                       batch);
  }
  return woken;
}

std::size_t IoRegistration::set_ready(Direction direction, std::uint64_t ready,
                                      WakeBatch& batch) noexcept {
  std::atomic<std::uint64_t>& word = words_[index_of(direction)];
  std::uint64_t before = word.load(std::memory_order_acquire);
  do {
    if (before == kClosed) return 0;
  } while (!word.compare_exchange_weak(before, ready, std::memory_order_acq_rel,
                                       std::memory_order_acquire));  // [READY] [READY-WAIT]
  ReadinessAwaiter* const waiter = waiter_of(before);
  if (waiter == nullptr) return 0;
  batch.add(waiter->task);  // *waiter may be gone.
  return 1;
}

void IoRegistration::clear(Direction direction, std::uint64_t seen) noexcept {
  if ((seen & (kReady | kMoreBehind)) != kReady) return;
  // An event since then has made another word of it. Relaxed: nothing is handed over.
  words_[index_of(direction)].compare_exchange_strong(seen, kNotReady, std::memory_order_relaxed,
                                                      std::memory_order_relaxed);
}

IoRegistration::Published IoRegistration::publish(ReadinessAwaiter* waiter, Direction direction,
                                                  std::uint64_t seen) noexcept {
  if (seen == kClosed) return Published::kClosed;
  if ((seen & kWaiter) == 0 &&
      words_[index_of(direction)].compare_exchange_strong(
          seen, word_of(waiter), std::memory_order_acq_rel,
          std::memory_order_acquire)) {  // [READY-WAIT] *waiter may be gone.
    return Published::kWaits;
  }
  const bool another_task_waits_for_the_same = (seen & kWaiter) != 0;
  SKUA_REQUIRE(!another_task_waits_for_the_same, direction);
  return seen == kClosed ? Published::kClosed : Published::kTryAgain;
}

bool IoRegistration::forget(ReadinessAwaiter* waiter, Direction direction) noexcept {
  std::uint64_t expected = word_of(waiter);
  return words_[index_of(direction)].compare_exchange_strong(
      expected, kNotReady, std::memory_order_acq_rel, std::memory_order_relaxed);  // [READY-WAIT]
}

void IoRegistration::end(int error) noexcept {
  for (std::atomic<std::uint64_t>& word : words_) {
    ReadinessAwaiter* const waiter =
        waiter_of(word.exchange(kClosed, std::memory_order_acq_rel));  // [READY-WAIT]
    if (waiter == nullptr) continue;
    waiter->error_ = error;
    waiter->task->wake();  // *waiter may be gone.
  }
}

// --- Poller -------------------------------------------------------------------------------------

absl::StatusOr<Poller*> Poller::create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return errno_to_status(errno, "epoll_create1");
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return errno_to_status(errno, "eventfd");
  // Edge-triggered, and so never read: each write is an edge.
  epoll_event wake{};
  wake.events = EPOLLIN | EPOLLET;
  wake.data.u64 = kWakeEventTag;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, event.get(), &wake) != 0) {
    return errno_to_status(errno, "epoll_ctl");
  }
  return new Poller(std::move(epoll), std::move(event));
}

Poller::Poller(UniqueFd epoll, UniqueFd event)
    : epoll_(std::move(epoll)),
      event_(std::move(event)),
      events_(std::make_unique<epoll_event[]>(kEventsMax)) {}

Poller::~Poller() = default;

void Poller::unref() noexcept {
  // The last one sees all that the others did: release and acquire.
  if (shares_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void Poller::shut_down() noexcept {
  {
    MutexLock lock(&mu_);
    ended_ = true;
    for (auto& chunk : chunks_) {
      for (IoRegistration& registration : *chunk) {
        if (registration.in_use_) registration.end(ECANCELED);
      }
    }
  }
  unref();
}

IoRegistration* Poller::allocate() {
  MutexLock lock(&mu_);
  if (free_ == nullptr) {
    chunks_.push_back(std::make_unique<std::array<IoRegistration, kChunk>>());
    for (IoRegistration& registration : *chunks_.back()) {
      registration.poller_ = this;
      registration.next_free_ = std::exchange(free_, &registration);
    }
  }
  IoRegistration* const registration = std::exchange(free_, free_->next_free_);
  registration->in_use_ = true;
  // Release, to the holder that meets its first event: the kernel carries the address alone.
  const std::uint64_t first = ended_ ? IoRegistration::kClosed : IoRegistration::kReady;
  for (auto& word : registration->words_) word.store(first, std::memory_order_release);
  shares_.fetch_add(1, std::memory_order_relaxed);
  return registration;
}

void Poller::free(IoRegistration* registration) noexcept {
  registration->end(ECANCELED);
  {
    MutexLock lock(&mu_);
    registration->in_use_ = false;
    registration->next_free_ = std::exchange(free_, registration);
  }
  unref();  // *this may be gone.
}

IoRegistration* Poller::add_source(int fd, int& error) noexcept {
  IoRegistration* const registration = allocate();
  const int result =
      control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
              reinterpret_cast<std::uint64_t>(registration) | kSourceEventTag);
  if (result == 0) {
    registered_.fetch_add(1, std::memory_order_relaxed);
    return registration;
  }
  error = -result;
  free(registration);
  return nullptr;
}

void Poller::remove_source(IoRegistration* registration, int fd) noexcept {
  // Not left to close(2), which ends a registration only with the last copy of the descriptor, and a child process may
  // have one. EBADF, ENOENT: somebody else has closed it.
  control(EPOLL_CTL_DEL, fd, 0, 0);
  registered_.fetch_sub(1, std::memory_order_relaxed);
  free(registration);  // *this may be gone.
}

Mutex& Poller::register_lock(const IoSource* source) noexcept {
  const auto hash = reinterpret_cast<std::uintptr_t>(source) * 0x9e3779b97f4a7c15u;  // Fibonacci.
  return register_locks_[hash >> 60].mu;
}

int Poller::control(int operation, int fd, std::uint32_t events, std::uint64_t data) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0 ? 0 : -errno;
}

int Poller::watch_backend(int fd) noexcept {
  // Edge-triggered: the holder reaps before it sleeps, and what is completed after that is an edge.
  return -control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET, kBackendEventTag);
}

int Poller::add_once(int fd, std::uint32_t events, std::uint64_t data) noexcept {
  registered_.fetch_add(1, std::memory_order_relaxed);
  const int result = control(EPOLL_CTL_ADD, fd, events | EPOLLONESHOT, data);
  if (result != 0) registered_.fetch_sub(1, std::memory_order_relaxed);
  return result;
}

int Poller::add_again(int fd, std::uint32_t events, std::uint64_t data) noexcept {
  return control(EPOLL_CTL_MOD, fd, events | EPOLLONESHOT, data);
}

void Poller::remove(int fd) noexcept {
  control(EPOLL_CTL_DEL, fd, 0, 0);
  registered_.fetch_sub(1, std::memory_order_relaxed);
}

int Poller::wait(std::int64_t timeout_ns, int events_max) noexcept {
  // Written by the holder only; relaxed: a statistic.
  waits_.store(waits_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
#ifdef __NR_epoll_pwait2
  // TSan learns from epoll_wait() alone that a descriptor was added before its event comes.
  if (timeout_ns > 0 && has_pwait2_ && !SKUA_TSAN) {
    timespec timeout{};
    timeout.tv_sec = timeout_ns / 1'000'000'000;
    timeout.tv_nsec = timeout_ns % 1'000'000'000;
    const long count = ::syscall(__NR_epoll_pwait2, epoll_.get(), events_.get(), events_max,
                                 &timeout, nullptr, _NSIG / 8);
    if (count >= 0) return static_cast<int>(count);
    if (errno == EINTR) return 0;
    // Older than Linux 5.11, or a seccomp profile that does not know it.
    SKUA_CHECK(errno == ENOSYS || errno == EPERM || errno == EACCES, errno);
    has_pwait2_ = false;
  }
#endif
  // Rounded up: a timer that is not due yet would be waited for again.
  std::int64_t timeout_ms = timeout_ns < 0 ? -1 : (timeout_ns + 999'999) / 1'000'000;
  if (timeout_ms > INT32_MAX) timeout_ms = INT32_MAX;
  const int count =
      ::epoll_wait(epoll_.get(), events_.get(), events_max, static_cast<int>(timeout_ms));
  if (count >= 0) return count;
  SKUA_CHECK(errno == EINTR, errno);
  return 0;
}

const epoll_event& Poller::event(int index) const noexcept {
  return events_[static_cast<std::size_t>(index)];
}

void Poller::interrupt() noexcept {
  const std::uint64_t one = 1;
  ssize_t written = 0;
  do {
    written = ::write(event_.get(), &one, sizeof(one));
  } while (written < 0 && errno == EINTR);
  // EAGAIN cannot be: the counter holds 2^64 - 2 writes.
  SKUA_CHECK(written == sizeof(one), written, errno);
}

}  // namespace skua::internal
