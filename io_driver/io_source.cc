// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/io_source.h"

#include <cerrno>
#include <unistd.h>

#include "io_driver/driver.h"
#include "io_driver/poller.h"
#include "skua/internal/check.h"
#include "skua/internal/config.h"

namespace skua::internal {

IoSource::IoSource(int fd) noexcept : fd_(fd) { SKUA_REQUIRE(fd >= 0, fd); }

IoSource& IoSource::operator=(IoSource&& other) noexcept {
  if (this != &other) {
    close();
    fd_.store(other.fd_.exchange(-1, std::memory_order_relaxed), std::memory_order_relaxed);
    registration_.store(other.registration_.exchange(nullptr, std::memory_order_relaxed),
                        std::memory_order_relaxed);  // Who moves it has it alone.
    for (auto& word : operations_) word.store(kNoOperation, std::memory_order_relaxed);
  }
  return *this;
}

Readiness IoSource::readiness(Direction direction) const noexcept {
  const IoRegistration* const registration = registration_.load(std::memory_order_acquire);
  // What is not registered yet has the word that a registration begins with.
  if (registration != nullptr) return Readiness(registration->word(direction));
  const auto& operation = operations_[static_cast<std::size_t>(direction)];
  // Relaxed: written by the task that reads it.
  const bool drained = operation.load(std::memory_order_relaxed) == kDrained;
  return Readiness(drained ? IoRegistration::kNotReady : IoRegistration::kReady);
}

void IoSource::drained(Direction direction, Readiness seen) noexcept {
  IoRegistration* const registration = registration_.load(std::memory_order_acquire);
  if (registration != nullptr) {
    registration->clear(direction, seen.word());
  } else {
    // Relaxed: it is read by the task that writes it.
    operation(direction).store(kDrained, std::memory_order_relaxed);
  }
}

IoRegistration* IoSource::registered(int& error) noexcept {
  IoRegistration* registration = registration_.load(std::memory_order_acquire);  // [REGISTER]
  if (registration != nullptr) return registration;
  Driver* const driver = current_driver();
  SKUA_REQUIRE(driver != nullptr);  // Awaited on a runtime.
  const int fd = this->fd();
  if (fd < 0) {
    error = ECANCELED;  // Closed while its task had other things to do.
    return nullptr;
  }
  Poller& poller = driver->poller();
  MutexLock lock(&poller.register_lock(this));
  registration = registration_.load(std::memory_order_acquire);
  if (registration != nullptr) return registration;
  IoRegistration* const made = poller.add_source(fd, error);
  if (made == nullptr) return nullptr;
  if (!registration_.compare_exchange_strong(registration, made, std::memory_order_acq_rel,
                                             std::memory_order_acquire)) {
    // A task of another runtime, with another poller's lock.
    poller.remove_source(made, fd);
    return registration;
  }
  return made;
}

int IoSource::unregister() noexcept {
  const int fd = fd_.exchange(-1, std::memory_order_relaxed);
  IoRegistration* const registration = registration_.exchange(nullptr, std::memory_order_acq_rel);
  if (registration != nullptr) registration->poller().remove_source(registration, fd);
  return fd;
}

int IoSource::release() noexcept {
  const int fd = unregister();
  if (SKUA_UNLIKELY(has_operations())) end_operations(-1);
  return fd;
}

void IoSource::close() noexcept {
  const int fd = unregister();
  if (SKUA_UNLIKELY(has_operations()) && end_operations(fd)) return;
  if (fd >= 0) ::close(fd);
}

bool ReadinessAwaiter::publish() noexcept {
  registration_ = source_->registered(error_);
  if (registration_ == nullptr) return false;
  switch (registration_->publish(this, direction_, seen_.word())) {
    case IoRegistration::Published::kWaits:
      return true;
    case IoRegistration::Published::kTryAgain:
      return false;
    case IoRegistration::Published::kClosed:
      error_ = ECANCELED;
      return false;
  }
  return false;
}

CancelOutcome ReadinessAwaiter::cancel_wait(Waiter* waiter) noexcept {
  auto* const self = static_cast<ReadinessAwaiter*>(waiter);
  return self->registration_->forget(self, self->direction_) ? CancelOutcome::kUnlinked
                                                             : CancelOutcome::kPending;
}

}  // namespace skua::internal
