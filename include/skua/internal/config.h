// SPDX-License-Identifier: Apache-2.0
//
// Compiler facts that public templates depend on.
#pragma once

#include <cstddef>

// Forced inlining, at -O0 too: a function so marked leaves no symbol behind that a linker could
// merge with the differently configured copy of another translation unit.
#define SKUA_ALWAYS_INLINE [[gnu::always_inline]] inline
// Forced inlining where locals go to registers. At -O0 the locals of what is inlined into a coroutine stand in its
// frame.
#ifdef __OPTIMIZE__
#define SKUA_INLINE_IF_OPTIMIZED SKUA_ALWAYS_INLINE
#else
#define SKUA_INLINE_IF_OPTIMIZED inline
#endif
#define SKUA_NOINLINE [[gnu::noinline]]
#define SKUA_COLD [[gnu::cold, gnu::noinline]]
// For slow paths that are called from where no register is to spare: the callee saves what it uses, so that the fast
// path around the call saves nothing. Not for functions that throw.
#if defined(__clang__) && defined(__x86_64__)
#define SKUA_PRESERVE_MOST [[clang::preserve_most]]
#else
#define SKUA_PRESERVE_MOST
#endif
#define SKUA_LIKELY(x) (__builtin_expect(!!(x), 1))
#define SKUA_UNLIKELY(x) (__builtin_expect(!!(x), 0))

#if defined(__SANITIZE_THREAD__)
#define SKUA_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define SKUA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SKUA_TSAN 1
#elif __has_feature(address_sanitizer)
#define SKUA_ASAN 1
#endif
#endif
#ifndef SKUA_TSAN
#define SKUA_TSAN 0
#endif
#ifndef SKUA_ASAN
#define SKUA_ASAN 0
#endif

// How one coroutine continues as another.
//
// Clang tail-calls a symmetric transfer at every optimization level. GCC does so only with
// -foptimize-sibling-calls (gcc.gnu.org/PR100897): not at -O0, -Og, -O1, nor under ASan or TSan,
// and no macro tells those levels apart. So under GCC each transfer looks how much of the stack the
// run has taken. With tail calls that is nothing. Without, it grows, and from a limit on the next
// coroutine is left for the run loop, which resumes it from an empty stack: a trampoline.
#if defined(__GNUC__) && !defined(__clang__)
#define SKUA_TRAMPOLINE 1
#else
#define SKUA_TRAMPOLINE 0
#endif

namespace skua::internal {

// Two x86 lines: the adjacent-line prefetcher pairs them.
inline constexpr std::size_t kCacheLine = 128;

}  // namespace skua::internal
