// SPDX-License-Identifier: Apache-2.0
//
// Everything.
#pragma once

#include "skua/blocking.h"            // IWYU pragma: export
#include "skua/cancellation.h"        // IWYU pragma: export
#include "skua/fs/file.h"             // IWYU pragma: export
#include "skua/interval.h"            // IWYU pragma: export
#include "skua/io_backend.h"          // IWYU pragma: export
#include "skua/join.h"                // IWYU pragma: export
#include "skua/join_handle.h"         // IWYU pragma: export
#include "skua/metrics.h"             // IWYU pragma: export
#include "skua/net/async_fd.h"        // IWYU pragma: export
#include "skua/net/owned_fd.h"        // IWYU pragma: export
#include "skua/net/pipe.h"            // IWYU pragma: export
#include "skua/net/socket_address.h"  // IWYU pragma: export
#include "skua/net/tcp_listener.h"    // IWYU pragma: export
#include "skua/net/tcp_stream.h"      // IWYU pragma: export
#include "skua/net/udp_socket.h"      // IWYU pragma: export
#include "skua/net/unix_listener.h"   // IWYU pragma: export
#include "skua/net/unix_stream.h"     // IWYU pragma: export
#include "skua/priority.h"            // IWYU pragma: export
#include "skua/runtime.h"             // IWYU pragma: export
#include "skua/spawn.h"               // IWYU pragma: export
#include "skua/status.h"              // IWYU pragma: export
#include "skua/sync/barrier.h"        // IWYU pragma: export
#include "skua/sync/broadcast.h"      // IWYU pragma: export
#include "skua/sync/channel.h"        // IWYU pragma: export
#include "skua/sync/condition.h"      // IWYU pragma: export
#include "skua/sync/event.h"          // IWYU pragma: export
#include "skua/sync/latch.h"          // IWYU pragma: export
#include "skua/sync/mutex.h"          // IWYU pragma: export
#include "skua/sync/notify.h"         // IWYU pragma: export
#include "skua/sync/once_cell.h"      // IWYU pragma: export
#include "skua/sync/oneshot.h"        // IWYU pragma: export
#include "skua/sync/rw_lock.h"        // IWYU pragma: export
#include "skua/sync/semaphore.h"      // IWYU pragma: export
#include "skua/sync/watch.h"          // IWYU pragma: export
#include "skua/task.h"                // IWYU pragma: export
#include "skua/test_clock.h"          // IWYU pragma: export
#include "skua/this_task.h"           // IWYU pragma: export
#include "skua/time.h"                // IWYU pragma: export
#include "skua/unconstrained.h"       // IWYU pragma: export
