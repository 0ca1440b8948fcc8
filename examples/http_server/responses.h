// SPDX-License-Identifier: Apache-2.0
//
// What is answered to which request. Nothing of Skua.
#pragma once

#include <cstdint>
#include <string>

#include "request_parser.h"

namespace http_server {

enum class Connection : std::uint8_t { kKeepAlive, kClose };

// Appends the answer to `request`. It says what becomes of the connection.
//
//   /            what there is
//   /hello       Hello, world!
//   /bytes/N     N bytes, up to 1 MiB
void append_response(std::string& out, const Request& request, Connection connection);

// Appends an answer that says what is wrong; the connection ends with it.
void append_error(std::string& out, int status);

}  // namespace http_server
