// SPDX-License-Identifier: Apache-2.0
//
// One connection: reads requests and answers them, in order.
#pragma once

#include <cstdint>

#include "deadlines.h"
#include "skua/skua.h"

namespace http_server {

// Serves the connection until one side ends it. `place` goes back when that is done.
//
// Lifetime: `deadlines` outlives it.
skua::Task<> serve(skua::TcpStream stream, Deadlines* deadlines, std::uint64_t body_max,
                   skua::SemaphorePermit place);

}  // namespace http_server
