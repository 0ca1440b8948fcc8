// SPDX-License-Identifier: Apache-2.0
//
// The code of the chapters on I/O and on shutting down. Works in a new folder, which it removes. As
// tasks.cc otherwise.
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "docs/guide/code/expect.h"
#include "skua/skua.h"

namespace {

using std::chrono::seconds;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// --- I/O --------------------------------------------------------------------------------------

// [echo]
skua::Task<> echo(skua::TcpStream stream) {
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const absl::StatusOr<std::size_t> size = co_await stream.read(buffer);
    if (!size.ok() || *size == 0) co_return;  // 0: the peer has finished writing.
    const absl::Status written = co_await stream.write_all(std::span(buffer).first(*size));
    if (!written.ok()) co_return;
  }
}

skua::Task<> accept_all(skua::TcpListener listener) {
  for (;;) {
    absl::StatusOr<skua::TcpStream> stream = co_await listener.accept();
    if (!stream.ok()) co_return;
    skua::spawn(echo(*std::move(stream)));  // A task for each connection.
  }
}
// [/echo]

// [client]
skua::Task<absl::StatusOr<std::string>> first_line(skua::SocketAddress server, std::string text) {
  absl::StatusOr<skua::TcpStream> stream = co_await skua::TcpStream::connect(server);
  if (!stream.ok()) co_return stream.status();
  const absl::Status written = co_await stream->write_all(bytes_of(text));
  if (!written.ok()) co_return written;
  skua::BufferedReader lines(*std::move(stream));  // Owns the stream from here on.
  const absl::StatusOr<std::optional<std::string>> line = co_await lines.read_line(8192);
  if (!line.ok()) co_return line.status();
  if (!line->has_value()) co_return absl::OutOfRangeError("no line came");
  co_return **line;
}
// [/client]

// [files]
skua::Task<absl::StatusOr<std::string>> note(std::string path) {
  // The whole file in one step: whoever opens it sees the old content or the new one.
  const absl::Status written = co_await skua::fs::write_file(path, "one\n", {.atomic = true});
  if (!written.ok()) co_return written;

  absl::StatusOr<skua::File> file =
      co_await skua::File::open(path, {.append = true, .create = true});
  if (!file.ok()) co_return file.status();
  const absl::Status appended = co_await file->append(bytes_of("two\n"));
  if (!appended.ok()) co_return appended;
  const absl::Status closed = co_await file->close();  // Says what the destructor cannot say.
  if (!closed.ok()) co_return closed;

  co_return co_await skua::fs::read_file(std::move(path), {.size_max = 1 << 20});
}
// [/files]

// [errno]
skua::Task<bool> is_there(std::string path) {
  const absl::StatusOr<skua::FileMetadata> metadata = co_await skua::fs::metadata(std::move(path));
  if (absl::IsNotFound(metadata.status())) co_return false;  // errno_of(metadata.status()): ENOENT
  co_return metadata.ok();
}
// [/errno]

// [process]
skua::Task<absl::StatusOr<std::string>> upper_case(std::string text) {
  skua::Command command("tr", {"a-z", "A-Z"});
  command.set_stdin(skua::Stdio::kPipe).set_stdout(skua::Stdio::kPipe);
  absl::StatusOr<skua::Process> tr = co_await skua::Process::spawn(std::move(command));
  if (!tr.ok()) co_return tr.status();
  const absl::Status written = co_await tr->stdin_pipe().write_all(bytes_of(text));
  if (!written.ok()) co_return written;
  tr->stdin_pipe().close();  // Its input ends.
  skua::BufferedReader<skua::PipeReader&> lines(tr->stdout_pipe());
  const absl::StatusOr<std::optional<std::string>> line = co_await lines.read_line(8192);
  const absl::StatusOr<skua::ExitStatus> ended = co_await tr->wait();
  if (!ended.ok() || !ended->success()) co_return absl::InternalError("tr has failed");
  if (!line.ok()) co_return line.status();
  co_return line->value_or("");
}
// [/process]

skua::Task<> io_chapter(std::string folder) {
  absl::StatusOr<skua::TcpListener> listener =
      skua::TcpListener::bind(skua::SocketAddress::loopback_v4(0));
  const auto address = listener.ok() ? listener->local_address() : listener.status();
  expect(address.ok(), "a listener");
  skua::JoinHandle<void> server = skua::spawn(accept_all(*std::move(listener)));
  const absl::StatusOr<std::string> line = co_await first_line(*address, "to and fro\n");
  expect(line.ok() && *line == "to and fro", "an echo");
  server.abort();
  const skua::JoinResult<void> stopped = co_await std::move(server).result();
  expect(stopped.cancelled(), "a server ends when it is aborted");

  const absl::StatusOr<std::string> text = co_await note(folder + "/note");
  expect(text.ok() && *text == "one\ntwo\n", "a file has what was written to it");
  const bool there = co_await is_there(folder + "/note");
  const bool elsewhere = co_await is_there(folder + "/another");
  expect(there && !elsewhere, "what is not there is not found");
  const absl::StatusOr<std::string> upper = co_await upper_case("skua\n");
  expect(upper.ok() && *upper == "SKUA", "a process answers");
}

