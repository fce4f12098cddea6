// SPDX-License-Identifier: Apache-2.0
#include "runtime/chunked_writer.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace graft::runtime {
namespace {

class Lock {
 public:
  explicit Lock(pthread_mutex_t* mutex) : mutex_(mutex) { pthread_mutex_lock(mutex_); }
  ~Lock() { pthread_mutex_unlock(mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  pthread_mutex_t* mutex_;
};

}  // namespace

ChunkedWriter::~ChunkedWriter() { pthread_mutex_destroy(&mutex_); }

uint64_t ChunkedWriter::BytesOf(uint64_t number) const {
  return std::min(kChunkBytes, file_bytes_ - number * kChunkBytes);
}

Result<ChunkedWriter::Chunk*> ChunkedWriter::Open(uint64_t number) {
  const Lock lock(&mutex_);
  for (size_t i = 0; i < in_use_; ++i) {
    if (chunks_[i]->number == number) return chunks_[i].get();
  }
  if (in_use_ == chunks_.size()) {
    std::unique_ptr<Chunk> chunk(new (std::nothrow) Chunk);
    if (!chunk) return Status(StatusCode::kOutOfMemory, "no memory for a piece of a file");
    GRAFT_ASSIGN_OR_RETURN(chunk->memory, PageMemory::Allocate(kChunkBytes, "a piece of a file",
                                                               PageMemory::Pages::kHuge));
    chunks_.push_back(std::move(chunk));
  }
  Chunk* chunk = chunks_[in_use_++].get();
  chunk->number = number;
  chunk->filled_bytes = 0;
  return chunk;
}

bool ChunkedWriter::Fill(Chunk* chunk, uint64_t bytes) {
  const Lock lock(&mutex_);
  chunk->filled_bytes += bytes;
  return chunk->filled_bytes == BytesOf(chunk->number);
}

void ChunkedWriter::Recycle(Chunk* chunk) {
  const Lock lock(&mutex_);
  const auto place = std::find_if(chunks_.begin(), chunks_.end(),
                                  [&](const auto& other) { return other.get() == chunk; });
  std::swap(*place, chunks_[--in_use_]);
}

Status ChunkedWriter::Write(uint64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const uint64_t number = offset / kChunkBytes;
    const uint64_t begin = offset % kChunkBytes;
    const auto size =
        static_cast<size_t>(std::min<uint64_t>(bytes.size(), BytesOf(number) - begin));
    const std::span<const uint8_t> piece = bytes.first(size);
    if (size == BytesOf(number)) {
      GRAFT_RETURN_IF_ERROR(file_.Write(offset, piece));
    } else {
      GRAFT_ASSIGN_OR_RETURN(Chunk * chunk, Open(number));
      std::memcpy(chunk->memory.data() + begin, piece.data(), size);
      if (Fill(chunk, size)) {
        GRAFT_RETURN_IF_ERROR(
            file_.Write(number * kChunkBytes, {chunk->memory.data(), BytesOf(number)}));
        Recycle(chunk);
      }
    }
    offset += size;
    bytes = bytes.subspan(size);
  }
  return OkStatus();
}

}  // namespace graft::runtime
