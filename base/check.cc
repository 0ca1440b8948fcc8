// SPDX-License-Identifier: Apache-2.0
#include "skua/internal/check.h"

#include <cstdlib>
#include <string>
#include <unistd.h>

namespace skua::internal {
namespace {

// One write: lines of several threads do not mix.
void write_line(std::string line) noexcept {
  line += '\n';
  const char* data = line.data();
  std::size_t left = line.size();
  while (left > 0) {
    const ssize_t written = ::write(STDERR_FILENO, data, left);
    if (written <= 0) return;  // Nobody to tell.
    data += written;
    left -= static_cast<std::size_t>(written);
  }
}

}  // namespace

void check_failed(const char* kind, const char* condition, const char* file, int line,
                  const char* names, std::initializer_list<Operand> operands) noexcept {
  std::string message = std::string("skua: ") + kind + " failed: " + condition + " at " + file +
                        ":" + std::to_string(line);
  if (operands.size() > 0) {
    message += std::string(" with (") + names + ") = (";
    const char* separator = "";
    for (const Operand& operand : operands) {
      message += separator + operand.text();
      separator = ", ";
    }
    message += ")";
  }
  write_line(std::move(message));
  std::abort();
}

void fatal(std::string_view message) noexcept {
  write_line("skua: " + std::string(message));
  std::abort();
}

}  // namespace skua::internal
