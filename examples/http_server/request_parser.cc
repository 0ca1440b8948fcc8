// SPDX-License-Identifier: Apache-2.0
#include "request_parser.h"

#include <strings.h>

namespace http_server {
namespace {

constexpr std::string_view kHost = "host";

RequestParser* self_of(http_parser* parser) noexcept {
  return static_cast<RequestParser*>(parser->data);
}

}  // namespace

RequestParser::RequestParser(std::uint64_t body_max) noexcept : body_max_(body_max) {
  http_parser_init(&parser_, HTTP_REQUEST);
  parser_.data = this;
}

void RequestParser::set_headers_max(std::uint32_t bytes) noexcept {
  http_parser_set_max_header_size(bytes);
}

http_parser_settings RequestParser::make_settings() noexcept {
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_message_begin = [](http_parser* parser) {
    RequestParser* const self = self_of(parser);
    self->inside_ = true;
    self->request_.target.clear();
    self->header_name_.clear();
    self->hosts_ = 0;
    return 0;
  };
  settings.on_url = [](http_parser* parser, const char* at, std::size_t size) {
    self_of(parser)->request_.target.append(at, size);
    return 0;
  };
  settings.on_header_field = [](http_parser* parser, const char* at, std::size_t size) {
    self_of(parser)->on_header_field({at, size});
    return 0;
  };
  settings.on_header_value = [](http_parser* parser, const char*, std::size_t) {
    self_of(parser)->end_of_header_name();
    return 0;
  };
  settings.on_headers_complete = [](http_parser* parser) {
    return self_of(parser)->on_headers_complete();
  };
  settings.on_message_complete = [](http_parser* parser) {
    RequestParser* const self = self_of(parser);
    self->request_.method = static_cast<http_method>(parser->method);
    self->request_.keep_alive = http_should_keep_alive(parser) != 0;
    self->complete_ = true;
    self->inside_ = false;
    http_parser_pause(parser, 1);  // One request at a time.
    return 0;
  };
  return settings;
}

void RequestParser::on_header_field(std::string_view part) {
  if (header_name_.size() <= kHost.size()) header_name_.append(part.substr(0, kHost.size() + 1));
}

void RequestParser::end_of_header_name() noexcept {
  if (header_name_.size() == kHost.size() &&
      ::strncasecmp(header_name_.data(), kHost.data(), kHost.size()) == 0) {
    ++hosts_;
  }
  header_name_.clear();
}

int RequestParser::on_headers_complete() noexcept {
  end_of_header_name();  // Of a header without a value.
  if (parser_.uses_transfer_encoding != 0) {
    refusal_ = 501;
  } else if ((parser_.flags & F_CONTENTLENGTH) != 0 && parser_.content_length > body_max_) {
    refusal_ = 413;
  } else if (hosts_ > 1 || (hosts_ == 0 && parser_.http_major == 1 && parser_.http_minor >= 1)) {
    refusal_ = 400;
  }
  return refusal_ == 0 ? 0 : -1;
}

RequestParser::Result RequestParser::feed(std::string_view& input) {
  static const http_parser_settings settings = make_settings();
  complete_ = false;
  const std::size_t used = http_parser_execute(&parser_, &settings, input.data(), input.size());
  input.remove_prefix(used);
  if (complete_) {
    http_parser_pause(&parser_, 0);
    return Result::kRequest;
  }
  const http_errno error = HTTP_PARSER_ERRNO(&parser_);
  if (error == HPE_OK) return Result::kNeedsMore;
  if (refusal_ == 0) {
    refusal_ = error == HPE_HEADER_OVERFLOW ? 431 : error == HPE_INVALID_VERSION ? 505 : 400;
  }
  return Result::kRefused;
}

}  // namespace http_server