// --- Shutting down ----------------------------------------------------------------------------

// [drain]
// Until a signal comes; then no more are accepted, and those there are have `grace` to end.
skua::Task<int> serve_until_stopped(skua::TcpListener listener, seconds grace) {
  absl::StatusOr<skua::Signal> stop = skua::Signal::watch({SIGINT, SIGTERM});
  if (!stop.ok()) co_return 1;
  skua::JoinSet<void> connections;
  const auto accept = [&]() -> skua::Task<> {
    for (;;) {
      absl::StatusOr<skua::TcpStream> stream = co_await listener.accept();
      if (!stream.ok()) co_return;
      connections.spawn(echo(*std::move(stream)));
      while (connections.try_join_next()) continue;  // Those that have ended.
    }
  };
  const auto signal = [&]() -> skua::Task<> {
    const absl::StatusOr<skua::SignalInfo> received = co_await stop->next();
    static_cast<void>(received);  // Whichever it was.
  };
  co_await skua::when_any(accept(), signal());  // The one that has lost is gone after this.
  listener.close();

  const auto drain = [&]() -> skua::Task<std::size_t> {
    std::size_t ended = 0;
    while (auto connection = co_await connections.join_next()) ++ended;
    co_return ended;
  };
  const absl::StatusOr<std::size_t> drained = co_await skua::timeout(grace, drain());
  if (drained.ok()) co_return 0;
  connections.abort_all();
  co_await drain();
  co_return 0;
}
// [/drain]

// [must_run]
// A job that has not begun when the runtime shuts down is cancelled, but this one runs.
void save_at_last(std::string path, std::string text) {
  skua::spawn_blocking(
      [path = std::move(path), text = std::move(text)] {
        if (std::FILE* const file = std::fopen(path.c_str(), "w")) {
          std::fputs(text.c_str(), file);
          std::fclose(file);
        }
      },
      {.name = "save", .at_shutdown = skua::AtShutdown::kRun});
}
// [/must_run]

skua::Task<int> shutdown_chapter(std::string folder) {
  absl::StatusOr<skua::TcpListener> listener =
      skua::TcpListener::bind(skua::SocketAddress::loopback_v4(0));
  const auto address = listener.ok() ? listener->local_address() : listener.status();
  expect(address.ok(), "a listener");
  save_at_last(folder + "/state", "saved");
  skua::JoinHandle<int> server =
      skua::spawn(serve_until_stopped(*std::move(listener), seconds(60)));
  const absl::StatusOr<std::string> line = co_await first_line(*address, "still here\n");
  expect(line.ok() && *line == "still here", "a server that serves");
  expect(::kill(::getpid(), SIGTERM) == 0, "a signal can be sent");
  const int status = co_await std::move(server);
  co_return status;
}

skua::Task<int> async_main(std::string folder) {
  co_await io_chapter(folder);
  const int status = co_await shutdown_chapter(folder);
  co_return status;
}

// [main]
int run_server(const std::string& folder) {
  // Before any thread is there: threads inherit what is blocked, and a Signal sees only that.
  if (!skua::block_signals({SIGINT, SIGTERM}).ok()) return 1;
  skua::Runtime runtime;
  const int status = runtime.block_on(async_main(folder));
  if (!runtime.shutdown(seconds(10))) {  // Aborts what still runs, and waits for its end.
    for (const skua::RunningBlockingJob& job : runtime.running_blocking_jobs()) {
      std::fprintf(stderr, "still running: %s\n", job.name.c_str());
    }
  }
  return status;
}
// [/main]

skua::Task<bool> clean_up(std::string folder) {
  const absl::StatusOr<std::string> state = co_await skua::fs::read_file(folder + "/state");
  const absl::StatusOr<std::uint64_t> removed = co_await skua::fs::remove_all(folder);
  co_return state.ok() && *state == "saved" && removed.ok();
}

}  // namespace

int main() {
  std::string folder = (std::filesystem::temp_directory_path() / "skua-guide-XXXXXX").string();
  expect(::mkdtemp(folder.data()) != nullptr, "a new folder");
  const int status = run_server(folder);
  expect(skua::run(clean_up(folder)), "what must run at a shutdown has run");
  return status;
}
