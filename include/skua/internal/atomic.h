// SPDX-License-Identifier: Apache-2.0
//
// The one fence that Skua needs beside std::atomic.
#pragma once

#include <atomic>

#include "skua/internal/config.h"

namespace skua::internal {

// A full (store-load) barrier: what stands before it is visible to all before what follows it reads.
//
// On x86 a locked read-modify-write of the stack, which costs a third of the mfence that clang emits
// for a seq_cst fence. ThreadSanitizer does not model fences and GCC warns of them there; in its
// builds a read-modify-write gives the hardware the same order, and the data itself always travels by
// acquire/release, which it does see.
SKUA_ALWAYS_INLINE void full_barrier() noexcept {
#if SKUA_TSAN
  std::atomic<int> word{0};
  word.fetch_add(1, std::memory_order_seq_cst);
#elif defined(__x86_64__)
  asm volatile("lock; orq $0, (%%rsp)" ::: "memory", "cc");
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Tells the processor that this thread waits for another one's few next instructions.
SKUA_ALWAYS_INLINE void cpu_relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace skua::internal
