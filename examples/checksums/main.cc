// SPDX-License-Identifier: Apache-2.0
//
// checksums: the SHA-256 of every file of a tree, with all cores and a bounded amount of memory.
//
//   checksums /usr/include > sums
//   sha256sum --check --quiet sums
//
//   checksums [--workers N] [--blocking N] [--open K] PATH...
//
// One task per file. What it waits for is done by the kernel or by a thread that may block; so a
// few workers run any number of tasks:
//
//   walk.cc        spawn_blocking: readdir has no io_uring operation;
//                  when_all: sibling directories in parallel
//   hash_files.cc  spawn, Semaphore: no more than K files are open; File: reads through io_uring;
//                  spawn_blocking: computing for long would hold up the other tasks of the worker
//   progress.cc    sleep_for, abort: a task that draws the bar until it is no longer needed
//   sha256.cc, format.cc, options.cc: nothing of Skua
//
// The lines come in the order of the arguments and within each tree sorted by path, however the
// tasks were scheduled; they are printed at the end. A file that changes meanwhile is hashed as it
// was read.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "format.h"
#include "hash_files.h"
#include "options.h"
#include "progress.h"
#include "sha256.h"
#include "skua/skua.h"
#include "walk.h"

namespace checksums {
namespace {

// Owned by main and filled by the tasks: they hold pointers to it, so it outlives the runtime.
struct Job {
  Options options;
  Progress progress;
  std::vector<std::string> files;
  std::vector<std::optional<Digest>> digests;  // By file; none if it could not be read.
};

skua::Task<> list_and_hash(Job* job) {
  // The trees one after the other: each is walked in parallel already.
  for (const std::string& path : job->options.paths) {
    std::vector<std::string> found = co_await find_files(path, &job->progress);
    for (std::string& file : found) job->files.push_back(std::move(file));
  }
  job->progress.set_listing_done();
  job->digests = co_await hash_files(&job->files, job->options.open_max, &job->progress);
}

skua::Task<> async_main(Job* job) {
  if (!job->progress.has_bar()) {
    co_await list_and_hash(job);
    co_return;
  }
  skua::JoinHandle<void> bar = skua::spawn(draw_bar_until_aborted(&job->progress));
  co_await list_and_hash(job);
  bar.abort();
  // The bar is aborted in its sleep. When it has ended, nothing draws any more.
  const skua::JoinResult<void> ended = co_await std::move(bar).result();
  if (ended.exception() != nullptr) std::rethrow_exception(ended.exception());
  job->progress.erase_bar();
}

// Errors: as an errno; 0 if there is none.
int print_checksums(const Job& job) {
  for (std::size_t index = 0; index < job.files.size(); ++index) {
    if (!job.digests[index].has_value()) continue;
    const std::string line = checksum_line(*job.digests[index], job.files[index]);
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size()) return errno;
  }
  if (std::fflush(stdout) != 0) return errno;
  return 0;
}

void print_summary(const Job& job, const skua::RuntimeMetrics& metrics,
                   std::chrono::duration<double> elapsed) {
  const auto hashed = std::count_if(job.digests.begin(), job.digests.end(),
                                    [](const auto& digest) { return digest.has_value(); });
  std::fprintf(stderr, "checksums: %lld files, %s; %llu tasks run, %llu steals; %llu errors\n",
               static_cast<long long>(hashed),
               format_rate(job.progress.bytes_read(), elapsed).c_str(),
               static_cast<unsigned long long>(metrics.runs()),
               static_cast<unsigned long long>(metrics.steals()),
               static_cast<unsigned long long>(job.progress.errors()));
}

int run(Options options) {
  // A closed pipe shall be an error like a full disk, which is reported.
  std::signal(SIGPIPE, SIG_IGN);
  // If stdout were closed, the first file that is opened would become it.
  if (fcntl(STDOUT_FILENO, F_GETFD) == -1) {
    std::perror("checksums: stdout");
    return EXIT_FAILURE;
  }

  const int cpus = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  skua::RuntimeOptions runtime_options;
  runtime_options.worker_threads = options.workers;
  runtime_options.max_blocking_threads = options.blocking > 0 ? options.blocking : cpus;
  runtime_options.thread_name = "checksums";

  Job job{.options = std::move(options), .progress = {}, .files = {}, .digests = {}};
  absl::StatusOr<std::unique_ptr<skua::Runtime>> runtime =
      skua::Runtime::create(std::move(runtime_options));
  if (!runtime.ok()) {
    std::fprintf(stderr, "checksums: %s\n", std::string(runtime.status().message()).c_str());
    return EXIT_FAILURE;
  }
  (*runtime)->block_on(async_main(&job));

  const auto elapsed = job.progress.elapsed();
  const int print_error = print_checksums(job);
  if (print_error != 0) job.progress.error("stdout", print_error);
  print_summary(job, (*runtime)->metrics(), elapsed);
  return job.progress.errors() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace checksums

int main(int argc, char** argv) {
  absl::StatusOr<checksums::Options> options = checksums::parse_options(argc, argv);
  if (absl::IsCancelled(options.status())) {
    return std::fputs(checksums::kUsage, stdout) >= 0 && std::fflush(stdout) == 0 ? EXIT_SUCCESS
                                                                                  : EXIT_FAILURE;
  }
  if (!options.ok()) {
    std::fprintf(stderr, "checksums: %s\n%s", std::string(options.status().message()).c_str(),
                 checksums::kUsage);
    return 2;
  }
  return checksums::run(*std::move(options));
}
