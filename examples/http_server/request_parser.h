// SPDX-License-Identifier: Apache-2.0
//
// Takes a stream of bytes apart into requests, one at a time. Nothing of Skua.
#pragma once

#include <cstddef>
#include <cstdint>
#include <http_parser.h>
#include <string>
#include <string_view>

namespace http_server {

struct Request {
  http_method method = HTTP_GET;
  std::string target;  // As it was sent: path and query.
  bool keep_alive = false;
};

class RequestParser {
 public:
  // Bodies are read and thrown away. `body_max`: a longer one is refused.
  explicit RequestParser(std::uint64_t body_max) noexcept;
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // For all parsers of this process: a request line with its headers has at most about so many bytes.
  static void set_headers_max(std::uint32_t bytes) noexcept;

  enum class Result : std::uint8_t {
    kNeedsMore,  // All input is used, and the request has not ended.
    kRequest,    // request() is complete; `input` begins behind it.
    kRefused,    // refusal() says why. The parser is of no use any more.
  };
  Result feed(std::string_view& input);

  const Request& request() const noexcept { return request_; }
  // The status to answer with: 400, 413, 431, 501 or 505.
  int refusal() const noexcept { return refusal_; }
  // Some of a request is here, but not all.
  bool inside_request() const noexcept { return inside_; }

 private:
  // Called by http_parser; not 0: it stops.
  int on_headers_complete() noexcept;
  void on_header_field(std::string_view part);
  void end_of_header_name() noexcept;
  static http_parser_settings make_settings() noexcept;

  const std::uint64_t body_max_;
  http_parser parser_;
  Request request_;
  int refusal_ = 0;
  bool inside_ = false;
  bool complete_ = false;
  // The name of the header that is being read, as far as it is needed to tell Host from others.
  std::string header_name_;
  int hosts_ = 0;
};

}  // namespace http_server
