// SPDX-License-Identifier: Apache-2.0
#include "skua/io/buffered_writer.h"

#include <atomic>
#include <cstdio>

namespace skua {

void internal::report_unflushed(std::size_t bytes) noexcept {
  static std::atomic_flag reported = ATOMIC_FLAG_INIT;
  if (reported.test_and_set(std::memory_order_relaxed)) return;  // Relaxed: it orders nothing else.
  std::fprintf(stderr,
               "skua: a BufferedWriter was destroyed with %zu bytes in its buffer, which are lost: "
               "await flush() "
               "before, or call discard() (said once)\n",
               bytes);
}

}  // namespace skua
