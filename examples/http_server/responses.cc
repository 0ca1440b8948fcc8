// SPDX-License-Identifier: Apache-2.0
#include "responses.h"

#include <charconv>
#include <cstddef>
#include <ctime>
#include <string_view>

namespace http_server {
namespace {

constexpr std::size_t kBytesMax = 1 << 20;
constexpr std::string_view kIndex =
    "GET /hello      Hello, world!\n"
    "GET /bytes/N    N bytes, up to 1048576\n";
constexpr std::string_view kHello = "Hello, world!\n";
constexpr std::string_view kPlainText = "text/plain; charset=utf-8";
constexpr std::string_view kBinary = "application/octet-stream";

// Made anew once a second by each thread.
std::string_view date_now() noexcept {
  thread_local std::time_t of_text = 0;
  thread_local char text[32];
  thread_local std::size_t size = 0;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != of_text) {
    std::tm parts{};
    ::gmtime_r(&now.tv_sec, &parts);
    size = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    of_text = now.tv_sec;
  }
  return {text, size};
}

std::string_view status_line(int status) noexcept {
  switch (status) {
    case 200:
      return "HTTP/1.1 200 OK\r\n";
    case 404:
      return "HTTP/1.1 404 Not Found\r\n";
    case 405:
      return "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n";
    case 408:
      return "HTTP/1.1 408 Request Timeout\r\n";
    case 413:
      return "HTTP/1.1 413 Content Too Large\r\n";
    case 431:
      return "HTTP/1.1 431 Request Header Fields Too Large\r\n";
    case 501:
      return "HTTP/1.1 501 Not Implemented\r\n";
    case 505:
      return "HTTP/1.1 505 HTTP Version Not Supported\r\n";
    default:
      return "HTTP/1.1 400 Bad Request\r\n";
  }
}

void append_head(std::string& out, int status, std::string_view type, std::size_t size,
                 Connection connection) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), size);
  out += status_line(status);
  out += "Date: ";
  out += date_now();
  out += "\r\nContent-Type: ";
  out += type;
  out += "\r\nContent-Length: ";
  out.append(digits, end);
  out += connection == Connection::kClose ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n";
}

// The N of "/bytes/N"; false: it is none.
bool parse_size(std::string_view path, std::size_t& size) noexcept {
  constexpr std::string_view kPrefix = "/bytes/";
  if (!path.starts_with(kPrefix)) return false;
  path.remove_prefix(kPrefix.size());
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), size);
  return error == std::errc() && end == path.data() + path.size() && size <= kBytesMax;
}

}  // namespace

void append_response(std::string& out, const Request& request, Connection connection) {
  const std::string_view target = request.target;
  const std::string_view path = target.substr(0, target.find('?'));
  const bool has_body = request.method != HTTP_HEAD;
  const auto answer = [&](int status, std::string_view text) {
    append_head(out, status, kPlainText, text.size(), connection);
    if (has_body) out += text;
  };
  std::size_t size = 0;
  if (request.method != HTTP_GET && request.method != HTTP_HEAD) {
    answer(405, "There are only GET and HEAD here.\n");
  } else if (path == "/hello") {
    answer(200, kHello);
  } else if (path == "/") {
    answer(200, kIndex);
  } else if (parse_size(path, size)) {
    append_head(out, 200, kBinary, size, connection);
    if (has_body) out.append(size, 'x');
  } else {
    answer(404, "There is no such thing here.\n");
  }
}

void append_error(std::string& out, int status) {
  std::string_view text = status_line(status);
  text = text.substr(0, text.find('\r'));
  text.remove_prefix(std::string_view("HTTP/1.1 ").size());
  append_head(out, status, kPlainText, text.size() + 1, Connection::kClose);
  out += text;
  out += '\n';
}

}  // namespace http_server
