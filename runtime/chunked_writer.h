// SPDX-License-Identifier: Apache-2.0
// Gathers what several threads write to a file into large aligned pieces.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/cache_folder.h"
#include "runtime/page_memory.h"
#include "schema/result.h"

namespace graft::runtime {

/// Linux makes the pages of a file's cache as large as the write that first brings them, and maps
/// those of kChunkBytes as huge pages. Decoding reads every weight for each token, and is slower
/// by up to a quarter where each page of 4 KiB is looked up in a table.
class ChunkedWriter {
 public:
  /// A huge page of x86-64, and of ARM with pages of 4 KiB.
  static constexpr uint64_t kChunkBytes = uint64_t{2} << 20;

  /// `file_bytes` will be written in all, each byte of them once.
  ChunkedWriter(CacheWriter& file, uint64_t file_bytes) : file_(file), file_bytes_(file_bytes) {}
  ~ChunkedWriter();
  ChunkedWriter(const ChunkedWriter&) = delete;
  ChunkedWriter& operator=(const ChunkedWriter&) = delete;

  /// From any thread, in any order. What lies in a chunk that has gaps is kept until they are
  /// filled. Errors   kOutOfMemory, kIo.
  Status Write(uint64_t offset, std::span<const uint8_t> bytes);

 private:
  struct Chunk {
    uint64_t number = 0;
    uint64_t filled_bytes = 0;
    PageMemory memory;
  };

  uint64_t BytesOf(uint64_t number) const;
  Result<Chunk*> Open(uint64_t number);
  bool Fill(Chunk* chunk, uint64_t bytes);
  void Recycle(Chunk* chunk);

  CacheWriter& file_;
  const uint64_t file_bytes_;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  std::vector<std::unique_ptr<Chunk>> chunks_;  // those in use, and after them those free again
  size_t in_use_ = 0;
};

}  // namespace graft::runtime
