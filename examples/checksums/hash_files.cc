// SPDX-License-Identifier: Apache-2.0
#include "hash_files.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

#include "skua/skua.h"

namespace checksums {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{256} << 10;

// What one file needs at a time: a chunk to read into while the other one is hashed.
//
// Shared by the task and its blocking job: a job that has begun cannot be cancelled, and would
// otherwise outlive the memory that it hashes if its task were aborted.
struct Scratch {
  std::span<std::byte> chunk(int index) {
    // Made when it is first needed, and not zeroed: small files touch few pages of it.
    if (chunks[index] == nullptr) {
      chunks[index] = std::make_unique_for_overwrite<std::byte[]>(kChunkBytes);
    }
    return {chunks[index].get(), kChunkBytes};
  }

  std::unique_ptr<std::byte[]> chunks[2];
  Sha256 sha256;
};

// Scratches that nobody uses, the most recently used one first. As many are made as files are ever
// open at a time.
class ScratchPool {
 public:
  // Any thread.
  std::shared_ptr<Scratch> take() {
    const std::lock_guard lock(mu_);
    if (free_.empty()) return std::make_shared<Scratch>();
    std::shared_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  // Any thread.
  void give_back(std::shared_ptr<Scratch> scratch) {
    const std::lock_guard lock(mu_);
    free_.push_back(std::move(scratch));
  }

 private:
  // Held for a few instructions and never across a co_await; so it may be a lock that blocks.
  std::mutex mu_;
  std::vector<std::shared_ptr<Scratch>> free_;
};

// What the tasks of one hash_files() share; the last of them frees it.
struct Run {
  Run(const std::vector<std::string>* paths, std::size_t open_max, Progress* progress)
      : paths(paths), progress(progress), open_files(open_max), digests(paths->size()) {}

  const std::vector<std::string>* const paths;
  Progress* const progress;
  skua::Semaphore open_files;
  ScratchPool scratches;
  // Each task writes its own element; its permit's way back publishes it.
  std::vector<std::optional<Digest>> digests;
};

// Fills `chunk` from `offset` on. Fewer bytes than fit: the file ends there.
skua::Task<absl::StatusOr<std::size_t>> read_chunk(skua::File* file, std::uint64_t offset,
                                                   std::span<std::byte> chunk) {
  std::size_t filled = 0;
  while (filled < chunk.size()) {
    const absl::StatusOr<std::size_t> got =
        co_await file->read_at(offset + filled, chunk.subspan(filled));
    if (!got.ok()) co_return got.status();
    if (*got == 0) break;
    filled += *got;
  }
  co_return filled;
}

skua::Task<absl::StatusOr<Digest>> hash_file(std::string path, std::shared_ptr<Scratch> scratch,
                                             Progress* progress) {
  absl::StatusOr<skua::File> file = co_await skua::File::open(path);
  if (!file.ok()) co_return file.status();
  const absl::Status started = scratch->sha256.start();
  if (!started.ok()) co_return started;

  int current = 0;
  absl::StatusOr<std::size_t> size = co_await read_chunk(&*file, 0, scratch->chunk(current));
  std::uint64_t offset = 0;
  for (;;) {
    if (!size.ok()) co_return size.status();
    const std::span<const std::byte> data = scratch->chunk(current).first(*size);
    offset += data.size();
    progress->add_bytes_read(data.size());
    if (data.size() < kChunkBytes) break;

    // The pool hashes this chunk while the kernel reads the next one into the other.
    auto hashing = skua::spawn_blocking([scratch, data] { return scratch->sha256.update(data); });
    current = 1 - current;
    size = co_await read_chunk(&*file, offset, scratch->chunk(current));
    const absl::Status hashed = co_await std::move(hashing);
    if (!hashed.ok()) co_return hashed;
  }

  // The last chunk: for a file smaller than a chunk it is the only one, and this its only job. (To
  // hash such files right here would save nothing that could be measured: 10,281 files of
  // /usr/include, on 2 cores.)
  const std::span<const std::byte> data = scratch->chunk(current).first(*size);
  auto finishing = skua::spawn_blocking([scratch, data]() -> absl::StatusOr<Digest> {
    const absl::Status hashed = scratch->sha256.update(data);
    if (!hashed.ok()) return hashed;
    return scratch->sha256.finish();
  });
  const absl::Status closed = co_await file->close();
  absl::StatusOr<Digest> digest = co_await std::move(finishing);
  if (!closed.ok()) co_return closed;
  co_return digest;
}

// The task of one file. While it holds `permit`, the file may be open.
skua::Task<> run_one(std::shared_ptr<Run> run, std::size_t index, skua::SemaphorePermit permit) {
  std::shared_ptr<Scratch> scratch = run->scratches.take();
  const absl::StatusOr<Digest> digest =
      co_await hash_file((*run->paths)[index], scratch, run->progress);
  // Not in a destructor: after an abort a job may be at work on it, which then frees it.
  run->scratches.give_back(std::move(scratch));
  if (digest.ok()) {
    run->digests[index] = *digest;
  } else {
    run->progress->error((*run->paths)[index], digest.status());
  }
  run->progress->add_file_done();
  permit.release_now();
}

}  // namespace

skua::Task<std::vector<std::optional<Digest>>> hash_files(const std::vector<std::string>* paths,
                                                          std::size_t open_max,
                                                          Progress* progress) {
  const auto run = std::make_shared<Run>(paths, open_max, progress);
  for (std::size_t index = 0; index < paths->size(); ++index) {
    // Waits here while enough files are open: so tasks and buffers are bounded, however many files
    // there are.
    skua::SemaphorePermit permit = co_await run->open_files.acquire();
    // Detached. That it has ended is seen by its permit.
    skua::spawn(run_one(run, index, std::move(permit)), {.name = "hash_file"});
  }
  // Whoever has all permits knows that no file is open any more.
  std::vector<skua::SemaphorePermit> all;
  while (all.size() < open_max) {
    skua::SemaphorePermit permit = co_await run->open_files.acquire();
    all.push_back(std::move(permit));
  }
  co_return std::move(run->digests);
}

}  // namespace checksums
