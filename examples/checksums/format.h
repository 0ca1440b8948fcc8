// SPDX-License-Identifier: Apache-2.0
//
// How names, digests and rates are written.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "sha256.h"

namespace checksums {

struct EscapedName {
  std::string name;
  bool escaped;  // Whether `name` differs from the original.
};

// Newline, carriage return and backslash become \n, \r and two backslashes, as sha256sum writes
// them.
EscapedName escape_name(std::string_view name);

// A line as sha256sum prints it, and as sha256sum --check reads it. With its newline.
std::string checksum_line(const Digest& digest, std::string_view path);

// "164.2 MB in 0.31 s, 529.7 MB/s". Megabytes are 10^6 bytes.
std::string format_rate(std::uint64_t bytes, std::chrono::duration<double> elapsed);

}  // namespace checksums
