// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/pack_cache.h"

#include <sys/resource.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "runtime/threads/parallel_tasks.h"
#include "schema/container.h"

namespace graft::runtime {
namespace {

// Linux makes the pages of a file's cache as large as the write that first brings them, and maps
// those of this size as huge pages: those of x86-64, and of ARM with pages of 4 KiB. Decoding reads
// every weight for each token, and is slower by up to a quarter where each page of 4 KiB is looked
// up in a table.
constexpr uint64_t kChunkBytes = uint64_t{2} << 20;

void GiveWayToOthers() {
#ifdef __linux__
  setpriority(PRIO_PROCESS, 0, 19);  // 0: this thread
#endif
}

}  // namespace

Result<std::unique_ptr<DataSource>> FindPacked(const CacheSettings& settings, const PackFile& file,
                                               const PackLayout& layout, unsigned threads) {
  GRAFT_ASSIGN_OR_RETURN(auto source, OpenCacheFile(settings, file.name()));
  const std::string path = settings.folder + "/" + file.name();
  const Result<std::vector<uint64_t>> checksums = file.ReadHead(source->bytes());
  if (!checksums.ok()) return checksums.status().WithContext(path);
  // All of it, each time: the first token reads every byte anyway, and this brings them in. Without
  // WillRead: what a fault reads from the disk comes in huge pages where there are some, what is
  // announced in small ones.
  GRAFT_RETURN_IF_ERROR(RunTasks(threads, layout.slices.size(), [&](size_t index, unsigned) {
    const PackedSlice& slice = layout.slices[index];
    const uint64_t offset = file.data_offset() + slice.offset;
    if (schema::Checksum64(source->bytes().subspan(offset, slice.bytes)) == (*checksums)[index]) {
      return OkStatus();
    }
    return Error(StatusCode::kCorrupt, "%.300s: checksum of slice %zu differs", path.c_str(),
                 index);
  }));
  return source;
}

PackFileWriter::PackFileWriter(std::unique_ptr<CacheWriter> writer, PackedBytes packed)
    : writer_(std::move(writer)), packed_(std::move(packed)) {
  has_thread_ = pthread_create(
                    &thread_, nullptr,
                    [](void* self) -> void* {
                      GiveWayToOthers();
                      static_cast<PackFileWriter*>(self)->Run();
                      return nullptr;
                    },
                    this) == 0;
  if (!has_thread_) Run();
}

PackFileWriter::~PackFileWriter() {
  if (has_thread_) pthread_join(thread_, nullptr);
}

Status PackFileWriter::Store() {
  const PackFile& file = packed_.file;
  std::vector<uint64_t> checksums;
  for (const PackedSlice& slice : packed_.layout->slices) {
    checksums.push_back(
        schema::Checksum64({packed_.data + slice.offset, static_cast<size_t>(slice.bytes)}));
  }
  const uint64_t head_bytes = file.data_offset();
  GRAFT_RETURN_IF_ERROR(writer_->Write(0, file.Head(checksums)));
  // What shares a chunk with the head's end, then whole chunks.
  const uint64_t first =
      std::min(file.file_bytes(), (head_bytes + kChunkBytes - 1) / kChunkBytes * kChunkBytes);
  GRAFT_RETURN_IF_ERROR(
      writer_->Write(head_bytes, {packed_.data, static_cast<size_t>(first - head_bytes)}));
  for (uint64_t offset = first; offset < file.file_bytes(); offset += kChunkBytes) {
    const uint64_t size = std::min(kChunkBytes, file.file_bytes() - offset);
    GRAFT_RETURN_IF_ERROR(
        writer_->Write(offset, {packed_.data + (offset - head_bytes), static_cast<size_t>(size)}));
  }
  return writer_->Publish();
}

void PackFileWriter::Run() {
  try {  // on a thread of its own
    failure_ = Store();
  } catch (const std::bad_alloc&) {
    failure_ = Status(StatusCode::kOutOfMemory, "out of memory while storing packed weights");
  }
  writer_.reset();
  state_.store(failure_.ok() ? State::kDone : State::kFailed, std::memory_order_release);
}

}  // namespace graft::runtime
