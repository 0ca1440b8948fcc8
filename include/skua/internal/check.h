// SPDX-License-Identifier: Apache-2.0
//
// Checks that are always on and print their operands.
//
//   SKUA_REQUIRE(cond, operands...)  the caller broke a documented requirement
//   SKUA_CHECK(cond, operands...)    Skua broke an invariant of its own
//   SKUA_DCHECK(cond, operands...)   as SKUA_CHECK, in debug builds only: for hot paths
//
// A failed check writes one line to stderr (what, where, operands with their values) and aborts.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "skua/internal/config.h"

namespace skua::internal {

// One operand's value, as text.
class Operand {
 public:
  template <typename T>
  explicit Operand(const T& value) : text_(to_text(value)) {}
  const std::string& text() const { return text_; }

 private:
  template <typename T>
  static std::string to_text(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      return value ? "true" : "false";
    } else if constexpr (std::is_enum_v<T>) {
      return std::to_string(static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (std::is_arithmetic_v<T>) {
      return std::to_string(value);
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      return std::string(std::string_view(value));
    } else {
      static_assert(std::is_pointer_v<T>, "print a number, an enum, a string or a pointer");
      return std::to_string(reinterpret_cast<std::uintptr_t>(value));
    }
  }

  std::string text_;
};

// `names` is the source text of the operands, separated by commas.
[[noreturn]] void check_failed(const char* kind, const char* condition, const char* file, int line,
                               const char* names, std::initializer_list<Operand> operands) noexcept;

template <typename... Ts>
[[noreturn]] SKUA_COLD void check_failed_with(const char* kind, const char* condition,
                                              const char* file, int line, const char* names,
                                              const Ts&... operands) noexcept {
  check_failed(kind, condition, file, line, names, {Operand(operands)...});
}

// Writes `message` as one line to stderr and ends the process. Used where no caller could handle
// the failure: a start that cannot work, an exception that nobody will ever look at.
[[noreturn]] void fatal(std::string_view message) noexcept;

}  // namespace skua::internal

#define SKUA_INTERNAL_CHECK(kind, cond, ...)                                        \
  do {                                                                              \
    if (SKUA_UNLIKELY(!(cond))) {                                                   \
      ::skua::internal::check_failed_with(kind, #cond, __FILE__, __LINE__,          \
                                          #__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__); \
    }                                                                               \
  } while (false)

#define SKUA_REQUIRE(cond, ...) SKUA_INTERNAL_CHECK("requirement", cond, __VA_ARGS__)
#define SKUA_CHECK(cond, ...) SKUA_INTERNAL_CHECK("invariant", cond, __VA_ARGS__)

#ifdef NDEBUG
// The operands stay named, so that a release build warns of nothing and evaluates nothing.
#define SKUA_DCHECK(cond, ...)                             \
  do {                                                     \
    if (false) SKUA_INTERNAL_CHECK("", cond, __VA_ARGS__); \
  } while (false)
#else
#define SKUA_DCHECK(cond, ...) SKUA_CHECK(cond, __VA_ARGS__)
#endif
