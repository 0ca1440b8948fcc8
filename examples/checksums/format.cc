// SPDX-License-Identifier: Apache-2.0
#include "format.h"

#include <cstdio>

namespace checksums {

EscapedName escape_name(std::string_view name) {
  EscapedName result{.name = {}, .escaped = false};
  result.name.reserve(name.size());
  for (const char c : name) {
    switch (c) {
      case '\n':
        result.name += "\\n";
        break;
      case '\r':
        result.name += "\\r";
        break;
      case '\\':
        result.name += "\\\\";
        break;
      default:
        result.name += c;
        continue;
    }
    result.escaped = true;
  }
  return result;
}

std::string checksum_line(const Digest& digest, std::string_view path) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  const EscapedName escaped = escape_name(path);
  // A backslash in front says that the name is escaped.
  std::string line = escaped.escaped ? "\\" : "";
  line.reserve(1 + 2 * digest.size() + 3 + escaped.name.size());
  for (const unsigned char byte : digest) {
    line += kHexDigits[byte >> 4];
    line += kHexDigits[byte & 15];
  }
  line += "  ";
  line += escaped.name;
  line += '\n';
  return line;
}

std::string format_rate(std::uint64_t bytes, std::chrono::duration<double> elapsed) {
  const double megabytes = static_cast<double>(bytes) / 1e6;
  const double seconds = elapsed.count();
  char text[96];
  std::snprintf(text, sizeof(text), "%.1f MB in %.2f s, %.1f MB/s", megabytes, seconds,
                seconds > 0 ? megabytes / seconds : 0.0);
  return text;
}

}  // namespace checksums
