// SPDX-License-Identifier: Apache-2.0
#include "connection.h"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "request_parser.h"
#include "responses.h"

namespace http_server {
namespace {

constexpr std::size_t kReadBytes = 16 << 10;
// Answers to a pipeline of requests are sent together, but not more of them than this.
constexpr std::size_t kWriteBytes = 64 << 10;
constexpr std::size_t kLingerBytes = 1 << 20;

// To close a socket while the peer still sends resets the connection, and the answer that it has not read yet is lost:
// so it is heard out, for a while.
skua::Task<> linger(skua::TcpStream* stream, Watched* watched, std::span<std::byte> buffer) {
  watched->enter(Watched::Phase::kLinger);
  if (!stream->shutdown(skua::Shutdown::kWrite).ok()) co_return;
  for (std::size_t heard = 0; heard < kLingerBytes && !watched->expired();) {
    const absl::StatusOr<std::size_t> count = co_await stream->read(buffer);
    if (!count.ok() || *count == 0) co_return;
    heard += *count;
  }
}

class Session {
 public:
  Session(skua::TcpStream* stream, Deadlines* deadlines, std::uint64_t body_max)
      : stream_(stream),
        deadlines_(deadlines),
        watched_(deadlines, stream),
        parser_(body_max),
        buffer_(kReadBytes) {}

  skua::Task<> run() {
    while (!ends_) {
      watched_.enter(parser_.inside_request() ? Watched::Phase::kRequest : Watched::Phase::kIdle);
      const absl::StatusOr<std::size_t> count = co_await stream_->read(buffer_);
      if (watched_.expired()) {
        // Between two requests there is nothing to say.
        if (parser_.inside_request()) refuse(408);
        ends_ = true;
      } else if (!count.ok() || *count == 0) {
        co_return;
      } else {
        const bool sent = co_await answer(
            std::string_view(reinterpret_cast<const char*>(buffer_.data()), *count));
        if (!sent) co_return;
      }
      if (!out_.empty()) {
        const bool sent = co_await flush();
        if (!sent) co_return;
      }
    }
    if (refused_) co_await linger(stream_, &watched_, buffer_);
  }

 private:
  // Appends the answers to all requests in `input`. False: the connection is gone.
  skua::Task<bool> answer(std::string_view input) {
    while (!input.empty() && !ends_) {
      switch (parser_.feed(input)) {
        case RequestParser::Result::kNeedsMore:
          break;
        case RequestParser::Result::kRefused:
          refuse(parser_.refusal());
          break;
        case RequestParser::Result::kRequest:
          ends_ = !parser_.request().keep_alive || deadlines_->stopping();
          append_response(out_, parser_.request(),
                          ends_ ? Connection::kClose : Connection::kKeepAlive);
          break;
      }
      if (out_.size() >= kWriteBytes) {
        const bool sent = co_await flush();
        if (!sent) co_return false;
      }
    }
    co_return true;
  }

  skua::Task<bool> flush() {
    watched_.enter(Watched::Phase::kWrite);
    const absl::Status written =
        co_await stream_->write_all(std::as_bytes(std::span(out_.data(), out_.size())));
    out_.clear();
    co_return written.ok();
  }

  void refuse(int status) {
    append_error(out_, status);
    refused_ = true;
    ends_ = true;
  }

  skua::TcpStream* const stream_;
  Deadlines* const deadlines_;
  Watched watched_;
  RequestParser parser_;
  std::vector<std::byte> buffer_;
  std::string out_;
  bool ends_ = false;
  bool refused_ = false;
};

}  // namespace

skua::Task<> serve(skua::TcpStream stream, Deadlines* deadlines, std::uint64_t body_max,
                   skua::SemaphorePermit place) {
  const skua::SemaphorePermit held = std::move(place);
  // Answers are sent whole. An error would show in the first read.
  stream.set_no_delay(true).IgnoreError();
  Session session(&stream, deadlines, body_max);
  co_await session.run();
}

}  // namespace http_server
