// SPDX-License-Identifier: Apache-2.0
//
// Memory of coroutine frames, with the header in front (the picture is in task_header.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "skua/internal/config.h"
#include "skua/internal/frame_cache.h"
#include "skua/internal/result_slot.h"
#include "skua/internal/task_header.h"

namespace skua::internal {

inline constexpr std::size_t kFrameAlignment = alignof(std::max_align_t);

constexpr std::size_t round_up_to_frame(std::size_t size) noexcept {
  return (size + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

// Which part a frame plays, and how large its block is; operator delete asks when the promise is gone already, and
// FinalAwaiter, which does not know the size.
struct FrameMark {
  FrameMark(TaskKind k, std::uint32_t bytes) noexcept
      : kind(k), list(frame_list(bytes)), block_bytes(bytes) {}
  TaskKind kind;
  std::uint8_t list;  // Of a FrameCache.
  std::uint32_t block_bytes;
};

// The mark is the last thing before the frame; the header is constructed only if it is needed.
inline constexpr std::size_t kHeaderBytes =
    round_up_to_frame(sizeof(SpawnedTask) + sizeof(FrameMark));

// From a block's start to its header, for a coroutine that returns T.
template <typename T>
inline constexpr std::size_t kSlotBytes = round_up_to_frame(sizeof(ResultSlot<T>));

// Raw blocks, recycled (frame_cache.h). Throws std::bad_alloc. Any thread, and any other may free.
[[nodiscard]] SKUA_ALWAYS_INLINE void* allocate_block(std::size_t bytes) {
  return frame_cache_of_thread.allocate(bytes);
}
SKUA_ALWAYS_INLINE void free_block(void* block, std::size_t bytes) noexcept {
  frame_cache_of_thread.free(block, bytes);
}

inline SpawnedTask* spawned_of_frame(void* frame) noexcept {
  return reinterpret_cast<SpawnedTask*>(static_cast<std::byte*>(frame) - kHeaderBytes);
}

// Where the TaskHeader of a forked child is made: the place that it has in a SpawnedTask.
static_assert(sizeof(SpawnedTask) == sizeof(JoinState) + sizeof(TaskHeader));
static_assert(kHeaderBytes - sizeof(SpawnedTask) >= sizeof(FrameMark));
inline TaskHeader* header_of_frame(void* frame) noexcept {
  return reinterpret_cast<TaskHeader*>(static_cast<std::byte*>(frame) - kHeaderBytes +
                                       sizeof(JoinState));
}

inline FrameMark* mark_of_frame(void* frame) noexcept {
  return reinterpret_cast<FrameMark*>(static_cast<std::byte*>(frame) - sizeof(FrameMark));
}

template <typename T>
ResultSlot<T>* slot_of_header(JoinState* header) noexcept {
  return reinterpret_cast<ResultSlot<T>*>(
      reinterpret_cast<std::byte*>(static_cast<SpawnedTask*>(header)) - kSlotBytes<T>);
}

template <typename T>
constexpr std::size_t block_bytes(std::size_t frame_bytes) noexcept {
  return kSlotBytes<T> + kHeaderBytes + frame_bytes;
}

template <typename T>
SKUA_ALWAYS_INLINE void* allocate_frame(std::size_t frame_bytes) {
  const std::size_t bytes = block_bytes<T>(frame_bytes);
  auto* const block = static_cast<std::byte*>(allocate_block(bytes));
  std::byte* const frame = block + kSlotBytes<T> + kHeaderBytes;
  ::new (static_cast<void*>(mark_of_frame(frame)))
      FrameMark(TaskKind::kAwaited, static_cast<std::uint32_t>(bytes));
  return frame;
}

// Frees the block of a frame that was awaited or forked. The block of a spawned one has another owner, who frees it by
// free_task_block() when the result has been taken.
template <typename T>
SKUA_ALWAYS_INLINE void deallocate_frame(void* frame, std::size_t frame_bytes) noexcept {
  if (mark_of_frame(frame)->kind != TaskKind::kAwaited) return;
  free_block(static_cast<std::byte*>(frame) - kHeaderBytes - kSlotBytes<T>,
             block_bytes<T>(frame_bytes));
}

// Makes the header and the result slot in front of a frame that is about to be spawned; `arguments` are SpawnedTask's.
template <typename T, typename... Arguments>
SKUA_ALWAYS_INLINE SpawnedTask* construct_spawned(void* frame, Arguments... arguments) noexcept {
  mark_of_frame(frame)->kind = TaskKind::kRoot;
  auto* const task = ::new (static_cast<void*>(spawned_of_frame(frame))) SpawnedTask(arguments...);
  ::new (static_cast<void*>(slot_of_header<T>(task))) ResultSlot<T>();
  return task;
}

template <typename T>
void free_task_block(JoinState* header) noexcept {
  ResultSlot<T>* const slot = slot_of_header<T>(header);
  auto* const frame =
      reinterpret_cast<std::byte*>(static_cast<SpawnedTask*>(header)) + kHeaderBytes;
  const FrameMark mark = *mark_of_frame(frame);
  slot->~ResultSlot<T>();  // May spawn, which asks for what the extras hold.
  header->free_extras();
  FrameCache& frames = frame_cache_of_thread;
  if (SKUA_UNLIKELY(!frames.try_free(slot, mark.list))) frames.free(slot, mark.block_bytes);
}

template <typename T>
inline constexpr JoinVTable kTaskVTable{
    .release = &free_task_block<T>,
    .abort = [](JoinState* state) noexcept { static_cast<SpawnedTask*>(state)->abort(); },
};

}  // namespace skua::internal
